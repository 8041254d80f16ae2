"""One backward pass of the critic for both players: equal to two, taken only where it is exact."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from genzoo import Joint
from genzoo.games import Alternating, Hinge, LeastSquares, Minimax, NonSaturating, StandardNormal, Wasserstein
from genzoo.games.game import one_by_one
from genzoo.nn import BatchNorm, Linear, ReLU, TableCritic
from genzoo.randomness import reseed
from genzoo.training import Training
from genzoo.training.initialization import Plan
from genzoo.training.settings import Settings
from genzoo.training.trainer import Trainer
from genzoo_ali.ali import ALI
from genzoo_data.digits import Digits
from genzoo_data.mixture import Mixture25
from genzoo_gan.gan import GAN
from genzoo_recipes.digits import DigitsNetworks
from genzoo_recipes.mixture25 import Mixture25Networks

TOY = {"dataset": Mixture25(rows=40, held_out_rows=16), "architecture": Mixture25Networks()}
IMAGES = {"dataset": Digits(), "architecture": DigitsNetworks()}
WITH_RATIO = [NonSaturating(), Minimax(), Wasserstein()]


def trainer_of(game, *, dataset, architecture):
    settings = Settings(
        game=game,
        dataset=dataset,
        architecture=architecture,
        prior=StandardNormal(),
        training=Training(steps=4, batch_size=16, learning_rate=1e-3),
    )
    return Trainer(Plan(settings=settings, source=None), dataset.load(None).train, seed=5, device=torch.device("cpu"))


def both_ways(trainer, *, dtype=torch.float64, autocast=False):
    """Return the gradients as the game takes them, those by a backward pass per player, and the game's losses twice."""
    game, networks, players = trainer.settings.game, trainer.networks.to(dtype), trainer.players
    batch = trainer.stream.batch(0)
    batch = batch._replace(x=batch.x.to(dtype), z=batch.z.to(dtype), noise=batch.noise.to(dtype))
    batch = batch._replace(y=None if batch.y is None else batch.y.to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        reseed(1)
        losses, fast = game.gradients(networks, batch, players)
        reseed(1)
        separate = game.losses(networks, batch, players)
        slow = one_by_one(separate, players)
    return fast, slow, losses.players, separate.players


def backward_passes(trainer):
    """Return how often the game's gradients went backward through the critic's last row."""
    seen = []
    trainer.networks.critic.joint.layers[-1].register_full_backward_hook(lambda *_: seen.append(1))
    game, networks = trainer.settings.game, trainer.networks
    game.gradients(networks, trainer.stream.batch(0), trainer.players)
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
class ConditionalALI(ALI):
    """ALI given the label, embedded by a network that is trained along."""

    name: ClassVar[str] = "conditional"

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.encoder = architecture.encoder(data, condition=3)
        networks.decoder = architecture.decoder(data, condition=3)
        networks.critic = architecture.critic(data, condition=3)
        networks.embedder = torch.nn.Linear(data.condition_size, 3)
        return networks

    def q(self, networks, batch):
        return Joint(x=batch.x, z=networks.encode(batch.x, batch.noise, batch.y).z, y=networks.embed(batch.y))

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z, batch.y), z=batch.z, y=networks.embed(batch.y))


# The gradients


@pytest.mark.parametrize("objective", WITH_RATIO, ids=lambda objective: objective.name)
@pytest.mark.parametrize(
    ("game", "setting"),
    [(ALI(), TOY), (GAN(), TOY), (ALI(), IMAGES), (GAN(), IMAGES), (ConditionalALI(), IMAGES)],
    ids=["ali", "gan", "ali-digits", "gan-digits", "conditional-digits"],
)
def test_one_backward_gives_the_gradients_of_two(game, setting, objective):
    trainer = trainer_of(replace(game, objective=objective), **setting)
    fast, slow, losses, separate = both_ways(trainer)
    assert_close(fast, slow, 1e-10)
    assert all(torch.equal(losses[name], separate[name]) for name in losses)
    assert backward_passes(trainer_of(replace(game, objective=objective), **setting)) == 1


def test_in_float32_both_ways_differ_by_rounding_alone():
    fast, slow, _, _ = both_ways(trainer_of(ALI(), **IMAGES), dtype=torch.float32)
    assert_close(fast, slow, 2e-5)


def test_under_bfloat16_the_gradients_keep_their_types_and_agree_to_its_precision():
    fast, slow, _, _ = both_ways(trainer_of(ALI(), **IMAGES), dtype=torch.float32, autocast=True)
    assert_close(fast, slow, 0.05)


@pytest.mark.parametrize("logit", [-60.0, 60.0])
def test_a_saturated_critic_gives_the_generator_its_exact_gradient(logit):
    trainer = trainer_of(ALI(), **TOY)
    with torch.no_grad():
        trainer.networks.critic.joint.layers[-1][0].bias.fill_(logit)
    fast, slow, _, _ = both_ways(trainer, dtype=torch.float32)
    for found, expected in zip(fast["generator"], slow["generator"], strict=True):
        assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()
    for found, expected in zip(fast["critic"], slow["critic"], strict=True):
        assert (found - expected).abs().max() <= 2e-5 * expected.abs().max() + 1e-13


# Where it is not exact, it is not taken


@dataclass(frozen=True, kw_only=True)
class OwnCriticLoss(ALI):
    """ALI whose critic minimises something of its own."""

    name: ClassVar[str] = "own-critic-loss"

    def critic_loss(self, networks, batch, round):
        return super().critic_loss(networks, batch, round) + 1e-2 * round.on_q.features.square().mean()


@dataclass(frozen=True, kw_only=True)
class OwnLosses(ALI):
    """ALI that settles all losses itself."""

    name: ClassVar[str] = "own-losses"

    def losses(self, networks, batch, movers):
        found = super().losses(networks, batch, movers)
        return found._replace(players={name: 2 * value for name, value in found.players.items()})


@dataclass(frozen=True, kw_only=True)
class NormedCritic(Mixture25Networks):
    """Toy networks whose critic has batch statistics."""

    name: ClassVar[str] = "normed-critic"

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        table = (Linear(width=8, batch_norm=BatchNorm(), nonlinearity=ReLU()), Linear(width=1))
        return TableCritic(data, latent=2, x_table=(), z_table=(), joint_table=table, sees=sees, condition=condition)


@pytest.mark.parametrize(
    ("game", "setting"),
    [
        (OwnCriticLoss(), TOY),
        (OwnLosses(), TOY),
        (ALI(objective=Hinge()), TOY),
        (ALI(objective=LeastSquares()), TOY),
        (ALI(), TOY | {"architecture": NormedCritic()}),
    ],
    ids=["own critic loss", "own losses", "hinge", "least squares", "coupled rows"],
)
def test_elsewhere_every_player_has_its_own_backward(game, setting):
    fast, slow, _, _ = both_ways(trainer_of(game, **setting))
    assert_close(fast, slow, 1e-12)
    assert backward_passes(trainer_of(game, **setting)) == 2


def test_a_player_that_moves_alone_has_a_plain_backward():
    trainer = trainer_of(ALI(schedule=Alternating()), **TOY)
    assert trainer.settings.game.movers(0, ("critic", "generator")) == ("critic",)
    losses, found = trainer.settings.game.gradients(
        trainer.networks, trainer.stream.batch(0), {"critic": trainer.players["critic"]}
    )
    assert set(losses.players) == set(found) == {"critic"}


@dataclass(frozen=True, kw_only=True)
class TwoOutputs(ALI):
    """ALI with two logits per row."""

    name: ClassVar[str] = "two-outputs"

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.critic = architecture.critic(data, outputs=2)
        return networks


def test_rows_with_several_logits_have_two_backwards():
    trainer = trainer_of(TwoOutputs(), **TOY)
    assert backward_passes(trainer) == 2
    fast, slow, _, _ = both_ways(trainer)
    assert_close(fast, slow, 1e-12)
