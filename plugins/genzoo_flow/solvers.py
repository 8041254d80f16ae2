"""Solvers of ordinary differential equations, from one time to another, for many rows at once."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.components import Component

Velocity = Callable[[Tensor, Tensor], Tensor]
"""The derivative (N, …) of x (N, …) by time, at x and times (N,)."""


@dataclass(frozen=True, kw_only=True)
class Solver(Component):
    """A way to solve dx/dt = v(x, t)."""

    @property
    @abstractmethod
    def evaluations(self) -> int | None:
        """How often `integrate` asks for the velocity; None where that depends on x."""

    @abstractmethod
    def integrate(self, velocity: Velocity, x: Tensor, *, start: float, end: float) -> Tensor:
        """Return where `x` (N, …) of the time `start` is at the time `end`, which may be earlier."""


@dataclass(frozen=True, kw_only=True)
class Heun(Solver):
    """Heun's method: equal steps along the mean of the velocities at both ends of each; its error falls as steps⁻²."""

    name: ClassVar[str] = "heun"
    steps: int = 50

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, expected at least 1")

    @property
    def evaluations(self) -> int:
        """Two per step."""
        return 2 * self.steps

    def integrate(self, velocity: Velocity, x: Tensor, *, start: float, end: float) -> Tensor:
        """Return where `x` (N, …) of the time `start` is at the time `end`."""
        size = (end - start) / self.steps
        for number in range(self.steps):
            t = x.new_full((x.shape[0],), start + number * size)
            here = velocity(x, t)
            there = velocity(x + size * here, t + size)
            x = x + size * (here + there) / 2
        return x


@dataclass(frozen=True, kw_only=True)
class Adaptive(Solver):
    """Bogacki and Shampine's pair of orders 3 and 2 (1989), whose difference decides the length of every row's steps.

    Rows have steps of their own, so that an x does not depend on what it is computed with.
    """

    name: ClassVar[str] = "adaptive"
    tolerance: float = 1e-3
    """Of the error of a step, as the root mean square over the numbers of x, each over 1 + its size."""
    shortest: float = 1e-3
    """The length of steps that are taken whatever their error."""

    def __post_init__(self) -> None:
        if not (self.tolerance > 0 and 0 < self.shortest <= 1):
            raise ValueError("expected a tolerance above 0, and shortest above 0 and at most 1")

    @property
    def evaluations(self) -> None:
        """It depends on x: three per step, and one at the start."""
        return

    def integrate(self, velocity: Velocity, x: Tensor, *, start: float, end: float) -> Tensor:
        """Return where `x` (N, …) of the time `start` is at the time `end`."""
        sign, span = (1 if end > start else -1), abs(end - start)
        done = x.new_zeros(x.shape[0])  # the time that is behind each row
        size = torch.full_like(done, span / 10)
        slope = velocity(x, start + sign * done)
        while bool((done < span).any()):
            size = torch.minimum(size, span - done)
            ahead, slope_ahead, error = self._step(velocity, x, slope, start + sign * done, sign * size)
            taken = (error <= 1) | (size <= self.shortest)
            x, slope = (torch.where(_like(taken, x), new, old) for new, old in ((ahead, x), (slope_ahead, slope)))
            # What is left after the last step is exactly nothing, where a sum could leave a rounding error.
            done = torch.where(taken, torch.where(size >= span - done, span, done + size), done)
            size = (size * (0.9 * error.clamp(min=1e-6) ** (-1 / 3)).clamp(0.2, 5)).clamp(min=self.shortest)
        return x

    def _step(
        self, velocity: Velocity, x: Tensor, slope: Tensor, t: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return x and the velocity (N, …) after a step, and its error over the tolerance (N,)."""
        h = _like(size, x)
        second = velocity(x + h / 2 * slope, t + size / 2)
        third = velocity(x + 3 / 4 * h * second, t + 3 / 4 * size)
        ahead = x + h * (2 * slope + 3 * second + 4 * third) / 9
        last = velocity(ahead, t + size)
        away = h * (-5 * slope + 6 * second + 8 * third - 9 * last) / 72
        scaled = away / (1 + torch.maximum(x.abs(), ahead.abs()))
        error = scaled.flatten(1).square().mean(1).sqrt() / self.tolerance
        return ahead, last, error.nan_to_num(nan=torch.inf)


def _like(numbers: Tensor, x: Tensor) -> Tensor:
    """Return numbers (N,) as (N, 1, …), to broadcast over x (N, …)."""
    return numbers.view(-1, *(1 for _ in x.shape[1:]))
