"""Initial weights: a function of the seed and the layer, whichever game, batch size or other network there is."""

from dataclasses import replace

import pytest
import torch
from toy_components import GAMES, TRAINING, ToyImageNetworks, ToyImages, ToyMixture, ToyNetworks, WithEncoder
from trainers import equal, settings_of, state_of, trainer_of, trainer_on


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
