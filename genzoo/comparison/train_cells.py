"""Training cells: those that are not done yet become tasks, run by an executor, and every cell has an outcome."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from pathlib import Path

from genzoo.comparison.cells import Cell, cell_of, name_of, names_of
from genzoo.comparison.executors import LocalProcesses
from genzoo.comparison.progress import ComparisonCallback, LogTail
from genzoo.comparison.worker import PATIENCE, Outcome, Task, run_task
from genzoo.errors import GenzooError, warn
from genzoo.machine import usable_cores
from genzoo.runs.job import Job
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run
from genzoo.storage.run_lock import holder_of
from genzoo.training.devices import choose_device
from genzoo.training.settings import apart_from_optimizers

_POLL = 0.3
"""Seconds between two looks at the trainings."""


def train_requests(
    requests: Sequence[TrainingRequest], folder: str | Path, *, executor: Executor
) -> list[tuple[Run, GenzooError | None]]:
    """Train what is not done of these requests, and return their runs, each with why its training failed, or None.

    The runs are in `folder`/cells, named after their settings: one that was begun there goes on, and one that is
    finished is not trained again. `executor` runs the trainings, as that of `compare` does. Their warnings are issued.
    """
    cells = [cell_of(name_of(request), request, Path(folder)) for request in requests]
    outcomes = run_cells(cells, executor, tasks=Path(folder) / "tasks")
    warn(dict.fromkeys(line for outcome in outcomes for line in outcome.warnings))
    return [(cell.run, outcome.error) for cell, outcome in zip(cells, outcomes, strict=True)]


def train_cells(
    cells: Sequence[Cell],
    folder: Path,
    *,
    tasks: Path,
    callback: ComparisonCallback | None,
    jobs: int | None,
    together: bool | None,
    device: str,
    executor: Executor | None,
) -> list[Outcome]:
    """Train what is not done yet, report to `callback`, warn of what the trainings warned of, and return the outcomes.

    `folder` is that of the results, and `tasks` that of the tasks' files. `jobs`, `together`, `device` and `executor`
    are those of `compare`.
    """
    callback = callback or ComparisonCallback()
    callback.on_start(folder, names_of(cells), sum(cell.is_done for cell in cells))
    with _executor(executor, jobs or max(1, min(len(cells), usable_cores()))) as workers:
        outcomes = run_cells(
            cells,
            workers,
            tasks=tasks,
            together=_are_together(together, device),
            callback=callback,
        )
    warn(dict.fromkeys(line for outcome in outcomes for line in outcome.warnings))
    return outcomes


def run_cells(
    cells: Sequence[Cell],
    executor: Executor,
    *,
    tasks: Path,
    together: Callable[[Cell], bool] = lambda cell: False,
    callback: ComparisonCallback | None = None,
) -> list[Outcome]:
    """Train the cells that are not done, and return the outcome of all; a training that fails does not stop the others.

    Cells for which `together` is true and that differ only in seed and optimizer are one task. `tasks` is the folder
    for the tasks' and outcomes' files. `callback` may raise to stop: tasks that have not started are then cancelled.
    """
    callback = callback or ComparisonCallback()
    outcomes = {number: Outcome() for number, cell in enumerate(cells) if cell.is_done}
    logs = {number: LogTail(cell.run) for number, cell in enumerate(cells) if number not in outcomes}
    steps = {number: cell.settings.training.steps for number, cell in enumerate(cells)}
    running: dict[Future[int], tuple[Task, tuple[int, ...]]] = {}

    def report() -> None:
        taken = {number: (_step(number, logs, outcomes, steps), steps[number]) for number in range(len(cells))}
        callback.on_progress(taken)

    held = [cells[number].run.path for number in logs if cells[number].run.is_running]
    warn(f"{run} is in use by {holder_of(run)}; its training waits up to {PATIENCE:.0f} s for it" for run in held)
    try:
        report()
        for team in teams(cells, list(logs), together):
            task = Task(tasks / f"{cells[team[0]].run.name}-{os.getpid()}")  # two comparisons may share a cell
            task.write([request for number in team if (request := cells[number].request) is not None])
            running[executor.submit(run_task, task.folder)] = task, team
        while running:
            ended, _ = wait(running, timeout=_POLL, return_when="FIRST_COMPLETED")
            for future in ended:
                task, team = running.pop(future)
                ends = dict(zip(team, task.outcomes(future, len(team)), strict=True))
                outcomes |= ends
                for number, outcome in ends.items():
                    callback.on_training_end(number, cells[number].run, outcome.error)
            report()
    finally:
        for future in running:
            future.cancel()
    return [outcomes[number] for number in range(len(cells))]


def teams(cells: Sequence[Cell], waiting: Sequence[int], together: Callable[[Cell], bool]) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of the cells of every task, in the order of the tasks' first cells."""
    alike: dict[str, tuple[int, ...]] = {}
    for number in waiting:
        key = _population_key(cells[number].job) if together(cells[number]) else str(number)
        alike[key] = (*alike.get(key, ()), number)
    yield from alike.values()


def _population_key(job: Job) -> str:
    """Return a key that is equal for trainings that can run as one program."""
    source = None if job.source is None else job.source.sha256
    alike = [job.model, apart_from_optimizers(job.settings), job.precision, job.deterministic, source]
    return json.dumps(alike, sort_keys=True)


def _step(number: int, logs: Mapping[int, LogTail], outcomes: Mapping[int, Outcome], steps: Mapping[int, int]) -> int:
    ended_well = number in outcomes and outcomes[number].code == 0
    return steps[number] if ended_well else logs[number].step()


def _are_together(together: bool | None, device: str) -> Callable[[Cell], bool]:
    """Return which cells may be trained as one program: as `together` says, or for None those of vectors on a GPU.

    One training on vectors leaves a GPU idle. Convolutions fill it, and those of several replicas become grouped, which
    is slower.
    """
    if together is not None:
        return lambda cell: together
    on_gpu = choose_device(device).type == "cuda"
    return lambda cell: on_gpu and not cell.job.settings.dataset.spec.is_image


@contextmanager
def _executor(executor: Executor | None, jobs: int) -> Iterator[Executor]:
    """Yield the caller's executor, or else processes on this machine, which are saved and stopped on an exception."""
    if executor is not None:
        yield executor
        return
    processes = LocalProcesses(jobs)
    try:
        yield processes
    finally:
        processes.shutdown(cancel_futures=True)
