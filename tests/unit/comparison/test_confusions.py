"""Confusions of classes: which models of a report have them, and that a picture shows every count in its place."""

import matplotlib.image
import numpy
import pytest
import torch
from models import PETS, exact_model, identity_model
from toy_components import Classifier, ToyImages, ToyNetworks

from genzoo.comparison.sections import sections_of
from genzoo.evaluation.pictures import save_confusion
from genzoo.types import Split, Splits

IMAGES = ToyImages(rows=20)
NAMES = ("cat", "dog", "rabbit")


def classifier(data=PETS):
    """Return a model that predicts classes and can neither encode nor decode."""
    networks = Classifier().build(ToyNetworks(), data)
    networks.encoder = networks.decoder = None
    return exact_model(game=Classifier(), networks=networks, data=data)


def splits(labels):
    split = Split(torch.randn(len(labels), 2), torch.tensor(labels))
    return Splits(split, split, split)


def test_models_that_predict_classes_have_a_picture_of_their_confusions_and_no_other_section():
    (section,) = sections_of({"a": classifier(), "b": classifier()}, splits([0, 1, 2, 2]))
    assert section.title == "Confusions of classes"
    assert [picture.title for picture in section.pictures] == ["a", "b"]
    assert section.is_plot
    beside = {"sampler": identity_model(PETS), "a": classifier()}
    sections = {section.title: section for section in sections_of(beside, splits([0, 1, 2, 2] * 5))}
    assert [picture.title for picture in sections["Confusions of classes"].pictures] == ["a"]
    assert [picture.title for picture in sections["Samples"].pictures] == ["data", "sampler"]


def test_rows_without_a_label_are_left_out_and_data_without_labels_have_no_confusions():
    (whole,), (part,) = (sections_of({"a": classifier()}, splits(labels)) for labels in ([0, 1], [0, 1, -1, -1]))
    assert len(whole.pictures) == len(part.pictures) == 1
    unlabelled = splits([0, 1])
    unlabelled = Splits(*(split._replace(labels=None) for split in unlabelled))
    assert sections_of({"a": classifier()}, unlabelled) == []


def blue(path):
    """Return the places (M, 2) of the pixels that are blue."""
    pixels = matplotlib.image.imread(path)[:, :, :3]
    return numpy.argwhere(pixels[:, :, 0] < pixels[:, :, 2] - 0.2)


@pytest.mark.parametrize("classes", [3, 20])
def test_right_predictions_are_blue_along_the_diagonal(tmp_path, classes):
    labels = torch.arange(classes).repeat(4)
    save_confusion(tmp_path / "right.png", labels, labels, names=tuple(map(str, range(classes))))
    save_confusion(tmp_path / "wrong.png", labels, labels.roll(1), names=tuple(map(str, range(classes))))
    right, wrong = (blue(tmp_path / f"{name}.png") for name in ("right", "wrong"))
    # of points evenly spread over equal squares along a diagonal
    assert numpy.corrcoef(right.T)[0, 1] == pytest.approx(1 - 1 / classes**2, abs=0.01)
    assert numpy.corrcoef(wrong.T)[0, 1] < numpy.corrcoef(right.T)[0, 1] - 0.02


def test_a_class_without_rows_is_blank(tmp_path):
    save_confusion(tmp_path / "some.png", torch.tensor([0, 0]), torch.tensor([0, 0]), names=NAMES)
    save_confusion(tmp_path / "all.png", torch.arange(3), torch.arange(3), names=NAMES)
    assert len(blue(tmp_path / "some.png")) * 2 < len(blue(tmp_path / "all.png"))
