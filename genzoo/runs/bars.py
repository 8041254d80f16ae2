"""Bars: a training's step, speed and time left, drawn in a terminal or in a notebook. Needs no torch.

It imports rich, so it is imported where a bar is drawn.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from html import escape
from time import monotonic
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Column
from rich.text import Text

from genzoo.runs.callbacks import Callback
from genzoo.runs.notes import losses_text, warning_texts
from genzoo.runs.signals import tell
from genzoo.storage.run_folder import Run
from genzoo.text import printable, time_left

SPEED_OVER = 300.0
"""Seconds over which the speed is averaged, or the last 1,000 steps."""
_SECONDS_BETWEEN_UPDATES = 0.3


class TextOf(ProgressColumn):
    """A column of text that a task is given to, and that does not fold."""

    def __init__(self, text: Callable[[Task], str]) -> None:
        super().__init__(Column(no_wrap=True))
        self._text = text

    def render(self, task: Task) -> Text:
        """Return the text of a task."""
        return Text(printable(self._text(task)))


class Remarked(Progress):
    """A progress with a line of losses below its bars, and one for what a signal's handler says.

    What the handler wrote elsewhere would be drawn over.
    """

    _remark = ""

    def tell(self, text: str) -> None:
        """Show the line at the next drawing, or write it where nothing is drawn."""
        if self.live.is_started:
            self._remark = text
        else:
            tell(text)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bars, the line, and the losses of tasks that have them."""
        yield from super().get_renderables()
        if self._remark:
            yield Text(self._remark)
        for task in self.tasks:
            if "losses" in task.fields:
                yield Text(printable(task.fields["losses"]), no_wrap=True, overflow="ellipsis")


class TrainingBar(Callback, ABC):
    """Counts a training's steps, and draws them with speed, time left and the latest losses."""

    def __init__(self, console: Console) -> None:
        self._progress = Remarked(
            TextOf(steps_text),
            BarColumn(bar_width=None),  # it alone gives way on a narrow screen
            TextOf(pace_text),
            console=console,
            expand=True,
            refresh_per_second=5,
            speed_estimate_period=SPEED_OVER,
        )

    def tell(self, text: str) -> None:
        """Show a line below the bar; a signal's handler may call this."""
        self._progress.tell(text)

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Write the run's folder, and start the bar."""
        done = f", from step {step:,}" if step else ""
        self.on_note(f"run {run.path}{done}")
        self.begin(step, steps)

    def begin(self, step: int, steps: int) -> None:
        """Start the bar, unless no step is left."""
        if step < steps:
            self._progress.add_task("", total=steps, completed=step, losses="")
            self.draw()

    @abstractmethod
    def on_note(self, text: str) -> None:
        """Write the line above the bar."""

    def on_step(self, step: int) -> None:
        """Move the bar."""
        self._progress.update(self._progress.task_ids[-1], completed=step)
        self.draw()

    def on_log(self, entry: dict[str, Any]) -> None:
        """Write the entry's warnings, and show its losses."""
        for text in warning_texts(entry):
            self.on_note(text)
        self.show(entry)

    def show(self, entry: dict[str, Any]) -> None:
        """Show the latest losses."""
        self._progress.update(self._progress.task_ids[-1], losses=losses_text(entry))

    def on_end(self) -> None:
        """Leave the bar on the screen."""
        self.close()

    @abstractmethod
    def draw(self) -> None:
        """Draw the bar, unless it was drawn a moment ago."""

    @abstractmethod
    def close(self) -> None:
        """Draw the last step, and give the screen back."""


class TerminalBar(TrainingBar):
    """Draws the bar in a terminal; a thread draws it a few times a second."""

    def on_note(self, text: str) -> None:
        """Write the line above the bar."""
        self._progress.console.print(text)

    def draw(self) -> None:
        """Begin to draw, at the first call."""
        self._progress.start()

    def close(self) -> None:
        """Draw the last step, and give the screen back."""
        self._progress.stop()


class NotebookBar(TrainingBar):
    """Draws the bar as HTML in the output of a notebook's cell, below the notes."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))  # it counts, and draws nothing
        self._notes: list[str] = []
        self._handle: Any = None
        self._drawn = 0.0

    def on_note(self, text: str) -> None:
        """Show the line above the bar."""
        self._notes.append(text)
        self.close()

    def draw(self) -> None:
        """Draw the bar, unless it was drawn a moment ago."""
        if monotonic() - self._drawn > _SECONDS_BETWEEN_UPDATES:
            self.close()

    def close(self) -> None:
        """Draw the bar as it is now."""
        self._drawn = monotonic()
        import IPython.display  # noqa: F401 - it has no annotations, and so is used as Any

        ipython: Any = sys.modules["IPython.display"]
        page = ipython.HTML(self._html())
        if self._handle is None:
            self._handle = ipython.display(page, display_id=True)
        else:
            self._handle.update(page)

    def _html(self) -> str:
        lines = [escape(note) for note in self._notes]
        for task in self._progress.tasks:
            bar = f'<progress value="{task.completed:.0f}" max="{task.total:.0f}"></progress>'
            lines += [f"{bar} {steps_text(task)}&ensp;{pace_text(task)}", escape(task.fields["losses"])]
        return "<br>".join(lines)


def bar_here() -> TrainingBar | None:
    """Return a bar for the notebook or terminal that this process writes to, or None where there is neither."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and "IPKernelApp" in shell.config:
        return NotebookBar()
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    return TerminalBar(console) if console.is_terminal and not console.is_dumb_terminal else None


def steps_text(task: Task) -> str:
    """Return the steps done and to do."""
    return f"step {task.completed:,.0f}/{task.total or 0:,.0f}"


def pace_text(task: Task) -> str:
    """Return the speed and the time left; empty until two steps are taken."""
    speed = task.finished_speed or task.speed
    if not speed:
        return ""
    rate = f"{speed:,.1f}" if speed >= 1 else f"{speed:.2g}"
    return f"{rate} steps/s  {time_left((task.remaining or 0) / speed)}"
