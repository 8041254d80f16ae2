"""The networks of the 25-Gaussian toy task and of the digits: their parameters and operations, as published."""

import pytest

from genzoo.evaluation.cards import network_card
from genzoo_data.digits import Digits
from genzoo_data.mixture import Mixture25
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
