"""Schedules of numbers: how a learning rate, a penalty's weight or a probability changes while training."""

from abc import abstractmethod
from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.components import Component


@dataclass(frozen=True, kw_only=True)
class NumberSchedule(Component):
    """A factor on a number, as a function of the training's progress.

    Progress is the number of steps taken over `Training.horizon`: 0 in the first step, and 1 or more after the horizon.
    It lies on the device, and so does the factor, so that a step captured as a CUDA graph reads both anew.
    """

    @abstractmethod
    def factor(self, progress: Tensor) -> Tensor:
        """Return what the number is multiplied with, float32 (), at `progress` ()."""


@dataclass(frozen=True, kw_only=True)
class Constant(NumberSchedule):
    """The number itself."""

    name: ClassVar[str] = "constant"

    def factor(self, progress: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(progress)


@dataclass(frozen=True, kw_only=True)
class _Transition(NumberSchedule):
    """A factor that rises to 1 in a warm-up, stays there, and moves to `last` between `start` and `end`."""

    last: float = 0.0
    """The factor from `end` on."""
    start: float = 0.0
    """The share of the training after which the factor leaves 1, in [0, 1)."""
    end: float = 1.0
    """The share of the training after which it is `last`, in (start, 1]."""
    warm_up: float = 0.0
    """The share of the training in which the factor rises from 0 to 1, linearly."""

    def __post_init__(self) -> None:
        if self.last < 0:
            raise ValueError(f"last is {self.last:g}, expected at least 0")
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(f"start is {self.start:g} and end {self.end:g}, expected 0 ≤ start < end ≤ 1")
        if not 0 <= self.warm_up < self.end:
            raise ValueError(f"warm_up is {self.warm_up:g}, expected 0 ≤ warm_up < end, which is {self.end:g}")

    @abstractmethod
    def _share(self, way: Tensor) -> Tensor:
        """Return how much of the change from 1 to `last` is done, in [0, 1], when this share () of the way is."""

    def factor(self, progress: Tensor) -> Tensor:
        """Return the factor of the warm-up times that of the transition."""
        way = ((progress - self.start) / (self.end - self.start)).clamp(0, 1)
        factor = 1 - (1 - self.last) * self._share(way)
        return factor * (progress / self.warm_up).clamp(max=1) if self.warm_up else factor


@dataclass(frozen=True, kw_only=True)
class LinearSchedule(_Transition):
    """A straight line from 1 to `last`."""

    name: ClassVar[str] = "linear"

    def _share(self, way: Tensor) -> Tensor:
        return way


@dataclass(frozen=True, kw_only=True)
class CosineSchedule(_Transition):
    """Half a period of a cosine from 1 to `last`, flat at both ends."""

    name: ClassVar[str] = "cosine"

    def _share(self, way: Tensor) -> Tensor:
        return (1 - (pi * way).cos()) / 2
