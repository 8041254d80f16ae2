"""Batches: the rows, prior draws and noise of every step, each a function of (seed, step).

N is the number of rows of a batch that this rank reads.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from genzoo.data.dataset import as_input
from genzoo.data.labels import condition
from genzoo.errors import SettingsError
from genzoo.games.priors import Prior
from genzoo.randomness import generator, number
from genzoo.training.distributed import Ranks, SingleProcess
from genzoo.types import Batch, DataSpec, Split


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
    ) -> None:
        self._ranks = ranks or SingleProcess()
        self.order = EpochOrder(len(split.x), batch_size=batch_size, seed=seed, ranks=self._ranks)
        read_ahead = not _fits(split, device) if ahead is None else ahead
        self._rows = RowsAhead(split, self.order, device) if read_ahead else RowsOnDevice(split, self.order, device)
        self.split = split
        self._spec = spec
        self._prior = prior
        self._latent = latent
        self._seed = seed
        self._device = device
        self._draws = torch.Generator(device)
        self.channels_last = spec.is_image and channels_last
        prior.draw(1, latent, self._at("prior", 0))  # refuses a size that it does not have before a run folder is made

    @property
    def smallest_batch(self) -> int:
        """The number of rows in the smallest batch, the last of every epoch."""
        return min(self.order.batch_size, self.order.rows - (self.order.steps_per_epoch - 1) * self.order.batch_size)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step` (counted from 0)."""
        stored, labels = self._rows.take(step)
        x = as_input(stored)
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        rows = len(x) * self._ranks.size
        local = self._ranks.local_rows(rows)
        return Batch(
            x=x,
            z=self._prior.draw(rows, self._latent, self._at("prior", step))[local],
            noise=torch.randn(rows, self._latent, generator=self._at("noise", step), device=self._device)[local],
            y=condition(labels, self._spec),
        )

    def first_images(self, count: int) -> Tensor:
        """Return up to `count` shuffled training rows (count, *shape), as networks see them, on the host."""
        shuffled = torch.randperm(self.order.rows, generator=generator("cpu", self._seed, "initialise", 0))
        return as_input(self.split.x.index_select(0, shuffled[:count]))

    def _at(self, stream: str, step: int) -> torch.Generator:
        return self._draws.manual_seed(number(self._seed, stream, step))


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


class RowsOnDevice:
    """Rows kept on the device, in the type they are stored in."""

    def __init__(self, split: Split, order: EpochOrder, device: torch.device) -> None:
        self._x = split.x.to(device)
        self._labels = None if split.labels is None else split.labels.to(device)
        self._order = order
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.long)

    def take(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Return the stored x (N, *shape) and labels (N, …) of a step."""
        epoch, part = self._order.place(step)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = self._order.epoch(epoch).to(self._x.device, non_blocking=True)
        rows = self._permutation[part]
        labels = None if self._labels is None else self._labels.index_select(0, rows)
        return self._x.index_select(0, rows), labels


class RowsAhead:
    """Rows kept on the host, which a thread reads into pinned memory some steps before they are used."""

    def __init__(self, split: Split, order: EpochOrder, device: torch.device, *, steps: int = 4) -> None:
        self._split = split
        self._order = order
        self._device = device
        self._steps = steps
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="genzoo-data")
        self._pending: dict[int, Future[tuple[Tensor, Tensor | None]]] = {}
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.long)

    def take(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Return the stored x (N, *shape) and labels (N, …) of a step, and start reading those of the next steps."""
        for ahead in range(step, step + self._steps):
            if ahead not in self._pending:
                self._pending[ahead] = self._reader.submit(self._read, ahead)
        x, labels = self._pending.pop(step).result()
        for skipped in [other for other in self._pending if other < step]:
            del self._pending[skipped]
        return _sent(x, self._device), None if labels is None else _sent(labels, self._device)

    def _read(self, step: int) -> tuple[Tensor, Tensor | None]:
        epoch, part = self._order.place(step)
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, self._order.epoch(epoch)
        rows = self._permutation[part]
        x = self._split.x.index_select(0, rows)
        labels = None if self._split.labels is None else self._split.labels.index_select(0, rows)
        if self._device.type == "cuda":
            return x.pin_memory(), None if labels is None else labels.pin_memory()
        return x, labels


def map_tensors(rule: Callable[..., Tensor], *batches: Batch) -> Batch:
    """Return a batch whose tensors are `rule` of the batches' tensors; everything else is the first batch's."""
    parts = zip(*batches, strict=True)
    return Batch(*(rule(*part) if isinstance(part[0], Tensor) else part[0] for part in parts))  # type: ignore[arg-type]


def _sent(rows: Tensor, device: torch.device) -> Tensor:
    return rows.to(device, non_blocking=True)


def _fits(split: Split, device: torch.device) -> bool:
    """Return whether the rows take at most half of the device's free memory."""
    return device.type != "cuda" or split.x.nbytes <= torch.cuda.mem_get_info(device)[0] // 2
