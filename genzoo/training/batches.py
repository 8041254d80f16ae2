"""Batches: the rows, prior draws and noise of every step, each a function of (seed, step).

N is the number of rows of a batch that this rank reads.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from genzoo.data.dataset import as_input
from genzoo.data.labels import condition
from genzoo.errors import SettingsError
from genzoo.games.priors import Prior
from genzoo.randomness import generator, number
from genzoo.training.distributed import Ranks, SingleProcess
from genzoo.types import Batch, DataSpec, Draw, Split


class Stream:
    """The batches of a training run, each a function of (seed, step).

    The data stay on the device if they fit there, and are else read ahead of the step.
    """

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
        ranks: Ranks | None = None,
        channels_last: bool = False,
        ahead: bool | None = None,
        few_labels: bool = False,
        labelled_rows: int = 0,
        draws: Mapping[str, Draw] | None = None,
    ) -> None:
        """With `few_labels`, a label of −1 is hidden, and batches say which rows are labelled.

        Then `labelled_rows` rows of every batch are drawn from those with a label; 0 takes rows as they fall.
        `draws` are what the game declares.
        """
        self._ranks = ranks or SingleProcess()
        self._few_labels, self._labelled_rows = few_labels, labelled_rows
        self._check_labelled_rows(batch_size)
        self.order = EpochOrder(len(split.x), batch_size=batch_size - labelled_rows, seed=seed, ranks=self._ranks)
        labelled = None
        if labelled_rows:
            assert split.labels is not None
            labelled = LabelledOrder(split.labels, batch_size=labelled_rows, seed=seed, ranks=self._ranks)
        read_ahead = not _fits(split, device) if ahead is None else ahead
        numbers = RowNumbers(self.order, torch.device("cpu") if read_ahead else device, labelled=labelled)
        self._rows = RowsAhead(split, numbers, device) if read_ahead else RowsOnDevice(split, numbers, device)
        self.split = split
        self._spec = spec
        self._prior = prior
        self._latent = latent
        self._seed = seed
        self._device = device
        self._declared = draws or {}
        self._generator = torch.Generator(device)
        self.channels_last = spec.is_image and channels_last
        prior.draw(1, latent, self._at("prior", 0))  # refuses a size that it does not have before a run folder is made

    @property
    def smallest_batch(self) -> int:
        """The number of rows in the smallest batch, the last of every epoch."""
        last = self.order.rows - (self.order.steps_per_epoch - 1) * self.order.batch_size
        return self._labelled_rows + min(self.order.batch_size, last)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step` (counted from 0)."""
        stored, labels, numbers = self._rows.take(step)
        if labels is not None and self._labelled_rows:
            labels[self._labelled_rows // self._ranks.size :] = -1
        x = as_input(stored)
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        rows = len(x) * self._ranks.size
        noise = torch.randn(rows, self._latent, generator=self._at("noise", step), device=self._device)
        return Batch(
            x=x,
            z=self._of_this_rank(self._prior.draw(rows, self._latent, self._at("prior", step))),
            noise=self._of_this_rank(noise),
            y=condition(labels, self._spec),
            labelled=labels >= 0 if labels is not None and self._few_labels else None,
            labelled_rows=self._labelled_rows // self._ranks.size,
            rows=numbers,
            draws={name: self._drawn(name, draw, rows, step) for name, draw in self._declared.items()},
        )

    def first_images(self, count: int) -> Tensor:
        """Return up to `count` shuffled training rows (count, *shape), as networks see them, on the host."""
        shuffled = torch.randperm(self.order.rows, generator=generator("cpu", self._seed, "initialise", 0))
        return as_input(self.split.x.index_select(0, shuffled[:count]))

    def _drawn(self, name: str, draw: Draw, rows: int, step: int) -> Tensor:
        """Return this rank's part of a declared draw, of as many rows as the batch of all ranks."""
        shapes = {"latent": (self._latent,), "x": self._spec.shape}
        shape = shapes[draw.shape] if isinstance(draw.shape, str) else draw.shape
        rule, source = torch.rand if draw.distribution == "uniform" else torch.randn, self._at(f"draw {name}", step)
        drawn = rule(draw.rows or rows, *shape, generator=source, device=self._device)
        return drawn if draw.rows else self._of_this_rank(drawn)

    def _of_this_rank(self, drawn: Tensor) -> Tensor:
        """Return this rank's rows of a draw for all ranks: its part of the labelled rows, then of the others."""
        if not self._labelled_rows:
            return drawn[self._ranks.local_rows(len(drawn))]
        parts = drawn[: self._labelled_rows], drawn[self._labelled_rows :]
        return torch.cat([part[self._ranks.local_rows(len(part))] for part in parts])

    def _check_labelled_rows(self, batch_size: int) -> None:
        rows, ranks = self._labelled_rows, self._ranks.size
        if not rows:
            return
        found = f"training.labelled_rows is {rows}"
        if not self._few_labels:
            raise SettingsError(f"{found}, and training.labels is none", "say how many: --set training.labels=…")
        if rows >= batch_size:
            raise SettingsError(
                f"{found}, expected fewer than training.batch_size, {batch_size}",
                "choose a smaller one: --set training.labelled_rows=…",
            )
        if rows % ranks:
            raise SettingsError(f"{found}, which cannot be divided evenly among {ranks} ranks", "choose a multiple")

    def _at(self, stream: str, step: int) -> torch.Generator:
        return self._generator.manual_seed(number(self._seed, stream, step))


class EpochOrder:
    """Which rows belong to a step: a permutation per epoch.

    The last partial batch of an epoch is used by a single process, and dropped by several ranks.
    """

    def __init__(self, rows: int, *, batch_size: int, seed: int, ranks: Ranks | None = None) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self._seed = seed
        self._ranks = ranks or SingleProcess()
        if self._ranks.size > 1 and (batch_size % self._ranks.size or batch_size > rows):
            raise SettingsError(
                f"training.batch_size is the batch of all {self._ranks.size} ranks: {batch_size} rows of {rows:,} "
                "cannot be divided evenly among them",
                "choose a multiple of the number of ranks: --set training.batch_size=…",
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the data."""
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + bool(rest and self._ranks.size == 1)

    def epoch(self, number: int) -> Tensor:
        """Return the row numbers (rows,) in the order of an epoch, on the host."""
        return torch.randperm(self.rows, generator=generator("cpu", self._seed, "epoch", number))

    def place(self, step: int) -> tuple[int, slice]:
        """Return the epoch of a step, and the positions within it of this rank's rows."""
        epoch, position = divmod(step, self.steps_per_epoch)
        local, first = self._ranks.local_rows(self.batch_size), position * self.batch_size
        return epoch, slice(first + local.start, first + local.stop)


class LabelledOrder:
    """Which rows with a label belong to a step: always equally many, from permutations that follow each other.

    A batch may begin in one permutation and end in a later one.
    """

    def __init__(self, labels: Tensor, *, batch_size: int, seed: int, ranks: Ranks) -> None:
        self._rows = (labels >= 0).nonzero().squeeze(1)
        self._batch_size = batch_size
        self._seed = seed
        self._ranks = ranks

    def epoch(self, number: int) -> Tensor:
        """Return the numbers of all rows with a label in the order of an epoch, on the host."""
        shuffled = torch.randperm(len(self._rows), generator=generator("cpu", self._seed, "labelled epoch", number))
        return self._rows[shuffled]

    def places(self, step: int) -> list[tuple[int, slice]]:
        """Return the epochs that a step takes rows from, and the positions within each of this rank's rows."""
        local, first = self._ranks.local_rows(self._batch_size), step * self._batch_size
        position, end, places = first + local.start, first + local.stop, []
        while position < end:
            epoch, start = divmod(position, len(self._rows))
            stop = min(start + end - position, len(self._rows))
            places.append((epoch, slice(start, stop)))
            position += stop - start
        return places


class RowNumbers:
    """The numbers of every step's rows, on a device: labelled ones first, where there is an order of these."""

    def __init__(self, order: EpochOrder, device: torch.device, *, labelled: LabelledOrder | None = None) -> None:
        self._order = order
        self._labelled = labelled

        @lru_cache(maxsize=1)
        def permutation(epoch: int) -> Tensor:
            return order.epoch(epoch).to(device, non_blocking=True)

        @lru_cache(maxsize=2)
        def labelled_permutation(epoch: int) -> Tensor:
            assert labelled is not None
            return labelled.epoch(epoch).to(device, non_blocking=True)

        self._permutation, self._labelled_permutation = permutation, labelled_permutation

    def of(self, step: int) -> Tensor:
        """Return the row numbers (N,) of a step."""
        epoch, part = self._order.place(step)
        rows = self._permutation(epoch)[part]
        if self._labelled is None:
            return rows
        first = [self._labelled_permutation(epoch)[part] for epoch, part in self._labelled.places(step)]
        return torch.cat([*first, rows])


class Taken(NamedTuple):
    """The rows of a step."""

    x: Tensor
    """(N, *shape), as they are stored."""
    labels: Tensor | None
    """(N, …)."""
    numbers: Tensor
    """(N,): their places in the split."""


class RowsOnDevice:
    """Rows kept on the device, in the type they are stored in."""

    def __init__(self, split: Split, numbers: RowNumbers, device: torch.device) -> None:
        self._x = split.x.to(device)
        self._labels = None if split.labels is None else split.labels.to(device)
        self._numbers = numbers

    def take(self, step: int) -> Taken:
        """Return the rows of a step."""
        rows = self._numbers.of(step)
        labels = None if self._labels is None else self._labels.index_select(0, rows)
        return Taken(self._x.index_select(0, rows), labels, rows)


class RowsAhead:
    """Rows kept on the host, which a thread reads into pinned memory some steps before they are used."""

    def __init__(self, split: Split, numbers: RowNumbers, device: torch.device, *, steps: int = 4) -> None:
        self._split = split
        self._numbers = numbers
        self._device = device
        self._steps = steps
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="genzoo-data")
        self._pending: dict[int, Future[Taken]] = {}

    def take(self, step: int) -> Taken:
        """Return the rows of a step, and start reading those of the next steps."""
        for ahead in range(step, step + self._steps):
            if ahead not in self._pending:
                self._pending[ahead] = self._reader.submit(self._read, ahead)
        taken = self._pending.pop(step).result()
        for skipped in [other for other in self._pending if other < step]:
            del self._pending[skipped]
        return _each(lambda part: part.to(self._device, non_blocking=True), taken)

    def _read(self, step: int) -> Taken:
        rows = self._numbers.of(step)
        x = self._split.x.index_select(0, rows)
        labels = None if self._split.labels is None else self._split.labels.index_select(0, rows)
        taken = Taken(x, labels, rows)
        return _each(Tensor.pin_memory, taken) if self._device.type == "cuda" else taken


def map_tensors(rule: Callable[..., Tensor], *batches: Batch) -> Batch:
    """Return a batch whose tensors are `rule` of the batches' tensors; everything else is the first batch's."""
    draws = {name: rule(*(batch.draws[name] for batch in batches)) for name in batches[0].draws}
    parts = zip(*batches, strict=True)
    mapped = Batch(*(rule(*part) if isinstance(part[0], Tensor) else part[0] for part in parts))  # type: ignore[arg-type]
    return mapped._replace(draws=draws)


def _each(rule: Callable[[Tensor], Tensor], taken: Taken) -> Taken:
    return Taken(rule(taken.x), None if taken.labels is None else rule(taken.labels), rule(taken.numbers))


def _fits(split: Split, device: torch.device) -> bool:
    """Return whether the rows take at most half of the device's free memory."""
    return device.type != "cuda" or split.x.nbytes <= torch.cuda.mem_get_info(device)[0] // 2
