"""Progress of long commands: a live bar on a terminal, otherwise a plain line now and then."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genzoo.cli.output import console, draws, gradients_text, settings_texts, show_table, status
from genzoo.errors import InterruptedRun
from genzoo.runs.notes import losses_text, warning_texts
from genzoo.runs.signals import Stop, StopOnSignal, stop_on_signals
from genzoo.storage.run_folder import Run
from genzoo.text import counted, time_left

if TYPE_CHECKING:
    from rich.progress import Progress

    from genzoo.comparison.progress import ComparisonCallback

_SECONDS_BETWEEN_LINES = 5.0
_BF16 = (
    "bf16 products, which are taken by default for larger images where the device multiplies bf16 faster; "
    "--precision fp32 computes all in float32"
)


class TrainingProgress(StopOnSignal, ABC):
    """Writes a run's header, notes and warnings, and shows its log."""

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Write the run's folder and settings, and where it goes on."""
        super().on_start(run, step, steps)
        rows = describe(run)
        show_table(rows, fold=(1,), styles={(row, 0): "bold" for row in range(len(rows))}, stderr=True)
        if step:
            status(f"going on from step {step:,}" if step < steps else f"all {steps:,} steps are taken already")

    def on_note(self, text: str) -> None:
        """Write the line."""
        status(text)

    def on_log(self, entry: dict[str, Any]) -> None:
        """Write the warnings of the entry, and show it."""
        for text in warning_texts(entry):
            status(text)
        self.show(entry)

    @abstractmethod
    def show(self, entry: dict[str, Any]) -> None:
        """Show a log entry."""


class Lines(TrainingProgress):
    """Writes a plain line at most every few seconds."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self._steps = 0
        self._written = 0.0

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Write the header."""
        super().on_start(run, step, steps)
        self._steps = steps

    def show(self, entry: dict[str, Any]) -> None:
        """Write a line, unless the last one is recent."""
        last = entry["step"] == self._steps
        if last or time.monotonic() - self._written > _SECONDS_BETWEEN_LINES:
            self._written = time.monotonic()
            rate = entry["steps_per_second"]
            left = time_left((self._steps - entry["step"]) / max(rate, 1e-9))
            status(f"step {entry['step']:,}/{self._steps:,}  {losses_text(entry)}  {rate:.1f} steps/s  {left}")


class Bar(TrainingProgress):
    """Draws a bar that moves with every step."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        from genzoo.runs.bars import TerminalBar

        self._bar = TerminalBar(console(stderr=True))
        stop.tell = self._bar.tell

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Write the header, and start the bar."""
        super().on_start(run, step, steps)
        self._bar.begin(step, steps)

    def on_step(self, step: int) -> None:
        """Move the bar."""
        self._bar.on_step(step)

    def show(self, entry: dict[str, Any]) -> None:
        """Show the latest losses."""
        self._bar.show(entry)

    def on_end(self) -> None:
        """Leave the bar on the screen."""
        self._bar.on_end()
        super().on_end()
        status("measuring …")

    def close(self) -> None:
        """Give the terminal back."""
        self._bar.close()


@contextmanager
def counting(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that is called with the amount done and the total, and shows them as a bar or lines.

    The function raises `InterruptedRun` after a signal.
    """
    with stop_on_signals() as stop, _CountingBar(what) if _can_draw() else _CountingLines(what, unit) as display:

        def report(done: int, total: int | None) -> None:
            display.count(done, total)
            _end_if_asked(stop, f"{what} was stopped; what is done is kept")

        yield report


@contextmanager
def watching() -> "Iterator[ComparisonCallback]":
    """Yield the callback of a comparison that draws a bar for each training, or writes a line now and then.

    The callback raises `InterruptedRun` after a signal.
    """
    from genzoo.comparison.progress import ComparisonCallback

    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())

        class Watching(ComparisonCallback):
            display: _ComparisonBars | _ComparisonLines

            def on_start(self, folder: Path, labels: Sequence[str], done: int) -> None:
                status(f"{counted(len(labels), 'training')}, {done} done already; report: {folder}")
                self.display = _ComparisonBars(labels, stop) if _can_draw() else _ComparisonLines(labels)
                stack.enter_context(self.display)

            def on_progress(self, steps: Mapping[int, tuple[int, int]]) -> None:
                self.display.show(steps)
                _end_if_asked(stop, "the comparison was stopped; every training is saved")

        yield Watching()


def _end_if_asked(stop: Stop, message: str) -> None:
    if stop.number is not None:
        raise InterruptedRun(message, "go on with the same command", signal_number=stop.number)


class _PlainLines:
    """A context for plain lines, which need no start and no end."""

    def __init__(self) -> None:
        self._written = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        pass


class _Drawing:
    """A context that starts a rich progress and stops it."""

    _progress: "Progress"

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._progress.stop()


class _ComparisonLines(_PlainLines):
    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self._labels = labels

    def show(self, steps: Mapping[int, tuple[int, int]]) -> None:
        if time.monotonic() - self._written > 2 * _SECONDS_BETWEEN_LINES:
            self._written = time.monotonic()
            begun = [f"{self._labels[number]} {done:,}/{of:,}" for number, (done, of) in steps.items() if 0 < done < of]
            done = sum(taken >= of for taken, of in steps.values())
            under_way = "" if done == len(steps) else f"; under way: {', '.join(begun) or 'starting or measuring'}"
            status(f"{done} of {len(steps)} trained{under_way}")


class _ComparisonBars(_Drawing):
    def __init__(self, labels: Sequence[str], stop: Stop) -> None:
        from rich.progress import BarColumn

        from genzoo.runs.bars import SPEED_OVER, Remarked, TextOf, pace_text, steps_text

        self._progress = Remarked(
            TextOf(lambda task: task.description),
            TextOf(lambda task: "" if task.total is None else steps_text(task)),
            BarColumn(bar_width=None),
            TextOf(lambda task: "done" if task.finished else pace_text(task)),
            console=console(stderr=True),
            expand=True,
            speed_estimate_period=12 * SPEED_OVER,  # the steps of a training are those of its log
        )
        stop.tell = self._progress.tell
        self._tasks = [self._progress.add_task(label, total=None) for label in labels]

    def show(self, steps: Mapping[int, tuple[int, int]]) -> None:
        for number, (done, of) in steps.items():
            self._progress.update(self._tasks[number], completed=done, total=of)


class _CountingLines(_PlainLines):
    def __init__(self, what: str, unit: str) -> None:
        super().__init__()
        self._what, self._unit = what, unit

    def count(self, done: int, total: int | None) -> None:
        if time.monotonic() - self._written > _SECONDS_BETWEEN_LINES:
            self._written = time.monotonic()
            of = "" if total is None else f" of {total:,}"
            status(f"{self._what}: {done:,}{of} {self._unit}")


class _CountingBar(_Drawing):
    def __init__(self, what: str) -> None:
        from rich.progress import Progress

        self._progress = Progress(console=console(stderr=True), transient=True)
        self._task = self._progress.add_task(what, total=None)

    def count(self, done: int, total: int | None) -> None:
        self._progress.update(self._task, completed=done, total=total)


def choose_callback(stop: Stop, *, quiet: bool) -> StopOnSignal:
    """Return a callback that draws a bar on a terminal, writes lines elsewhere, and nothing if `quiet`."""
    if quiet:
        return StopOnSignal(stop)
    return Bar(stop) if _can_draw() else Lines(stop)


def describe(run: Run) -> list[tuple[str, str]]:
    """Return the run's folder, environment and resolved settings, each with its name; settings left open are not."""
    record = run.record
    how = [f"seed {record.seed}", record.device, record.precision]
    how += [record.execution] if record.execution != "eager" else []
    how += ["deterministic"] if record.deterministic else []
    how += [f"{record.ranks} ranks"] if record.ranks > 1 else []
    how += [counted(record.threads, "thread")] if record.threads and record.device == "cpu" else []
    rows = [("run", f"{run.path}  ({', '.join(how)})"), ("gradients", gradients_text(record.per_player_reason))]
    rows += [("precision", _BF16)] if record.precision == "bf16" else []
    for root, value in record.settings.items():
        text = "  ".join(settings_texts(value))
        rows.append((root, f"{value['name']}  {text}" if "name" in value else text))
    return rows


def _can_draw() -> bool:
    return draws(sys.stderr)
