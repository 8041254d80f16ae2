"""Adversarial games: two ways to draw a joint sample, a critic that tells them apart, and both players' losses."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from genzoo.errors import PluginError, SettingsError
from genzoo.games.augmentations import Augmentation, AugmentationModule
from genzoo.games.game import STEPS_ASKED, Game, Gradients, Players, per_player
from genzoo.games.objectives import NonSaturating, Objective, Slopes
from genzoo.games.one_backward import one_backward
from genzoo.games.penalties import Penalty
from genzoo.games.schedules import Schedule, Simultaneous
from genzoo.nn.interfaces import GameNetworks, Networks, at_least_float32
from genzoo.types import Batch, DataSpec, Joint, Losses, Round, Verdict

_LOSS_RULES = ("losses", "critic_loss", "generator_loss", "evidence", "accuracies", "players", "gradients")


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
    penalty: Penalty | None = None
    """A cost of the critic's slopes, added to its loss."""
    augment: Augmentation | None = None
    """How x is changed on both sides before the critic is shown it."""

    def __post_init__(self) -> None:
        if self.penalty is None:
            return
        if self._overrides("losses", "gradients"):
            raise SettingsError(
                f"{self.name} has losses or gradients of its own and takes no penalty",
                "leave it out; its author can override critic_loss in their place, or add a penalty in losses",
            )
        every = self.penalty.every
        if every > 1 and any("critic" not in self._movers_of(step) for step in range(0, STEPS_ASKED, every)):
            raise ValueError(f"penalty.every is {every}, and the critic stands still in some of these steps")

    def leaves_open(self, name: str) -> bool:
        """Return whether a recipe may choose the field, as in `Game`; none if the class overrides losses or gradients.

        Of a class that overrides `critic_loss` or `generator_loss` alone a recipe chooses as of any other: its penalty
        is added to what `critic_loss` returns, and its objective is what these methods read as `self.objective`.
        """
        return not self._overrides("losses", "gradients") and super().leaves_open(name)

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        cls.has_own_losses = cls._overrides(*_LOSS_RULES)

    @classmethod
    def _overrides(cls, *methods: str) -> bool:
        return any(getattr(cls, method) is not getattr(AdversarialGame, method) for method in methods)

    @property
    def scores(self) -> int:
        """How many logits of a row are scores of their own: the sum of their losses counts; 1: the mean over logits."""
        return 1

    @abstractmethod
    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw the data side: N rows, each part as in `Joint`."""

    @abstractmethod
    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw the prior side: N rows, with the same parts as the data side."""

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return what the critic minimises, a scalar ()."""
        return self._of_scores(self.objective.critic(self.evidence(round.on_q), self.evidence(round.on_p)))

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return what the generator minimises, a scalar (): the objective's loss and the `generator_cost`."""
        loss = self._of_scores(self.objective.generator(self.evidence(round.on_q), self.evidence(round.on_p)))
        cost = self.generator_cost(networks, batch, round.q, round.p)
        return loss if cost is None else loss + cost

    def generator_cost(self, networks: Networks, batch: Batch, q: Joint, p: Joint) -> Tensor | None:
        """Return a cost () of both sides that the generator minimises beside what the critic tells it; None: none.

        It reads q and p as they were drawn, before any augmentation, and must not ask the critic.
        """
        return None

    def evidence(self, verdict: Verdict) -> Tensor:
        """Return what the objective takes for the critic's logit: by default, the logits (N,) or (N, K) themselves.

        For a critic with K class logits and a further class of fixed logit 0, it is their logsumexp (N,).
        """
        return verdict.logits

    def accuracies(self, round: Round) -> dict[str, Tensor]:
        """Return the critic's accuracies in a round as scalars () by name, or nothing if it has none.

        By default, they are those of the objective (`Objective.accuracies`) at the evidence.
        """
        return self.objective.accuracies(self.evidence(round.on_q).detach(), self.evidence(round.on_p).detach())

    def watch(self, networks: Networks, batch: Batch, round: Round) -> dict[str, Tensor]:
        """Return further scalars () for the log by name; by default, none.

        No gradient is taken of them. It must draw nothing, and not have batch norms read rows again.
        """
        return {}

    def movers(self, step: int, players: Sequence[str]) -> tuple[str, ...]:
        """Return the players that the schedule lets move."""
        return self.schedule.movers(step, players)

    def due(self, step: int) -> tuple[str, ...]:
        """Return `penalty` in the steps in which the penalty counts."""
        return ("penalty",) if self.penalty is not None and step % self.penalty.every == 0 else ()

    def extend(self, networks: Networks, data: DataSpec) -> None:
        """Add the augmentation's module as `augmentation`."""
        if self.augment is not None:
            networks.add_module("augmentation", self.augment.module(data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Play one round and return the losses of the movers, without a penalty, and what is watched of it."""
        return self._losses_of(networks, batch, self.play(networks, batch), movers)

    @final
    def play(self, networks: Networks, batch: Batch) -> Round:
        """Draw both sides and let the critic judge them in one call on their concatenation (q rows first).

        `shared_gradients` uses the same draws, verdict and objective, but does not call this method.
        """
        sides = self._draw_sides(networks, batch)
        return self._judged(networks, batch, *sides)

    def gradients(self, networks: GameNetworks, batch: Batch, movers: Players) -> tuple[Losses, Gradients]:
        """Return the losses and every mover's gradient from a backward pass per mover; the penalty's are the critic's.

        The critic's slopes need gradients at what it is shown, and autograd cannot stop inside a batched call, so a
        step with a penalty has several.
        """
        if self.penalty is None or "penalty" not in batch.due or "critic" not in movers:
            return super().gradients(networks, batch, movers)
        q, p, shown = networks.call(self._draw_sides, batch)
        round = networks.call(self._judged, batch, q, p, _with_gradient(shown))
        losses = networks.call(self._losses_of, batch, round, tuple(movers))
        logits, others = networks.call(self._points, round)
        points = round.shown if others is None else _with_gradient(others)
        if others is not None:
            logits = networks.call(self._evidence_at, points)
        inputs = [part for part in points[:2] if part is not None]
        slopes = torch.autograd.grad(logits.sum(), inputs, create_graph=True, allow_unused=True)
        cost = networks.call(self._cost, batch, *(slope for slope in slopes if slope is not None))
        losses.players["critic"] = losses.players["critic"] + cost
        losses.watch["penalty"] = cost.detach()
        return losses, per_player(losses, movers)

    def per_player_reason(self, networks: Networks) -> str | None:
        """Return why each player of a run needs its own backward pass; None if one pass of the critic serves both."""
        players, critic = tuple(self.players(networks)), networks.critic
        if critic is None:
            return "the game has no critic"
        if self.penalty is not None:
            return "the game has a penalty"
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
        # a batched call. Shapes: `shown` (2N, …), `logits` (2N,).
        q, p, shown, cost = networks.call(self._draw, batch)
        verdict = networks.call(_judge, shown)
        losses, slopes = networks.call(self._weigh, batch, verdict.logits.detach(), tuple(movers))
        if cost is not None:
            losses.players["generator"] = losses.players["generator"] + cost.detach()
        if self._overrides("watch"):
            losses.watch.update(networks.call(self._watched_of_sides, batch, q, p, shown, verdict))
        return losses, one_backward(verdict.logits, shown, slopes, movers, generator_cost=cost)

    def _of_scores(self, loss: Tensor) -> Tensor:
        """Return the sum of the scores' losses, from their mean ()."""
        return loss if self.scores == 1 else self.scores * loss

    def _movers_of(self, step: int) -> tuple[str, ...]:
        return self.movers(step, ("critic", "generator"))

    def _draw_sides(self, networks: Networks, batch: Batch) -> tuple[Joint, Joint, Joint]:
        """Return q and p, N rows each, and both as the critic is shown them: 2N rows, q rows first, x augmented."""
        q, p = self.q(networks, batch), self.p(networks, batch)
        shown = _concatenated(q, p)
        if self.augment is not None and shown.x is not None:
            assert batch.progress is not None
            augmentation = networks.part("augmentation", AugmentationModule)
            shown = shown._replace(x=augmentation(shown.x, batch.progress))
        return q, p, shown

    def _draw(self, networks: Networks, batch: Batch) -> tuple[Joint, Joint, Joint, Tensor | None]:
        """Return what `_draw_sides` does, and the `generator_cost` of both sides."""
        q, p, shown = self._draw_sides(networks, batch)
        return q, p, shown, self.generator_cost(networks, batch, q, p)

    def _judged(self, networks: Networks, batch: Batch, q: Joint, p: Joint, shown: Joint) -> Round:
        """Return the round of both sides with the critic's verdict on what it is shown (2N rows)."""
        return _round(batch, q, p, shown, _judge(networks, shown))

    def _watched(self, networks: Networks, batch: Batch, round: Round) -> dict[str, Tensor]:
        with torch.no_grad():
            return self.watch(networks, batch, round)

    def _watched_of_sides(
        self, networks: Networks, batch: Batch, q: Joint, p: Joint, shown: Joint, verdict: Verdict
    ) -> dict[str, Tensor]:
        return self._watched(networks, batch, _round(batch, q, p, shown, verdict))

    def _losses_of(self, networks: Networks, batch: Batch, round: Round, movers: Collection[str]) -> Losses:
        """Return the losses of the movers in a round, and what is watched: the critic's accuracies, and `watch`."""
        rules = {"critic": self.critic_loss, "generator": self.generator_loss}
        if self.augment is not None and "critic" in movers:
            networks.part("augmentation", AugmentationModule).observe(self.evidence(round.on_q).detach())
        return Losses(
            players={name: rules[name](networks, batch, round) for name in movers},
            watch={**self.accuracies(round), **self._watched(networks, batch, round)},
        )

    def _points(self, networks: Networks, round: Round) -> tuple[Tensor, Joint | None]:
        """Return the evidence of the round, (2N,) or (2N, K), and the penalty's points."""
        assert self.penalty is not None
        return torch.cat([self.evidence(round.on_q), self.evidence(round.on_p)]), self.penalty.points(round)

    def _evidence_at(self, networks: Networks, points: Joint) -> Tensor:
        return self.evidence(_judge(networks, points))

    def _cost(self, networks: Networks, batch: Batch, *slopes: Tensor) -> Tensor:
        """Return the penalty's cost () for the slopes (M, …) by x and by z, as far as the critic sees them."""
        assert self.penalty is not None
        assert batch.progress is not None
        joined = torch.cat([at_least_float32(slope).flatten(1) for slope in slopes], dim=1)
        return self.penalty.weighted(joined, batch.progress)

    def _weigh(
        self, networks: Networks, batch: Batch, logits: Tensor, movers: Collection[str]
    ) -> tuple[Losses, Slopes]:
        """Return the objective's losses () and its slopes (N,) per side at `logits` (2N,)."""
        if logits.ndim != 1:
            raise PluginError(
                f"a critic with `outputs` 1 gave logits of shape (N, {logits.shape[1]}), expected (N,)",
                "have the critic say how many it gives, or give its logits without that axis",
            )
        on_q, on_p = _sides(logits, batch)
        rules = {"critic": self.objective.critic, "generator": self.objective.generator}
        slopes = self.objective.slopes(on_q, on_p)
        assert slopes is not None  # or else per_player_reason would have said so
        losses = {name: rules[name](on_q, on_p) for name in movers}
        if self.augment is not None:
            networks.part("augmentation", AugmentationModule).observe(on_q)
        return Losses(losses, self.objective.accuracies(on_q, on_p)), slopes


def _with_gradient(shown: Joint) -> Joint:
    """Return the joint samples with an x and a z for which autograd gives gradients, whatever they come from."""
    x, z = (part if part is None or part.requires_grad else part.requires_grad_() for part in shown[:2])
    return shown._replace(x=x, z=z)


def _judge(networks: Networks, shown: Joint) -> Verdict:
    """Return the critic's logits (2N,) or (2N, K), as float32 at least, and its features (2N, F)."""
    verdict = networks.judge(shown)
    return Verdict(at_least_float32(verdict.logits), verdict.features)


def _round(batch: Batch, q: Joint, p: Joint, shown: Joint, verdict: Verdict) -> Round:
    """Return the round of both sides with the verdict on what the critic is shown of them (2N rows)."""
    (q_logits, p_logits), (q_features, p_features) = _sides(verdict.logits, batch), _sides(verdict.features, batch)
    return Round(q=q, p=p, shown=shown, on_q=Verdict(q_logits, q_features), on_p=Verdict(p_logits, p_features))


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
