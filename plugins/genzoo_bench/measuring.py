"""Measuring: rates of several loops in one process, host synchronisations, memory, and the device's peak FLOPs."""

import resource
import statistics
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from genzoo_bench.loop import Contestant

_WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique_dim", "_unique2"}
"""Operators that make the host wait for their result."""


class Rates:
    """Steps per second of several contestants, timed in turns so that a drifting machine affects all alike."""

    def __init__(self, contestants: Mapping[str, Contestant], device: torch.device) -> None:
        self._contestants = contestants
        self._device = device
        self.blocks: dict[str, list[float]] = {name: [] for name in contestants}
        """Steps per second of every block, by contestant."""

    def warm_up(self, seconds: float) -> float:
        """Take at least five steps of each, for about `seconds`, and return the seconds per step of the slowest."""
        slowest = 0.0
        for contestant in self._contestants.values():
            self._seconds(contestant, 4)
            step = self._seconds(contestant, 1)
            self._seconds(contestant, min(200, int(seconds / step)))
            slowest = max(slowest, step)
        return slowest

    def measure(self, *, blocks: int, steps: int) -> None:
        """Time `blocks` blocks of `steps` steps of each, in alternating order."""
        for block in range(blocks):
            turns = list(self._contestants)
            for name in turns if block % 2 else reversed(turns):
                self.blocks[name].append(steps / self._seconds(self._contestants[name], steps))

    def median(self, name: str) -> float:
        """Return a contestant's steps per second, the median over blocks."""
        return statistics.median(self.blocks[name])

    def ratio(self, name: str, other: str) -> list[float]:
        """Return the quartiles of the ratio of two contestants' rates, block by block: lower, median, upper."""
        ratios = [mine / theirs for mine, theirs in zip(self.blocks[name], self.blocks[other], strict=True)]
        return quartiles(ratios)

    def _seconds(self, contestant: Contestant, steps: int) -> float:
        if self._device.type != "cuda":
            start = time.perf_counter()
            for _ in range(steps):
                contestant.take_step()
            return time.perf_counter() - start
        with torch.cuda.device(self._device):  # whose stream the events are recorded on
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            began.record()
            for _ in range(steps):
                contestant.take_step()
            ended.record()
            ended.synchronize()
        milliseconds: float = began.elapsed_time(ended)
        return milliseconds / 1000


def quartiles(values: Sequence[float]) -> list[float]:
    """Return lower quartile, median and upper quartile."""
    if len(values) == 1:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def synchronisations(contestant: Contestant, device: torch.device, *, steps: int) -> float:
    """Return how often per step the host waits for the device; on a CPU, how often it would on a GPU."""
    if device.type == "cuda":
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                for _ in range(steps):
                    contestant.take_step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(warning.message) for warning in caught) / steps
    with _Counting() as counting:
        for _ in range(steps):
            contestant.take_step()
    return counting.count / steps


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that wait, outside of optimizer steps."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0
        self._asleep = False

    def __enter__(self) -> Self:
        # An optimizer's step counter is on the host, wherever the networks are.
        self._hooks = [
            register_optimizer_step_pre_hook(lambda *call: setattr(self, "_asleep", True)),
            register_optimizer_step_post_hook(lambda *call: setattr(self, "_asleep", False)),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        super().__exit__(kind, fault, trace)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        operator: OpOverload,
        types: tuple[type, ...],
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        name = operator.overloadpacket.__name__
        masked = name == "index" and any(part is not None and part.dtype == torch.bool for part in arguments[1])
        self.count += not self._asleep and (masked or name in _WAITING)
        return operator(*arguments, **(keywords or {}))


def peak_flops(device: torch.device, precision: str) -> float:
    """Return the floating-point operations per second that square matrix products reach here, the best of several."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        return _peak_flops(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    finally:
        torch.set_float32_matmul_precision(before)


def _peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    sizes = (4096, 8192, 16384) if device.type == "cuda" else (1024, 2048)
    best = 0.0
    for size in sizes:
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        rates = Rates({"product": _Product(left, right)}, device)
        rates.warm_up(0.2)
        rates.measure(blocks=5, steps=3)
        best = max(best, max(rates.blocks["product"]) * 2 * size**3)
    return best


class _Product:
    def __init__(self, left: Tensor, right: Tensor) -> None:
        self._left, self._right = left, right
        self._out = torch.empty_like(left)

    def take_step(self) -> None:
        torch.matmul(self._left, self._right, out=self._out)


def peak_memory(device: torch.device) -> int:
    """Return the peak memory so far in bytes: of the device, or on a CPU of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
