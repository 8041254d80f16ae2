"""Penalties on the slope of a critic: how fast its logit changes with what it is shown.

The slope of a row is ∂s/∂(x, z), the derivative of its logit s by all numbers of x and z that the critic sees; ‖·‖ is
its Euclidean norm. A joint critic is penalised on (x, z) together.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genzoo.components import Component
from genzoo.games.number_schedules import Constant, NumberSchedule
from genzoo.types import Joint, Round


@dataclass(frozen=True, kw_only=True)
class Penalty(Component):
    """A cost of the critic's slopes, added to the critic's loss."""

    weight: float = 1.0
    schedule: NumberSchedule = Constant()
    """How the weight changes while training."""
    every: int = 1
    """The penalty counts in every such step, with so many times its weight (lazy regularisation)."""

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight:g}, expected at least 0")
        if self.every < 1:
            raise ValueError(f"every is {self.every}, expected at least 1")

    def points(self, round: Round) -> Joint | None:
        """Return where slopes are measured, M rows; None: at the 2N rows of `round.shown`."""
        return None

    @abstractmethod
    def cost(self, slopes: Tensor) -> Tensor:
        """Return the cost () of slopes (M, numbers of x and z), without the weight."""

    def weighted(self, slopes: Tensor, progress: Tensor) -> Tensor:
        """Return the cost () with the weight that it has at `progress` ()."""
        cost = self.weight * self.every * self.cost(slopes)
        return cost if self.schedule == Constant() else self.schedule.factor(progress) * cost


@dataclass(frozen=True, kw_only=True)
class ZeroCentred(Penalty):
    """½·(E‖∂s‖² on data + E‖∂s‖² on samples): R1 on the data alone, R1 + R2 on both sides.

    R1 is that of Mescheder et al. (2018, equation 9), and R1 + R2 with a falling weight that of R3GAN (Huang et al.,
    2024).
    """

    name: ClassVar[str] = "zero-centred"
    weight: float = 0.1
    """γ."""
    sides: Literal["both", "data"] = "both"

    def cost(self, slopes: Tensor) -> Tensor:
        """Return half of the mean squared norm on every side that counts."""
        squares = slopes.square().sum(1)
        rows = len(slopes) // 2
        return 0.5 * (squares[:rows].mean() if self.sides == "data" else squares.sum() / rows)


@dataclass(frozen=True, kw_only=True)
class OneCentred(Penalty):
    """E(‖∂s‖ − 1)² at one random point between every row of data and of samples (Gulrajani et al., 2017)."""

    name: ClassVar[str] = "one-centred"
    weight: float = 10.0
    """λ."""

    def points(self, round: Round) -> Joint:
        """Return a random point between each row shown of q and of p; the share is the same for x and z."""
        parts = [part for part in (round.shown.x, round.shown.z) if part is not None]
        share = torch.rand(len(parts[0]) // 2, device=parts[0].device)
        x, z = (None if part is None else _between(part.detach(), share) for part in round.shown[:2])
        return Joint(x=x, z=z, y=round.q.y)

    def cost(self, slopes: Tensor) -> Tensor:
        """Return the mean squared distance of the norms from 1."""
        lengths: Tensor = slopes.norm(dim=1)
        return (lengths - 1).square().mean()


def _between(both: Tensor, share: Tensor) -> Tensor:
    """Return share·q + (1 − share)·p, (N, …), for both sides' rows (2N, …), q first, and shares (N,)."""
    q, p = both.chunk(2)
    share = share.view(-1, *(1 for _ in q.shape[1:]))
    return share * q + (1 - share) * p
