"""One backward pass of the critic for both players: equal to two, taken only where it is exact."""

from dataclasses import dataclass, replace
from typing import ClassVar
from unittest import mock

import pytest
import torch
import trainers
from toy_components import (
    TRAINING,
    Conditional,
    OnePlayer,
    ToyImageNetworks,
    ToyImages,
    ToyMixture,
    ToyNetworks,
    WithEncoder,
    WithoutEncoder,
)

from genzoo import AdversarialGame, Joint, PluginError
from genzoo.games import (
    Alternating,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    Schedule,
    Wasserstein,
)
from genzoo.games.game import per_player
from genzoo.nn import BatchNorm, Linear, ReLU, TableCritic
from genzoo.randomness import reseed

TOY = {"dataset": ToyMixture(), "architecture": ToyNetworks()}
IMAGES = {"dataset": ToyImages(), "architecture": ToyImageNetworks()}
WITH_RATIO = [NonSaturating(), Minimax(), Wasserstein(), Relativistic()]


def trainer_of(game, *, dataset, architecture, seed=5, **training):
    chosen = replace(TRAINING, **training)
    return trainers.trainer_of(game, seed=seed, dataset=dataset, architecture=architecture, training=chosen)


def both_ways(trainer, *, dtype=torch.float64, autocast=False):
    """Return the gradients as the run takes them, those by a backward pass per player, and the losses of both."""
    game, networks, players = trainer.settings.game, trainer.networks.to(dtype), trainer.players
    batch = trainer.stream.batch(0)
    batch = batch._replace(x=batch.x.to(dtype), z=batch.z.to(dtype), noise=batch.noise.to(dtype))
    batch = batch._replace(y=None if batch.y is None else batch.y.to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        reseed(1)
        losses, fast = trainer.gradient_rule(networks, batch, players)
        reseed(1)
        separate = game.losses(networks, batch, players)
        slow = per_player(separate, players)
    return fast, slow, losses.players, separate.players


def backward_passes(trainer):
    """Return how often the run's gradients went backward through the critic's last row."""
    seen = []
    trainer.networks.critic.joint.layers[-1].register_full_backward_hook(lambda *_: seen.append(1))
    trainer.gradient_rule(trainer.networks, trainer.stream.batch(0), trainer.players)
    return len(seen)


def assert_close(fast, slow, tolerance):
    assert set(fast) == set(slow) == {"critic", "generator"}
    for player, values in fast.items():
        largest = max(expected.abs().max().item() for expected in slow[player])
        assert largest > 0
        for found, expected in zip(values, slow[player], strict=True):
            assert found.dtype == expected.dtype
            # a gradient that cancels to rounding is measured against the player's largest
            scale = max(expected.abs().max().item(), 1e-4 * largest)
            assert (found - expected).abs().max().item() <= tolerance * scale


@dataclass(frozen=True, kw_only=True)
class Labelled(Conditional):
    """A conditional game whose critic is shown the embedding, and so trains it."""

    name: ClassVar[str] = "labelled"

    def q(self, networks, batch):
        return Joint(x=batch.x, z=networks.encode(batch.x, batch.noise, batch.y).z, y=networks.embed(batch.y))

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z, batch.y), z=batch.z, y=networks.embed(batch.y))


# The gradients


@pytest.mark.parametrize("objective", WITH_RATIO, ids=lambda objective: objective.name)
@pytest.mark.parametrize(
    ("game", "setting"),
    [
        (WithEncoder(), TOY),
        (WithoutEncoder(), TOY),
        (WithEncoder(), IMAGES),
        (WithoutEncoder(), IMAGES),
        (Labelled(), IMAGES),
    ],
    ids=["encoder", "no encoder", "images, encoder", "images, no encoder", "images, conditional"],
)
def test_one_backward_gives_the_gradients_of_two(game, setting, objective):
    trainer = trainer_of(replace(game, objective=objective), **setting)
    fast, slow, losses, separate = both_ways(trainer)
    assert_close(fast, slow, 1e-10)
    assert all(torch.equal(losses[name], separate[name]) for name in losses)
    assert backward_passes(trainer_of(replace(game, objective=objective), **setting)) == 1


def test_in_float32_both_ways_differ_by_rounding_alone():
    # at seed 3 no tensor's gradient cancels: one that does has a rounding error far above its own size
    fast, slow, _, _ = both_ways(trainer_of(WithEncoder(), seed=3, **IMAGES), dtype=torch.float32)
    assert_close(fast, slow, 2e-5)


def test_under_bfloat16_the_gradients_keep_their_types_and_agree_to_its_precision():
    fast, slow, _, _ = both_ways(trainer_of(WithEncoder(), **IMAGES), dtype=torch.float32, autocast=True)
    assert_close(fast, slow, 0.05)


@pytest.mark.parametrize("logit", [-60.0, 60.0])
def test_a_saturated_critic_gives_the_generator_its_exact_gradient(logit):
    trainer = trainer_of(WithEncoder(), **TOY)
    with torch.no_grad():
        trainer.networks.critic.joint.layers[-1][0].bias.fill_(logit)
    fast, slow, _, _ = both_ways(trainer, dtype=torch.float32)
    for found, expected in zip(fast["generator"], slow["generator"], strict=True):
        assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()
    for found, expected in zip(fast["critic"], slow["critic"], strict=True):
        assert (found - expected).abs().max() <= 2e-5 * expected.abs().max() + 1e-13


# Where it is not exact, it is not taken


@dataclass(frozen=True, kw_only=True)
class OwnCriticLoss(WithEncoder):
    """A game whose critic minimises something of its own."""

    name: ClassVar[str] = "own-critic-loss"

    def critic_loss(self, networks, batch, round):
        return super().critic_loss(networks, batch, round) + 1e-2 * round.on_q.features.square().mean()


@dataclass(frozen=True, kw_only=True)
class OwnLosses(WithEncoder):
    """A game that settles all losses itself."""

    name: ClassVar[str] = "own-losses"

    def losses(self, networks, batch, movers):
        found = super().losses(networks, batch, movers)
        return found._replace(players={name: 2 * value for name, value in found.players.items()})


@dataclass(frozen=True, kw_only=True)
class NormedCritic(ToyNetworks):
    """Toy networks whose critic has batch statistics."""

    name: ClassVar[str] = "normed-critic"

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        table = (Linear(width=8, batch_norm=BatchNorm(), nonlinearity=ReLU()), Linear(width=1))
        return TableCritic(data, latent=2, x_table=(), z_table=(), joint_table=table, sees=sees, condition=condition)


@dataclass(frozen=True, kw_only=True)
class OwnGeneratorLoss(WithEncoder):
    """A game whose generator minimises something of its own."""

    name: ClassVar[str] = "own-generator-loss"

    def generator_loss(self, networks, batch, round):
        return super().generator_loss(networks, batch, round) + round.p.x.square().mean()


@dataclass(frozen=True, kw_only=True)
class OwnGradients(WithEncoder):
    """A game that takes its gradients in a way of its own."""

    name: ClassVar[str] = "own-gradients"

    def gradients(self, networks, batch, movers):
        return super().gradients(networks, batch, movers)


@dataclass(frozen=True, kw_only=True)
class OwnPlayers(WithEncoder):
    """A game that lists its players itself."""

    name: ClassVar[str] = "own-players"

    def players(self, networks):
        return dict(reversed(super().players(networks).items()))


@dataclass(frozen=True, kw_only=True)
class Heir(OwnCriticLoss):
    """A game that inherits a loss of its own, and overrides none."""

    name: ClassVar[str] = "heir"


OWN = "the game has losses, players or gradients of its own"
ELSEWHERE = {
    "own critic loss": (OwnCriticLoss(), {}, OWN),
    "inherited critic loss": (Heir(), {}, OWN),
    "own generator loss": (OwnGeneratorLoss(), {}, OWN),
    "own losses": (OwnLosses(), {}, OWN),
    "own gradients": (OwnGradients(), {}, OWN),
    "own players": (OwnPlayers(), {}, OWN),
    "hinge": (WithEncoder(objective=Hinge()), {}, "the objective hinge has no slopes"),
    "least squares": (WithEncoder(objective=LeastSquares()), {}, "the objective least-squares has no slopes"),
    "coupled rows": (WithEncoder(), {"architecture": NormedCritic()}, "the critic couples rows"),
    "switched off": (WithEncoder(), {"one_backward": False}, "training.one_backward is false"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_elsewhere_every_player_has_its_own_backward_and_the_reason_is_told(case):
    game, different, reason = ELSEWHERE[case]
    trainer = trainer_of(game, **TOY | different)
    assert trainer.per_player_reason == reason
    fast, slow, _, _ = both_ways(trainer)
    assert_close(fast, slow, 1e-12)
    assert backward_passes(trainer_of(game, **TOY | different)) == 2


@pytest.mark.parametrize("game", [WithEncoder(), WithoutEncoder(), Labelled()], ids=lambda game: game.name)
def test_where_nothing_speaks_against_it_there_is_no_reason(game):
    assert not game.has_own_losses
    assert trainer_of(game, **IMAGES).per_player_reason is None


def test_players_that_take_turns_have_a_plain_backward():
    trainer = trainer_of(WithEncoder(schedule=Alternating(critic_steps=3)), **TOY)
    assert trainer.per_player_reason == "the players take turns"
    assert trainer.movers() == ("critic",)
    alone = {"critic": trainer.players["critic"]}
    losses, found = trainer.gradient_rule(trainer.networks, trainer.stream.batch(0), alone)
    assert set(losses.players) == set(found) == {"critic"}


@dataclass(frozen=True, kw_only=True)
class CriticFirst(Schedule):
    """The critic alone for two steps, then both."""

    name: ClassVar[str] = "critic-first"

    def movers(self, step, players):
        return ("critic",) if step < 2 else tuple(players)


def test_players_that_move_together_at_times_share_a_backward_then_and_only_then():
    trainer = trainer_of(WithEncoder(schedule=CriticFirst()), **TOY)
    assert trainer.per_player_reason is None
    passes = []
    trainer.networks.critic.joint.layers[-1].register_full_backward_hook(lambda *_: passes.append(trainer.step))
    losses = [trainer.take_step() for _ in range(4)]
    assert passes == [0, 1, 2, 3]
    assert [tuple(step.players) for step in losses] == [("critic",)] * 2 + [("critic", "generator")] * 2
    before = trainer_of(WithEncoder(schedule=CriticFirst()), one_backward=False, **TOY)
    for step in losses:
        expected = before.take_step().players
        for name, value in step.players.items():
            assert value.item() == pytest.approx(expected[name].item(), rel=1e-3)


def test_a_game_without_a_critic_says_so():
    assert trainer_of(OnePlayer(), **TOY).per_player_reason == "the game has no critic"


def test_the_way_is_decided_once():
    trainer, asked = trainer_of(WithEncoder(), **TOY), []
    with mock.patch.object(AdversarialGame, "per_player_reason", lambda *call: asked.append(call)):
        for _ in range(3):
            trainer.take_step()
    assert asked == []


@pytest.mark.parametrize("one_backward", [True, False])
def test_both_ways_draw_through_q_and_p_and_weigh_with_the_objective(one_backward):
    reached = []

    @dataclass(frozen=True, kw_only=True)
    class Telling(WithEncoder):
        """A game that tells when its two sides are drawn."""

        name: ClassVar[str] = "telling"

        def q(self, networks, batch):
            reached.append("q")
            return super().q(networks, batch)

        def p(self, networks, batch):
            reached.append("p")
            return super().p(networks, batch)

    @dataclass(frozen=True, kw_only=True)
    class TellingObjective(NonSaturating):
        """The standard objective, which tells when it is asked for a loss."""

        name: ClassVar[str] = "telling"

        def critic(self, on_q, on_p):
            reached.append("critic")
            return super().critic(on_q, on_p)

        def generator(self, on_q, on_p):
            reached.append("generator")
            return super().generator(on_q, on_p)

    trainer = trainer_of(Telling(objective=TellingObjective()), one_backward=one_backward, **TOY)
    trainer.networks.critic.register_forward_hook(lambda *_: reached.append("judge"))
    trainer.take_step()
    assert reached == ["q", "p", "judge", "critic", "generator"]
    assert (trainer.per_player_reason is None) == one_backward


@dataclass(frozen=True, kw_only=True)
class TwoOutputs(WithEncoder):
    """A game with two logits per row."""

    name: ClassVar[str] = "two-outputs"

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.critic = architecture.critic(data, outputs=2)
        return networks


def test_rows_with_several_logits_have_two_backwards():
    trainer = trainer_of(TwoOutputs(), **TOY)
    assert trainer.per_player_reason == "the critic gives several logits per row"
    assert trainer.take_step().watch == {}
    assert backward_passes(trainer) == 2
    fast, slow, _, _ = both_ways(trainer)
    assert_close(fast, slow, 1e-12)


def test_a_critic_that_hides_its_several_logits_is_refused_by_name():
    trainer = trainer_of(WithEncoder(), **TOY)
    critic = TwoOutputs().build(TOY["architecture"], TOY["dataset"].spec).critic
    critic.outputs = 1
    trainer.networks.critic = critic
    with pytest.raises(PluginError, match=r"`outputs` 1 gave logits of shape \(N, 2\), expected \(N,\)"):
        trainer.take_step()
