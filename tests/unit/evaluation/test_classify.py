"""Class predictions of a trained model: its game's, in parts, in inference mode, or none."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from models import exact_model
from toy_components import TRAINING, Classifier, ToyMixture
from trainers import CPU, trainer_of

from genzoo import Game, PluginError, SettingsError
from genzoo.evaluation import Model


@dataclass(frozen=True, kw_only=True)
class Scores(Game):
    """A game whose class logits are x, x's negative, and the first number of the noise, in so many columns."""

    name: ClassVar[str] = "scores"
    columns: int = 3

    def build(self, architecture, data):
        raise NotImplementedError

    def losses(self, networks, batch, movers):
        raise NotImplementedError

    def classify(self, networks, x, noise):
        assert not networks.training
        assert not torch.is_grad_enabled()
        return torch.stack([x[:, 0], -x[:, 0], noise[:, 0]], dim=1)[:, : self.columns]


def test_logits_are_the_games_in_parts_and_with_the_noise_of_the_codes():
    model = exact_model(game=Scores())
    model.networks.train()
    x = torch.randn(1203, 2)
    logits = model.classify(x, seed=4)
    noise = model.encode(x, seed=4).z - x
    assert torch.equal(logits[:, 0], x[:, 0])
    assert torch.equal(logits[:, 1], -x[:, 0])
    torch.testing.assert_close(logits[:, 2], noise[:, 0], atol=1e-6, rtol=0)
    assert torch.equal(model.classify(x, seed=4), logits)
    assert not torch.equal(model.classify(x, seed=5), logits)
    assert model.networks.training
    assert model.predicts_classes


def test_bytes_are_read_as_networks_read_them():
    model = exact_model(game=Scores())
    x = torch.tensor([[255, 0], [51, 0]], dtype=torch.uint8)
    assert model.classify(x)[:, 0].tolist() == pytest.approx([1, 0.2])


class Unsaying(Scores):
    """The same with the answer of a game that predicts nothing."""

    name: ClassVar[str] = "unsaying"
    classify = Game.classify


def test_a_model_that_predicts_no_classes_says_so():
    model = exact_model(game=Unsaying())
    assert not model.predicts_classes
    with pytest.raises(SettingsError, match="this model predicts no classes"):
        model.classify(torch.zeros(2, 2))


def test_an_x_or_an_answer_of_another_shape_is_refused():
    with pytest.raises(SettingsError, match="this model takes"):
        exact_model(game=Scores()).classify(torch.zeros(2, 3))
    with pytest.raises(PluginError, match=r"classify gave \(2, 2\), expected \(N, 3\)"):
        exact_model(game=Scores(columns=2)).classify(torch.zeros(2, 2))


def test_the_model_of_a_training_knows_its_game_and_its_labels():
    training = replace(TRAINING, labels=18, label_seed=5)
    trainer = trainer_of(Classifier(), dataset=ToyMixture(rows=200), training=training)
    model = Model.of(trainer.settings, trainer.networks, device=CPU, label_frequencies=None)
    assert (model.game, model.labels, model.label_seed) == (Classifier(), 18, 5)
    assert model.classify(torch.zeros(4, 2)).shape == (4, 9)
