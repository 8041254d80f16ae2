"""Weights that are cast together: the numbers are autocast's own to the bit, and the parameters are what they were."""

import pytest
import torch
from torch import nn
from toy_components import Conditional, ToyImageNetworks, ToyImages, WithEncoder
from trainers import trainer_of

from genzoo.games import Hinge
from genzoo.games.penalties import ZeroCentred
from genzoo.training.cast_weights import CastWeights

MAPS = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
GAMES = {
    "one pass for both players": WithEncoder(),
    "a pass per player": WithEncoder(objective=Hinge()),
    "a penalty": WithEncoder(penalty=ZeroCentred(weight=1.0)),
    "conditions": Conditional(),
}


def trainer_on_images(game):
    return trainer_of(game, dataset=ToyImages(), architecture=ToyImageNetworks(), precision="bf16")


def casts_of(trainer):
    return CastWeights(trainer.networks, trainer.players, dtype=torch.bfloat16)


def gradients_of(trainer):
    trainer.reseed()
    return trainer.gradient_rule(trainer.networks, trainer.batch(), trainer.players)


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_losses_and_gradients_are_those_of_autocast_to_the_bit(game):
    plain, cast = (trainer_on_images(game) for _ in range(2))
    with plain.autocast:
        expected_losses, expected = gradients_of(plain)
    with cast.autocast, casts_of(cast).in_place():
        losses, found = gradients_of(cast)
    assert all(torch.equal(losses.players[name], value) for name, value in expected_losses.players.items())
    for name, gradients in expected.items():
        assert {gradient.dtype for gradient in found[name]} == {torch.float32}
        assert all(map(torch.equal, found[name], gradients))
        assert any(gradient.any() for gradient in gradients)


def test_linear_maps_and_convolutions_compute_with_cast_weights_and_parameters_stay_as_they_are():
    trainer = trainer_on_images(WithEncoder())
    parameters = dict(trainer.networks.named_parameters())
    maps = [module for module in trainer.networks.modules() if isinstance(module, MAPS)]
    norms = [module for module in trainer.networks.modules() if isinstance(module, nn.BatchNorm2d)]
    assert maps
    assert norms
    with casts_of(trainer).in_place():
        assert {module.weight.dtype for module in maps} == {torch.bfloat16}
        assert {module.weight.dtype for module in norms} == {torch.float32}
        assert all(parameters[name] is parameter for name, parameter in trainer.networks.named_parameters())
    assert all(isinstance(module.weight, nn.Parameter) for module in maps)


def test_a_players_backward_pass_reaches_no_other_players_weights():
    trainer = trainer_on_images(WithEncoder())
    with trainer.autocast, casts_of(trainer).in_place():
        critic, decoder = (
            {part.weight.grad_fn for part in network.modules() if isinstance(part, MAPS)}
            for network in (trainer.networks.critic, trainer.networks.decoder)
        )
    assert (len(critic), len(decoder)) == (1, 1)
    assert critic != decoder


def test_a_weight_that_two_modules_share_is_cast_once():
    twins = nn.ModuleList(nn.Linear(3, 3, bias=False) for _ in range(2))
    twins[1].weight = twins[0].weight
    casts, x = CastWeights(twins, {"all": [twins[0].weight]}, dtype=torch.bfloat16), torch.randn(4, 3)

    def gradient():
        return torch.autograd.grad(twins[1](twins[0](x)).sum(), twins[0].weight)[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = gradient()
    with torch.autocast("cpu", dtype=torch.bfloat16), casts.in_place():
        assert twins[0].weight is twins[1].weight
        assert torch.equal(gradient(), expected)
