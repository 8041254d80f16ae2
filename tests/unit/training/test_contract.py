"""The contract of a plugin with a training: an ordinary mistake ends the first step, and the error says where it is."""

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn as torch_nn
from toy_components import GAMES, OnePlayer, ToyMixture, WithEncoder, WithoutEncoder
from trainers import claimed_row_wise, settings_of, trainer_of, trainer_on

from genzoo import GenzooWarning, Losses, PluginError, nn
from genzoo.errors import explain, raised_at
from genzoo.games import Alternating, Prior
from genzoo.training.populations import Population
from genzoo.types import Split, Verdict


class PerRow(OnePlayer):
    """A loss per row in place of their mean."""

    name: ClassVar[str] = "per-row"

    def losses(self, networks, batch, movers):
        size = networks.encode(batch.x, batch.noise).z + networks.decode(batch.z)
        return Losses({"generator": size.square().sum(1)}, {})


class Misspelt(OnePlayer):
    """A loss for a player who does not exist."""

    def losses(self, networks, batch, movers):
        return Losses({"generater": super().losses(networks, batch, movers).players["generator"]}, {})


class Further(OnePlayer):
    """A second loss, for a player who does not exist."""

    def losses(self, networks, batch, movers):
        losses = super().losses(networks, batch, movers)
        return losses._replace(players=losses.players | {"critic": losses.players["generator"]})


class WatchesGraph(OnePlayer):
    """A watched value with its graph."""

    def losses(self, networks, batch, movers):
        losses = super().losses(networks, batch, movers)
        return losses._replace(watch={"misfit": losses.players["generator"]})


class WatchesRows(OnePlayer):
    """A watched value per row."""

    def losses(self, networks, batch, movers):
        return super().losses(networks, batch, movers)._replace(watch={"x": batch.x})


class WatchesNumber(OnePlayer):
    """A watched number that is no tensor."""

    def losses(self, networks, batch, movers):
        return super().losses(networks, batch, movers)._replace(watch={"x": 1.0})


class Unlike(OnePlayer):
    """Losses that are a tuple."""

    def losses(self, networks, batch, movers):
        return {"generator": super().losses(networks, batch, movers).players["generator"]}


class Unused(OnePlayer):
    """A decoder that no loss uses."""

    def losses(self, networks, batch, movers):
        return Losses({"generator": networks.encode(batch.x, batch.noise).z.square().mean()}, {})


class Detached(OnePlayer):
    """A loss without a graph."""

    def losses(self, networks, batch, movers):
        losses = super().losses(networks, batch, movers)
        return losses._replace(players={"generator": losses.players["generator"].detach()})


class Failing(OnePlayer):
    """A game that fails inside."""

    def losses(self, networks, batch, movers):
        return {}["what"]


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (PerRow, "the loss of 'generator' is a tensor of the shape (16,) and type float32, expected a scalar ()"),
        (Misspelt, "there is no loss for the player 'generator', who moves"),
        (Further, "there is a loss for 'critic', who does not move"),
        (WatchesGraph, "the watched 'misfit' is a tensor with its graph"),
        (WatchesRows, "the watched 'x' is a tensor of the shape (16, 2) and type float32"),
        (WatchesNumber, "the watched 'x' is a float"),
        (Unlike, "it returned a dict"),
        (Unused, "the loss of 'generator' does not depend on decoder."),
        (Detached, "the loss of 'generator' depends on no parameter"),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_a_mistake_in_losses_ends_the_first_step_with_its_place(kind, found, count):
    trainers = [trainer_of(kind(), seed=seed) for seed in range(count)]
    before = trainers[0].networks.state_dict()["encoder.head.layers.0.0.weight"].clone()
    with pytest.raises(PluginError) as refused:
        trainers[0].take_step() if count == 1 else Population(trainers).take_step()
    where, _, said = refused.value.found.partition(": ")
    line = vars(kind)["losses"].__code__.co_firstlineno
    assert where.endswith(f"{kind.__name__}.losses, tests/unit/training/test_contract.py:{line}")
    of_one = said.replace("(2, 16)", "(16,)").replace("(2, 16, 2)", "(16, 2)")
    assert of_one.startswith(found)
    assert refused.value.remedy
    assert torch.equal(trainers[0].networks.state_dict()["encoder.head.layers.0.0.weight"], before)


def test_an_error_inside_a_game_passes_and_is_explained_as_its_plugins():
    with pytest.raises(KeyError) as error:
        trainer_of(Failing()).take_step()
    line = Failing.losses.__code__.co_firstlineno + 1
    explained = explain(error.value)
    assert isinstance(explained, PluginError)
    assert explained.found == f"Failing.losses, tests/unit/training/test_contract.py:{line}: KeyError: 'what'"


def test_an_error_of_the_core_or_of_a_library_alone_is_no_plugins():
    with pytest.raises(ZeroDivisionError) as of_a_test:
        1 / 0  # noqa: B018 - outside of any call of the core
    assert raised_at(of_a_test.value) is None
    assert explain(of_a_test.value).exit_code == 1


@pytest.mark.parametrize("game", [*GAMES, WithEncoder(schedule=Alternating(critic_steps=2))])
def test_the_check_changes_no_number(game):
    checked, plain = trainer_of(game), trainer_of(game)
    plain._step._gradients = plain.gradient_rule
    for _ in range(4):
        checked.take_step()
        plain.take_step()
    expected = plain.state()
    for file, tensors in checked.state().items():
        assert all(torch.equal(tensor, expected[file][name]) for name, tensor in tensors.items())


def test_a_mistake_in_a_later_turn_is_seen_in_the_first_step_of_that_turn():
    class Late(WithEncoder):
        def losses(self, networks, batch, movers):
            losses = super().losses(networks, batch, movers)
            return losses if "critic" in movers else Losses({}, {})

    trainer = trainer_of(Late(schedule=Alternating(critic_steps=2)))
    trainer.take_step()
    trainer.take_step()
    with pytest.raises(PluginError, match="no loss for the player 'generator'"):
        trainer.take_step()


# Players


class Idle(OnePlayer):
    """A game whose decoder nobody trains."""

    def players(self, networks):
        return {"generator": list(networks.encoder.parameters())}

    def losses(self, networks, batch, movers):
        return Losses({"generator": networks.encode(batch.x, batch.noise).z.square().mean()}, {})


def test_parameters_that_nobody_trains_are_named_in_a_warning():
    with pytest.warns(GenzooWarning, match=r"Idle\.players, .*: no player trains decoder\..* and \d+ more") as said:
        trainer_of(Idle())
    assert "requires_grad_(False)" in str(said[0].message)


class TwoCritics(WithEncoder):
    """A game with a second critic, which no `players` names."""

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.add_module("second", architecture.critic(data, sees="x"))
        return networks


class ThreePlayers(TwoCritics):
    """The same where it is a player."""

    def players(self, networks):
        first = super().players(networks)
        second = list(networks.second.parameters())
        others = [each for each in first["generator"] if all(each is not mine for mine in second)]
        return {"critic": first["critic"], "second": second, "generator": others}


def test_a_second_critic_that_falls_to_the_generator_is_told_of():
    message = r"TwoCritics\.build, .*: the player 'generator' trains the critic 'second'; .* say so in `players`"
    with pytest.warns(GenzooWarning, match=message):
        trainer_of(TwoCritics())
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        trainer_of(ThreePlayers())
        trainer_of(WithEncoder())


class Frozen(Idle):
    """The same with a decoder that says that it is not trained."""

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.decoder.requires_grad_(False)
        return networks


def test_frozen_parameters_are_left_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        trainer_of(Frozen()).take_step()


def with_players(players):
    class Playing(OnePlayer):
        def players(self, networks):
            return players(networks)

    return Playing()


@pytest.mark.parametrize(
    ("players", "found"),
    [
        (lambda networks: {"generator": []}, "the player 'generator' has no parameters"),
        (lambda networks: {"generator": [torch.zeros(2, requires_grad=True)]}, "that are no parameters"),
        (lambda networks: {"generator": [*networks.parameters()] * 2}, "has a parameter twice"),
        (
            lambda networks: {"generator": [*networks.requires_grad_(False).parameters()]},
            "has parameters that need no gradient: encoder.",
        ),
    ],
)
def test_strange_parameters_of_a_player_are_refused_before_the_first_step(players, found):
    with pytest.raises(PluginError, match=found):
        trainer_of(with_players(players))


# Row-wise


class MeanOfRows(torch_nn.Module):
    """Subtracts the mean over the rows, as batch norm does."""

    def forward(self, x):
        return x - x.mean(0)


class Claiming(nn.JointCritic):
    """A critic of x, which `inner` sees before one linear map."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.last = torch_nn.Linear(2, 1)

    def forward(self, joint):
        features = self.inner(joint.x)
        return Verdict(self.last(features).squeeze(1), features)


@dataclass(frozen=True, kw_only=True)
class Judged(WithoutEncoder):
    """A game with the critic `Claiming`."""

    couples: bool = True

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.critic = Claiming(MeanOfRows() if self.couples else torch_nn.Linear(2, 2))
        return networks


@pytest.fixture
def claims():
    with claimed_row_wise(Claiming, MeanOfRows):
        yield


@pytest.mark.usefixtures("claims")
def test_a_false_claim_of_row_wise_is_refused_in_the_first_step():
    with pytest.raises(
        PluginError, match=r"MeanOfRows.forward, .*`row_wise`, and the logit of a row depends on other rows"
    ):
        trainer_of(Judged()).take_step()


@pytest.mark.usefixtures("claims")
def test_a_true_claim_passes():
    trainer = trainer_of(Judged(couples=False))
    assert trainer.per_player_reason is None
    trainer.take_step()


@pytest.mark.usefixtures("claims")
def test_a_claim_is_checked_before_a_compiled_step_is_traced(monkeypatch):
    traced = []
    monkeypatch.setattr(torch, "compile", lambda graph, **_: traced.append(graph) or graph)
    trainer = trainer_on(settings_of(Judged(couples=False)), execution="compiled")
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)  # one says that a step cannot be traced
        trainer.take_step()
    assert len(traced) == 1


def test_without_the_claim_each_player_has_its_own_pass():
    trainer = trainer_of(Judged())
    assert trainer.per_player_reason == "the critic couples rows"
    trainer.take_step()


# Priors and data


@dataclass(frozen=True, kw_only=True)
class Drawn(Prior):
    """A prior whose draws are spoiled by `change`."""

    change: object = None

    def draw(self, rows, latent, generator):
        return self.change(torch.randn(rows, latent, generator=generator))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda z: z[:, :1], "it drew a tensor of the shape (4, 1) and type float32"),
        (lambda z: z.double(), "it drew a tensor of the shape (4, 2) and type float64"),
        (lambda z: z / 0, "it drew numbers that are not finite"),
        (lambda z: z.numpy(), "it drew a ndarray"),
    ],
)
def test_a_draw_of_a_prior_that_is_not_as_declared_is_refused(change, found):
    line = Drawn.draw.__code__.co_firstlineno
    with pytest.raises(PluginError) as refused:
        trainer_on(replace(settings_of(OnePlayer()), prior=Drawn(change=change)))
    assert refused.value.found == f"Drawn.draw, tests/unit/training/test_contract.py:{line}: {found}"


@dataclass(frozen=True, kw_only=True)
class Spoiled(ToyMixture):
    """A data set whose splits are spoiled by `change`."""

    change: object = None

    def load(self, root):
        splits = super().load(root)
        return splits._replace(train=self.change(*splits.train))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x, y: Split(x[:, :1], y), r"rows are a tensor of the shape \(40, 1\).*`spec`.* shape \(2,\)"),
        (lambda x, y: Split(x.double(), y), "rows are stored as float64, expected float32"),
        (lambda x, y: Split(x.byte(), y), "stored as uint8, and `spec` says that x is real"),
        (lambda x, y: Split(x / 0, y), "not finite"),
        (lambda x, y: Split(x, y[:3]), r"labels are .*\(3,\).*, expected the shape \(40,\)"),
        (lambda x, y: Split(x, y.int()), "labels are int32, expected int64"),
        (lambda x, y: Split(x, y + 5), r"labels are from 5 to 1\d, expected -1 to 8"),
    ],
)
def test_rows_that_are_not_as_declared_are_refused(change, found):
    with pytest.raises(PluginError, match=found) as refused:
        trainer_of(OnePlayer(), dataset=Spoiled(change=change))
    assert refused.value.found.startswith("Spoiled.load, ")
