"""Data: where x comes from, and the batches that a step is played with."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genzoo.components import Component
from genzoo.priors import Prior
from genzoo.randomness import generator, number
from genzoo.vocabulary import Batch, DataSpec, Split, Splits


@dataclass(frozen=True, kw_only=True)
class Dataset(Component):
    """A data set; what `spec` says is known before anything is downloaded."""

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """What one x and its labels are."""

    @abstractmethod
    def load(self, root: Path) -> Splits:
        """Return the three splits, from files below `root` where there are any.

        Raise `UnreadableError` saying what is missing and the command that gets it.
        """


def as_input(x: Tensor) -> Tensor:
    """Return stored data as networks see them: float, uint8 images divided by 255."""
    return x.float() / 255 if x.dtype == torch.uint8 else x


def condition(labels: Tensor | None, spec: DataSpec) -> Tensor | None:
    """Return labels (N,) or (N, attributes) as condition vectors y (N, condition_size), one-hot for classes."""
    if labels is None:
        return None
    if labels.ndim == 1:
        return torch.nn.functional.one_hot(labels.long(), spec.condition_size).float()
    return labels.float()


def label_frequencies(labels: Tensor | None, spec: DataSpec) -> list[float] | None:
    """Return how often every class or attribute occurs, in [0, 1]."""
    y = condition(labels, spec)
    return None if y is None else [float(share) for share in y.double().mean(0)]


def draw_conditions(frequencies: list[float], spec: DataSpec, rows: int, source: torch.Generator) -> Tensor:
    """Return (rows, condition_size) y: one class by its frequency, or every attribute by its own."""
    shares = torch.tensor(frequencies, device=source.device)
    if spec.class_names:
        chosen = torch.multinomial(shares, rows, replacement=True, generator=source)
        return torch.nn.functional.one_hot(chosen, len(frequencies)).float()
    return torch.bernoulli(shares.expand(rows, -1), generator=source)


class Stream:
    """The batches of a training run: resident on the device, each a function of (seed, step)."""

    def __init__(
        self,
        split: Split,
        spec: DataSpec,
        *,
        batch_size: int,
        prior: Prior,
        latent: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._x = split.x.to(device)
        self._y = condition(split.labels.to(device), spec) if split.labels is not None else None
        self._batch_size = batch_size
        self._prior = prior
        self._latent = latent
        self._seed = seed
        self._device = device
        self._draws = torch.Generator(device)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)
        self._channels_last = spec.is_image and device.type == "cuda"

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the data, the last partial one included."""
        return -(-len(self._x) // self._batch_size)

    @property
    def smallest_batch(self) -> int:
        """Rows of the smallest batch: the last of every epoch."""
        return len(self._x) - (self.steps_per_epoch - 1) * self._batch_size

    def batch(self, step: int) -> Batch:
        """Return the batch of `step` (counted from 0)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffle("epoch", epoch)
        rows = self._order[position * self._batch_size : (position + 1) * self._batch_size]
        x = as_input(self._x.index_select(0, rows))
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return Batch(
            x=x,
            z=self._prior.draw(len(rows), self._latent, self._at("prior", step)),
            noise=torch.randn(len(rows), self._latent, generator=self._at("noise", step), device=self._device),
            y=None if self._y is None else self._y.index_select(0, rows),
        )

    def first_images(self, count: int) -> Tensor:
        """Return up to `count` training rows, shuffled, as networks see them."""
        return as_input(self._x.index_select(0, self._shuffle("initialise", 0)[:count]))

    def _shuffle(self, stream: str, index: int) -> Tensor:
        source = generator("cpu", self._seed, stream, index)
        return torch.randperm(len(self._x), generator=source).to(self._device, non_blocking=True)

    def _at(self, stream: str, step: int) -> torch.Generator:
        return self._draws.manual_seed(number(self._seed, stream, step))
