"""What a model takes for x: tensors, arrays, images and files; and what it refuses, in a line."""

import re

import numpy
import pytest
import torch
from models import exact_model, identity_model
from photographs import write_pngs
from PIL import Image
from toy_components import TRAINING, OnePlayer, ToyImageNetworks, ToyImages, ToyMixture, WithEncoder
from trainers import CPU, trainer_of

from genzoo import GenzooWarning, SettingsError, UnreadableError
from genzoo.data import as_input
from genzoo.evaluation import Model
from genzoo.types import DataSpec

COLOURED = DataSpec(shape=(3, 4, 5), support="unit")


@pytest.fixture
def model():
    """Return an untrained model of grey images of 8 × 8."""
    trainer = trainer_of(WithEncoder(), dataset=ToyImages(), architecture=ToyImageNetworks(), training=TRAINING)
    return Model.of(trainer.settings, trainer.networks, device=CPU, label_frequencies=None)


def test_files_images_bytes_and_numbers_of_one_picture_have_one_code(model, tmp_path):
    (name,), (pixels,) = write_pngs(tmp_path, 1, size=(8, 8), channels=1)
    image = Image.open(tmp_path / name)
    x = torch.tensor(pixels[None]) / 255
    expected = model.encode(x, seed=3).z
    for given in (tmp_path / name, str(tmp_path / name), image, [tmp_path / name], (image,), pixels[None]):
        assert torch.equal(model.encode(given, seed=3).z, expected)
    assert torch.equal(model.reconstruct(image, seed=3), model.reconstruct(x, seed=3))
    both = model.interpolate([image], [tmp_path / name], seed=3, steps=2)
    assert torch.equal(both, model.interpolate(x, x, seed=3, steps=2))
    others = torch.rand(9, 1, 8, 8)
    assert torch.equal(model.nearest(image, others, seed=3).distances, model.nearest(x, others, seed=3).distances)


def test_a_folder_stands_for_its_images_sorted_and_what_is_left_out_is_said(model, tmp_path):
    folder = tmp_path / "photographs"
    _, pixels = write_pngs(folder, 3, size=(8, 8), channels=1)
    (folder / "0000.png").rename(folder / "b.png")
    (folder / "0001.png").rename(folder / "a.png")
    _, (inner,) = write_pngs(folder / "later", 1, size=(8, 8), channels=1)
    for name in ("notes.txt", "list.pdf", ".hidden.png"):
        (folder / name).write_text("")
    expected = model.encode(numpy.stack([pixels[2], pixels[1], pixels[0], inner]), seed=3).z
    in_order = [folder / "0002.png", str(folder / "a.png"), folder / "b.png", folder / "later"]
    assert torch.equal(model.encode(in_order, seed=3).z, expected)
    for given in (folder, str(folder), [folder]):
        with pytest.warns(GenzooWarning) as caught:
            assert torch.equal(model.encode(given, seed=3).z, expected)
        left_out = f"{folder}: left out: 2 files (list.pdf, notes.txt), no image by name"
        assert [str(each.message) for each in caught] == [left_out]


def test_bytes_become_numbers_a_part_at_a_time(model, monkeypatch):
    """A split of bytes may be larger than memory has room for as numbers."""
    x = torch.randint(256, (1200, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = model.encode(x / 255, seed=3).z
    lengths = []

    def counted(rows):
        lengths.append(len(rows) if rows.dtype == torch.uint8 else 0)
        return as_input(rows)

    monkeypatch.setattr("genzoo.evaluation.model.as_input", counted)
    assert torch.equal(model.encode(x, seed=3).z, expected)
    assert torch.equal(model.reconstruct(x, seed=3), model.decode(expected))
    assert torch.equal(model.nearest(x[:3], x, seed=3, count=1).rows.flatten(), torch.arange(3))
    assert 0 < max(lengths) <= 500
    assert sum(lengths) == 3 * 1200 + 3


def test_a_picture_of_any_size_and_colour_is_cut_around_its_centre(model, tmp_path):
    left, middle, right = (numpy.full((16, 16, 3), value, dtype=numpy.uint8) for value in (0, 51, 255))
    Image.fromarray(numpy.concatenate([left, middle, right], axis=1)).save(tmp_path / "wide.png")
    x = model.inputs(tmp_path / "wide.png")
    assert x.shape == (1, 1, 8, 8)
    assert (x - 51 / 255).abs().max() < 0.1  # at its sides, the filter reads some of its neighbours
    assert torch.equal(x[..., 3:5], torch.full_like(x[..., 3:5], 51 / 255))


@pytest.mark.parametrize(
    ("low", "high", "remedy"),
    [(0.0, 255.0, "divide it by 255, or give it as uint8"), (-1.0, 1.0, "scale it to [0, 1]"), (0.5, 1.001, "divide")],
)
def test_images_beyond_zero_to_one_are_refused_by_every_function(low, high, remedy):
    model = identity_model(COLOURED)
    x = torch.full((2, *COLOURED.shape), low)
    x[0, 0, 0, 0] = high
    good = torch.ones_like(x)
    for ask in (
        model.encode,
        model.classify,
        model.features,
        model.reconstruct,
        model.log_weights,
        lambda x: model.interpolate(good, x),
        lambda x: model.nearest(good, x),
    ):
        with pytest.raises(SettingsError, match=re.escape(f"x runs from {low:g} to {high:g}")) as refused:
            ask(x)
        assert refused.value.remedy.startswith(remedy)


def test_the_ends_of_the_range_are_inside_and_uint8_always_is():
    model = identity_model(COLOURED)
    x = torch.zeros(2, *COLOURED.shape)
    x[0] = 1
    assert torch.equal(model.encode(x).z, x.flatten(1))
    assert torch.equal(model.encode((x * 255).byte()).z, x.flatten(1))
    assert model.encode(x[:0]).z.shape == (0, 60)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_of_vectors_too(value):
    x = torch.zeros(3, 2)
    x[1, 1] = value
    with pytest.raises(SettingsError, match="not finite"):
        exact_model().encode(x)
    assert exact_model().encode(torch.tensor([[-70.0, 300.0]])).mean.tolist() == [[-70, 300]]


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((2, 1, 4, 5), None),
        ((2, 3, 5, 4), None),
        ((2, 4, 5, 3), "the channels come last: give them after N, or give images of Pillow's"),
        ((3, 4, 5), "this is a single x: give x[None]"),
    ],
)
def test_another_shape_is_refused_with_what_mends_it(shape, remedy):
    with pytest.raises(SettingsError, match=re.escape(f"x is {shape}, this model takes (N, 3, 4, 5)")) as refused:
        identity_model(COLOURED).encode(numpy.zeros(shape, dtype=numpy.uint8))
    assert refused.value.remedy == remedy


def test_pairs_of_unequal_number_are_refused():
    with pytest.raises(SettingsError, match="a has 1 rows and b has 2"):
        exact_model().interpolate(torch.zeros(1, 2), torch.zeros(2, 2))


def test_a_model_of_vectors_takes_no_images(tmp_path):
    write_pngs(tmp_path, 1)
    with pytest.raises(SettingsError, match="'toy-mixture' is of vectors, and images are given"):
        exact_model(dataset=ToyMixture()).encode(tmp_path / "0000.png")


def test_what_is_no_image_is_named(model, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    for path, cause in (("text.png", "not an image that Pillow can read"), ("none.png", "No such file")):
        with pytest.raises(UnreadableError, match=f"{path} cannot be read: {cause}"):
            model.encode([tmp_path / path])
    with pytest.raises(SettingsError, match="no tensor, array or image"):
        model.encode({"x": 1})


@pytest.mark.parametrize("game", [WithEncoder(), OnePlayer()])
def test_decodings_are_taken_as_they_are(game):
    trainer = trainer_of(game, dataset=ToyImages(), architecture=ToyImageNetworks(), training=TRAINING)
    for parameter in trainer.networks.parameters():
        parameter.data.mul_(1000)
    model = Model.of(trainer.settings, trainer.networks, device=CPU, label_frequencies=None)
    samples = model.sample(50)
    assert (samples.min(), samples.max()) == (0, 1)
    assert model.encode(samples).z.shape == (50, model.latent)
