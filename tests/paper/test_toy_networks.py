"""The networks of the 25-Gaussian toy task and of the digits: published sizes, and the losses that they start at."""

import math
from dataclasses import replace

import pytest
from toy_components import TRAINING
from trainers import trainer_of

from genzoo.evaluation.cards import network_card
from genzoo_ali.ali import ALI
from genzoo_data.digits import Digits
from genzoo_data.mixture import Mixture25
from genzoo_gan.gan import GAN
from genzoo_recipes.digits import DigitsNetworks
from genzoo_recipes.mixture25 import Mixture25Networks

TOY = Mixture25().spec


@pytest.mark.parametrize(
    ("make", "parameters", "macs"),
    [
        (lambda a: a.encoder(TOY), 164_002, 162_400),
        (lambda a: a.encoder(TOY, posterior="implicit"), 164_002, 162_400),
        (lambda a: a.encoder(TOY, posterior="gaussian"), 164_004, 800 + 160_000 + 1_600),
        (lambda a: a.encoder(TOY, posterior="point"), 163_202, 800 + 160_000 + 800),
        (lambda a: a.decoder(TOY), 484_802, 481_600),
        (lambda a: a.critic(TOY, sees="xz"), 407_201, 404_200),
        (lambda a: a.critic(TOY, sees="x"), 405_201, 402_200),
        (lambda a: a.critic(TOY, sees="z"), 405_201, 402_200),
    ],
    ids=["encoder", "implicit", "gaussian", "point", "decoder", "D(x,z)", "D(x)", "D(z)"],
)
def test_toy_networks_have_the_published_sizes(make, parameters, macs):
    network = make(Mixture25Networks())
    card = network_card(network)
    assert (card["parameters"], card["macs"]) == (parameters, macs)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_toy_rows_are_as_printed():
    architecture = Mixture25Networks()
    cards = {
        "encoder": [(c["parameters"], c["macs"]) for c in network_card(architecture.encoder(TOY))["layers"]],
        "decoder": [(c["parameters"], c["macs"]) for c in network_card(architecture.decoder(TOY))["layers"]],
        "critic": [(c["parameters"], c["macs"]) for c in network_card(architecture.critic(TOY))["layers"]],
    }
    assert cards == {
        "encoder": [(2_400, 1_600), (160_800, 160_000), (802, 800)],
        "decoder": [(1_600, 800), *[(160_800, 160_000)] * 3, (802, 800)],
        "critic": [(5_000, 4_000), (201_000, 200_000), (201_000, 200_000), (201, 200)],
    }


def test_the_layers_of_every_digits_network_account_for_all_its_parameters():
    architecture, data = DigitsNetworks(), Digits().spec
    for network in (architecture.encoder(data), architecture.decoder(data), architecture.critic(data)):
        card = network_card(network)
        assert sum(p.numel() for p in network.parameters()) == card["parameters"]
        assert sum(layer["parameters"] for layer in card["layers"]) == card["parameters"]
        assert sum(layer["macs"] for layer in card["layers"]) == card["macs"]


DATA = Mixture25(rows=40, held_out_rows=16)


@pytest.mark.parametrize(
    ("game", "dataset", "architecture"),
    [
        (ALI(), DATA, Mixture25Networks()),
        (ALI(posterior="gaussian"), DATA, Mixture25Networks()),
        (GAN(), DATA, Mixture25Networks()),
        (ALI(), Digits(), DigitsNetworks()),
        (GAN(), Digits(), DigitsNetworks()),
    ],
    ids=["ali", "ali-gaussian", "gan", "ali-digits", "gan-digits"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_both_losses_start_within_three_hundredths_of_two_log_two(game, dataset, architecture, seed):
    training = replace(TRAINING, batch_size=100)
    trainer = trainer_of(game, dataset=dataset, architecture=architecture, training=training, seed=seed)
    losses = trainer.take_step().players
    assert losses["critic"].item() == pytest.approx(2 * math.log(2), abs=0.03)
    assert losses["generator"].item() == pytest.approx(2 * math.log(2), abs=0.03)
