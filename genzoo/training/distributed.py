"""Ranks: the processes that train one run together, each on its share of every batch."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from genzoo.errors import ResourceError
from genzoo.training import torchrun

_TIMEOUT = timedelta(hours=2)
"""How long the other ranks wait while the first one evaluates; a rank that dies is noticed at once."""


class Ranks(ABC):
    """The group of ranks that train one run, from the point of view of one of them."""

    rank: int
    size: int

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def local_rows(self, rows: int) -> slice:
        """Return which rows of a global batch belong to this rank; `size` must divide `rows`."""
        share = rows // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    @abstractmethod
    def before_parting(self, release: Callable[[], None]) -> None:
        """Have `release` called before the ranks part."""

    @abstractmethod
    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean of every tensor over all ranks, in the tensor's shape and strides.

        A tensor must have the same strides on all ranks.
        """

    @abstractmethod
    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite every rank's tensors with the first rank's values."""

    @abstractmethod
    def broadcast_json(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the first rank's document."""

    @abstractmethod
    def barrier(self) -> None:
        """Wait until every rank has called this."""

    @abstractmethod
    def agree_on_signal(self, signal: int | None) -> int | None:
        """Return a signal that some rank received, on all ranks after the same step."""


class SingleProcess(Ranks):
    """A process that trains its run alone; nothing is communicated."""

    rank = 0
    size = 1

    def before_parting(self, release: Callable[[], None]) -> None:
        """Do nothing: a process alone parts from none."""

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors."""
        return list(tensors)

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Leave the tensors as they are."""

    def broadcast_json(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the document."""
        return document

    def barrier(self) -> None:
        """Return at once."""

    def agree_on_signal(self, signal: int | None) -> int | None:
        """Return the signal."""
        return signal


class Group(Ranks):
    """One of several processes started by torchrun."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = torchrun.rank(), torchrun.size()
        self._device = device
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
        # A group on the CPU, whatever the device: signals must not wait for a GPU, nor a GPU for signals.
        hosts = dist.new_group(backend="gloo", timeout=_TIMEOUT)
        assert isinstance(hosts, dist.ProcessGroup)
        self._hosts = hosts
        self._reduction: tuple[dist.Work, Tensor] | None = None
        self._releases: list[Callable[[], None]] = []

    def before_parting(self, release: Callable[[], None]) -> None:
        """Have `release` called before the ranks part."""
        self._releases.append(release)

    def part(self) -> None:
        """Leave the group; captured steps are dropped first, because NCCL waits for graphs that hold its calls."""
        for release in self._releases:
            release()
        dist.destroy_process_group()

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the means over all ranks, from a single reduction of one flat tensor.

        Tensors are joined in the order of their memory, so that the only copy is the one into the flat tensor.
        """
        dense = [tensor.detach() if _is_dense(tensor) else tensor.detach().contiguous() for tensor in tensors]
        flat = torch.cat([tensor.as_strided((tensor.numel(),), (1,)) for tensor in dense])
        dist.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in dense])
        return [
            part.as_strided(tensor.shape, tensor.stride()).to(tensor.dtype)
            for part, tensor in zip(parts, dense, strict=True)
        ]

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite every rank's tensors with the first rank's values."""
        for tensor in tensors:
            value = tensor.detach().contiguous()
            dist.broadcast(value, 0)
            tensor.detach().copy_(value)

    def broadcast_json(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the first rank's document, sent as JSON."""
        text = json.dumps(document).encode() if self.is_first else b""
        length = torch.tensor([len(text)])
        dist.broadcast(length, 0, group=self._hosts)
        content = torch.frombuffer(bytearray(text or bytes(int(length))), dtype=torch.uint8)
        dist.broadcast(content, 0, group=self._hosts)
        received: dict[str, Any] = json.loads(bytes(content.tolist()))
        return received

    def barrier(self) -> None:
        """Wait until every rank has called this."""
        dist.barrier(self._hosts)

    def agree_on_signal(self, signal: int | None) -> int | None:
        """Return the largest signal that any rank had received one step ago.

        The reduction started here is read in the next call, so that no step waits for it.
        """
        agreed = None
        if self._reduction is not None:
            work, largest = self._reduction
            work.wait()
            agreed = int(largest) or None
        number = torch.tensor([signal or 0])
        started = dist.all_reduce(number, dist.ReduceOp.MAX, group=self._hosts, async_op=True)
        assert started is not None
        self._reduction = started, number
        return agreed


def _is_dense(tensor: Tensor) -> bool:
    """Return whether the tensor's numbers lie side by side in memory, in whatever order."""
    by_stride = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return tensor.permute(by_stride).is_contiguous()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Yield the group of ranks that this process was launched in, or `SingleProcess` if it was launched alone."""
    if torchrun.size() == 1:
        yield SingleProcess()
        return
    group = Group(device)
    try:
        yield group
    except (RuntimeError, dist.DistError) as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise ResourceError(
            f"rank {group.rank} of {group.size} lost its connection to another: {str(error).partition(chr(10))[0]}",
            "the other rank's message may say why; what was saved is intact",
        ) from error
    finally:
        group.part()
