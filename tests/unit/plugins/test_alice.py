"""ALICE: ALI with a cycle that costs what it should, at which the critic is not asked, and by critics of pairs."""

import math

import pytest
import torch
from models import Doubled, Shifted
from trainers import doubled, equal, new_trainer, state_of

from genzoo import Networks
from genzoo.errors import SettingsError
from genzoo.games.game import per_player
from genzoo.nn import Decoder
from genzoo.types import Batch
from genzoo_ali.alice import ALICE

TOY = {"recipe": "mixture25-paper", "overrides": {"dataset.rows": 64, "training.batch_size": 20}}
DEFAULT = {"recipe": "mixture25", "overrides": {"dataset.rows": 64, "training.batch_size": 20}}
DIGITS = {"recipe": "digits", "overrides": {"training.batch_size": 20}}


def trainer_of(model, recipe, **overrides):
    """Return a trainer on few rows of a recipe; in a name, two underscores stand for a dot."""
    chosen = {path.replace("__", "."): value for path, value in overrides.items()}
    return new_trainer(model, **recipe | {"overrides": recipe["overrides"] | chosen})


def stepped(trainer, steps=4):
    losses = [trainer.take_step().players for _ in range(steps)]
    return [{name: value.item() for name, value in one.items()} for one in losses]


# With weights of 0 it is ALI


@pytest.mark.parametrize("recipe", [TOY, DEFAULT, DIGITS], ids=lambda recipe: recipe["recipe"])
def test_without_weights_it_is_ali_bit_for_bit(recipe):
    ali = trainer_of("ali", recipe)
    alice = trainer_of("alice", recipe, game__x_weight=0, game__z_weight=0)
    assert stepped(alice) == stepped(ali)
    assert equal(state_of(alice.networks), state_of(ali.networks))
    with_cycle = trainer_of("alice", recipe)
    stepped(with_cycle)
    assert not equal(state_of(with_cycle.networks), state_of(ali.networks))


def test_without_weight_the_players_of_ali_move_as_in_ali_beside_critics_of_pairs():
    """On networks without batch statistics, which would see the cycle's rows."""
    ali, alice = trainer_of("ali", DEFAULT), trainer_of("alice-implicit", DEFAULT, game__weight=0)
    assert stepped(alice) == stepped(ali)
    expected, found = state_of(ali.networks), state_of(alice.networks)
    assert equal({name: found[name] for name in expected}, expected)


# What the cycle costs


class Blank(Decoder):
    """Logits of 0, whatever z."""

    def __init__(self):
        super().__init__(support="unit")

    def logits(self, z, y=None):
        return torch.zeros(len(z), 2) * z.sum()


def cost(decoder, x, z, **weights):
    networks, game = Networks(encoder=Shifted(), decoder=decoder), ALICE(**weights)
    batch = Batch(x=x, z=z, noise=torch.zeros_like(z))
    found = game.generator_cost(networks, batch, game.q(networks, batch), game.p(networks, batch))
    return None if found is None else found.item()


def test_a_cycle_costs_the_mean_squared_distance_of_vectors_and_of_codes():
    """z = x and x = 2z + 1: x̂ is 2x + 1, and ẑ(x̃) is 2z + 1."""
    x, z = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    assert cost(Doubled(), x, z, x_weight=1.0) == pytest.approx((4 + 9 + 1 + 0) / 4)
    assert cost(Doubled(), x, z, x_weight=0.0, z_weight=1.0) == pytest.approx((16 + 1 + 1 + 4) / 4)
    assert cost(Doubled(), x, z, x_weight=2.0, z_weight=0.5) == pytest.approx(2 * 3.5 + 0.5 * 5.5)
    assert cost(Doubled(), x, z, x_weight=0.0) is None


def test_a_cycle_of_data_in_the_unit_interval_costs_the_cross_entropy():
    x, z = torch.tensor([[0.0, 1.0], [0.3, 0.9]]), torch.zeros(2, 2)
    assert cost(Blank(), x, z) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("name", "value"), [("x_weight", -1), ("z_weight", -0.5)])
def test_negative_weights_are_refused(name, value):
    with pytest.raises(SettingsError, match="at least 0"):
        trainer_of("alice", TOY, **{f"game__{name}": value})
    with pytest.raises(SettingsError, match="at least 0"):
        trainer_of("alice-implicit", TOY, game__weight=value)


# Its gradients


@pytest.mark.parametrize("objective", ["non-saturating", "minimax", "wasserstein", "relativistic"])
@pytest.mark.parametrize("recipe", [TOY, DIGITS], ids=lambda recipe: recipe["recipe"])
def test_one_backward_pass_of_the_critic_serves_both_players_with_a_cycle(recipe, objective):
    plain = {} if recipe is TOY else {"architecture__dropout": 0.0, "game__penalty": "none"}
    settings = {"game__objective": objective, "game__z_weight": 0.5, **plain}
    trainer = doubled(trainer_of("alice", recipe, **settings))
    assert trainer.per_player_reason is None
    game, networks, players, batch = trainer.settings.game, trainer.networks, trainer.players, trainer.batch()
    losses, once = game.shared_gradients(networks, batch, players)
    separate = game.losses(networks, batch, players)
    assert {name: value.item() for name, value in losses.players.items()} == pytest.approx(
        {name: value.item() for name, value in separate.players.items()}, rel=1e-12
    )
    apart = per_player(separate, players)
    for name in players:
        for found, expected in zip(once[name], apart[name], strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_the_cycle_moves_the_generator_and_never_the_critic():
    ali, alice = trainer_of("ali", TOY), trainer_of("alice", TOY, game__z_weight=1.0)
    (_, plain), (_, cycled) = (
        trainer.gradient_rule(trainer.networks, trainer.batch(), trainer.players) for trainer in (ali, alice)
    )
    assert all(torch.equal(left, right) for left, right in zip(plain["critic"], cycled["critic"], strict=True))
    assert not any(
        torch.equal(left, right) for left, right in zip(plain["generator"], cycled["generator"], strict=True)
    )


# Critics of pairs


@pytest.mark.parametrize("recipe", [TOY, DEFAULT, DIGITS], ids=lambda recipe: recipe["recipe"])
def test_critics_of_pairs_are_trained_with_the_critic_and_feel_what_the_generator_does(recipe):
    trainer = trainer_of("alice-implicit", recipe)
    networks, parameters = trainer.networks, list(trainer.networks.parameters())
    assert sum(len(group) for group in trainer.players.values()) == len(parameters)
    of_critics = {
        id(one) for part in (networks.critic, networks.x_pairs, networks.z_pairs) for one in part.parameters()
    }
    assert {id(one) for one in trainer.players["critic"]} == of_critics
    before = state_of(networks)
    losses = stepped(trainer, 3)
    assert all(math.isfinite(value) for one in losses for value in one.values())
    assert trainer.fault() is None
    after = state_of(networks)
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"encoder", "decoder", "critic", "x_pairs", "z_pairs"}
