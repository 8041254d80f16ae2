"""Training cells: those that are not done yet become tasks, run by an executor, and every cell has an outcome."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from genzoo.comparison.cells import Cell, cell_of, name_of, names_of
from genzoo.comparison.executors import ExecutorFactory, Local
from genzoo.comparison.progress import ComparisonCallback, LogTail
from genzoo.comparison.worker import PATIENCE, Outcome, Task, remove_from_tasks, run_task
from genzoo.errors import GenzooError, warn
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
    executor: Executor | ExecutorFactory | None,
) -> list[Outcome]:
    """Train what is not done yet, report to `callback`, warn of what the trainings warned of, and return the outcomes.

    `folder` is that of the results, and `tasks` that of the tasks' files. `jobs`, `together`, `device` and `executor`
    are those of `compare`.
    """
    callback = callback or ComparisonCallback()
    done = sum(cell.is_done for cell in cells)
    callback.on_start(folder, names_of(cells), done)
    factory = Local() if executor is None or done == len(cells) else executor
    files = tasks / f"executor-{os.getpid()}"
    with _started(factory, len(cells) - done, jobs, files) as workers:
        outcomes = run_cells(
            cells,
            workers,
            tasks=tasks,
            together=_are_together(together, device),
            callback=callback,
            tries=factory.tries if isinstance(factory, ExecutorFactory) else 1,
        )
    if not any(outcome.code for outcome in outcomes):  # else they may say why
        remove_from_tasks(files)
    warn(dict.fromkeys(line for outcome in outcomes for line in outcome.warnings))
    return outcomes


def run_cells(
    cells: Sequence[Cell],
    executor: Executor,
    *,
    tasks: Path,
    together: Callable[[Cell], bool] = lambda cell: False,
    callback: ComparisonCallback | None = None,
    tries: int = 1,
) -> list[Outcome]:
    """Train the cells that are not done, and return the outcome of all; a training that fails does not stop the others.

    Cells for which `together` is true and that differ only in seed and optimizer are one task. `tasks` is the folder
    for the tasks' and outcomes' files. `callback` may raise to stop: tasks that have not started are then cancelled.
    A task whose worker is lost begins again, and its trainings go on from their last checkpoints, until that has
    happened `tries` times without a step between.
    """
    callback = callback or ComparisonCallback()
    progress = _Progress(cells)
    losses = _Losses(tries)
    running: dict[Future[int], tuple[Task, tuple[int, ...]]] = {}
    names = (f"{os.getpid()}-{number}" for number in count())  # two comparisons may share a cell

    def submit(team: tuple[int, ...]) -> None:
        task = Task(tasks / f"{cells[team[0]].run.name}-{next(names)}")
        task.write([request for number in team if (request := cells[number].request) is not None])
        running[executor.submit(run_task, task.folder)] = task, team

    held = [cells[number].run.path for number in progress.waiting() if cells[number].run.is_running]
    warn(f"{run} is in use by {holder_of(run)}; its training waits up to {PATIENCE:.0f} s for it" for run in held)
    try:
        callback.on_progress(progress.taken())
        for team in teams(cells, progress.waiting(), together):
            submit(team)
        while running:
            ended, _ = wait(running, timeout=_POLL, return_when="FIRST_COMPLETED")
            for future in ended:
                task, team = running.pop(future)
                is_lost = task.is_lost(future)
                if is_lost and losses.may_begin_again(team, sum(map(progress.step, team))):
                    task.remove()
                    submit(team)
                    continue
                outcomes = task.outcomes(future, len(team))
                for number, outcome in zip(team, map(losses.explained, outcomes) if is_lost else outcomes, strict=True):
                    progress.outcomes[number] = outcome
                    callback.on_training_end(number, cells[number].run, outcome.error)
            callback.on_progress(progress.taken())
    finally:
        for future in running:
            future.cancel()
    return [progress.outcomes[number] for number in range(len(cells))]


class _Progress:
    """The outcomes of the cells that have ended, and the steps of those that train, from their logs."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.outcomes = {number: Outcome() for number, cell in enumerate(cells) if cell.is_done}
        self._logs = [LogTail(cell.run) for cell in cells]
        self._steps = [cell.settings.training.steps for cell in cells]

    def waiting(self) -> list[int]:
        """Return the numbers of the cells that have not ended."""
        return [number for number in range(len(self._steps)) if number not in self.outcomes]

    def step(self, number: int) -> int:
        """Return the step that a cell has reached."""
        ended_well = number in self.outcomes and self.outcomes[number].code == 0
        return self._steps[number] if ended_well else self._logs[number].step()

    def taken(self) -> dict[int, tuple[int, int]]:
        """Return (step, steps) of every cell."""
        return {number: (self.step(number), steps) for number, steps in enumerate(self._steps)}


class _Losses:
    """How often each team's worker was lost without a step between."""

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self._lost: dict[tuple[int, ...], tuple[int, int]] = {}

    def may_begin_again(self, team: tuple[int, ...], step: int) -> bool:
        """Count a loss at a step, and return whether the team's task may begin again."""
        times, before = self._lost.get(team, (0, -1))
        self._lost[team] = (1 if step > before else times + 1), max(step, before)
        return self._lost[team][0] < self._tries

    def explained(self, outcome: Outcome) -> Outcome:
        """Return the outcome of a task that does not begin again, which says how often it was lost."""
        if self._tries == 1 or not outcome.code:
            return outcome
        times = f"its worker was lost {self._tries} times without a step between"
        return replace(outcome, found=f"{times}; the last time: {outcome.found}")


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
def _started(
    executor: Executor | ExecutorFactory, trainings: int, jobs: int | None, folder: Path
) -> Iterator[Executor]:
    """Yield the caller's executor, or else one that is made here, whose trainings are saved and stopped at the end."""
    if isinstance(executor, Executor):
        yield executor
        return
    workers = executor.start(trainings, jobs=jobs, folder=folder)
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)
