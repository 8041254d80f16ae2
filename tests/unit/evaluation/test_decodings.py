"""What a model decodes is a tensor like any other, and shows itself in a notebook."""

import base64
import copy
import io
import pickle
import re

import numpy
import pytest
import torch
from models import exact_model, identity_model
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from genzoo.evaluation import Decodings, drawing
from genzoo.types import DataSpec

IMAGES = DataSpec(shape=(1, 8, 8), support="unit")
VECTORS = DataSpec(shape=(2,), support="real")


def shown(decodings):
    """Return the pixels that a notebook shows, and the caption below them."""
    page = decodings._repr_html_()
    content = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", page)[1])
    return numpy.asarray(Image.open(io.BytesIO(content))), re.search(r"<br>(.*)</figure>", page)[1]


def drawn(png):
    return numpy.asarray(Image.open(io.BytesIO(png)))


@pytest.fixture
def samples():
    return identity_model(IMAGES).sample(5)


# A tensor like any other


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[0],
        lambda x: x + 0,
        lambda x: torch.cat([x, x]),
        lambda x: x.clone(),
        lambda x: x.reshape(5, 64),
        lambda x: x.double(),
        copy.copy,
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: load(save({"x": x}))["x"],
    ],
)
def test_what_is_made_of_decodings_is_a_plain_tensor_of_equal_values(samples, make):
    assert isinstance(samples, Decodings)
    made = make(samples)
    assert type(made) is Tensor
    assert torch.equal(made, make(samples.as_subclass(Tensor)))


def test_decodings_are_stored_for_whoever_has_torch_alone(samples):
    file = io.BytesIO()
    torch.save(samples, file)
    file.seek(0)
    stored = torch.load(file, weights_only=True)
    assert type(stored) is Tensor
    assert torch.equal(samples, stored)


def test_numpy_reads_the_memory_of_decodings(samples):
    assert numpy.shares_memory(samples.numpy(), numpy.asarray(samples))
    assert (numpy.asarray(samples) == numpy.array(samples.tolist(), dtype=numpy.float32)).all()


def test_a_model_takes_what_it_decoded(samples):
    model = identity_model(IMAGES)
    assert torch.equal(model.encode(samples.clamp(0, 1)).z, samples.clamp(0, 1).flatten(1))


# What a notebook shows


def test_samples_show_themselves_as_a_grid(samples):
    pixels, caption = shown(samples)
    assert (pixels == drawn(drawing.grid_png(samples, columns=2))).all()
    assert caption == "5 × 1 × 8 × 8"


def test_reconstructions_show_themselves_beside_what_was_given():
    x = torch.rand(3, 1, 8, 8)
    model = identity_model(IMAGES, blur=0.1)
    reconstructions = model.reconstruct(x, seed=1)
    pixels, _ = shown(reconstructions)
    assert (pixels == drawn(drawing.pairs_png(x, reconstructions))).all()
    given_as_bytes = model.reconstruct((x * 255).round().to(torch.uint8), seed=1)
    assert shown(given_as_bytes)[0].shape == pixels.shape


def test_interpolations_show_themselves_between_their_ends():
    a, b = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    between = identity_model(IMAGES, blur=0.1).interpolate(a, b, steps=2)
    pixels, caption = shown(between)
    rows = torch.cat([a[:, None], between, b[:, None]], dim=1).flatten(0, 1)
    assert (pixels == drawn(drawing.grid_png(rows, columns=5, group=(1, 3, 1)))).all()
    assert caption == "2 × 3 × 1 × 8 × 8"


def test_vectors_show_themselves_as_points():
    model = identity_model(VECTORS)
    x = torch.randn(50, 2)
    pictures = [shown(each)[0] for each in (model.sample(50), model.reconstruct(x), model.interpolate(x, x.flip(0)))]
    panels = [round(picture.shape[1] / picture.shape[0]) for picture in pictures]
    assert panels == [1, 2, 2]


def test_of_many_rows_the_first_are_shown_and_the_caption_says_so():
    x = torch.rand(100, 1, 8, 8)
    pixels, caption = shown(Decodings.of(x, IMAGES))
    assert (pixels == drawn(drawing.grid_png(x[:64], columns=8))).all()
    assert caption == "100 × 1 × 8 × 8; shown: the first 64"
    large = DataSpec(shape=(3, 512, 512), support="unit")
    assert shown(Decodings.of(torch.zeros(9, 3, 512, 512), large))[1].endswith("shown: the first 4")
    wide = torch.zeros(2, 9, 3, 512, 512)
    assert shown(Decodings.of(wide, large, wide[:, 0], wide[:, -1]))[1].endswith("shown: the first 1")


@pytest.mark.parametrize(("shape", "rows"), [((2, 8, 8), 3), ((4, 5), 3), ((1, 8, 8), 0)])
def test_what_no_picture_can_show_stays_text(shape, rows):
    spec = DataSpec(shape=shape, support="unit")
    assert Decodings.of(torch.zeros(rows, *shape), spec)._repr_html_() is None


def test_samples_of_a_grid_of_conditions_keep_its_rows():
    x = torch.rand(2, 3, 1, 8, 8)
    assert (shown(Decodings.of(x, IMAGES))[0] == drawn(drawing.grid_png(x.flatten(0, 1), columns=3))).all()
    y = torch.eye(3).expand(2, -1, -1)
    grid = exact_model(conditional=True).sample_grid(y)
    assert isinstance(grid, Decodings)
    assert grid.shape == (2, 3, 2)
    assert shown(grid)[1] == "2 × 3 × 2"
