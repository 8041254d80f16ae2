"""Penalties against closed forms and second derivatives by hand, alone and in a game's step."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from toy_components import TRAINING, Conditional, OnePlayer, ToyImageNetworks, ToyImages, WithEncoder, WithoutEncoder
from trainers import trainer_of

from genzoo import AdversarialGame, Joint, Networks
from genzoo.components import override
from genzoo.errors import SettingsError
from genzoo.games import Alternating, OneCentred, Relativistic, Wasserstein, ZeroCentred
from genzoo.games.game import per_player
from genzoo.host.discovery import registry
from genzoo.nn import JointCritic
from genzoo.testing.toys import VECTOR_TOY
from genzoo.training.settings import not_taken, resolve_settings
from genzoo.types import Losses, Verdict

IMAGES = {"dataset": ToyImages(), "architecture": ToyImageNetworks()}


class LinearCritic(JointCritic):
    """A critic whose logit is w·x + v·z."""

    def __init__(self):
        super().__init__()
        self.by_x = nn.Linear(2, 1, bias=False)
        self.by_z = nn.Linear(2, 1, bias=False)

    def forward(self, joint):
        return Verdict((self.by_x(joint.x) + self.by_z(joint.z)).squeeze(1), joint.x)


@dataclass(frozen=True, kw_only=True)
class Linear(WithEncoder):
    """A game of pairs whose critic is linear."""

    name: ClassVar[str] = "linear-critic"

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.critic = LinearCritic()
        return networks


def penalty_of(game, **setting):
    """Return the penalty in the losses of a first step, and the networks."""
    trainer = trainer_of(game, **setting)
    batch = trainer.batch()
    losses, _ = game.gradients(trainer.networks, batch, trainer.players)
    return losses.watch["penalty"].item(), trainer.networks


def squared_length(networks):
    return sum(parameter.detach().square().sum().item() for parameter in networks.critic.parameters())


@pytest.mark.parametrize(("sides", "expected"), [("both", 2.0), ("data", 1.0)])
def test_a_linear_critic_pays_half_gamma_times_its_squared_length_per_side(sides, expected):
    paid, networks = penalty_of(Linear(penalty=ZeroCentred(weight=3.0, sides=sides)))
    assert paid == pytest.approx(0.5 * 3.0 * expected * squared_length(networks), rel=1e-6)


def test_a_linear_critic_pays_for_its_distance_from_length_1_between_the_sides():
    paid, networks = penalty_of(Linear(penalty=OneCentred(weight=7.0)))
    assert paid == pytest.approx(7.0 * (squared_length(networks) ** 0.5 - 1) ** 2, rel=1e-6)


@pytest.mark.parametrize("game", [WithEncoder(), WithoutEncoder(), Conditional()], ids=lambda game: game.name)
@pytest.mark.parametrize("penalty", [ZeroCentred(weight=0.7), OneCentred()], ids=lambda penalty: penalty.name)
def test_gradients_with_a_penalty_are_those_of_the_sum(game, penalty):
    """The critic's gradient is that of loss + penalty worked out apart; the generator's does not change."""
    game = replace(game, penalty=penalty, objective=Relativistic())
    trainer = trainer_of(game, **IMAGES)
    trainer.networks.double().eval()
    batch = trainer.batch()
    batch = batch._replace(**{name: getattr(batch, name).double() for name in ("x", "z", "noise", "y")})
    torch.manual_seed(1)
    losses, gradients = game.gradients(trainer.networks, batch, trainer.players)

    torch.manual_seed(1)
    round = game.play(trainer.networks, batch)
    plain = game._losses_of(trainer.networks, batch, round, ("critic", "generator"))
    points = penalty.points(round) or round.shown
    seen = {"x": points.x.detach().requires_grad_()}
    if points.z is not None:
        seen["z"] = points.z.detach().requires_grad_()
    logits = trainer.networks.judge(points._replace(**seen)).logits
    by_part = torch.autograd.grad(logits.sum(), [*seen.values()], create_graph=True)
    slopes = torch.cat([slope.flatten(1) for slope in by_part], 1)
    lengths = slopes.square().sum(1)
    rows = len(batch.x)
    cost = 0.35 * lengths.sum() / rows if penalty.name == "zero-centred" else 10 * (lengths.sqrt() - 1).square().mean()
    assert losses.watch["penalty"].item() == pytest.approx(cost.item(), rel=1e-9)
    expected = torch.autograd.grad(plain.players["critic"] + cost, trainer.players["critic"], retain_graph=True)
    for left, right in zip(gradients["critic"], expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)
    unchanged = per_player(plain, trainer.players)["generator"]
    for left, right in zip(gradients["generator"], unchanged, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


@dataclass(frozen=True, kw_only=True)
class Unread(WithoutEncoder):
    """A game that shows its critic a z, which the critic does not read."""

    name: ClassVar[str] = "unread"

    def q(self, networks, batch):
        return Joint(x=batch.x, z=batch.noise)

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z), z=batch.z)


def test_a_part_that_the_critic_does_not_read_costs_nothing():
    paid, _ = penalty_of(Unread(penalty=ZeroCentred(weight=1.0)))
    assert paid == pytest.approx(penalty_of(WithoutEncoder(penalty=ZeroCentred(weight=1.0)))[0], rel=1e-6)


def test_a_lazy_penalty_counts_in_every_kth_step_with_k_times_its_weight():
    lazy = trainer_of(WithEncoder(penalty=ZeroCentred(weight=1.0, every=3)), training=replace(TRAINING, steps=9))
    steps = [lazy.take_step() for _ in range(7)]
    assert [number for number, losses in enumerate(steps) if "penalty" in losses.watch] == [0, 3, 6]
    eager = trainer_of(WithEncoder(penalty=ZeroCentred(weight=1.0)), training=replace(TRAINING, steps=9)).take_step()
    assert steps[0].watch["penalty"].item() == pytest.approx(3 * eager.watch["penalty"].item(), rel=1e-6)


def test_a_penalty_is_the_critics_alone_when_players_take_turns():
    game = WithoutEncoder(penalty=OneCentred(), objective=Wasserstein(), schedule=Alternating(critic_steps=1))
    trainer = trainer_of(game)
    first, second = trainer.take_step(), trainer.take_step()
    assert "penalty" in first.watch
    assert set(second.players) == {"generator"}
    assert "penalty" not in second.watch


def test_a_lazy_penalty_that_falls_on_steps_of_the_others_is_refused():
    with pytest.raises(ValueError, match="the critic stands still"):
        WithEncoder(penalty=ZeroCentred(every=3), schedule=Alternating(critic_steps=1))
    WithEncoder(penalty=ZeroCentred(every=2), schedule=Alternating(critic_steps=1))


@dataclass(frozen=True, kw_only=True)
class OwnLosses(WithEncoder):
    """A game that overrides `losses`."""

    name: ClassVar[str] = "own-losses"

    def losses(self, networks, batch, movers):
        return super().losses(networks, batch, movers)


def test_a_game_with_losses_of_its_own_takes_no_penalty_and_leaves_nothing_to_a_recipe():
    with pytest.raises(SettingsError, match="own-losses has losses or gradients of its own and takes no penalty") as no:
        OwnLosses(penalty=ZeroCentred())
    assert "override critic_loss in their place, or add a penalty in losses" in no.value.remedy
    assert not OwnLosses().leaves_open("objective")


@dataclass(frozen=True, kw_only=True)
class OwnPenalty(WithEncoder):
    """A game whose `losses` add R1 + R2, as the cookbook says."""

    name: ClassVar[str] = "own-penalty"
    weight: float = 0.3

    def losses(self, networks, batch, movers):
        round = self.play(networks, batch)
        rows = round.shown.x.detach(), round.shown.z.detach()
        slopes = torch.func.grad(lambda rows: networks.judge(Joint(*rows)).logits.sum())(rows)
        cost = self.weight * sum(slope.square().flatten(1).sum(1).mean() for slope in slopes)
        rules = {"critic": self.critic_loss, "generator": self.generator_loss}
        players = {name: rules[name](networks, batch, round) for name in movers}
        return Losses({**players, "critic": players["critic"] + cost}, {})


def test_a_penalty_that_a_game_adds_in_its_losses_has_the_gradients_of_the_one_that_it_could_not_take():
    own, taken = OwnPenalty(), WithEncoder(penalty=ZeroCentred(weight=0.3))
    trainer = trainer_of(own)
    batch = trainer.batch()._replace(due=("penalty",))
    (_, expected), (_, gradients) = (game.gradients(trainer.networks, batch, trainer.players) for game in (taken, own))
    for name, parts in expected.items():
        for gradient, part in zip(gradients[name], parts, strict=True):
            torch.testing.assert_close(gradient, part)


@dataclass(frozen=True, kw_only=True)
class WithoutObjective(WithEncoder):
    """A game whose losses read no objective."""

    name: ClassVar[str] = "without-objective"
    unused: ClassVar[tuple[str, ...]] = ("objective",)


def test_a_recipes_choice_that_a_game_does_not_use_is_not_taken_and_a_users_is_refused():
    of_recipe = {"objective": "relativistic", "penalty": "zero-centred", "penalty.weight": 0.3, "absent": 1}
    recipe = replace(VECTOR_TOY, game=of_recipe)

    def resolved(game, *overrides):
        return resolve_settings(game, recipe, overrides, of_game=of_recipe, resolve=registry().resolve).game

    game = resolved(WithoutObjective())
    assert (game.objective, game.penalty) == (WithEncoder().objective, ZeroCentred(weight=0.3))
    assert not_taken(WithoutObjective(), of_recipe) == ["objective=relativistic"]
    assert not_taken(OwnLosses(), of_recipe) == ["objective=relativistic", "penalty=zero-centred", "penalty.weight=0.3"]
    assert not_taken(OwnLosses(), of_recipe, ["game.objective"])[0] == "penalty=zero-centred"
    assert not_taken(OnePlayer(), of_recipe) == not_taken(WithEncoder(), of_recipe) == []
    with pytest.raises(SettingsError, match=r"the losses of without-objective do not use game\.objective"):
        resolved(WithoutObjective(), ("game.objective", "hinge"))
    assert resolved(WithoutObjective(), ("game.objective", "non-saturating")) == game


def test_a_game_leaves_open_what_it_has_not_chosen():
    assert WithEncoder().leaves_open("objective")
    assert not WithEncoder(objective=Wasserstein()).leaves_open("objective")
    assert not OnePlayer().leaves_open("objective")
    assert WithEncoder().leaves_open("posterior")


@pytest.mark.parametrize("fields", [{"weight": -1.0}, {"every": 0}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match="expected"):
        ZeroCentred(**fields)


def test_a_penalty_is_said_to_need_a_backward_pass_per_player():
    trainer = trainer_of(WithEncoder(penalty=ZeroCentred()))
    assert trainer.per_player_reason == "the game has a penalty"


@dataclass(frozen=True, kw_only=True)
class Kway(AdversarialGame):
    """A game whose critic gives three class logits, with a further class of logit 0."""

    name: ClassVar[str] = "k-way"

    def build(self, architecture, data):
        return Networks(decoder=architecture.decoder(data), critic=architecture.critic(data, sees="x", outputs=3))

    def q(self, networks, batch):
        return Joint(x=batch.x)

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z))

    def evidence(self, verdict):
        return verdict.logits.logsumexp(1)


def test_the_evidence_of_a_k_way_critic_is_what_losses_accuracies_and_penalties_read():
    """At class logits 0 the evidence is ln K: real costs ln(1 + 1/K), fake ln(1 + K)."""
    game = Kway(penalty=ZeroCentred())
    trainer = trainer_of(game)
    for parameter in trainer.networks.critic.parameters():
        parameter.data.zero_()
    losses, _ = game.gradients(trainer.networks, trainer.batch(), trainer.players)
    assert losses.players["critic"].item() == pytest.approx(math.log(4 / 3) + math.log(4))
    assert losses.watch["data_accuracy"].item() == pytest.approx(3 / 4)
    assert losses.watch["penalty"].item() == 0
    assert trainer.per_player_reason == "the game has a penalty"


def test_a_penalty_is_chosen_by_name_and_then_its_fields():
    resolve = registry().resolve
    game = override(WithEncoder(), "penalty", "zero-centred", resolve=resolve)
    game = override(game, "penalty.sides", "data", resolve=resolve)
    assert game.penalty == ZeroCentred(sides="data")
    with pytest.raises(SettingsError, match="expected at least 0"):
        override(game, "penalty.weight", "-1", resolve=resolve)
