"""A zoo of mistakes that authors of plugins make: each is caught by the check that is named for it."""

import random
import re
from dataclasses import dataclass, field, replace
from typing import ClassVar

import click
import numpy
import pytest
import torch
from torch import nn as torch_nn
from torch.nn.functional import softplus
from toy_components import Bank, Denoiser, OnePlayer, ToyMixture, WithEncoder, WithoutEncoder
from trainers import claimed_row_wise

from genzoo import Joint, Losses, Networks, nn, testing
from genzoo.components import Component
from genzoo.data import Dataset
from genzoo.errors import place_of
from genzoo.evaluation import Metric, Score
from genzoo.games import Hinge, NumberSchedule, Objective, Prior, Schedule, Slopes
from genzoo.runs import Tracker, Tracking
from genzoo.testing.toys import VECTOR_TOY, ToyTables
from genzoo.types import Code, DataSpec, Picture, Split, Splits, Verdict


def changed(base, **methods):
    """Return a class with other methods, called as its base."""
    return type(base.__name__, (base,), {"__module__": __name__, "__doc__": "A mistake.", **methods})


def with_losses(change):
    def losses(self, networks, batch, movers):
        return change(OnePlayer.losses(self, networks, batch, movers), networks, batch)

    return changed(OnePlayer, losses=losses)


def of_player(loss):
    return Losses({"generator": loss}, {})


class Coupled(torch_nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class CoupledCritic(nn.JointCritic):
    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = torch_nn.Flatten(), Coupled(), torch_nn.LazyLinear(1)

    def forward(self, joint):
        features = self.inner(self.first(joint.x))
        return Verdict(self.last(features).squeeze(1), features)


def build_coupled(self, architecture, data):
    critic = CoupledCritic()
    critic(Joint(x=torch.zeros(2, *data.shape)))
    return Networks(decoder=architecture.decoder(data), critic=critic)


class Remembering(OnePlayer):
    """A game that counts in Python, so that a resumed training differs."""

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.calls = 0
        return networks

    def losses(self, networks, batch, movers):
        networks.calls += 1
        loss = super().losses(networks, batch, movers).players["generator"]
        return of_player(loss * networks.calls)


@dataclass(frozen=True, kw_only=True)
class WrongSlopes(WithEncoder):
    """A game whose fast way is not exact."""

    def shared_gradients(self, networks, batch, movers):
        losses, gradients = super().shared_gradients(networks, batch, movers)
        return losses, {name: tuple(1.001 * part for part in parts) for name, parts in gradients.items()}


def clamped(self, z, y=None):
    return 2 * torch.sigmoid(self.stack.logits(z)) if self.support == "unit" else self.stack.logits(z)


def decoder_with(**methods):
    def decoder(self, data, *, condition=0):
        made = ToyTables.decoder(self, data, condition=condition)
        made.__class__ = changed(type(made), **methods)
        return made

    return decoder


def build_with_decoder(**methods):
    def build(self, architecture, data):
        networks = OnePlayer.build(self, architecture, data)
        networks.decoder.__class__ = changed(type(networks.decoder), **methods)
        return networks

    return changed(OnePlayer, build=build)


GAMES = {
    "loss per row": ("losses", with_losses(lambda losses, n, b: of_player(n.encode(b.x, b.noise).z.square().sum(1)))),
    "misspelt player": ("losses", with_losses(lambda losses, n, b: Losses({"gen": losses.players["generator"]}, {}))),
    "loss for a stranger": (
        "losses",
        with_losses(lambda losses, n, b: Losses(dict.fromkeys(("generator", "head"), losses.players["generator"]), {})),
    ),
    "watch with its graph": ("losses", with_losses(lambda losses, n, b: losses._replace(watch=losses.players))),
    "watch per row": ("losses", with_losses(lambda losses, n, b: losses._replace(watch={"x": b.x}))),
    "watch of a float": ("losses", with_losses(lambda losses, n, b: losses._replace(watch={"x": 0.5}))),
    "unused decoder": ("losses", with_losses(lambda losses, n, b: of_player(n.encode(b.x, b.noise).z.square().mean()))),
    "detached loss": ("losses", with_losses(lambda losses, n, b: of_player(losses.players["generator"].detach()))),
    "sum over rows": (
        "mean-over-rows",
        with_losses(lambda losses, n, b: of_player(losses.players["generator"] * len(b.x))),
    ),
    "a loss of means of logits": (
        "mean-over-rows",
        changed(
            WithEncoder,
            critic_loss=lambda self, n, b, round: softplus(round.on_p.logits.mean() - round.on_q.logits).mean(),
        ),
    ),
    "python's draws": (
        "draws",
        with_losses(lambda losses, n, b: of_player(losses.players["generator"] * random.random())),
    ),
    "numpy's draws": (
        "draws",
        with_losses(lambda losses, n, b: of_player(losses.players["generator"] + numpy.random.rand())),
    ),
    "a key that is not there": ("losses", with_losses(lambda losses, n, b: losses.players["what"])),
    "a bank by places in the batch": (
        "rows",
        changed(Bank, places=lambda self, batch: torch.arange(len(batch.x))),
    ),
    "an undeclared draw": (
        "mean-over-rows",
        with_losses(lambda losses, n, b: of_player(losses.players["generator"] * torch.rand(len(b.x)).mean())),
    ),
    "a draw that is none": ("builds", changed(OnePlayer, draws={"t": "uniform"})),
    "half precision": (
        "bf16",
        with_losses(lambda losses, n, b: of_player(losses.players["generator"].to(n.decode(b.z).dtype))),
    ),
    "idle parameters": (
        "players",
        changed(OnePlayer, players=lambda self, n: {"generator": [*n.encoder.parameters()]}),
    ),
    "shared parameters": (
        "builds",
        changed(OnePlayer, players=lambda self, n: {name: [*n.parameters()] for name in ("generator", "critic")}),
    ),
    "parameters of nobody's": ("builds", changed(OnePlayer, players=lambda self, n: {"generator": [torch.zeros(1)]})),
    "state in Python": ("resume", Remembering),
    "wrong fast way": ("gradients", WrongSlopes),
    "false row_wise": ("row-wise", changed(WithoutEncoder, build=build_coupled)),
    "samples beyond [0, 1]": ("samples", build_with_decoder(forward=clamped)),
    "samples of another shape": (
        "samples",
        build_with_decoder(forward=lambda self, z, y=None: self.stack.logits(z).flatten(1)[:, :1]),
    ),
    "samples that draw": (
        "samples",
        build_with_decoder(forward=lambda self, z, y=None: torch.rand_like(self.stack.logits(z))),
    ),
    "a picture of another shape": (
        "pictures",
        changed(OnePlayer, pictures=lambda self, n, b, prior: {"a": Picture(b.x.flatten(1)[:, :1])}),
    ),
    "a picture that draws": (
        "pictures",
        changed(OnePlayer, pictures=lambda self, n, b, prior: {"a": Picture(torch.rand_like(b.x))}),
    ),
    "a picture that is a tensor": ("pictures", changed(OnePlayer, pictures=lambda self, n, b, prior: {"a": b.x})),
    "a misspelt method": ("names", changed(WithEncoder, critic_los=lambda self, networks, batch, round: 0)),
    "a misspelt property": ("names", changed(OnePlayer, draw=property(lambda self: {}))),
    "an objective that nothing reads": (
        "objective",
        changed(
            WithEncoder,
            critic_loss=lambda self, n, b, round: round.on_q.logits.mean() - round.on_p.logits.mean(),
            generator_loss=lambda self, n, b, round: -round.on_q.logits.mean() + round.on_p.logits.mean(),
        ),
    ),
    "a setting without its annotation": ("settings", changed(WithEncoder, target=0.9)),
    "a field's default without its annotation": ("settings", changed(WithEncoder, objective=Hinge())),
    "samples without z": ("samples", build_with_decoder(forward=lambda self, z, y=None: self.stack.logits(0 * z) * 0)),
}


@dataclass(frozen=True, kw_only=True)
class Normal(Prior):
    """A prior to be spoiled."""

    name: ClassVar[str] = "normal"

    def draw(self, rows, latent, generator):
        return torch.randn(rows, latent, generator=generator)


@dataclass(frozen=True, kw_only=True)
class Always(Schedule):
    """A schedule to be spoiled."""

    name: ClassVar[str] = "always"

    def movers(self, step, players):
        return tuple(players)


@dataclass(frozen=True, kw_only=True)
class Factor(NumberSchedule):
    """A factor that is a number."""

    name: ClassVar[str] = "factor"

    def factor(self, progress):
        return 0.5


@dataclass(frozen=True, kw_only=True)
class Mutable(Objective):
    """An objective with a field that JSON cannot hold."""

    name: ClassVar[str] = "mutable"
    values: object = field(default_factory=lambda: (1, {2}))

    def critic(self, on_q, on_p):
        return on_q.mean()

    def generator(self, on_q, on_p):
        return on_p.mean()


@dataclass(frozen=True, kw_only=True)
class Spread(Metric):
    """A metric to be spoiled."""

    name: ClassVar[str] = "spread"

    def obstacle(self, model):
        return None if model.networks.decoder is not None else "it has no decoder"

    def measure(self, model, split, *, train, seed):
        return [Score(metric="spread", value=float(model.sample(16, seed=seed).std()))]


@dataclass(frozen=True, kw_only=True)
class Notes(Tracker):
    """A tracker to be spoiled."""

    name: ClassVar[str] = "notes"

    def start(self, run):
        return Note()


class Note(Tracking):
    """Takes note of nothing."""

    def log(self, step, values):
        pass


class WholeNote(Tracking):
    """Takes whole numbers alone."""

    def log(self, step, values):
        assert all(map(int, values.values()))


def measuring(rule):
    def measure(self, model, split, *, train, seed):
        return [Score(metric="spread", value=rule(model, seed))]

    return changed(Spread, measure=measure)


def shifted(self, root):
    return ToyMixture().load(root)


def wrong_slopes(self, on_q, on_p):
    return Slopes((on_q, on_p), (on_q, on_p))


def encoder_with(change):
    def encoder(self, data, *, posterior=None, condition=0):
        made = ToyTables.encoder(self, data, posterior=posterior, condition=condition)
        made.__class__ = changed(
            type(made), forward=lambda self, x, noise, y=None: change(made_forward(made, x, noise, y))
        )
        return made

    return encoder


def made_forward(made, x, noise, y):
    return nn.TableEncoder.forward(made, x, noise, y)


PARTS = {
    "draw of another size": ("draw", changed(Normal, draw=lambda self, n, d, g: torch.randn(n, d + 1, generator=g))),
    "draw in float64": ("draw", changed(Normal, draw=lambda self, n, d, g: torch.randn(n, d, generator=g).double())),
    "draw from the global generator": ("draw", changed(Normal, draw=lambda self, n, d, g: torch.randn(n, d))),
    "density of all rows": ("density", changed(Normal, log_density=lambda self, z: -z.square().sum())),
    "loss of an objective per row": ("losses", changed(Hinge, critic=lambda self, q, p: torch.relu(1 - q))),
    "wrong slopes": ("slopes", changed(Hinge, slopes=wrong_slopes)),
    "a stranger moves": ("movers", changed(Always, movers=lambda self, step, players: ("head",))),
    "nobody moves": ("movers", changed(Always, movers=lambda self, step, players: ())),
    "one never moves": ("movers", changed(Always, movers=lambda self, step, players: players[:1])),
    "factor is a number": ("factor", Factor),
    "a field without JSON": ("json", Mutable),
    "no docstring": ("summary", changed(Normal, __doc__="")),
    "rows of another shape": (
        "rows",
        changed(ToyMixture, spec=property(lambda self: DataSpec(shape=(3,), support="real"))),
    ),
    "rows in float64": (
        "rows",
        changed(ToyMixture, load=lambda self, root: Splits(*(Split(torch.zeros(4, 2).double()) for _ in range(3)))),
    ),
    "one split thrice": (
        "disjoint",
        changed(ToyMixture, load=lambda self, root: Splits(*[ToyMixture(rows=16).load(None).train] * 3)),
    ),
    "other rows each time": (
        "again",
        changed(ToyMixture, load=lambda self, root: Splits(*(Split(torch.randn(4, 2)) for _ in range(3)))),
    ),
    "encoder without noise": (
        "encoder",
        changed(ToyTables, encoder=encoder_with(lambda c: Code(c.z * 2, c.mean, c.log_std))),
    ),
    "z of another size": ("encoder", changed(ToyTables, encoder=encoder_with(lambda code: Code(code.z[:, :1])))),
    "decoder of another range": (
        "decoder",
        changed(ToyTables, decoder=decoder_with(forward=lambda self, z, y=None: 2 + self.stack.logits(z))),
    ),
    "field of another size": (
        "field",
        changed(ToyTables, field=lambda self, data, condition=0: nn.DenseField(replace(data, shape=(3,)))),
    ),
    "head that ignores its sizes": (
        "head",
        changed(ToyTables, head=lambda self, role, reads, writes: torch_nn.Linear(reads, reads)),
    ),
    "critic that ignores outputs": (
        "critic",
        changed(
            ToyTables,
            critic=lambda self, data, sees="xz", condition=0, outputs=1: ToyTables.critic(self, data, sees=sees),
        ),
    ),
    "metric that draws anew": ("seed", measuring(lambda model, seed: float(torch.rand(())))),
    "metric that trains": ("untouched", measuring(lambda model, seed: float(model.networks.train() is None))),
    "metric that changes weights": (
        "untouched",
        measuring(lambda model, seed: float([p.data.add_(1) for p in model.networks.parameters()] == [])),
    ),
    "score of another name": (
        "scores",
        changed(Spread, measure=lambda self, model, split, train, seed: [Score(metric="width", value=1.0)]),
    ),
    "score that is no number": ("finite", measuring(lambda model, seed: float("nan"))),
    "a protocol that JSON does not hold": (
        "scores",
        changed(
            Spread,
            measure=lambda self, model, split, train, seed: [Score(metric="spread", value=1.0, protocol={"rows": {4}})],
        ),
    ),
    "a misspelt ClassVar": ("names", changed(Spread, measures_heldout=True)),
    "obstacle that is not seen": ("obstacle", changed(Spread, obstacle=lambda self, model: None)),
    "tracker whose obstacle is no text": ("obstacle", changed(Notes, obstacle=lambda self: False)),
    "tracker that starts nothing": ("follow", changed(Notes, start=lambda self, run: None)),
    "tracker that cannot go on": ("follow", changed(Notes, start=lambda self, run: run.folder.mkdir() or Note())),
    "tracker that takes no NaN": ("follow", changed(Notes, start=lambda self, run: WholeNote())),
}


@pytest.fixture
def claims():
    with claimed_row_wise(CoupledCritic, Coupled):
        yield


def failing(component, name=None):
    """Return the first failure of the checks, or of those of one name, by the check's name."""
    messages = {}
    for check in testing.checks(component):
        if check.name in {name or check.name} - set(messages):
            try:
                check.run()
            except testing.CheckFailed as failed:
                messages[check.name] = failed
    return messages


@pytest.mark.usefixtures("claims")
@pytest.mark.parametrize(("name", "component"), [*GAMES.values(), *PARTS.values()], ids=[*GAMES, *PARTS])
def test_the_named_check_catches_the_mistake_and_says_where_and_how_to_repair_it(name, component):
    failed = failing(component, name)
    assert name in failed
    assert re.search(r"(test_mistakes|toy_components|toys|table_networks)\.py:\d+: ", failed[name].found)
    assert failed[name].remedy
    assert failed[name].exit_code == 4


def test_shared_parameters_are_blamed_on_what_shares_them():
    game = GAMES["shared parameters"][1]
    found = failing(game, "builds")["builds"].found
    assert place_of(game, "players") in found
    assert place_of(game, "build") not in found


def test_the_zoo_is_large_enough():
    assert len(GAMES | PARTS) >= 25
    assert all(issubclass(component, Component) for _, component in [*GAMES.values(), *PARTS.values()])
    assert issubclass(ToyMixture, Dataset)


def test_a_command_without_help_is_caught():
    @click.command("mute")
    def mute():
        pass

    assert "help" in failing(mute)


# What is right passes


@pytest.mark.parametrize(
    "component",
    [
        OnePlayer,
        Bank,
        Denoiser,
        WithEncoder,
        WithoutEncoder,
        Normal,
        Hinge,
        Always,
        ToyMixture,
        ToyTables,
        Spread,
        Notes,
    ],
)
def test_a_component_without_a_mistake_passes_all_its_checks(component):
    assert failing(component) == {}


def test_a_recipe_passes_whose_parts_fit_and_another_fails():
    assert failing(VECTOR_TOY) == {}
    assert "step" in failing(replace(VECTOR_TOY, prior=OfTwo()))


@dataclass(frozen=True, kw_only=True)
class OfTwo(Prior):
    """A prior of two numbers, whatever is asked for."""

    name: ClassVar[str] = "normal-2"

    def draw(self, rows, latent, generator):
        return torch.randn(rows, 2, generator=generator)


@testing.parametrize(
    changed(with_losses(lambda losses, n, b: of_player(losses.players["generator"] * len(b.x)))),
    expected_failures={"mean-over-rows": "it is a sum, on purpose"},
)
def test_what_is_expected_to_fail_may(check):
    check.run()


def test_a_batch_has_the_rows_and_labels_that_are_asked_for():
    batch = testing.batch(VECTOR_TOY, rows=8, labelled=0.25)
    assert batch.x.shape == (8, 2)
    assert int(batch.labelled.sum()) == 2
    assert torch.equal(batch.y.sum(1) > 0, batch.labelled)
    assert torch.equal(batch.x, testing.batch(VECTOR_TOY, rows=8).x)
