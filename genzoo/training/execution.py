"""How a step is run: in which arithmetic, and as it is written, compiled by torch, or captured as one CUDA graph.

The last three give the same numbers, the compiled one up to rounding. What cannot be compiled or captured runs as it is
written, and one warning says why.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeVar, TypeVarTuple

import torch
from torch import Tensor, nn

from genzoo.errors import GenzooWarning
from genzoo.games.game import Gradients, Players
from genzoo.nn.interfaces import GameNetworks, Networks
from genzoo.randomness import preserved
from genzoo.types import Batch, Losses

Execution = Literal["eager", "captured", "compiled"]
Precision = Literal["fp32", "bf16"]
Movers = tuple[str, ...]
StepRule = Callable[[Batch, Movers], Losses]
"""What a step does on the device: gradients, guard and updates, with nothing fetched and no state kept on the host.

Batch and losses of R replicas have R in front of every tensor: losses are (), or (R,).
"""
GradientRule = Callable[[GameNetworks, Batch, Players], tuple[Losses, Gradients]]
"""`Game.gradients` or `Game.shared_gradients`."""
UpdateRule = Callable[[Losses, Gradients], Losses]
"""Moves every mover along its gradient, and returns the losses to report."""


def gradients_record(per_player_reason: str | None) -> dict[str, str | None]:
    """Return as JSON how a run takes its gradients, and why each player has its own backward pass, if it has."""
    way = "one-backward" if per_player_reason is None else "per-player"
    return {"gradients": way, "per_player_reason": per_player_reason}


_WARM_UP = 3
_Answer = TypeVar("_Answer")
_Values = TypeVarTuple("_Values")


@contextmanager
def arithmetic(device: torch.device) -> Iterator[None]:
    """Compute as training does while inside, and as the caller had it afterwards.

    On CUDA, fp32 means IEEE float32 and never TF32, so that a GPU's results are a CPU's to rounding; who wants tensor
    cores takes bf16. Convolutions choose their algorithm by trying.
    """
    if device.type != "cuda":
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = products.fp32_precision, convolutions.fp32_precision, torch.backends.cudnn.benchmark
    products.fp32_precision = convolutions.fp32_precision = "ieee"
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        products.fp32_precision, convolutions.fp32_precision, torch.backends.cudnn.benchmark = before


class Step:
    """One step: every mover's gradient at the old parameters, then every mover's update.

    A trainer has one, and so has a population, whose `networks` are those of all its replicas.
    """

    def __init__(
        self,
        networks: GameNetworks,
        players: Players,
        *,
        gradients: GradientRule,
        update: UpdateRule,
        autocast: torch.autocast,
        device: torch.device,
        name: str,
        captured: bool,
    ) -> None:
        self.networks = networks
        self._players = players
        self._gradients = gradients
        self._update = update
        self._autocast = autocast
        self._device = device
        self._run: StepRule = Captured(self._as_written, name=name) if captured else self._as_written

    def __call__(self, batch: Batch, movers: Movers) -> Losses:
        """Take the step and return its losses."""
        return self._run(batch, movers)

    def gradients(self, networks: GameNetworks, batch: Batch, movers: Movers) -> tuple[Losses, Gradients]:
        """Return the losses and gradients that the step would have with `networks`, and update nothing."""
        with arithmetic(self._device), self._autocast:
            return self._gradients(networks, batch, {name: self._players[name] for name in movers})

    def _as_written(self, batch: Batch, movers: Movers) -> Losses:
        losses, gradients = self.gradients(self.networks, batch, movers)
        return self._update(losses, gradients)


class Compiled:
    """Networks as a game's gradients see them, every rule that reads them compiled with torch.compile."""

    def __init__(self, networks: Networks) -> None:
        # Two players may go backwards through one compiled graph, so its buffers must outlive the first.
        torch._functorch.config.donated_buffer = False
        self._networks = networks
        self._rules: dict[str, Callable[..., Any]] = {}

    def call(self, rule: Callable[[Networks, *_Values], _Answer], *values: *_Values) -> _Answer:
        """Return `rule(networks, *values)`."""
        if rule.__name__ not in self._rules:
            self._rules[rule.__name__] = torch.compile(rule, dynamic=False)
        answer: _Answer = self._rules[rule.__name__](self._networks, *values)
        return answer


def compiled_or_not(networks: Networks, rehearse: Callable[[GameNetworks], object], *, name: str) -> GameNetworks:
    """Return `networks` compiled, or as they are where the rehearsal of a step fails; it leaves no trace in either."""
    compiled = Compiled(networks)
    try:
        with preserved(), buffers_kept(networks):
            rehearse(compiled)
    except Exception as cause:  # whatever a third party's module makes of it; it is named, and the step runs without
        _warn_of_fallback(f"torch.compile cannot take the step of {name}, which runs as it is written", cause)
        return networks
    return compiled


class Captured:
    """A step that is captured as one CUDA graph per kind of batch, after some steps as written, and then replayed.

    Random numbers drawn inside stay a function of what the generators were seeded with before the step.
    """

    def __init__(self, step: StepRule, *, name: str) -> None:
        self._step = step
        self._name = name
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._graphs: dict[tuple[Any, ...], _Graph] = {}
        self._gave_up = False
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, batch: Batch, movers: Movers) -> Losses:
        """Take the step; the losses are the caller's to keep."""
        if self._gave_up:
            return self._step(batch, movers)
        kind = (movers, batch.x.shape)
        self._seen[kind] += 1
        if self._seen[kind] <= _WARM_UP:
            return self._beside(batch, movers)
        if kind not in self._graphs:
            try:
                with preserved():
                    self._graphs[kind] = _capture(self._step, batch, movers)
            except Exception as cause:  # a module of a third party may do on the host what no graph can hold
                self._gave_up = True
                _warn_of_fallback(
                    f"the step of {self._name} cannot be captured as a CUDA graph and runs as it is written", cause
                )
                return self._step(batch, movers)
        return self._graphs[kind].replay(batch)

    def _beside(self, batch: Batch, movers: Movers) -> Losses:
        """Take a step on a stream of its own, as torch asks for before a capture."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            losses = self._step(batch, movers)
        torch.cuda.current_stream().wait_stream(self._stream)
        return losses


class _Graph(NamedTuple):
    """A captured step, the memory it reads its batch from, and that in which it leaves its losses."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    report: Tensor
    players: tuple[str, ...]
    watched: tuple[str, ...]

    def replay(self, batch: Batch) -> Losses:
        for place, value in zip(self.batch, batch, strict=True):
            if place is not None and value is not None:
                place.copy_(value, non_blocking=True)
        self.graph.replay()
        values = self.report.clone().unbind()
        count = len(self.players)
        return Losses(
            players=dict(zip(self.players, values[:count], strict=True)),
            watch=dict(zip(self.watched, values[count:], strict=True)),
        )


def _capture(step: StepRule, batch: Batch, movers: Movers) -> _Graph:
    graph = torch.cuda.CUDAGraph()
    places = Batch(*(None if part is None else part.clone() for part in batch))  # type: ignore[arg-type]
    # Only this thread is held to what a graph can hold: another may be reading the next rows into pinned memory.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        losses = step(places, movers)
        report = torch.stack([value.detach().float() for part in losses for value in part.values()])
    return _Graph(graph, places, report, tuple(losses.players), tuple(losses.watch))


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Give the module's buffers, such as running statistics, their present values again on leaving."""
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
