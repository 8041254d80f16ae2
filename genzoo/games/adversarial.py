"""Adversarial games: two ways to draw a joint sample, a critic that tells them apart, and both players' losses."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from genzoo.errors import PluginError
from genzoo.games.game import STEPS_ASKED, Game, Gradients, Players
from genzoo.games.objectives import NonSaturating, Objective, Slopes
from genzoo.games.one_backward import one_backward
from genzoo.games.schedules import Schedule, Simultaneous
from genzoo.nn.interfaces import GameNetworks, Networks, at_least_float32
from genzoo.types import Batch, Joint, Losses, Round, Verdict

_LOSS_RULES = ("losses", "critic_loss", "generator_loss", "players", "gradients")


@dataclass(frozen=True, kw_only=True)
class AdversarialGame(Game):
    """Two ways to draw a joint sample, and a critic that tells them apart.

    For a batch of N rows, the critic judges 2N, those of the data side first. One backward pass of the critic serves
    both players unless `per_player_reason` says why it cannot.
    """

    has_own_losses: ClassVar[bool] = False
    """Whether the class overrides losses, players or gradients, and does not leave them to the objective."""

    objective: Objective = NonSaturating()
    schedule: Schedule = Simultaneous()

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        cls.has_own_losses = any(getattr(cls, rule) is not getattr(AdversarialGame, rule) for rule in _LOSS_RULES)

    @abstractmethod
    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw the data side: N rows, each part as in `Joint`."""

    @abstractmethod
    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw the prior side: N rows, with the same parts as the data side."""

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return what the critic minimises, a scalar ()."""
        return self.objective.critic(round.on_q.logits, round.on_p.logits)

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return what the generator minimises, a scalar ()."""
        return self.objective.generator(round.on_q.logits, round.on_p.logits)

    def movers(self, step: int, players: Sequence[str]) -> tuple[str, ...]:
        """Return the players that the schedule lets move."""
        return self.schedule.movers(step, players)

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Play one round and return the losses of the movers; watch the critic's accuracy on both sides."""
        round = self.play(networks, batch)
        rules = {"critic": self.critic_loss, "generator": self.generator_loss}
        return Losses(
            players={name: rules[name](networks, batch, round) for name in movers},
            watch=self.objective.accuracies(round.on_q.logits.detach(), round.on_p.logits.detach()),
        )

    @final
    def play(self, networks: Networks, batch: Batch) -> Round:
        """Draw both sides and let the critic judge them in one call on their concatenation (q rows first).

        `shared_gradients` uses the same draws, verdict and objective, but does not call this method.
        """
        q, p = self.q(networks, batch), self.p(networks, batch)
        shown = _concatenated(q, p)
        verdict = _judge(networks, shown)
        (q_logits, p_logits), (q_features, p_features) = _sides(verdict.logits, batch), _sides(verdict.features, batch)
        return Round(q=q, p=p, shown=shown, on_q=Verdict(q_logits, q_features), on_p=Verdict(p_logits, p_features))

    def per_player_reason(self, networks: Networks) -> str | None:
        """Return why each player of a run needs its own backward pass; None if one pass of the critic serves both."""
        players, critic = tuple(self.players(networks)), networks.critic
        if critic is None:
            return "the game has no critic"
        if self.has_own_losses:
            return "the game has losses, players or gradients of its own"
        if self.objective.slopes(torch.zeros(1), torch.zeros(1)) is None:
            return f"the objective {self.objective.name} has no slopes"
        if critic.couples_rows:
            return "the critic couples rows"
        if critic.outputs != 1:
            return "the critic gives several logits per row"
        if not any(len(self.movers(step, players)) == 2 for step in range(STEPS_ASKED)):
            return "the players take turns"
        return None

    def shared_gradients(self, networks: GameNetworks, batch: Batch, movers: Players) -> tuple[Losses, Gradients]:
        """Return the losses and both movers' gradients from one backward pass of the critic (`one_backward`).

        A player that moves alone has a plain backward pass.
        """
        if len(movers) != 2:
            return self.gradients(networks, batch, movers)
        # Three calls, because `one_backward` needs the gradient at the critic's inputs, and autograd cannot stop inside
        # a compiled or batched call. Shapes: `shown` (2N, …), `logits` (2N,).
        shown = networks.call(self._draw, batch)
        logits = networks.call(_logits, shown)
        losses, slopes = networks.call(self._weigh, batch, logits.detach(), tuple(movers))
        return losses, one_backward(logits, shown, slopes, movers)

    def _draw(self, networks: Networks, batch: Batch) -> Joint:
        """Return both sides concatenated: 2N rows, q rows first."""
        return _concatenated(self.q(networks, batch), self.p(networks, batch))

    def _weigh(
        self, networks: Networks, batch: Batch, logits: Tensor, movers: Collection[str]
    ) -> tuple[Losses, Slopes]:
        """Return the objective's losses () and its slopes (N,) per side at `logits` (2N,)."""
        if logits.ndim != 1:
            raise PluginError(f"a critic with `outputs` 1 gave logits of shape (N, {logits.shape[1]}), expected (N,)")
        on_q, on_p = _sides(logits, batch)
        rules = {"critic": self.objective.critic, "generator": self.objective.generator}
        slopes = self.objective.slopes(on_q, on_p)
        assert slopes is not None  # or else per_player_reason would have said so
        losses = {name: rules[name](on_q, on_p) for name in movers}
        return Losses(losses, self.objective.accuracies(on_q, on_p)), slopes


def _judge(networks: Networks, shown: Joint) -> Verdict:
    """Return the critic's logits (2N,) or (2N, K), as float32 at least, and its features (2N, F)."""
    verdict = networks.judge(shown)
    return Verdict(at_least_float32(verdict.logits), verdict.features)


def _logits(networks: Networks, shown: Joint) -> Tensor:
    """Return the critic's logits (2N,)."""
    return _judge(networks, shown).logits


def _sides(both: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the data side's rows (N, …) and the prior side's (N, …) of a tensor (2N, …)."""
    rows = len(batch.x)
    return both[:rows], both[rows:]


def _concatenated(q: Joint, p: Joint) -> Joint:
    """Return a joint sample of 2N rows from two of N."""
    return Joint(*(_rows_of_both(left, right) for left, right in zip(q, p, strict=True)))


def _rows_of_both(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    if left is None or right is None:
        if left is not right:
            raise ValueError("both sides of a game must show the critic the same parts")
        return None
    return torch.cat([left, right])
