"""How a step is run: in which arithmetic, and eagerly, compiled by torch, or captured as one CUDA graph.

All three ways give the same numbers, the compiled one up to rounding. A step that cannot be compiled or captured runs
eagerly, with one warning that says why.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar
from weakref import WeakMethod, WeakSet

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from genzoo.errors import GenzooWarning, SettingsError
from genzoo.games.game import Gradients, Players
from genzoo.nn.interfaces import GameNetworks
from genzoo.randomness import preserved
from genzoo.training.batches import map_tensors
from genzoo.training.cast_weights import CastWeights
from genzoo.types import Batch, Losses

Execution = Literal["eager", "captured", "compiled"]
Precision = Literal["fp32", "tf32", "bf16"]
Movers = tuple[str, ...]
StepRule = Callable[[Batch, Movers], Losses]
"""A step on the device: gradients, guard and updates, with nothing copied to the host and no state kept there.

The tensors of a batch are (N, …) and losses are scalars (); those of R replicas are (R, N, …) and (R,).
"""
GradientRule = Callable[[GameNetworks, Batch, Players], tuple[Losses, Gradients]]
"""`Game.gradients` or `Game.shared_gradients`."""
GradientsOfBatch = Callable[[Batch, Movers], tuple[Losses, Gradients]]
"""The losses and gradients of a step, without its updates."""
UpdateRule = Callable[[Losses, Gradients], Losses]
"""Applies every mover's gradient to its parameters, and returns the losses to report."""


def refuse_unless_possible(precision: Precision, device: torch.device) -> None:
    """Raise `SettingsError` if the device does not compute in this precision."""
    if precision == "tf32" and device.type != "cuda":
        raise SettingsError(
            f"precision tf32 is arithmetic of CUDA devices, and this training is on the {device.type}",
            "type: --device cuda, or for a new run --precision fp32",
        )


def gradients_record(per_player_reason: str | None) -> dict[str, str | None]:
    """Return as JSON how a run takes its gradients, and why each player has its own backward pass if so."""
    way = "one-backward" if per_player_reason is None else "per-player"
    return {"gradients": way, "per_player_reason": per_player_reason}


WARM_UP = 3
"""Eager steps before a capture."""
_Answer = TypeVar("_Answer")
_Arguments = ParamSpec("_Arguments")


def current_device(device: torch.device) -> AbstractContextManager[object]:
    """Return a `with` block in which `device` is torch's current one.

    Streams, captures, events and draws from the default generator belong to the current device, not to their tensors'.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@contextmanager
def arithmetic(device: torch.device, *, benchmark: bool = False, tf32: bool = False) -> Iterator[None]:
    """Set torch's arithmetic to genzoo's inside the `with` block, and back afterwards.

    On CUDA, fp32 means IEEE float32, so that a GPU's results equal a CPU's to rounding; with `tf32`, its products
    and convolutions are of TF32. With `benchmark`, convolutions choose their algorithm by timing several.
    """
    if device.type != "cuda":
        yield
        return
    before = _arithmetic_now()
    products, precision = ("high", "tf32") if tf32 else ("highest", "ieee")
    # By the older names as well: torch refuses to read those, as its kernels may, where the newer say otherwise.
    _set_arithmetic(_Arithmetic(products, tf32, (precision,) * len(before.precisions), benchmark))
    try:
        yield
    finally:
        _set_arithmetic(before)


@contextmanager
def deterministic_algorithms(device: torch.device) -> Iterator[None]:
    """Have torch take only algorithms that repeat themselves to the bit inside the `with` block, and raise without one.

    CPUs repeat themselves anyway.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    convolutions = torch.backends.cudnn.deterministic
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.deterministic = convolutions


def set_deterministic_products() -> None:
    """Have cuBLAS repeat its products to the bit; raise `SettingsError` if CUDA has started without that.

    cuBLAS reads from the environment how much memory it may work in. With less, streams share it in any order.
    """
    if os.environ.get(_WORKSPACE) in _DETERMINISTIC_WORKSPACES:
        return
    if _WORKSPACE in os.environ or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise SettingsError(
            f"a deterministic training needs {_WORKSPACE} set before CUDA starts, and it is "
            f"{os.environ.get(_WORKSPACE, 'not')!s}",
            f"type: export {_WORKSPACE}={_DETERMINISTIC_WORKSPACES[0]}",
        )
    os.environ[_WORKSPACE] = _DETERMINISTIC_WORKSPACES[0]


_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_DETERMINISTIC_WORKSPACES = (":4096:8", ":16:8")


class _Arithmetic(NamedTuple):
    """How torch computes with float32, by its older and its newer settings."""

    products: str | None
    """None: torch cannot say, as the newer settings say otherwise."""
    convolutions_tf32: bool | None
    precisions: tuple[str, ...]
    benchmark: bool


def _arithmetic_now() -> _Arithmetic:
    return _Arithmetic(
        _setting_or_none(torch.get_float32_matmul_precision),
        _setting_or_none(lambda: torch.backends.cudnn.allow_tf32),
        tuple(place.fp32_precision for place in _precision_places()),
        torch.backends.cudnn.benchmark,
    )


def _set_arithmetic(chosen: _Arithmetic) -> None:
    # The older settings overwrite newer ones, so these come last. An older one that could not be read is left off TF32.
    torch.set_float32_matmul_precision(chosen.products or "highest")
    torch.backends.cudnn.allow_tf32 = bool(chosen.convolutions_tf32)
    for place, precision in zip(_precision_places(), chosen.precisions, strict=True):
        place.fp32_precision = precision
    torch.backends.cudnn.benchmark = chosen.benchmark


def _precision_places() -> tuple[Any, ...]:
    """Return where torch keeps the newer settings that the older ones overwrite."""
    backends = torch.backends
    return backends.cuda.matmul, backends.mkldnn.matmul, backends.cudnn.conv, backends.cudnn.rnn  # type: ignore[attr-defined]


def _setting_or_none(setting: Callable[[], _Answer]) -> _Answer | None:
    """Return an older setting, or None where torch refuses to read it because newer ones say otherwise."""
    try:
        return setting()
    except RuntimeError:
        return None


def weakly(method: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
    """Return a bound method that does not keep its object alive.

    A trainer whose parts hold its methods would be part of a cycle: its memory would be free only once Python collects
    garbage, which is seldom, as tensors count as small.
    """
    reference = WeakMethod(method)

    def call(*arguments: _Arguments.args, **keywords: _Arguments.kwargs) -> _Answer:
        method = reference()
        assert method is not None, "its object holds whoever calls it"
        return method(*arguments, **keywords)

    return call


class Step:
    """One step: every mover's gradient at the old parameters, then every mover's update.

    A trainer has one. A population has one too, whose `networks` apply a rule to all replicas at once.
    """

    def __init__(
        self,
        networks: GameNetworks,
        players: Players,
        *,
        gradients: GradientRule,
        update: UpdateRule,
        autocast: torch.autocast,
        cast_weights: CastWeights | None = None,
        tf32: bool,
        deterministic: bool,
        device: torch.device,
        name: str,
        captured: bool,
        to_compile: nn.Module | None = None,
    ) -> None:
        self._networks = networks
        self._players = players
        self._gradients = gradients
        self._update = update
        self._autocast = autocast
        self._cast_weights = cast_weights
        self._tf32 = tf32
        self._deterministic = deterministic
        self._device = device
        self._compiled = (
            None if to_compile is None else Compiled(weakly(self._gradients_as_written), networks=to_compile, name=name)
        )
        self._captured = Captured(weakly(self._as_written), name=name, device=device) if captured else None

    def __call__(self, batch: Batch, movers: Movers) -> Losses:
        """Take the step and return its losses."""
        return (self._captured or self._as_written)(batch, movers)

    def forget_captures(self) -> None:
        """Capture the step anew, because its parameters or moments lie elsewhere in memory now."""
        if self._captured is not None:
            self._captured.forget()

    def gradients(self, batch: Batch, movers: Movers) -> tuple[Losses, Gradients]:
        """Return the losses and gradients of the step, and update nothing."""
        algorithms = deterministic_algorithms(self._device) if self._deterministic else nullcontext()
        with arithmetic(self._device, benchmark=not self._deterministic, tf32=self._tf32), algorithms:
            return (self._compiled or self._gradients_as_written)(batch, movers)

    def _gradients_as_written(self, batch: Batch, movers: Movers) -> tuple[Losses, Gradients]:
        with self._autocast, self._cast_weights.in_place() if self._cast_weights else nullcontext():
            return self._gradients(self._networks, batch, {name: self._players[name] for name in movers})

    def _as_written(self, batch: Batch, movers: Movers) -> Losses:
        return self._update(*self.gradients(batch, movers))


class Compiled:
    """The gradients of a step, traced and compiled by torch: forward and all backward passes in one graph.

    There is a graph per set of movers, `Batch.due`, and shape of x. It takes the operations that the step takes as it
    is written and no others: autograd leaves out what no mover needs, which it could not inside a compiled rule.
    """

    def __init__(self, gradients: GradientsOfBatch, *, networks: nn.Module, name: str) -> None:
        self._gradients = gradients
        self._networks = networks
        self._name = name
        self._graphs: dict[_KindOfStep, Callable[[Batch], tuple[Losses, Gradients]]] = {}
        self.gave_up = False
        """Whether torch could not trace or compile the step, which then runs as it is written."""

    def __call__(self, batch: Batch, movers: Movers) -> tuple[Losses, Gradients]:
        """Return losses and gradients at a batch; the first of a kind is computed four times, to trace and compile."""
        kind = _kind_of_step(batch, movers)
        if kind not in self._graphs and not self.gave_up:
            try:
                with preserved(), buffers_kept(self._networks):
                    self._graphs[kind] = _compiled(self._gradients, batch, movers)
            except Exception as cause:  # a third party's module may do things that torch cannot trace
                self.gave_up = True
                _warn_of_fallback(
                    f"torch.compile cannot take the step of {self._name}, which runs as it is written", cause
                )
        if self.gave_up:
            return self._gradients(batch, movers)
        with torch.no_grad():
            return self._graphs[kind](batch)


_KindOfStep = tuple[Movers, tuple[str, ...], torch.Size]


def _kind_of_step(batch: Batch, movers: Movers) -> _KindOfStep:
    return movers, batch.due, batch.x.shape


def _compiled(gradients: GradientsOfBatch, batch: Batch, movers: Movers) -> Callable[[Batch], tuple[Losses, Gradients]]:
    """Return `gradients` for such batches as a compiled graph that has run once; parameters are read where they lie."""

    def values(batch: Batch) -> Any:
        return pytree.tree_map(Tensor.detach, gradients(batch, movers))

    gradients(batch, movers)  # what is checked in a first step reads values, which cannot be traced
    # On CUDA autograd would run the backward passes in a thread in which nothing is traced.
    with torch.autograd.set_multithreading_enabled(False):
        graph = torch.compile(make_fx(values)(batch), fullgraph=True, dynamic=False)
    with torch.no_grad():
        graph(batch)
    return graph


class Captured:
    """A step that runs eagerly a few times, is then captured as one CUDA graph, and from there on replayed.

    There is a graph per set of movers, `Batch.due`, and shape of x. Random numbers drawn inside still depend only on
    the seeds that the generators were given before the step.
    """

    def __init__(self, step: StepRule, *, name: str, device: torch.device) -> None:
        self._step = step
        self._name = name
        self._device = device
        self._seen: Counter[_KindOfStep] = Counter()
        self._graphs: dict[_KindOfStep, _Graph] = {}
        self._gave_up = False
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        _ALL_CAPTURED.add(self)

    def forget(self) -> None:
        """Drop all graphs; the next steps are warmed up and captured anew."""
        self._graphs.clear()
        self._seen.clear()

    def __call__(self, batch: Batch, movers: Movers) -> Losses:
        """Take the step; later steps do not overwrite the losses returned."""
        if self._gave_up:
            return self._step(batch, movers)
        kind = _kind_of_step(batch, movers)
        self._seen[kind] += 1
        if self._seen[kind] <= WARM_UP:
            return self._warm_up(batch, movers)
        if kind not in self._graphs:
            try:
                with preserved(), _undone_if_it_fails(self._device):
                    self._graphs[kind] = _capture(self._step, batch, movers)
            except Exception as cause:  # a third party's module may do things on the host that a graph cannot record
                self._gave_up = True
                _warn_of_fallback(
                    f"the step of {self._name} cannot be captured as a CUDA graph and runs as it is written", cause
                )
                return self._step(batch, movers)
        return self._graphs[kind].replay(batch)

    def _warm_up(self, batch: Batch, movers: Movers) -> Losses:
        """Take an eager step on a side stream, as torch requires before a capture."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            losses = self._step(batch, movers)
        torch.cuda.current_stream().wait_stream(self._stream)
        return losses


_ALL_CAPTURED: WeakSet[Captured] = WeakSet()


@contextmanager
def _undone_if_it_fails(device: torch.device) -> Iterator[None]:
    """Set back what some versions of torch leave behind when a capture fails.

    In torch 2.10 and 2.11 the capture's stream stays the current one, and the default generator takes itself for
    capturing. No draw is possible in that state, nor a replay of any graph that draws from it.
    """
    stream = torch.cuda.current_stream(device)
    try:
        yield
    except Exception:
        torch.cuda.set_stream(stream)
        state = torch.Generator(device).graphsafe_get_state()
        torch.cuda.default_generators[torch.cuda.current_device()].graphsafe_set_state(state)
        for captured in _ALL_CAPTURED:
            captured.forget()
        raise


class _Graph(NamedTuple):
    """A captured step, the memory from which it reads its batch, and the memory to which it writes its losses."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    report: Tensor
    """(players + watched values,), or (players + watched values, R) for R replicas, as float32."""
    players: tuple[str, ...]
    watched: tuple[str, ...]

    def replay(self, batch: Batch) -> Losses:
        map_tensors(lambda place, value: place.copy_(value, non_blocking=True), self.batch, batch)
        self.graph.replay()
        values = self.report.clone().unbind()
        count = len(self.players)
        return Losses(
            players=dict(zip(self.players, values[:count], strict=True)),
            watch=dict(zip(self.watched, values[count:], strict=True)),
        )


def _capture(step: StepRule, batch: Batch, movers: Movers) -> _Graph:
    graph = torch.cuda.CUDAGraph()
    places = map_tensors(Tensor.clone, batch)
    # Only this thread must avoid calls that a graph cannot record: another may be reading rows into pinned memory.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        losses = step(places, movers)
        report = torch.stack([value.detach().float() for part in losses for value in part.values()])
    return _Graph(graph, places, report, tuple(losses.players), tuple(losses.watch))


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Restore the module's buffers, such as running statistics, to their current values on leaving."""
    saved = [buffer.clone() for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(module.buffers(), saved, strict=True):
                buffer.copy_(value)


def _warn_of_fallback(what: str, cause: Exception) -> None:
    text = str(cause).strip().partition("\n")[0]
    warnings.warn(f"{what} ({type(cause).__name__}: {text})", GenzooWarning, stacklevel=3)
