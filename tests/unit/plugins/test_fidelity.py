"""Feature distances by torch-fidelity: with an extractor of our own against closed forms, and the weights' file."""

import pickle
from dataclasses import dataclass, replace
from hashlib import sha256

import pytest
import torch
from models import Identity, identity_model

from genzoo import Networks, UnreadableError
from genzoo.evaluation import Model
from genzoo.types import DataSpec, Split
from genzoo_data.mixture import Mixture25
from genzoo_metrics import fidelity
from genzoo_metrics.fidelity import Fidelity, Images, read_weights

torch_fidelity = pytest.importorskip("torch_fidelity")

GREY = DataSpec(shape=(1, 2, 2), support="unit")


class FourPixels(torch_fidelity.FeatureExtractorBase):
    """The grey levels of an image of 2 × 2, in units of 51 levels."""

    def __init__(self, name, features_list, **kwargs):
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list():
        return ("pixels",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "pixels"

    def forward(self, images):
        return (images[:, 0].flatten(1).float() / 51,)


if "four-pixels" not in torch_fidelity.registry.FEATURE_EXTRACTORS_REGISTRY:
    torch_fidelity.register_feature_extractor("four-pixels", FourPixels)


@dataclass(frozen=True, kw_only=True)
class Showing(Model):
    """A model whose samples are given."""

    images: torch.Tensor

    def sample(self, count, *, seed=0, y=None):
        return self.images[:count]


def scores_of(images, real, **settings):
    model = Showing(**vars(identity_model(GREY)), images=images)
    split = Split((real * 255).round().to(torch.uint8))
    scores = Fidelity(extractor="four-pixels", **settings).measure(model, split, train=split, seed=0)
    return {score.metric: score for score in scores}


def levels(*numbers, rows=40):
    """Return equal images with these multiples of 51 levels."""
    return (torch.tensor(numbers) * 51 / 255).view(1, 1, 2, 2).repeat(rows, 1, 1, 1)


def random_images(rows, *, most=3):
    source = torch.Generator().manual_seed(0)
    return torch.randint(most + 1, (rows, 1, 2, 2), generator=source) * 51 / 255


def test_two_points_are_as_far_apart_as_the_closed_forms_say():
    scores = scores_of(levels(1, 0, 2, 0), levels(0, 3, 2, 1))
    assert scores["fidelity/frechet-distance"].value == pytest.approx(1 + 9 + 0 + 1, abs=1e-9)
    # the kernel is (a·b/4 + 1)³: a·a = 5, b·b = 14, a·b = 4
    expected = (5 / 4 + 1) ** 3 + (14 / 4 + 1) ** 3 - 2 * (4 / 4 + 1) ** 3
    assert scores["fidelity/kernel-distance"].value == pytest.approx(expected, rel=1e-5)
    assert (scores["fidelity/precision"].value, scores["fidelity/recall"].value) == (0, 0)


def test_a_shift_by_one_unit_has_the_dimension_as_distance():
    real = random_images(300)
    scores = scores_of(real + 51 / 255, real)
    assert scores["fidelity/frechet-distance"].value == pytest.approx(4, abs=1e-6)


def test_a_set_with_itself_has_no_distance_and_overlaps_entirely():
    real = random_images(300)
    scores = scores_of(real, real)
    assert scores["fidelity/frechet-distance"].value == pytest.approx(0, abs=1e-6)
    assert (scores["fidelity/precision"].value, scores["fidelity/recall"].value) == (1, 1)


def test_scores_of_another_extractor_are_not_called_fid_and_say_how_many_were_measured():
    scores = scores_of(random_images(300), random_images(200), samples=250)
    assert not {"fidelity/fid", "fidelity/kid", "fidelity/inception-score"} & set(scores)
    protocol = {"samples": 250, "training rows": 200, "extractor": "four-pixels"}
    assert scores["fidelity/frechet-distance"].protocol == protocol
    assert scores["fidelity/kernel-distance"].protocol == protocol | {"subsets": "100 of 200"}
    assert scores["fidelity/recall"].protocol == protocol | {"neighbours": 3}


def test_images_become_bytes_with_three_channels():
    (grey,) = Images(torch.tensor([0.0, 0.5, 1.0, 1.2]).view(1, 1, 2, 2))
    assert grey.tolist() == [[[0, 128], [255, 255]]] * 3
    colours = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Images(colours)[1], (colours[1] * 255).round().to(torch.uint8))


# What cannot be measured, and the file of weights


def test_the_exact_remedy_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("GENZOO_INCEPTION_WEIGHTS", raising=False)
    model = identity_model(GREY)
    absent = (
        "the weights of Inception-v3 are not here: get weights-inception-2015-12-05-6726825d.pth from the releases of "
        "torch-fidelity, and type: export GENZOO_INCEPTION_WEIGHTS=…/weights-inception-2015-12-05-6726825d.pth"
    )
    assert Fidelity().obstacle(model) == absent
    assert Fidelity(weights=str(tmp_path / "none.pth")).obstacle(model) == absent
    (tmp_path / "weights.pth").touch()
    monkeypatch.setenv("GENZOO_INCEPTION_WEIGHTS", str(tmp_path / "weights.pth"))
    assert Fidelity().obstacle(model) is None
    monkeypatch.setattr(fidelity, "find_spec", lambda name: None)
    assert Fidelity().obstacle(model) == "torch-fidelity is not installed; type: pip install 'genzoo[fidelity]'"


def test_nothing_is_downloaded_in_place_of_absent_weights(monkeypatch):
    monkeypatch.delenv("GENZOO_INCEPTION_WEIGHTS", raising=False)
    split = Split(torch.zeros(20, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(UnreadableError, match="are not here"):
        Fidelity(samples=10).measure(identity_model(GREY), split, train=split, seed=0)


def test_other_data_and_extractors_are_refused():
    model = identity_model(GREY)
    assert Fidelity(extractor="four-pixels").obstacle(model) is None
    assert Fidelity(extractor="none").obstacle(model).startswith("no extractor is registered as 'none'")
    assert "unpickles" in Fidelity(extractor="vgg16").obstacle(model)
    vectors = identity_model(Mixture25().spec)
    assert Fidelity().obstacle(vectors) == "its x are no images of one or three channels"
    assert Fidelity().obstacle(replace(model, networks=Networks(encoder=Identity()))) == "it has no decoder"
    with pytest.raises(ValueError, match="expected at least 10"):
        Fidelity(samples=9)


def accept(path, monkeypatch):
    """Take the file at `path` for the published one."""
    digest = sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(fidelity, "_HASH", digest[:8])
    return digest


def test_a_file_with_another_hash_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(UnreadableError, match=r"its SHA-256 begins with \w{8}, not 6726825d"):
        read_weights(path)


def test_tensors_are_read_with_their_hash(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.ones(2)}, path)
    digest = accept(path, monkeypatch)
    state, hashed = read_weights(path)
    assert state["a"].tolist() == [1, 1]
    assert hashed == digest


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_with_the_right_hash_is_not_run(tmp_path, monkeypatch, save):
    path, harm = tmp_path / "weights.pth", tmp_path / "harm"
    save({"a": Harmful(harm)}, path)
    accept(path, monkeypatch)
    with pytest.raises(UnreadableError, match="cannot be read as tensors alone"):
        read_weights(path)
    assert not harm.exists()


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_a_damaged_file_is_said_to_be_unreadable(tmp_path, monkeypatch, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    accept(path, monkeypatch)
    with pytest.raises(UnreadableError, match="cannot be read as tensors alone"):
        read_weights(path)


def test_a_file_of_other_things_than_tensors_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    torch.save({"a": 3}, path)
    accept(path, monkeypatch)
    with pytest.raises(UnreadableError, match="holds other things than tensors"):
        read_weights(path)
