"""Cells: the single trainings of a comparison, each in the run folder that its settings decide."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genzoo.comparison.progress import LogTail
from genzoo.comparison.worker import Outcome, Task, run_task
from genzoo.components import to_json
from genzoo.data.root import data_root
from genzoo.errors import SettingsError
from genzoo.host.discovery import registry
from genzoo.runs.job import Job, job_of, resolve_job
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run
from genzoo.training.settings import MAY_CHANGE, Settings, apart_from_optimizers

_EVALUATIONS = 5
"""How often a model is evaluated on the way, unless its settings say."""
_POLL = 0.3
"""Seconds between two looks at the trainings."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model with one seed: what is to be trained, and the run that holds it."""

    label: str
    job: Job
    run: Run
    request: TrainingRequest | None
    """None: an existing run, which is looked at and not trained."""

    @property
    def settings(self) -> Settings:
        """The resolved settings."""
        return self.job.settings

    @property
    def is_done(self) -> bool:
        """Whether it is trained and measured."""
        measured = self.run.exists and any(score["step"] == self.run.step for score in self.run.scores)
        return measured and self.run.step >= self.settings.training.steps


def cell_of(label: str, request: TrainingRequest, folder: Path) -> Cell:
    """Return the cell of a request, in the folder below `folder` that its settings decide."""
    source = None if request.from_run is None else Run.at(request.from_run).as_source()
    job = resolve_job(registry(), request, source).with_found_classes(data_root(request.data))
    steps, every = job.settings.training.steps, job.settings.training.evaluate_every
    path = folder / "cells" / f"{job.label}-{identity(job)[:10]}"
    request = request.with_overrides({"training.evaluate_every": every or max(1, steps // _EVALUATIONS)})
    return Cell(label=label, job=job, run=Run(path), request=replace(request, steps=steps, run=path))


def existing_cell(label: str, run: Run) -> Cell:
    """Return the cell of a run that exists."""
    return Cell(label=label, job=job_of(registry(), run.record), run=run, request=None)


def identity(job: Job) -> str:
    """Return a hash of everything that decides a run's numbers."""
    settings = to_json(job.settings)
    for path in MAY_CHANGE:
        if path != "training.steps":
            settings["training"].pop(path.removeprefix("training."))
    source = None if job.source is None else job.source.sha256
    decisive = [job.model, settings, job.seed, job.precision, source]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def refuse_unlike(cells: Sequence[Cell]) -> None:
    """Raise `SettingsError` unless cells of different labels have different settings, and all the same data."""
    first = cells[0]
    label_of: dict[str, str] = {}
    for cell in cells:
        data, other = to_json(cell.settings.dataset), to_json(first.settings.dataset)
        if data != other:
            raise SettingsError(
                f"{cell.label} and {first.label} cannot be compared: they have other data, "
                f"{_short(data)} and {_short(other)}"
            )
        key = str(cell.run.path) if cell.request is None else identity(cell.job)
        if label_of.setdefault(key, cell.label) != cell.label:
            raise named_twice(cell.label)


def named_twice(label: str) -> SettingsError:
    """Return the error of two contestants that cannot be told apart."""
    return SettingsError(
        f"{label} is named twice with the same settings",
        "give it another name and setting: NAME=MODEL and --set NAME:PATH=VALUE",
    )


def train_cells(
    cells: Sequence[Cell],
    executor: Executor,
    *,
    tasks: Path,
    together: bool = False,
    progress: Callable[[Mapping[int, tuple[int, int]]], None] = lambda steps: None,
) -> list[Outcome]:
    """Train what is not done yet, and return how every cell ended; a training that fails does not stop the others.

    With `together`, cells that differ in seed and optimizer alone are one task. `tasks` is the folder in which the
    tasks and their outcomes are files. `progress` is given (step, steps) by the number of the cell, and may raise to
    stop: what has not begun is cancelled.
    """
    outcomes = {number: Outcome() for number, cell in enumerate(cells) if cell.is_done}
    logs = {number: LogTail(cell.run) for number, cell in enumerate(cells) if number not in outcomes}
    steps = {number: cell.settings.training.steps for number, cell in enumerate(cells)}
    running: dict[Future[int], tuple[Task, tuple[int, ...]]] = {}
    try:
        for team in teams(cells, list(logs), together):
            task = Task(tasks / cells[team[0]].run.name)
            task.write([request for number in team if (request := cells[number].request) is not None])
            running[executor.submit(run_task, task.folder)] = task, team
        while running:
            ended, _ = wait(running, timeout=_POLL, return_when="FIRST_COMPLETED")
            for future in ended:
                task, team = running.pop(future)
                outcomes |= zip(team, task.outcomes(future, len(team)), strict=True)
            progress({number: (_step(number, logs, outcomes, steps), steps[number]) for number in range(len(cells))})
    finally:
        for future in running:
            future.cancel()
    return [outcomes[number] for number in range(len(cells))]


def teams(cells: Sequence[Cell], waiting: Sequence[int], together: bool) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of the cells that one task trains, in the order of their first ones."""
    alike: dict[str, tuple[int, ...]] = {}
    for number in waiting:
        key = _likeness(cells[number].job) if together else str(number)
        alike[key] = (*alike.get(key, ()), number)
    yield from alike.values()


def _likeness(job: Job) -> str:
    """Return what two trainings must have in common to be played as one program."""
    source = None if job.source is None else job.source.sha256
    return json.dumps([job.model, apart_from_optimizers(job.settings), job.precision, source], sort_keys=True)


def _step(number: int, logs: Mapping[int, LogTail], outcomes: Mapping[int, Outcome], steps: Mapping[int, int]) -> int:
    ended_well = number in outcomes and outcomes[number].code == 0
    return steps[number] if ended_well else logs[number].step()


def _short(dataset: dict[str, Any]) -> str:
    fields = ", ".join(f"{key}={value}" for key, value in dataset.items() if key != "name")
    return f"{dataset['name']} ({fields})" if fields else str(dataset["name"])
