"""Games: the rules by which networks are trained, one loss per player."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torch.nn import Parameter

from genzoo.components import Component
from genzoo.errors import PluginError
from genzoo.games.objectives import NonSaturating, Objective, Slopes
from genzoo.games.schedules import Schedule, Simultaneous
from genzoo.nn.architecture import Architecture
from genzoo.nn.interfaces import Networks, at_least_float32
from genzoo.types import Batch, DataSpec, Joint, Losses, Round, Verdict

Players = dict[str, list[Parameter]]
Gradients = dict[str, tuple[Tensor, ...]]


@dataclass(frozen=True, kw_only=True)
class Game(Component):
    """A generative model as rules: which networks, who plays, and what each player minimises."""

    inherits: ClassVar[tuple[str, ...]] = ()
    """Networks taken from the run given as `--from`, frozen and kept in inference mode."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings this game needs unless told otherwise, by path: `{"training.beta1": 0.0}`."""

    @abstractmethod
    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return the networks that the game is played with."""

    @abstractmethod
    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return one scalar loss per mover, all from the same forward pass."""

    def players(self, networks: Networks) -> Players:
        """Return the parameters of every player: the critic, and the generator with all other trainable ones."""
        critic = [] if networks.critic is None else _trainable(networks.critic)
        taken = {id(parameter) for parameter in critic}
        others = [parameter for parameter in _trainable(networks) if id(parameter) not in taken]
        return {name: found for name, found in (("critic", critic), ("generator", others)) if found}

    def movers(self, step: int, players: Sequence[str]) -> tuple[str, ...]:
        """Return the players that move in `step` (counted from 0)."""
        return tuple(players)

    def gradients(self, networks: Networks, batch: Batch, movers: Players) -> tuple[Losses, Gradients]:
        """Return the losses and every mover's gradient at the present parameters.

        The seam for exact ways that are faster than one `autograd.grad` per mover. Whatever reads the networks goes
        through `networks.call`, which may compile it, or apply it to many replicas at once.
        """
        losses = networks.call(self.losses, batch, tuple(movers))
        if not isinstance(losses, Losses):
            raise PluginError(f"{self.name}.losses returned a {type(losses).__name__}, expected genzoo.Losses")
        return losses, one_by_one(losses, movers)


@dataclass(frozen=True, kw_only=True)
class AdversarialGame(Game):
    """Two ways to draw a joint sample, and a critic that tells them apart."""

    objective: Objective = NonSaturating()
    schedule: Schedule = Simultaneous()

    @abstractmethod
    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw the data side."""

    @abstractmethod
    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw the prior side."""

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return what the critic minimises."""
        return self.objective.critic(round.on_q.logits, round.on_p.logits)

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return what the generator minimises."""
        return self.objective.generator(round.on_q.logits, round.on_p.logits)

    def movers(self, step: int, players: Sequence[str]) -> tuple[str, ...]:
        """Return the players that the schedule lets move."""
        return self.schedule.movers(step, players)

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Play one round and return the losses of the movers; watch the critic's accuracy on both sides."""
        return self._settle(networks, batch, self.play(networks, batch), movers)

    def gradients(self, networks: Networks, batch: Batch, movers: Players) -> tuple[Losses, Gradients]:
        """Return the losses and every mover's gradient, from a single backward pass of the critic where that is exact.

        A critic that does not couple rows turns the slope of a loss by a row's logit into the gradient by that row's
        inputs, linearly. So the generator's gradient at the critic's inputs is the critic's own, row by row times the
        ratio of the two slopes, where the objective has one.
        """
        if not self._one_backward_may_serve(networks, movers):
            return super().gradients(networks, batch, movers)
        shown = networks.call(self._show, batch)
        logits = networks.call(_judge, shown)
        losses, slopes = networks.call(self._weigh, logits, tuple(movers))
        if slopes is None:
            return losses, one_by_one(losses, movers)
        inputs = [part for part in shown if part is not None and part.requires_grad]
        critic = movers["critic"]
        found = torch.autograd.grad(logits, [*critic, *inputs], torch.cat(slopes.critic, -1))
        ratio = torch.cat(slopes.ratio, -1)
        at_inputs = [
            (part * ratio.view(*ratio.shape, *(1 for _ in part.shape[ratio.ndim :]))).to(part.dtype)
            for part in found[len(critic) :]
        ]
        generator = torch.autograd.grad(inputs, movers["generator"], at_inputs)
        return losses, {"critic": found[: len(critic)], "generator": generator}

    @final
    def play(self, networks: Networks, batch: Batch) -> Round:
        """Draw both sides and let the critic judge them in one call on their concatenation (q rows first)."""
        q, p = self.q(networks, batch), self.p(networks, batch)
        shown = _both(q, p)
        verdict = networks.judge(shown)
        logits, features = at_least_float32(verdict.logits), verdict.features
        rows = len(batch.x)
        on_q, on_p = Verdict(logits[:rows], features[:rows]), Verdict(logits[rows:], features[rows:])
        return Round(q=q, p=p, shown=shown, on_q=on_q, on_p=on_p)

    def _settle(self, networks: Networks, batch: Batch, round: Round, movers: Collection[str]) -> Losses:
        rules = {"critic": self.critic_loss, "generator": self.generator_loss}
        return Losses(
            players={name: rules[name](networks, batch, round) for name in movers},
            watch=_accuracies(round.on_q.logits, round.on_p.logits),
        )

    def _show(self, networks: Networks, batch: Batch) -> Joint:
        """Return both sides in one, q rows first."""
        return _both(self.q(networks, batch), self.p(networks, batch))

    def _weigh(self, networks: Networks, logits: Tensor, movers: Collection[str]) -> tuple[Losses, Slopes | None]:
        """Return the objective's losses at one logit per row of `_show`, and their slopes where they have a ratio."""
        on_q, on_p = logits.detach().chunk(2)
        rules = {"critic": self.objective.critic, "generator": self.objective.generator}
        losses = Losses({name: rules[name](*logits.chunk(2)) for name in movers}, _accuracies(on_q, on_p))
        return losses, self.objective.slopes(on_q, on_p) if logits.ndim == 1 else None

    def _one_backward_may_serve(self, networks: Networks, movers: Players) -> bool:
        own_rules = all(getattr(type(self), name) is getattr(AdversarialGame, name) for name in _RULES)
        has_slopes = type(self.objective).slopes is not Objective.slopes
        critic = networks.critic
        return own_rules and has_slopes and len(movers) == 2 and critic is not None and not critic.couples_rows


_RULES = ("losses", "critic_loss", "generator_loss", "players")


def one_by_one(losses: Losses, movers: Players) -> Gradients:
    """Return every mover's gradient of its own loss, with a backward pass each."""
    last = list(movers)[-1]
    return {
        name: torch.autograd.grad(
            losses.players[name], parameters, torch.ones_like(losses.players[name]), retain_graph=name != last
        )
        for name, parameters in movers.items()
    }


def _judge(networks: Networks, shown: Joint) -> Tensor:
    return at_least_float32(networks.judge(shown).logits)


def _accuracies(on_q: Tensor, on_p: Tensor) -> dict[str, Tensor]:
    return {
        "data_accuracy": on_q.detach().sigmoid().mean(),
        "sample_accuracy": on_p.detach().neg().sigmoid().mean(),
    }


def _both(q: Joint, p: Joint) -> Joint:
    return Joint(*(_stack(left, right) for left, right in zip(q, p, strict=True)))


def _stack(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    if left is None or right is None:
        if left is not right:
            raise ValueError("both sides of a game must show the critic the same parts")
        return None
    return torch.cat([left, right])


def _trainable(module: torch.nn.Module) -> list[Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
