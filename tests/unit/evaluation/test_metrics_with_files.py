"""Metrics that need files, and that compute something once per data and machine."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from models import identity_model
from toy_components import ToyMixture

from genzoo import UnreadableError
from genzoo.data import Download
from genzoo.evaluation import Metric, Score, cached
from genzoo.types import Split

CONTENT = b"weights"
ROWS = Split(torch.arange(6.0).view(3, 2), torch.tensor([0, 1, 2]))


@dataclass(frozen=True, kw_only=True)
class OfFile(Metric):
    """The length of a file."""

    name: ClassVar[str] = "of-file"
    downloads: ClassVar[tuple[Download, ...]] = (Download(file="weights.bin", md5=hashlib.md5(CONTENT).hexdigest()),)

    def obstacle(self, model):
        return None if model.networks.decoder is not None else "it has no decoder"

    def measure(self, model, split, *, train, seed):
        return [Score(metric="of-file", value=float(len(self.downloaded("weights.bin").read_bytes())))]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def put(root, content=CONTENT):
    place = root / "downloads" / "of-file"
    place.mkdir(parents=True)
    (place / "weights.bin").write_bytes(content)


def test_a_metric_whose_files_are_missing_says_how_to_get_them(root):
    model = identity_model(ToyMixture().spec)
    assert OfFile().obstacle_here(model) == "weights.bin is not here; type: genzoo data fetch of-file"
    with pytest.raises(UnreadableError) as missing:
        OfFile().downloaded("weights.bin")
    assert missing.value.remedy == "type: genzoo data fetch of-file"
    put(root)
    assert OfFile().obstacle_here(model) is None
    assert OfFile().measure(model, ROWS, train=ROWS, seed=0)[0].value == 7
    model.networks.decoder = None
    assert OfFile().obstacle_here(model) == "it has no decoder"


def test_a_file_that_is_not_the_published_one_is_refused(root):
    put(root, b"others")
    with pytest.raises(UnreadableError, match="is not the file it should be"):
        OfFile().downloaded("weights.bin")


def counting():
    calls = []
    return calls, lambda: {"features": ROWS.x * (calls.append(1) or 2)}


def test_what_a_metric_computes_of_the_data_is_computed_once(root):
    calls, compute = counting()
    for _ in range(3):
        assert torch.equal(cached("double", ROWS, compute)["features"], 2 * ROWS.x)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("what", "rows"),
    [
        ("treble", ROWS),
        ("double", ROWS._replace(x=ROWS.x + 1)),
        ("double", ROWS._replace(labels=None)),
        ("double", ROWS._replace(labels=torch.tensor([0, 1, -1]))),
        ("double", ROWS._replace(x=ROWS.x.view(2, 3))),
    ],
    ids=["another name", "other rows", "no labels", "a hidden label", "another shape"],
)
def test_what_it_depends_on_decides_whether_it_is_computed_again(root, what, rows):
    calls, compute = counting()
    cached("double", ROWS, compute)
    cached(what, rows, compute)
    assert len(calls) == 2


def test_a_damaged_file_and_a_folder_that_cannot_be_written_are_no_obstacles(root):
    calls, compute = counting()
    cached("double", ROWS, compute)
    (file,) = (root / "metrics").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    assert torch.equal(cached("double", ROWS, compute)["features"], 2 * ROWS.x)
    assert len(calls) == 2
    file.unlink()
    (root / "metrics").rmdir()
    (root / "metrics").write_bytes(b"no folder")
    assert torch.equal(cached("double", ROWS, compute)["features"], 2 * ROWS.x)
    assert len(calls) == 3
