"""Progress of long commands: a live bar on a terminal, otherwise a plain line now and then."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genzoo.cli.output import columns, gradients_text, status
from genzoo.errors import InterruptedRun
from genzoo.runs.signals import Stop, StopOnSignal, stop_on_signals
from genzoo.storage.run_folder import Run

if TYPE_CHECKING:
    from rich.progress import Progress

    from genzoo.comparison.progress import ComparisonCallback

_SECONDS_BETWEEN_LINES = 5.0


class Lines(StopOnSignal):
    """Writes a plain line at most every few seconds."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self._steps = 0
        self._written = 0.0

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Write the run's folder and settings."""
        super().on_start(run, step, steps)
        self._steps = steps
        status(describe(run))
        if step:
            status(f"going on from step {step:,}" if step < steps else f"all {steps:,} steps are taken already")

    def on_note(self, text: str) -> None:
        """Write the line."""
        status(text)

    def on_log(self, entry: dict[str, Any]) -> None:
        """Write a line, unless the last one is recent."""
        tell_warnings(entry)
        last = entry["step"] == self._steps
        if last or time.monotonic() - self._written > _SECONDS_BETWEEN_LINES:
            self._written = time.monotonic()
            status(f"step {entry['step']:,}/{self._steps:,}  {_numbers(entry)}  {_left(entry, self._steps)}")


class Bar(StopOnSignal):
    """Draws a bar with the latest losses, speed and time left."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[numbers]}"),
            console=Console(stderr=True),
        )
        self._steps = 0

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Write the run's folder and settings, and start the bar."""
        super().on_start(run, step, steps)
        status(describe(run))
        self._steps = steps
        self._progress.start()
        self._task = self._progress.add_task("", total=steps, completed=step, numbers="")

    def on_note(self, text: str) -> None:
        """Write the line above the bar."""
        status(text)

    def on_step(self, step: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=step)

    def on_log(self, entry: dict[str, Any]) -> None:
        """Show the latest numbers."""
        tell_warnings(entry)
        self._progress.update(self._task, numbers=f"{_numbers(entry)}  {_left(entry, self._steps)}")

    def on_end(self) -> None:
        """Stop the bar and leave it on the screen."""
        super().on_end()
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        self._progress.stop()


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
                status(f"{len(labels)} trainings, {done} of them done; report: {folder}")
                self.display = _ComparisonBars(labels) if _can_draw() else _ComparisonLines(labels)
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
            status(f"{done} of {len(steps)} trained; under way: {', '.join(begun) or 'starting or measuring'}")


class _ComparisonBars(_Drawing):
    def __init__(self, labels: Sequence[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
        )
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
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(what, total=None)

    def count(self, done: int, total: int | None) -> None:
        self._progress.update(self._task, completed=done, total=total)


def choose_callback(stop: Stop, *, quiet: bool) -> StopOnSignal:
    """Return a callback that draws a bar on a terminal, writes lines elsewhere, and nothing if `quiet`."""
    if quiet:
        return StopOnSignal(stop)
    return Bar(stop) if _can_draw() else Lines(stop)


def tell_warnings(entry: dict[str, Any]) -> None:
    """Write the warnings of a log entry, if it has any."""
    for text in entry.get("warnings", []):
        status(f"warning: step {entry['step']:,}: {text}")


def describe(run: Run) -> str:
    """Return the run's folder, environment and resolved settings, one line per root."""
    record = run.record
    how = [f"seed {record.seed}", record.device, record.precision]
    how += [record.execution] if record.execution != "eager" else []
    how += [f"{record.ranks} ranks"] if record.ranks > 1 else []
    rows = [("run", f"{run.path}  ({', '.join(how)})"), ("gradients", gradients_text(record.per_player_reason))]
    for root, value in record.settings.items():
        fields = {key: item for key, item in value.items() if key != "name"}
        text = "  ".join(f"{key}={_field_text(item)}" for key, item in fields.items())
        rows.append((root, f"{value['name']}  {text}" if "name" in value else text))
    return columns(rows)


def _can_draw() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _field_text(item: Any) -> str:
    if isinstance(item, dict) and "name" in item:
        inner = ", ".join(f"{key}={_field_text(value)}" for key, value in item.items() if key != "name")
        return f"{item['name']}({inner})" if inner else str(item["name"])
    return "none" if item is None else str(item)


def _numbers(entry: dict[str, Any]) -> str:
    losses = "  ".join(f"{name} {_digits(value)}" for name, value in entry["losses"].items())
    return f"{losses}  {entry['steps_per_second']:.1f} steps/s"


def _digits(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _left(entry: dict[str, Any], steps: int) -> str:
    seconds = round((steps - entry["step"]) / max(entry["steps_per_second"], 1e-9))
    minutes, hours = seconds // 60 % 60, seconds // 3600
    return f"{hours}:{minutes:02}:{seconds % 60:02} left" if hours else f"{minutes}:{seconds % 60:02} left"
