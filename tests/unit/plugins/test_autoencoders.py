"""Autoencoders: losses in closed form, and what reaches which network."""

from dataclasses import replace
from math import log

import pytest
import torch
from models import Doubled, Shifted
from trainers import changed, doubled, job_of_request, new_trainer, parameters_of, trainer_on

from genzoo import Joint, Networks, SettingsError
from genzoo.nn import JointCritic
from genzoo.types import Batch, Round, Verdict
from genzoo_autoencoders.aae import AAE
from genzoo_autoencoders.features import feature_distances
from genzoo_autoencoders.perceptual import PerceptualAutoencoder
from genzoo_autoencoders.vae_gan import VAEGAN
from genzoo_vae.vae import VAE

SMALL = {"training.batch_size": 12}


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


# Distances of features


class Layered(JointCritic):
    """A critic whose hidden layers are 2x and 3x, and whose logit is 0."""

    def forward(self, joint):
        return Verdict(0 * joint.x.sum(1), joint.x)

    def layers(self, joint):
        return {"double": 2 * joint.x, "triple": 3 * joint.x}


def test_features_are_as_far_apart_as_half_the_squares_of_their_differences():
    x, again = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    distances = feature_distances(Layered(), x, again)
    assert distances["double"].tolist() == [0.5 * 4 * 1, 0.5 * 4 * 5]
    assert distances["triple"].tolist() == [0.5 * 9 * 1, 0.5 * 9 * 5]
    assert all(torch.equal(same, torch.zeros(2)) for same in feature_distances(Layered(), x, x).values())


# VAE/GAN


STILL = {"architecture.dropout": 0}


def gradients_of(model, **overrides):
    trainer = doubled(trainer_of(model, **STILL | overrides))
    return trainer.gradient_rule(trainer.networks, trainer.batch(), trainer.players)[1]


def same(left, right):
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


@pytest.mark.parametrize("shown", [False, True], ids=["samples", "samples and reconstructions"])
def test_no_loss_of_the_gan_reaches_the_encoder_and_no_feature_distance_the_critic(shown):
    plain, hinge, heavy = (
        gradients_of("vae-gan", **{"game.judges_reconstructions": shown} | change)
        for change in ({}, {"game.objective": "hinge"}, {"game.gamma": 7, "game.beta": 2})
    )
    assert same(plain["encoder"], hinge["encoder"])
    assert not same(plain["decoder"], hinge["decoder"])
    assert same(plain["critic"], heavy["critic"])
    assert not same(plain["encoder"], heavy["encoder"])


def test_the_critic_of_a_vae_gan_is_that_of_a_gan_and_gamma_weighs_the_features_in_the_decoder():
    of_gan = gradients_of("gan", **{"game.objective": "non-saturating", "game.penalty": "none"})
    none, single, triple = (gradients_of("vae-gan", **{"game.gamma": gamma}) for gamma in (0, 1, 3))
    for ours, theirs in zip(none["critic"], of_gan["critic"], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    for at_0, at_1, at_3 in zip(none["decoder"], single["decoder"], triple["decoder"], strict=True):
        assert torch.allclose(3 * (at_1 - at_0), at_3 - at_0, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("shown", [False, True])
def test_a_vae_gan_at_zero_logits_that_reconstructs_exactly_pays_for_its_code_and_2_ln_2(shown):
    """z = x and x̂ = z: F is 0, and the encoder's Gaussian has mean x and σ 1."""
    x = torch.tensor([[1.0, 2.0], [0.0, -1.0]], dtype=torch.float64)
    networks = Networks(encoder=Shifted(), decoder=Doubled(), critic=Layered())
    networks.decoder.logits = lambda z, y=None: z
    batch = Batch(x=x, z=torch.ones_like(x), noise=torch.zeros_like(x))
    losses = VAEGAN(beta=0.5, judges_reconstructions=shown).losses(networks, batch, ("critic", "encoder", "decoder"))
    assert losses.watch["features"].item() == 0
    assert losses.players["encoder"].item() == pytest.approx(0.5 * (1 + 4 + 0 + 1) / 2 / 2, rel=1e-9)
    assert losses.players["critic"].item() == pytest.approx(2 * log(2), rel=1e-6)
    assert losses.players["decoder"].item() == pytest.approx(2 * log(2), rel=1e-6)


def test_the_layer_of_a_vae_gan_is_the_middle_one_unless_it_is_named():
    x, networks = torch.ones(1, 2), Networks(critic=Layered())
    assert VAEGAN().features(networks, x, 0 * x).item() == 0.5 * 4 * 2
    assert VAEGAN(layer="triple").features(networks, x, 0 * x).item() == 0.5 * 9 * 2
    with pytest.raises(SettingsError, match=r"no hidden layer 'x\.9'.*\n.*double, triple"):
        VAEGAN(layer="x.9").features(networks, x, x)


# The perceptual autoencoder


def perceptual_trainer(recipe="digits", latent_of_source=16, **overrides):
    settings = job_of_request("perceptual-autoencoder", recipe=recipe, overrides=SMALL | STILL | overrides).settings
    latent = {"architecture.latent": latent_of_source}
    return trainer_on(
        replace(settings, source=None), source=job_of_request("classifier", overrides=latent, recipe=recipe).settings
    )


def test_without_weights_of_features_and_critic_it_is_a_vae():
    x = torch.tensor([[1.0, 2.0], [0.0, -1.0]], dtype=torch.float64)
    networks = Networks(encoder=Shifted(), decoder=Doubled(), classifier=Layered())
    batch = Batch(x=x, z=torch.ones_like(x), noise=torch.randn_like(x))
    loss = PerceptualAutoencoder(feature_weight=0).losses(networks, batch, ("generator",)).players["generator"]
    assert loss.item() == pytest.approx(VAE().losses(networks, batch, ("generator",)).players["generator"].item())
    both = PerceptualAutoencoder(feature_weight=2).losses(networks, batch, ("generator",))
    missed = (x - networks.decode(x + batch.noise)).square().sum(1).mean().item()
    assert both.players["generator"].item() == pytest.approx(loss.item() + 2 * (4 + 9) / 2 * missed, rel=1e-6)
    assert both.watch["features"].item() == pytest.approx((4 + 9) / 2 * missed, rel=1e-6)


def test_the_classifier_stays_as_it_is_and_may_come_from_a_run_with_another_length_of_z():
    trainer = perceptual_trainer(latent_of_source=5)
    before = parameters_of(trainer.networks)
    assert list(trainer.players) == ["generator"]
    for _ in range(2):
        trainer.take_step()
    assert changed(trainer.networks, before) == {"encoder", "decoder"}
    assert not trainer.networks.classifier.training


def test_with_a_weight_there_is_a_critic_whom_features_and_reconstructions_do_not_reach():
    def gradients(**chosen):
        trainer = doubled(perceptual_trainer(**{f"game.{name}": value for name, value in chosen.items()}))
        return trainer.gradient_rule(trainer.networks, trainer.batch(), trainer.players)[1]

    light, heavy, other = (
        gradients(adversarial_weight=1.0, **more)
        for more in ({}, {"feature_weight": 3.0, "image_weight": 0.5, "beta": 2.0}, {"objective": "hinge"})
    )
    assert same(light["critic"], heavy["critic"])
    assert not same(light["generator"], heavy["generator"])
    assert not same(light["generator"], other["generator"])


def test_a_part_that_reads_z_must_come_from_a_run_with_as_long_a_z():
    settings = job_of_request("m1+m2", recipe="digits").settings
    source = job_of_request("vae", recipe="digits", overrides={"architecture.latent": 5}).settings
    with pytest.raises(SettingsError, match="latent size is 16 here and 5"):
        trainer_on(settings, source=source)
