"""Progress of long commands: a live bar on a terminal, otherwise a plain line now and then."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genzoo.cli.output import console, draws, gradients_text, settings_texts, show_table, status
from genzoo.errors import GenzooError, InterruptedRun
from genzoo.runs.notes import losses_text, warning_texts
from genzoo.runs.signals import Stop, StopOnSignal, stop_on_signals
from genzoo.storage.run_folder import Run
from genzoo.text import counted, time_left

if TYPE_CHECKING:
    from rich.progress import Progress

    from genzoo.comparison.progress import ComparisonCallback

_SECONDS_BETWEEN_LINES = 5.0
_SHARE_BETWEEN_LINES = 0.05
"""Of the time so far, which a line waits for at least: a long command writes a hundred lines, not thousands."""
_MOST_NAMED = 8
"""The largest number of trainings that are named before they begin."""
_USUAL_PLAYERS = {"critic", "generator"}
"""Those of a game that names none itself, which a header need not name."""
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
        self._lines = _PlainLines(_SECONDS_BETWEEN_LINES)
        self._is_first = True

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Write the header."""
        super().on_start(run, step, steps)
        self._steps = steps

    def show(self, entry: dict[str, Any]) -> None:
        """Write a line, unless the last one is recent."""
        if self._lines.is_due() or self._is_first or entry["step"] == self._steps:
            self._is_first = False
            steps = f"step {entry['step']:,}/{self._steps:,}"
            pace = _pace(entry["steps_per_second"], self._steps - entry["step"])
            status(f"{steps}  {losses_text(entry)}  {pace}")


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

            def on_training_end(self, number: int, run: Run, error: GenzooError | None) -> None:
                self.display.end(number, run, error)

        yield Watching()


def _end_if_asked(stop: Stop, message: str) -> None:
    if stop.number is not None:
        raise InterruptedRun(message, "go on with the same command", signal_number=stop.number)


def _pace(rate: float, steps: int) -> str:
    """Return a speed, and the time that is left for so many steps."""
    return f"{rate:.1f} steps/s  {time_left(steps / max(rate, 1e-9))}"


class _PlainLines:
    """A context for plain lines, which need no start and no end: at most one in so many `seconds`, later fewer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = self._written = time.monotonic()

    def is_due(self) -> bool:
        """Return whether it is time for a line, which is then taken to be written."""
        now = time.monotonic()
        if now - self._written <= max(self._seconds, _SHARE_BETWEEN_LINES * (now - self._begun)):
            return False
        self._written = now
        return True

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
    """Says what is to be trained, when each training ends, and now and then which are under way."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(2 * _SECONDS_BETWEEN_LINES)
        self._labels = labels
        self._last = ""
        self._waiting: set[int] | None = None
        self._first_seen: dict[int, tuple[int, float]] = {}

    def show(self, steps: Mapping[int, tuple[int, int]]) -> None:
        if self._waiting is None:
            self._waiting = {number for number, (done, of) in steps.items() if done < of}
            self._name_waiting(steps)
        for number in self._waiting:
            if steps[number][0]:
                self._first_seen.setdefault(number, (steps[number][0], time.monotonic()))
        if self._waiting and self.is_due():
            seen = sorted(self._waiting & self._first_seen.keys())
            under_way = "; ".join(self._under_way(number, *steps[number]) for number in seen)
            line = f"{len(steps) - len(self._waiting)} of {len(steps)} done; {under_way or 'starting'}"
            if line != self._last:
                status(line)
            self._last = line

    def end(self, number: int, run: Run, error: GenzooError | None) -> None:
        if self._waiting is not None:
            self._waiting.discard(number)
        log = run.read_log() if error is None else []
        if error is not None:
            status(f"failed: {self._labels[number]}: {error.found}")
        elif log:
            step, seconds = log[-1]["step"], log[-1]["seconds"]
            status(f"{self._labels[number]} is trained: {step:,} steps at {step / max(seconds, 1e-9):.1f} steps/s")

    def _name_waiting(self, steps: Mapping[int, tuple[int, int]]) -> None:
        waiting = sorted(self._waiting or ())
        named = [f"{self._labels[number]} ({steps[number][1]:,} steps)" for number in waiting[:_MOST_NAMED]]
        more = [f"{len(waiting) - len(named)} more"] if len(waiting) > len(named) else []
        if waiting:
            status(f"to be trained: {', '.join(named + more)}")

    def _under_way(self, number: int, done: int, of: int) -> str:
        first, when = self._first_seen[number]
        if done >= of:
            return f"{self._labels[number]} is measured"
        rate = (done - first) / max(time.monotonic() - when, 1e-9)
        return f"{self._labels[number]} {done:,}/{of:,}" + (f"  {_pace(rate, of - done)}" if rate else "")


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

    def end(self, number: int, run: Run, error: GenzooError | None) -> None:
        """Leave the bar as it is: it says `done`, and failures come at the end."""


class _CountingLines(_PlainLines):
    def __init__(self, what: str, unit: str) -> None:
        super().__init__(_SECONDS_BETWEEN_LINES)
        self._what, self._unit = what, unit

    def count(self, done: int, total: int | None) -> None:
        if self.is_due():
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
    rows += [("players", ", ".join(record.players))] if {*record.players} - _USUAL_PLAYERS else []
    rows += [("precision", _BF16)] if record.precision == "bf16" else []
    rows += [("not taken", f"{', '.join(record.not_taken)} of the recipe {record.recipe}")] if record.not_taken else []
    for root, value in record.settings.items():
        unused = record.unused if root == "game" else []
        text = "  ".join(settings_texts({name: item for name, item in value.items() if name not in unused}))
        rows.append((root, f"{value['name']}  {text}" if "name" in value else text))
    return rows


def _can_draw() -> bool:
    return draws(sys.stderr)
