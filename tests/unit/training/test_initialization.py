"""Initial weights: a function of the seed and the layer, whichever game, batch size or other network there is."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from toy_components import GAMES, TRAINING, ToyImageNetworks, ToyImages, ToyMixture, ToyNetworks, WithEncoder
from trainers import equal, settings_of, state_of, trainer_of, trainer_on

from genzoo.nn import keeps_start


def part(trainer, name):
    return state_of(trainer.networks.get_submodule(name))


@pytest.mark.parametrize(
    ("dataset", "architecture"),
    [
        (ToyMixture(), ToyNetworks()),
        (ToyMixture(), ToyNetworks(init_std=None)),
        (ToyImages(), ToyImageNetworks()),
    ],
    ids=["vectors", "torch's own", "images"],
)
def test_games_of_one_seed_start_from_the_same_decoder(dataset, architecture):
    games = (*GAMES, WithEncoder(posterior="point"))
    settings = [settings_of(game, dataset=dataset, architecture=architecture) for game in games]
    decoders = [part(trainer_on(chosen), "decoder") for chosen in settings]
    assert all(equal(decoders[0], other) for other in decoders[1:])
    assert not equal(decoders[0], part(trainer_on(settings[0], seed=1), "decoder"))


def test_initial_weights_have_the_stated_spread_and_differ_between_layers():
    networks = trainer_of(WithEncoder(), architecture=ToyNetworks(width=400)).networks
    weights = [tensor for name, tensor in networks.named_parameters() if tensor.ndim == 2 and tensor.numel() > 1e5]
    assert len(weights) == 1 + 3 + 2
    for weight in weights:
        # 160,000 or more normal draws: five standard errors of their spread are 0.02·5/√(2·160,000)
        assert weight.std().item() == pytest.approx(0.02, abs=0.02 * 5 / (2 * 160_000) ** 0.5)
        assert abs(weight.mean().item()) < 0.02 * 5 / 400
    assert len({weight.flatten()[0].item() for weight in weights}) == len(weights)
    for name, tensor in networks.named_parameters():
        if name.endswith("bias"):
            assert not tensor.any(), name
        elif tensor.ndim == 1:
            assert torch.equal(tensor, torch.ones_like(tensor)), name


def test_networks_on_one_seed_do_not_depend_on_the_batch_size():
    critics = [
        part(trainer_of(WithEncoder(), training=replace(TRAINING, batch_size=size)), "critic") for size in (10, 11)
    ]
    assert equal(*critics)


# Modules that keep the start they declare


@keeps_start
class Zeroed(nn.Sequential):
    """A linear map that starts at 0, and one that starts at what torch draws."""

    def __init__(self):
        super().__init__(nn.Linear(2, 3), nn.Linear(3, 2))
        nn.init.zeros_(self[0].weight)


class Below(Zeroed):
    """Says nothing of its own."""


@dataclass(frozen=True, kw_only=True)
class WithZeroed(WithEncoder):
    """A game with two further networks that differ in whether they keep their start, and share a module."""

    name: ClassVar[str] = "with-zeroed"

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.add_module("redrawn", nn.ModuleList([nn.Linear(2, 3)]))
        networks.add_module("flow", nn.ModuleDict({"inner": Below()}))
        networks.redrawn.append(networks.flow["inner"][1])
        return networks


@pytest.mark.parametrize("std", [0.02, None])
def test_a_module_keeps_the_start_it_declares_and_no_other_does(std):
    def networks(seed):
        return trainer_of(WithZeroed(), architecture=ToyNetworks(init_std=std), seed=seed).networks

    found, again, other = networks(1), networks(1), networks(2)
    assert not found.flow["inner"][0].weight.any()
    assert found.redrawn[0].weight.all()
    # torch's own start is uniform in ±1/√fan_in for weights and biases; a bias drawn with a std would be 0
    shared = found.redrawn[1]
    assert shared.bias.all()
    assert shared.weight.abs().max() <= 3**-0.5
    assert shared.weight.std() > 0.1
    assert equal(state_of(found), state_of(again))
    assert not equal(state_of(found.flow), state_of(other.flow))


def test_a_module_that_keeps_its_start_changes_no_other_network():
    plain, other = (trainer_of(game).networks for game in (WithEncoder(), WithZeroed()))
    for name in ("encoder", "decoder", "critic"):
        assert equal(state_of(plain.get_submodule(name)), state_of(other.get_submodule(name)))
