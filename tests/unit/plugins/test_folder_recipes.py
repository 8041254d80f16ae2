"""The recipe for few photographs: sizes of its networks, their first losses, a stop, and the documents' crops."""

import math
import re
import runpy
from pathlib import Path

import numpy
import pytest
from formats import write_photographs
from PIL import Image
from sklearn.datasets import load_sample_images
from stopping import StopAt, files_of

import genzoo
from genzoo.data.prepared import prepare_dataset
from genzoo.errors import InterruptedRun
from genzoo.evaluation.cards import network_card
from genzoo.runs import TrainingRequest, new_trainer
from genzoo_data.folder import Folder
from genzoo_recipes.small32 import Small32Networks

RGB, GREY = Folder(size=32).spec, Folder(size=32, channels=1).spec
SMALL = {"architecture.width": 4, "training.batch_size": 8}


class Notes(StopAt):
    """Keeps what a training has to say before its second step."""

    def __init__(self):
        super().__init__(1)
        self.heard = []

    def on_note(self, text):
        self.heard.append(text)


def train(data, run, *, callback):
    """Train the small networks, smaller still, until the callback stops them."""
    return genzoo.train("ali", recipe="folder32", overrides=SMALL, steps=5, data=data, run=run, callback=callback)


def is_square_of(pixels, crop):
    """Return whether the square `crop` (S, S, 3), of 96 to 160 pixels, lies somewhere in `pixels` (H, W, 3)."""
    side = len(crop)
    corners = numpy.argwhere((pixels == crop[0, 0]).all(2))
    squares = (pixels[top : top + side, left : left + side] for top, left in corners)
    return crop.shape == (side, side, 3) and 96 <= side <= 160 and any(numpy.array_equal(s, crop) for s in squares)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Return a folder of data with 24 photographs prepared at 32 × 32."""
    root, source = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("source")
    write_photographs(source)
    prepare_dataset(Folder(size=32), root, source=source, jobs=1)
    return root


# Worked out by hand: inputs × outputs × kernel², and per map two numbers of batch norm or one bias.
ENCODER = [(1_600, 393_216), (32_896, 2_097_152), (131_328, 2_097_152), (524_800, 524_288), (32_896, 32_768)]
DECODER = [(131_328, 131_072), (131_200, 2_097_152), (32_832, 2_097_152), (1_536 + 3 * 32 * 32, 393_216)]
SEES_X = [(1_568, 393_216), (32_832, 2_097_152), (131_200, 2_097_152), (524_544, 524_288)]
SEES_Z = [(16_640, 16_384), (65_792, 65_536)]
OUTPUT = [(65_792, 65_536), (257, 256)]


@pytest.mark.parametrize(
    ("make", "rows"),
    [
        (lambda a: a.encoder(RGB), ENCODER),
        (lambda a: a.encoder(RGB, posterior="point"), [*ENCODER[:-1], (16_448, 16_384)]),
        (lambda a: a.encoder(GREY), [(576, 131_072), *ENCODER[1:]]),
        (lambda a: a.decoder(RGB), DECODER),
        (lambda a: a.decoder(GREY), [*DECODER[:-1], (512 + 32 * 32, 131_072)]),
        (lambda a: a.critic(RGB), [*SEES_X, *SEES_Z, (131_328, 131_072), *OUTPUT]),
        (lambda a: a.critic(RGB, sees="x"), [*SEES_X, (65_792, 65_536), *OUTPUT]),
        (lambda a: a.critic(RGB, sees="z"), [*SEES_Z, (65_792, 65_536), *OUTPUT]),
    ],
    ids=["encoder", "point", "grey encoder", "decoder", "grey decoder", "D(x,z)", "D(x)", "D(z)"],
)
def test_every_row_has_the_size_worked_out_by_hand(make, rows):
    network = make(Small32Networks())
    card = network_card(network)
    assert [(row["parameters"], row["macs"]) for row in card["layers"]] == rows
    assert sum(p.numel() for p in network.parameters()) == sum(parameters for parameters, _ in rows)


def test_sizes_that_build_no_network_are_refused():
    for size in ("width", "embedding"):
        with pytest.raises(ValueError, match=f"{size} is 0, expected at least 1"):
            Small32Networks(**{size: 0})


@pytest.mark.parametrize("model", ["ali", "gan"])
def test_training_starts_with_a_critic_that_prefers_no_side(model):
    trainer = new_trainer(TrainingRequest(model=model, recipe="folder32", overrides={"game.penalty": None}))
    game = trainer.settings.game
    assert (game.objective.name, game.augment.name) == ("relativistic", "diffaugment")
    losses = trainer.take_step().players
    assert losses["critic"].item() == pytest.approx(math.log(2), abs=0.03)
    assert losses["generator"].item() == pytest.approx(math.log(2), abs=0.03)


def test_a_training_that_stops_goes_on_bitwise(photographs, tmp_path):
    for stop, name in ((2, "stopped"), (4, "whole")):
        with pytest.raises(InterruptedRun):
            train(photographs, tmp_path / name, callback=StopAt(stop))
    with pytest.raises(InterruptedRun):
        genzoo.resume(tmp_path / "stopped", data=photographs, callback=StopAt(4))
    whole = files_of(tmp_path / "whole", 4)
    assert files_of(tmp_path / "stopped", 4) == whole
    assert "averaged.safetensors" in whole


def test_a_training_says_that_photographs_are_few_and_no_augmentation_that_it_has(photographs, tmp_path):
    notes = Notes()
    with pytest.raises(InterruptedRun):
        train(photographs, tmp_path / "run", callback=notes)
    (note,) = notes.heard
    assert re.fullmatch(
        r"only 20 training images, each seen about [\d,]+ times: the model may learn them by heart", note
    )


def test_the_crops_that_the_documents_name_are_squares_of_the_two_photographs(tmp_path):
    script = Path(__file__).parents[3] / "docs" / "make_photo_crops.py"
    runpy.run_path(str(script))["write_crops"](tmp_path)
    photographs = load_sample_images()
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["china", "flower"]
    for filename, pixels in zip(photographs.filenames, photographs.images, strict=True):
        crops = sorted((tmp_path / Path(filename).stem).iterdir())
        assert len(crops) == 400
        assert all(is_square_of(pixels, numpy.asarray(Image.open(crop))) for crop in crops[::80])
