"""Fields: networks that give a velocity at a point x and a time t, for vectors and for images."""

from abc import ABC, abstractmethod
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from genzoo.nn.interfaces import keeps_start, row_wise
from genzoo.types import DataSpec

_TIME_FEATURES = 32
_HIGHEST_RATE = 100.0
"""Radians per unit of time of the fastest time feature; the slowest has 1."""
_LEAST_SIDE = 4
_MOST_HALVINGS = 3


class Field(nn.Module, ABC):
    """A velocity at every point x and time t; it keeps the weights that it is built with, whatever `init_std` is."""

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the velocity (N, *shape) at `x` (N, *shape) and `t` (N,) in [0, 1]; `y` is the embedded condition."""


@keeps_start
@row_wise
class DenseField(Field):
    """A fully connected field of residual blocks, which reads x as a vector; its first output is 0 everywhere."""

    def __init__(self, data: DataSpec, *, width: int = 256, blocks: int = 3, condition: int = 0) -> None:
        super().__init__()
        numbers = prod(data.shape)
        self.first = nn.Linear(numbers + _TIME_FEATURES + condition, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.last = nn.Sequential(nn.SiLU(), _from_zero(nn.Linear(width, numbers)))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the velocity (N, *shape) at `x` (N, *shape), `t` (N,) and the embedded `y` (N, condition) or None."""
        h = self.first(torch.cat([x.flatten(1), _given(t, y)], dim=1))
        for block in self.blocks:
            h = h + block(h)
        velocity: Tensor = self.last(h).view_as(x)
        return velocity


@keeps_start
@row_wise
class UNetField(Field):
    """A small U-Net for images: residual blocks at up to four sizes, each of which reads the time.

    Sides are halved while they are even and 4 at least remains, three times at most. Its first output is 0 everywhere.
    """

    def __init__(self, data: DataSpec, *, width: int = 32, condition: int = 0) -> None:
        """Take `width` maps, a multiple of 8, at full size, twice as many at the next, and four times further in."""
        super().__init__()
        maps, height, side = data.shape
        given = _TIME_FEATURES + condition
        widths = [width * min(2**level, 4) for level in range(_halvings(height, side) + 1)]
        pairs = list(pairwise(widths))
        self.first = nn.Conv2d(maps, width, 3, padding=1)
        self.down = nn.ModuleList(_Block(fine, fine, given=given) for fine, _ in pairs)
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.middle = _Block(widths[-1], widths[-1], given=given)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.up = nn.ModuleList(_Block(2 * fine, fine, given=given) for fine, _ in pairs)
        self.last = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), _from_zero(nn.Conv2d(width, maps, 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the velocity (N, *shape) at `x` (N, *shape), `t` (N,) and the embedded `y` (N, condition) or None."""
        given, h, skipped = _given(t, y), self.first(x), []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skipped.append(block(h, given))
            h = shrink(skipped[-1])
        h = self.middle(h, given)
        for block, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            h = block(torch.cat([grow(h), skipped.pop()], dim=1), given)
        velocity: Tensor = self.last(h)
        return velocity


@row_wise
class _Block(nn.Module):
    """Two convolutions with group norm beside a way round them; what is `given` moves the maps between the two."""

    def __init__(self, inputs: int, outputs: int, *, given: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.shift = nn.Linear(given, outputs)
        self.second = nn.Sequential(nn.GroupNorm(8, outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.around = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        """Return (N, outputs, height, width) for `x` (N, inputs, height, width) and `given` (N, numbers)."""
        h = self.first(x) + self.shift(given)[:, :, None, None]
        out: Tensor = self.around(x) + self.second(h)
        return out


def _given(t: Tensor, y: Tensor | None) -> Tensor:
    """Return sines and cosines of the time (N,), joined with y (N, condition), as (N, numbers)."""
    rates = _HIGHEST_RATE ** torch.linspace(0, 1, _TIME_FEATURES // 2, device=t.device, dtype=t.dtype)
    angles = t[:, None] * rates
    return torch.cat([angles.sin(), angles.cos(), *([] if y is None else [y])], dim=1)


def _halvings(*sides: int) -> int:
    """Return how often all sides can be halved."""
    count = 0
    while count < _MOST_HALVINGS and all(
        side % 2 ** (count + 1) == 0 and side >> (count + 1) >= _LEAST_SIDE for side in sides
    ):
        count += 1
    return count


def _from_zero(linear: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """Return the map with weights and bias of 0."""
    nn.init.zeros_(linear.weight)
    assert linear.bias is not None
    nn.init.zeros_(linear.bias)
    return linear
