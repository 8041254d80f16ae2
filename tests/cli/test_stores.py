"""Runs and data in a store: what a plugin's store brings is used as if it lay here, once it is data alone."""

import json
import os
import shutil
from dataclasses import replace

import numpy
import pytest
from photographs import write_pngs
from sites import on_the_path
from toy import TOY

import genzoo
from genzoo.data import prepared
from genzoo.host.discovery import registry
from genzoo.runs import export_run, fetch_run
from genzoo.storage.run_folder import Run
from genzoo_data.folder import Folder

SHELF = '''
    """A shelf."""
    import os
    from dataclasses import dataclass
    from pathlib import Path

    from genzoo import UnreadableError, hookimpl
    from genzoo.runs import Store

    @dataclass(frozen=True, kw_only=True)
    class Shelf(Store):
        """Folders below one folder."""

        name = "shelf"

        def fetch(self, address):
            if address == "broken":
                raise KeyError("no such board")
            folder = Path(os.environ["SHELF"], address)
            if not folder.is_dir():
                raise UnreadableError(f"the shelf has no {address}", "name what is there")
            return folder

    @hookimpl
    def genzoo_stores():
        return [Shelf]
'''


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return an exported model, and the same exported from a run."""
    root = tmp_path_factory.mktemp("stored")
    run = genzoo.train("gan", overrides=TOY, run=root / "run")
    export_run(run, root / "model")
    return root / "model"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Yield the folder in which the store of a plugin finds what it brings."""
    folder = tmp_path / "shelf-of-another"
    folder.mkdir()
    monkeypatch.setenv("SHELF", str(folder))
    (tmp_path / "site").mkdir()
    with on_the_path(tmp_path / "site") as site:
        site.install("zoo-shelf", SHELF)
        registry.cache_clear()
        yield folder
    registry.cache_clear()


@pytest.fixture
def stored(shelf, exported):
    return Run(shutil.copytree(exported, shelf / "model"))


def test_every_door_takes_an_address(say, stored, shelf, tmp_path):
    before = sorted(shelf.rglob("*"))
    model = genzoo.load("shelf://model")
    expected = genzoo.load(stored).sample(3).numpy()
    assert numpy.array_equal(model.sample(3).numpy(), expected)
    said = say("sample", "shelf://model", "-n", "3", "--json").document
    assert (said["run"], said["file"]) == ("shelf://model", "samples.png")  # and not in the store's folder
    assert say("sample", "shelf://model", "-n", "3", "--out", "x.npy").code == 0
    assert numpy.array_equal(numpy.load(tmp_path / "x.npy"), expected)
    assert say("show", "shelf://model", "--json").document["model"] == "gan"
    assert say("export", "shelf://model", "--out", "copy").code == 0
    assert fetch_run("shelf://model") == stored
    assert sorted(shelf.rglob("*")) == before
    run = genzoo.train("inverse-mapping", from_run="shelf://model", overrides=TOY)
    assert run.record.source.sha256 == stored.newest_checkpoint()[0].sha256


@pytest.mark.parametrize(
    ("address", "code", "says"),
    [
        ("shelf://other", 3, "the shelf has no other"),
        ("shelf://broken", 4, "shelf://broken cannot be fetched by store 'shelf' of zoo-shelf"),
        ("shelv://model", 2, "no store named 'shelv'; did you mean 'shelf'?"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_three_lines(say, stored, address, code, says):
    said = say("sample", address)
    assert (said.code, len(said.err.splitlines()) <= 3) == (code, True)
    assert says in said.err


def rewrite(run, **changes):
    run.write_record(replace(run.record, **changes))


def with_game(run, name):
    rewrite(run, model=name, settings=run.record.settings | {"game": run.record.settings["game"] | {"name": name}})


def link_weights(run):
    weights = run.path / "averaged.safetensors"
    os.replace(weights, run.path.parent / "elsewhere")
    weights.symlink_to(run.path.parent / "elsewhere")


def damage_weights(run):
    weights = run.path / "averaged.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def damage_record(run):
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1', 1))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run: with_game(run, "code_of_mine:Mine"), "names code, 'code_of_mine:Mine'"),
        (lambda run: with_game(run, "genzoo_gan.gan:GAN"), "names code, 'genzoo_gan.gan:GAN'"),
        (lambda run: rewrite(run, requires={"zoo-fish": "1.0"}), "if you trust it, type: pip install zoo-fish==1.0"),
        (lambda run: rewrite(run, requires={"-rx y": "1; rm"}), "which is no name and version of a package"),
        (link_weights, "holds averaged.safetensors, which is no regular file"),
        (damage_weights, "bytes, its manifest says"),
        (damage_record, "was changed or damaged"),
    ],
)
def test_what_is_not_whole_and_data_alone_is_refused(say, stored, tmp_path, change, says):
    (tmp_path / "code_of_mine.py").write_text("open('canary', 'w')")
    change(stored)
    said = say("sample", "shelf://model")
    assert (said.code, len(said.err.splitlines()) <= 3) == (3, True)
    assert says in said.err
    with pytest.raises(genzoo.UnreadableError):
        genzoo.load("shelf://model")
    assert not list(tmp_path.rglob("canary"))


def test_an_exported_record_says_which_distributions_its_components_need(exported):
    assert Run(exported).record.requires == {"genzoo": genzoo.__version__}
    assert f"pip install genzoo=={genzoo.__version__}" in (exported / "README.md").read_text()
    older = json.loads((exported / "run.json").read_text())
    del older["requires"], older["sha256"]
    assert Run(exported).record.from_json(older).requires == {}


def test_data_at_an_address_are_one_prepared_set_whose_hashes_are_compared(say, shelf, tmp_path):
    write_pngs(tmp_path / "photographs", 20, size=(8, 8), channels=1)
    prepared.prepare_dataset(Folder(size=8, channels=1), shelf, source=tmp_path / "photographs", jobs=1)
    place = shelf / "folder-8-grey"
    overrides = {"dataset": "folder", "dataset.size": 8, "dataset.channels": 1, "training.steps": 1}
    settings = [word for path, value in overrides.items() for word in ("--set", f"{path}={value}")]
    trained = say("train", "gan", "--recipe", "digits", *settings, "--data", f"shelf://{place.name}", "--run", "run")
    assert trained.code == 0, trained.err
    splits = genzoo.load_data("run", data=f"shelf://{place.name}")
    assert [len(split.x) for split in splits] == [16, 2, 2]
    said = say("evaluate", "run", "--data", "shelf://")
    assert said.code == 3
    images = place / "images.safetensors"
    images.write_bytes(images.read_bytes()[:-1] + b"?")
    damaged = say("evaluate", "run", "--data", f"shelf://{place.name}")
    assert (damaged.code, "is damaged: its SHA-256" in damaged.err) == (3, True)
