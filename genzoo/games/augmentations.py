"""Augmentations: random changes of x, on both sides and with gradients through them, before a critic is shown it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from genzoo.components import Component
from genzoo.errors import SettingsError
from genzoo.games.number_schedules import Constant, NumberSchedule
from genzoo.types import DataSpec


class AugmentationModule(nn.Module, ABC):
    """An augmentation with its state, which a checkpoint keeps in its buffers."""

    @abstractmethod
    def forward(self, x: Tensor, progress: Tensor) -> Tensor:
        """Return `x` (2N, *shape) augmented row by row, at the training's `progress` ()."""

    def observe(self, on_q: Tensor) -> None:
        """Take note of the critic's detached logits (N,) of the data side; by default, nothing changes.

        A module in inference mode must take none.
        """


@dataclass(frozen=True, kw_only=True)
class Augmentation(Component):
    """A way to change x at random, so that a critic cannot learn few data by heart."""

    @abstractmethod
    def module(self, data: DataSpec) -> AugmentationModule:
        """Return the module that augments such data; raise `SettingsError` for data that it cannot."""


Operation = Literal["color", "translation", "cutout"]


@dataclass(frozen=True, kw_only=True)
class DiffAugment(Augmentation):
    """Differentiable augmentation of images in [0, 1] (Zhao et al., 2020).

    `color` adds to the brightness U(−¼, ¼), half of the paper's for data in [−1, 1], and multiplies saturation by
    U(0, 2) and contrast by U(½, 3/2); `translation` shifts by up to ⅛ of each side, with zeros beyond the border;
    `cutout` sets a square of half the side to 0.
    """

    name: ClassVar[str] = "diffaugment"
    operations: tuple[Operation, ...] = ("color", "translation", "cutout")
    probability: float = 1.0
    """Of each operation, for each row."""
    schedule: NumberSchedule = Constant()
    """How the probability changes while training."""
    adaptive: bool = False
    """Whether the probability starts at 0 and follows the critic (Karras et al., 2020), up to `probability`."""
    target: float = 0.6
    """An adaptive probability rises while E sign(s_q) is above this, and else falls."""
    rows_to_one: int = 500_000
    """The rows of data after which an adaptive probability could have risen from 0 to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability:g}, expected 0 ≤ probability ≤ 1")
        if not -1 < self.target < 1:
            raise ValueError(f"target is {self.target:g}, expected −1 < target < 1")
        if self.rows_to_one < 1:
            raise ValueError(f"rows_to_one is {self.rows_to_one}, expected at least 1")
        if self.adaptive and self.schedule != Constant():
            raise ValueError("an adaptive probability has no schedule: set one of the two")

    def module(self, data: DataSpec) -> AugmentationModule:
        """Return the module; it has buffers if `adaptive`."""
        if not data.is_image or data.support != "unit":
            raise SettingsError(
                f"'{self.name}' augments images in [0, 1], and these data are none", "type: --set game.augment=none"
            )
        return _AdaptiveDiffAugment(self) if self.adaptive else _ScheduledDiffAugment(self)


class _DiffAugment(AugmentationModule):
    """The operations in order, each applied to each row with a probability."""

    def __init__(self, settings: DiffAugment) -> None:
        super().__init__()
        self.settings = settings

    @abstractmethod
    def probability(self, progress: Tensor) -> Tensor | None:
        """Return the probability () of every operation; None if it is always 1."""

    def forward(self, x: Tensor, progress: Tensor) -> Tensor:
        """Return `x` (2N, C, H, W), with each operation applied to each row with the probability of now."""
        probability = self.probability(progress)
        for name in self.settings.operations:
            for operation in _OPERATIONS[name]:
                changed = operation(x)
                if probability is not None:
                    chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < probability
                    changed = torch.where(chosen, changed, x)
                x = changed
        return x


class _ScheduledDiffAugment(_DiffAugment):
    """The probability is set, or follows its schedule."""

    def probability(self, progress: Tensor) -> Tensor | None:
        """Return the probability () of every operation; None if it is always 1."""
        highest, schedule = self.settings.probability, self.settings.schedule
        return None if highest == 1 and schedule == Constant() else highest * schedule.factor(progress)


class _AdaptiveDiffAugment(_DiffAugment):
    """The probability changes after every fourth batch by its rows / rows_to_one (Karras et al., 2020, section 3)."""

    reached: Tensor
    signs: Tensor
    batches: Tensor

    def __init__(self, settings: DiffAugment) -> None:
        super().__init__(settings)
        self.register_buffer("reached", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("batches", torch.zeros(()))

    def probability(self, progress: Tensor) -> Tensor:
        """Return the probability () reached, as a copy, because `observe` changes the buffer in place."""
        return self.reached.clone()

    @torch.no_grad()
    def observe(self, on_q: Tensor) -> None:
        """Add the signs of logits (N,) on all ranks; after every fourth batch, move the probability."""
        if not self.training:
            return
        mean, rows = on_q.sign().mean(), len(on_q)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(mean)
            mean, rows = mean / dist.get_world_size(), rows * dist.get_world_size()
        self.signs.add_(mean / _BATCHES_PER_MOVE)
        self.batches.add_(1)
        due = self.batches >= _BATCHES_PER_MOVE
        move = (self.signs - self.settings.target).sign() * (rows * _BATCHES_PER_MOVE / self.settings.rows_to_one)
        self.reached.add_(torch.where(due, move, 0)).clamp_(0, self.settings.probability)
        self.signs.mul_(torch.where(due, 0.0, 1.0))
        self.batches.mul_(torch.where(due, 0.0, 1.0))


def _brightness(x: Tensor) -> Tensor:
    return x + (_uniform(x) - 0.5) / 2


def _saturation(x: Tensor) -> Tensor:
    grey = x.mean(1, keepdim=True)
    return (x - grey) * (2 * _uniform(x)) + grey


def _contrast(x: Tensor) -> Tensor:
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (_uniform(x) + 0.5) + mean


def _translation(x: Tensor) -> Tensor:
    """Return `x` (N, C, H, W) with every row shifted, as two products with matrices that move rows and columns."""
    down, right = (_shifts(len(x), side, device=x.device) for side in x.shape[2:])
    return down.to(x.dtype).unsqueeze(1) @ x @ right.to(x.dtype).unsqueeze(1).mT


def _shifts(rows: int, side: int, *, device: torch.device) -> Tensor:
    """Return (rows, side, side): a matrix of 0 and 1 per row, which shifts a vector by up to ⅛ of its length."""
    farthest = int(side * _FARTHEST + 0.5)
    shift = torch.randint(-farthest, farthest + 1, (rows, 1, 1), device=device)
    places = torch.arange(side, device=device)
    return places.view(-1, 1) - places == shift


def _cutout(x: Tensor) -> Tensor:
    """Return `x` (N, C, H, W) with a square of 0 in every row, whose centre is uniform, also near a border."""
    hidden = [_interval(len(x), side, device=x.device) for side in x.shape[2:]]
    return x * ~(hidden[0].unsqueeze(2) & hidden[1].unsqueeze(1)).unsqueeze(1)


def _interval(rows: int, side: int, *, device: torch.device) -> Tensor:
    """Return (rows, side) bool: the places of an interval of half the side in every row, cut at the borders."""
    length = int(side / 2 + 0.5)
    first = torch.randint(0, side + 1 - length % 2, (rows, 1), device=device) - length // 2
    places = torch.arange(side, device=device)
    return (places >= first) & (places < first + length)


def _uniform(x: Tensor) -> Tensor:
    """Return (N, 1, 1, 1) draws from U(0, 1) for `x` (N, C, H, W)."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)


_OPERATIONS: dict[Operation, tuple[Callable[[Tensor], Tensor], ...]] = {
    "color": (_brightness, _saturation, _contrast),
    "translation": (_translation,),
    "cutout": (_cutout,),
}
_FARTHEST = 1 / 8
_BATCHES_PER_MOVE = 4
