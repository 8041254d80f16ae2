"""Autoencoders: losses in closed form, and what reaches which network."""

from math import log

import pytest
import torch
from models import Doubled, Shifted
from trainers import doubled, new_trainer

from genzoo import Joint, Networks
from genzoo.types import Batch, Round, Verdict
from genzoo_autoencoders.aae import AAE

SMALL = {"training.batch_size": 8}


def trainer_of(model, recipe="digits", **overrides):
    return new_trainer(model, recipe=recipe, seed=3, overrides=SMALL | overrides)


def squares(gradients):
    return sum(gradient.square().sum().item() for gradient in gradients)


# The adversarial autoencoder


def test_at_zero_logits_both_players_of_an_aae_pay_2_ln_2():
    zeros = torch.zeros(6, dtype=torch.float64)
    verdict, nothing = Verdict(zeros, zeros[:, None]), Joint()
    round = Round(nothing, nothing, nothing, verdict, verdict)
    assert AAE().critic_loss(None, None, round).item() == pytest.approx(2 * log(2), abs=1e-12)
    assert AAE().objective.generator(zeros, zeros).item() == pytest.approx(2 * log(2), abs=1e-12)


def test_an_aae_pays_for_its_reconstructions_in_nats_of_a_gaussian():
    """z = x and x̂ = 2z + 1, so x − x̂ is −(x + 1)."""
    x = torch.tensor([[1.0, 2.0], [0.0, -1.0]], dtype=torch.float64)
    networks, game = Networks(encoder=Shifted(), decoder=Doubled()), AAE(weight=0.5, sigma=0.2)
    batch = Batch(x=x, z=torch.zeros_like(x), noise=torch.zeros_like(x))
    cost = game.generator_cost(networks, batch, game.q(networks, batch), game.p(networks, batch))
    of_squares, of_volume = (4 + 9 + 1 + 0) / 2 / (2 * 0.04), 2 * (log(0.2) + 0.5 * log(2 * torch.pi))
    assert cost.item() == pytest.approx(0.5 * (of_squares + of_volume), rel=1e-6)


def test_the_critic_of_an_aae_never_reaches_its_decoder_nor_the_reconstruction_its_critic():
    def gradients(weight):
        trainer = doubled(trainer_of("aae", **{"game.weight": weight, "architecture.dropout": 0}))
        found = trainer.gradient_rule(trainer.networks, trainer.batch(), trainer.players)[1]
        decoder = {id(parameter) for parameter in trainer.networks.decoder.parameters()}
        generator = zip(trainer.players["generator"], found["generator"], strict=True)
        return found["critic"], [gradient for parameter, gradient in generator if id(parameter) in decoder]

    (critic, none), (same, single), (_, double) = (gradients(weight) for weight in (0.0, 1.0, 2.0))
    assert squares(none) == 0
    assert all(torch.equal(left, right) for left, right in zip(critic, same, strict=True))
    assert all(torch.allclose(2 * left, right) for left, right in zip(single, double, strict=True))
    assert squares(single) > 0
