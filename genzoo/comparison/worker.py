"""The worker: trains the requests in a task's folder, and writes the outcomes there.

A task is a folder. The process that compares writes training requests to `job.json`. The worker writes outcomes and
warnings to `outcome.json`; if it runs in its own process, `output.txt` holds what it printed, for people to read. As a
program: `python -m genzoo.comparison.worker FOLDER`. A file `stop` in the folder asks whoever started the program to
end it.
"""

import math
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from genzoo.components import from_json, to_json
from genzoo.errors import BusyError, GenzooError, GenzooWarning, Interrupted, explain, of_exit_code
from genzoo.host.discovery import registry
from genzoo.host.unregistered import code_of, import_code
from genzoo.runs import session
from genzoo.runs.callbacks import Callback
from genzoo.runs.request import TrainingRequest
from genzoo.runs.signals import StopOnSignal, end_on_signals, end_with_parent, stop_on_signals
from genzoo.storage import files
from genzoo.text import in_a_line

PATIENCE = 30.0
"""Seconds to wait for another process that has a run in use."""
_TASK, _OUTCOME, OUTPUT, _STOP = "job.json", "outcome.json", "output.txt", "stop"
STOPPED = 128 + signal.SIGTERM
"""The exit code of a task that was asked to end."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended."""

    code: int = 0
    """The exit code that `genzoo train` would have."""
    found: str = ""
    remedy: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def error(self) -> GenzooError | None:
        """The error that the training ended with, if any."""
        return of_exit_code(self.code, self.found, self.remedy) if self.code else None


@dataclass(frozen=True)
class Task:
    """The folder through which the process that compares and a worker communicate."""

    folder: Path

    def write(self, requests: Sequence[TrainingRequest]) -> None:
        """Write a single request, or several that are to be trained together."""
        with files.storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _OUTCOME).unlink(missing_ok=True)
        content = [request.to_json(name_of=registry().name_of) for request in requests]
        document = {"schema_version": files.SCHEMA_VERSION, "code": sorted(set(code_of(content))), "requests": content}
        files.write_json(self.folder / _TASK, document)

    @property
    def has_begun(self) -> bool:
        """Whether its process was started."""
        return (self.folder / OUTPUT).exists()

    @property
    def is_stopped(self) -> bool:
        """Whether it was asked to save and end."""
        return (self.folder / _STOP).exists()

    def stop(self) -> None:
        """Ask it to save and end, wherever it runs."""
        if self.folder.is_dir():
            (self.folder / _STOP).touch()

    def requests(self) -> list[TrainingRequest]:
        """Return the requests to train."""
        document = files.read_json(self.folder / _TASK, "a worker's task")
        for where in document["code"]:
            import_code(where)
        return [TrainingRequest.from_json(request, resolve=registry().resolve) for request in document["requests"]]

    def write_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Write the outcome of every request."""
        document = {"schema_version": files.SCHEMA_VERSION, "outcomes": [to_json(outcome) for outcome in outcomes]}
        files.write_json(self.folder / _OUTCOME, document)

    def outcomes(self, ended: "Future[int]", count: int) -> list[Outcome]:
        """Return the outcomes of all `count` requests, and remove the folder unless one failed.

        A worker that was killed leaves no outcome; then it is derived from how its process ended.
        """
        if (self.folder / _OUTCOME).exists():
            content = files.read_json(self.folder / _OUTCOME, "a worker's outcome")["outcomes"]
            outcomes = [from_json(Outcome, outcome, resolve=registry().resolve) for outcome in content]
            if len(outcomes) == 1:  # what ends a task before its trainings begin ends them all
                outcomes *= count
        else:
            outcomes = [_outcome_of_process(ended, self.folder)] * count
        if not any(outcome.code for outcome in outcomes):
            self.remove()
        return outcomes

    def is_lost(self, ended: "Future[int]") -> bool:
        """Return whether its worker ended without a word or by a signal, and not by an error of a training's."""
        error = ended.exception()
        if error is not None or not (self.folder / _OUTCOME).exists():
            return not isinstance(error, GenzooError) and (error is not None or not 0 <= ended.result() <= 128)
        return ended.result() > 128

    def remove(self) -> None:
        """Remove the folder, and the one of all tasks once it is empty."""
        remove_from_tasks(self.folder)


def remove_from_tasks(folder: Path) -> None:
    """Remove a folder that is in the one of all tasks, and that one, too, once it is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.is_dir() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def run_task(
    folder: Path,
    *,
    callback: Callable[[], Callback] = Callback,
    patience: float | None = None,
    is_orphan: Callable[[], bool] = lambda: False,
) -> int:
    """Train the requests of the task in `folder`, write the outcomes, and return the first exit code that is not 0.

    A run that another process trains is waited for, for `patience` seconds (None: `PATIENCE`). An orphan writes no
    outcome: the task may have another worker by then.
    """
    task = Task(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GenzooWarning)
        try:
            errors = _trained(task.requests(), callback, PATIENCE if patience is None else patience)
        except Exception as error:
            traceback.print_exc()
            errors = [explain(error)]
    lines = tuple(dict.fromkeys(str(item.message) for item in caught if issubclass(item.category, GenzooWarning)))
    outcomes = [_outcome(error, lines) for error in errors]
    if not is_orphan():
        task.write_outcomes(outcomes)
    return next((outcome.code for outcome in outcomes if outcome.code), 0)


def main() -> None:
    """Run the task in the folder named on the command line; end if the process that started this one ends.

    With `--wait`, it waits for a run that another process trains as long as that takes.
    """
    folder, *options = sys.argv[1:]
    patience = math.inf if options == ["--wait"] else None
    is_orphan = end_with_parent()
    with end_on_signals(), stop_on_signals() as stop:
        try:
            sys.exit(
                run_task(Path(folder), callback=lambda: StopOnSignal(stop), patience=patience, is_orphan=is_orphan)
            )
        except Interrupted as end:
            sys.exit(128 + end.number)


def _trained(
    requests: Sequence[TrainingRequest], callback: Callable[[], Callback], patience: float
) -> list[GenzooError | None]:
    """Return why each training failed, or None.

    A run that is in use is waited for: after a comparison was killed, its workers still save.
    """
    began = time.monotonic()
    while True:
        try:
            return _trained_at_once(requests, callback)
        except BusyError:
            if time.monotonic() - began > patience or callback().stop_signal() is not None:
                raise
            time.sleep(0.2)


def _trained_at_once(requests: Sequence[TrainingRequest], callback: Callable[[], Callback]) -> list[GenzooError | None]:
    if len(requests) > 1:
        ends = session.train_together(requests, callback=callback)
        return [ends[Path(str(request.run))] for request in requests]
    session.train_request(requests[0], callback())
    return [None]


def _outcome(error: GenzooError | None, lines: tuple[str, ...]) -> Outcome:
    if error is None:
        return Outcome(warnings=lines)
    return Outcome(code=error.exit_code, found=error.found, remedy=error.remedy, warnings=lines)


def _outcome_of_process(ended: "Future[int]", folder: Path) -> Outcome:
    """Return the outcome of a worker that ended without writing one."""
    error = ended.exception()
    if isinstance(error, GenzooError):
        return _outcome(error, ())
    if error is not None:  # the texts of engines and of files name machines and places
        is_plain = type(error).__module__ == "builtins" and not isinstance(error, OSError)
        return Outcome(code=1, found=f"its worker was lost ({in_a_line(error) if is_plain else type(error).__name__})")
    code = ended.result()
    output = folder / OUTPUT
    last = output.read_text(errors="replace").strip()[-200:] if output.exists() else ""
    how = f"its process was ended by signal {-code}" if code < 0 else f"its process ended with {code}"
    return Outcome(code=128 - code if code < 0 else code or 1, found=f"{how} {last}".strip())


if __name__ == "__main__":
    main()
