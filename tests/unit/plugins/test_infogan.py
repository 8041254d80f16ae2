"""InfoGAN: what its code costs, whom that reaches, and the scores of categories that a model made out by itself."""

from dataclasses import dataclass, replace
from math import log, pi
from typing import ClassVar

import pytest
import torch
from models import CPU, identity_model
from torch import nn
from trainers import doubled, equal, new_trainer, state_of

from genzoo import Networks, SettingsError
from genzoo.evaluation import Model
from genzoo.evaluation.codes import sweep_of
from genzoo.evaluation.metrics import evaluate_model
from genzoo.games import Game
from genzoo.types import Batch, DataSpec, Joint, Round, Split, Splits, Verdict
from genzoo_gan.infogan import InfoGAN
from genzoo_metrics.category_match import CategoryMatch, matched, purity

PLAIN = {"training.batch_size": 8, "architecture.dropout": 0, "game.objective": "non-saturating"}
LATENT = 14

WEIGHTLESS = {"game.weight": 0, "game.code_weight": 0}


def trainer_of(**overrides):
    return new_trainer("infogan", recipe="digits", seed=3, overrides=PLAIN | overrides)


def answered(answers, codes):
    """Return networks, batch and round in which Q answers `answers` to `codes`, (N, K + codes) both."""
    verdict = Verdict(torch.zeros(len(answers)), answers)
    batch = Batch(x=answers, z=torch.cat([codes, torch.randn(len(codes), 3)], 1), noise=answers)
    return Networks(code=nn.Identity()), batch, Round(Joint(), Joint(), Joint(), verdict, verdict)


def surprise_of(game, answers, codes):
    """Return what a game pays for Q's `answers` to `codes`, (N, K + codes) both."""
    return game.surprise(*answered(answers, codes)).item()


def test_a_q_that_knows_nothing_pays_ln_k_so_that_the_bound_is_0_and_a_perfect_one_nothing():
    game, one_hot = InfoGAN(codes=0), torch.eye(10, dtype=torch.float64)
    assert surprise_of(game, torch.zeros_like(one_hot), one_hot) == pytest.approx(log(10), abs=1e-12)
    assert surprise_of(game, 1000 * one_hot, one_hot) == pytest.approx(0, abs=1e-12)
    for answers, bound in ((0 * one_hot, 0), (1000 * one_hot, log(10))):
        assert game.watch(*answered(answers, one_hot))["information"].item() == pytest.approx(bound, abs=1e-12)


def test_a_q_that_answers_0_to_a_uniform_code_pays_a_sixth_and_the_normals_constant():
    places = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 10_000 - 1
    category = torch.zeros(20_000, 10, dtype=torch.float64)
    category[:, 0] = 1
    codes = torch.cat([category, places[:, None]], 1)
    paid = surprise_of(InfoGAN(codes=1, code_weight=1), torch.zeros_like(codes), codes)
    assert paid - log(10) == pytest.approx(1 / 6 + log(2 * pi) / 2, abs=1e-8)
    assert 1 / 6 + log(2 * pi) / 2 == pytest.approx(1.085605, abs=1e-6)


@pytest.mark.parametrize("penalty", ["none", "zero-centred"])
def test_without_weight_it_is_a_gan_bit_for_bit(penalty):
    chosen = PLAIN | {"game.penalty": penalty, "training.one_backward": False}
    as_infogan = InfoGAN.defaults | chosen | {"architecture.latent": LATENT}
    gan = new_trainer("gan", recipe="digits", seed=3, overrides=as_infogan)
    infogan = trainer_of(**chosen, **WEIGHTLESS)
    for _ in range(3):
        losses = [trainer.take_step().players for trainer in (gan, infogan)]
        assert [value.item() for value in losses[0].values()] == [value.item() for value in losses[1].values()]
    of_gan, of_infogan = state_of(gan.networks), state_of(infogan.networks)
    assert equal({name: of_infogan[name] for name in of_gan}, of_gan)


def test_both_players_pay_for_the_code_and_q_belongs_to_the_critic():
    light, heavy = (doubled(trainer_of(**weights, **{"game.penalty": "none"})) for weights in (WEIGHTLESS, {}))
    assert {id(parameter) for parameter in heavy.networks.code.parameters()} < {
        id(parameter) for parameter in heavy.players["critic"]
    }
    of_light, of_heavy = (
        trainer.gradient_rule(trainer.networks, trainer.batch(), trainer.players) for trainer in (light, heavy)
    )
    game, networks, batch = heavy.settings.game, heavy.networks, heavy.batch()
    cost = game.surprise(networks, batch, game.play(networks, batch)).item()
    for name in ("critic", "generator"):
        paid = of_heavy[0].players[name].item() - of_light[0].players[name].item()
        assert paid == pytest.approx(cost, rel=1e-9)
        assert not all(map(torch.equal, of_light[1][name], of_heavy[1][name]))


def test_the_prior_must_have_as_many_categories_as_the_game():
    with pytest.raises(SettingsError, match=r"prior\.categories is 10, and game\.categories is 25"):
        trainer_of(**{"game.categories": 25})
    assert trainer_of(**{"game.categories": 4, "prior.categories": 4}).batch().z.shape == (8, 8)


# Scores of categories


def test_purity_counts_the_most_frequent_class_and_matching_gives_a_class_to_one_category():
    counts = torch.tensor([[6.0, 1.0], [3.0, 2.0]])
    assert purity(counts) == pytest.approx(9 / 12)
    assert matched(counts) == pytest.approx(8 / 12)
    assert matched(torch.eye(3)[[2, 0, 1]]) == purity(torch.eye(3)[[2, 0, 1]]) == 1


@dataclass(frozen=True, kw_only=True)
class BySign(Game):
    """Categorises by the signs of two numbers."""

    name: ClassVar[str] = "by-sign"

    def build(self, architecture, data):
        raise NotImplementedError

    def losses(self, networks, batch, movers):
        raise NotImplementedError

    def categorise(self, networks, x, noise):
        return torch.stack([x.sum(1), -x.sum(1)], dim=1)


def test_the_metric_measures_what_a_game_categorises_and_only_where_it_does():
    spec = DataSpec(shape=(2,), support="real", class_names=("up", "down", "flat"))
    model = identity_model(spec)
    assert CategoryMatch().obstacle(model) == "it makes out no categories"
    with pytest.raises(SettingsError, match="makes out no categories"):
        model.categorise(torch.zeros(1, 2))
    model = replace(model, game=BySign())
    assert CategoryMatch().obstacle(model) is None
    x = torch.tensor([[1.0, 1.0], [2.0, 0.0], [3.0, 0.0], [-1.0, 0.0], [0.0, -4.0], [9.0, 9.0]])
    split = Split(x=x, labels=torch.tensor([0, 0, 2, 1, 1, -1]))  # the label of the last is hidden
    scores = evaluate_model(model, Splits(split, split, split), [CategoryMatch()], split_name="test", seed=0)
    assert {score.metric: score.value for score in scores} == pytest.approx(
        {"category-match/purity": 4 / 5, "category-match/accuracy": 4 / 5}
    )


def test_an_infogan_is_measured_on_rows_and_on_samples_of_every_category():
    trainer = trainer_of()
    model = Model.of(trainer.settings, trainer.networks.eval(), device=CPU, label_frequencies=None)
    splits = trainer.settings.dataset.load(None)
    scores = evaluate_model(model, splits, [CategoryMatch(samples=40)], split_name="validation", seed=0)
    assert {score.metric for score in scores} == {
        f"category-match/{part}" for part in ("purity", "accuracy", "samples")
    }
    assert all(0.1 <= score.value <= 1 for score in scores)
    assert {score.protocol["categories"] for score in scores} == {10}
    asked = sweep_of(model, "category", rows=2, seed=0)[0]
    assert torch.equal(asked[:, :, :10], torch.eye(10).expand(2, 10, 10))
    assert torch.equal(asked[:, :1, 10:].expand(2, 10, 4), asked[:, :, 10:])
