"""Scatter plots of rows whose labels are hidden: drawn in grey, the others coloured as without them."""

import numpy
import torch
from PIL import Image

from genzoo.evaluation.drawing import Panel
from genzoo.evaluation.pictures import save_panels

POINTS = torch.tensor([[-1.0, 0], [1.0, 0], [0, 1.0], [0, -1.0]])


def drawn(path, labels, points=POINTS):
    save_panels(path, [Panel("x", points.repeat(50, 1), torch.tensor(labels).repeat(50), 2)])
    return numpy.asarray(Image.open(path).convert("RGB")).astype(int)


def colourful(pixels):
    """Return which pixels are neither black, white nor grey."""
    return numpy.ptp(pixels, axis=2) > 20


def test_hidden_labels_are_grey_and_leave_the_others_their_colours(tmp_path):
    whole = drawn(tmp_path / "whole.png", [0, 1, 2, 3])
    hidden = drawn(tmp_path / "hidden.png", [0, -1, -1, 3])
    alone = drawn(tmp_path / "alone.png", [0, 3], POINTS[[0, 3]])
    both = colourful(hidden)
    assert (both == colourful(alone)).all()
    assert 0 < both.sum() < colourful(whole).sum()
    assert (hidden[both] == whole[both]).all()
    grey = (hidden == 211).all(2)  # matplotlib's lightgrey
    assert (grey & colourful(whole)).any()


def test_without_hidden_labels_nothing_is_grey(tmp_path):
    assert (drawn(tmp_path / "a.png", [0, 1, 2, 3]) == drawn(tmp_path / "b.png", [0, 1, 2, 3])).all()
    grey = drawn(tmp_path / "grey.png", [-1, -1, -1, -1])
    assert not colourful(grey).any()
