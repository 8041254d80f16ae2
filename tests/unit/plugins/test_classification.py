"""The metric classification: the share of wrong predictions, with the labels that the training could use."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from models import exact_model

from genzoo import Game, SettingsError
from genzoo.types import Split
from genzoo_metrics.classification import Classification


@dataclass(frozen=True, kw_only=True)
class Nearest(Game):
    """A game that predicts the class whose number is nearest to the first number of x."""

    name: ClassVar[str] = "nearest"

    def build(self, architecture, data):
        raise NotImplementedError

    def losses(self, networks, batch, movers):
        raise NotImplementedError

    def classify(self, networks, x, noise):
        return -(x[:, :1] - torch.arange(3.0)).abs()


X = torch.tensor([[0.1, 0], [0.9, 0], [2.2, 0], [0.2, 0], [1.1, 0]])
LABELS = torch.tensor([0, 1, 1, 0, -1])


def measured(model, split):
    (score,) = Classification().measure(model, split, train=Split(X, LABELS), seed=0)
    return score


def test_the_value_is_the_share_of_wrong_rows_among_those_with_a_label():
    score = measured(exact_model(game=Nearest()), Split(X, LABELS))
    assert (score.metric, score.value, score.better, score.headline) == ("classification", 0.25, "lower", True)
    assert score.protocol == {"rows": 4, "labels": "all"}
    assert measured(exact_model(game=Nearest()), Split(X[:2], LABELS[:2])).value == 0
    assert measured(exact_model(game=Nearest()), Split(X[2:3], LABELS[2:3])).value == 1


def test_the_protocol_says_how_many_labels_were_used_and_which_draw_chose_them():
    score = measured(exact_model(game=Nearest(), labels=6, label_seed=2), Split(X, LABELS))
    assert score.protocol == {"rows": 4, "labels": 6, "label_seed": 2}


def test_a_model_that_predicts_no_classes_and_a_split_without_labels_cannot_be_measured():
    assert Classification().obstacle(exact_model()) == "it predicts no classes"
    assert Classification().obstacle(exact_model(game=Nearest())) is None
    with pytest.raises(SettingsError, match="this split has no labels"):
        measured(exact_model(game=Nearest()), Split(X))
