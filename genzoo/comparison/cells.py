"""Comparing: models trained on the same data, networks, batches and budget, and what came out of it.

A comparison is a folder: `cells/` holds an ordinary run per model and seed, named by the hash of its settings, so that
a finished one is found again; `results.json` holds every score with its protocol, and the statistics over seeds.
"""

import ctypes
import hashlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genzoo import __version__
from genzoo.components import to_json
from genzoo.errors import SettingsError, UnreadableError
from genzoo.evaluation.cards import networks_card, networks_of
from genzoo.evaluation.model import Model
from genzoo.runs.job import Job
from genzoo.storage import files
from genzoo.storage.run_folder import Run
from genzoo.training.settings import MAY_CHANGE, Settings, apart_from_optimizers
from genzoo.types import Splits

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_POLL = 0.3
"""Seconds between two looks at the trainings."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One row of a comparison: a model with its settings, to be trained once per seed, or a run that exists."""

    label: str
    jobs: tuple[Job, ...] = ()
    run: Run | None = None

    @property
    def settings(self) -> Settings:
        """The settings of its first seed."""
        return self.jobs[0].settings


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A contestant's training with one seed."""

    contestant: Contestant
    job: Job
    run: Run
    source: Run | None = None
    """The run whose networks it inherits."""

    @property
    def is_done(self) -> bool:
        """Whether it is trained and measured."""
        steps = self.job.settings.training.steps
        measured = self.run.exists and any(one["step"] == self.run.step for one in self.run.scores)
        return measured and self.run.step >= steps


@dataclass(kw_only=True)
class Outcome:
    """How a cell ended: None while it has not, else the exit code of its training and what it said."""

    code: int | None = None
    said: str = ""


class Command(NamedTuple):
    """How the process that trains some cells is started."""

    arguments: list[str]
    """What follows `genzoo`."""
    reads: str | None = None
    """What it reads from its standard input."""


Progress = Callable[[Mapping[int, tuple[int, int]]], None]
"""Is told (step, steps) by the number of the cell; may raise to stop."""


def cells_of(contestants: Sequence[Contestant], folder: Path) -> list[Cell]:
    """Return all cells, seed by seed, each with the folder that its settings decide."""
    rounds = max(len(one.jobs) for one in contestants)
    found = []
    for seed in range(rounds):
        for one in contestants:
            if seed < len(one.jobs):
                job = one.jobs[seed]
                found.append(Cell(contestant=one, job=job, run=one.run or run_of(job, folder)))
    return found


def run_of(job: Job, folder: Path) -> Run:
    """Return the run below `folder` that a job's settings decide."""
    return Run(folder / "cells" / f"{job.label}-{identity(job)[:10]}")


def identity(job: Job) -> str:
    """Return a hash of everything that decides a run's numbers."""
    settings = to_json(job.settings)
    for path in MAY_CHANGE:
        if path != "training.steps":
            settings["training"].pop(path.removeprefix("training."))
    source = None if job.source is None else job.source.sha256
    known = [job.model, settings, job.seed, job.precision, source]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def refuse_unlike(contestants: Sequence[Contestant]) -> None:
    """Raise `SettingsError` unless all contestants have different names or settings, and the same data."""
    first = contestants[0]
    seen: dict[str, str] = {}
    for one in contestants:
        ours, theirs = to_json(first.settings.dataset), to_json(one.settings.dataset)
        if ours != theirs:
            raise SettingsError(
                f"{one.label} and {first.label} cannot be compared: they have other data, "
                f"{_short(theirs)} and {_short(ours)}"
            )
        known = str(one.run.path) if one.run is not None else identity(one.jobs[0])
        if known in seen or one.label in seen.values():
            raise SettingsError(
                f"{one.label} is named twice with the same settings",
                "give it another name and setting: NAME=MODEL and --set NAME:PATH=VALUE",
            )
        seen[known] = one.label


def train_cells(
    cells: Sequence[Cell],
    command: Callable[[Sequence[Cell]], Command],
    *,
    jobs: int,
    together: bool = False,
    progress: Progress = lambda steps: None,
) -> list[Outcome]:
    """Train what is not done yet, `jobs` at a time, each in a process of its own; return how every cell ended.

    With `together`, cells that differ in seed and optimizer alone share a process. A training that fails does not stop
    the others. If `progress` raises, all are asked to stop and save.
    """
    outcomes = [Outcome(code=0) if cell.is_done else Outcome() for cell in cells]
    waiting = _teams(cells, [number for number, one in enumerate(outcomes) if one.code is None], together)
    running: dict[tuple[int, ...], subprocess.Popen[str]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                team = waiting.pop(0)
                running[team] = _start([cells[number] for number in team], command, jobs)
            time.sleep(_POLL)
            for team in [team for team, process in running.items() if process.poll() is not None]:
                code, errors = running.pop(team).returncode, _errors(cells[team[0]].run)
                for number in team:
                    ended_well = code == 0 or (len(team) > 1 and cells[number].is_done)
                    outcomes[number] = Outcome(code=0 if ended_well else code, said=errors)
            progress({number: _progress(cell) for number, cell in enumerate(cells)})
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    return outcomes


def results(
    contestants: Sequence[Contestant],
    cells: Sequence[Cell],
    outcomes: Sequence[Outcome],
    baselines: Sequence[dict[str, Any]],
    *,
    command: str,
) -> dict[str, Any]:
    """Return the document results.json: rows with their statistics, every cell with its scores, the surroundings."""
    reports = [_cell_report(cell, outcome) for cell, outcome in zip(cells, outcomes, strict=True)]
    rows = []
    for one in contestants:
        own = [report for report, cell in zip(reports, cells, strict=True) if cell.contestant is one]
        rows.append(
            {
                "label": one.label,
                "model": one.jobs[0].model,
                **_cost(one.settings),
                "seconds": statistics.fmean(report["seconds"] for report in own),
                "seeds": [report["seed"] for report in own],
                "failed": [report["failure"] for report in own if report["failure"]],
                "scores": _statistics([report["scores"] for report in own]),
                "settings": to_json(one.settings),
            }
        )
    return {
        "recipe": contestants[0].jobs[0].recipe,
        "data": contestants[0].settings.dataset.name,
        "rows": rows,
        "baselines": list(baselines),
        "cells": reports,
        "environment": environment(),
        "command": command,
    }


def environment() -> dict[str, str]:
    """Return the versions and the machine that the figures belong to."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    return {
        "genzoo": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
    }


@dataclass(frozen=True, kw_only=True)
class HeldOut(Model):
    """The truth in the place of a model: its samples are rows of the validation split, in their order."""

    splits: Splits

    def sample(self, count: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """Return the first `count` validation rows, again from the start where there are fewer."""
        x, _ = self.rows(self.splits.validation)
        return x[torch.arange(count) % len(x)]


def held_out(model: Model, splits: Splits) -> Model:
    """Return the held-out rows as a model that only samples, with the networks of `model` for its shape."""
    known = {field.name: getattr(model, field.name) for field in fields(model)}
    return HeldOut(**known, splits=splits)


def _teams(cells: Sequence[Cell], waiting: Sequence[int], together: bool) -> list[tuple[int, ...]]:
    """Return the cells that wait, by number, in the order of the first of every process's."""
    teams: dict[str, tuple[int, ...]] = {}
    for number in waiting:
        alike = _likeness(cells[number].job) if together else str(number)
        teams[alike] = (*teams.get(alike, ()), number)
    return list(teams.values())


def _likeness(job: Job) -> str:
    """Return what two trainings must have in common to be played as one program."""
    source = None if job.source is None else job.source.sha256
    return json.dumps([job.model, apart_from_optimizers(job.settings), job.precision, source], sort_keys=True)


def _start(cells: Sequence[Cell], command: Callable[[Sequence[Cell]], Command], jobs: int) -> "subprocess.Popen[str]":
    run, (arguments, reads) = cells[0].run, command(cells)
    run.path.parent.mkdir(parents=True, exist_ok=True)
    threads = {} if jobs == 1 else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
    with _error_file(run).open("w") as errors, tempfile.TemporaryFile("w+") as told:
        told.write(reads or "")
        told.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "genzoo", *arguments],  # -P: no module of the current folder is run
            stdin=told,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            env={**os.environ, **threads},
            start_new_session=True,  # a Ctrl-C on the terminal is ours to pass on
            preexec_fn=_end_with_parent,
        )


def _end_with_parent() -> None:
    """Have this process asked to save and end when the comparison is killed (Linux)."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _error_file(run: Run) -> Path:
    return run.path.with_name(f".{run.path.name}.stderr")


def _errors(run: Run) -> str:
    path = _error_file(run)
    said = path.read_text(errors="replace").strip()
    path.unlink()
    return said


def _progress(cell: Cell) -> tuple[int, int]:
    log = cell.run.read_log() if cell.run.path.is_dir() else []
    return (int(log[-1]["step"]) if log else 0, cell.job.settings.training.steps)


def _cell_report(cell: Cell, outcome: Outcome) -> dict[str, Any]:
    log = cell.run.read_log() if cell.run.path.is_dir() else []
    failure = ""
    if outcome.code:
        errors = [line for line in outcome.said.splitlines() if line.startswith("error: ")]
        errors = [line for line in errors if str(cell.run.path) in line] or errors
        failure = f"exit {outcome.code}: {errors[0].removeprefix('error: ') if errors else outcome.said[-200:]}"
    return {
        "label": cell.contestant.label,
        "seed": cell.job.seed,
        "run": os.path.join("cells", cell.run.name) if cell.contestant.run is None else cell.run.name,
        "step": cell.run.step,
        "seconds": float(log[-1]["seconds"]) if log else 0.0,
        "failure": failure,
        "scores": [score for score in cell.run.scores if score["protocol"].get("seed") == cell.job.seed]
        if cell.run.path.is_dir()
        else [],
    }


def _statistics(scores_of_cells: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return per metric and protocol (seeds aside) the final scores over cells, and the best of each cell's course."""
    series: dict[tuple[str, str], list[list[dict[str, Any]]]] = {}
    for scores in scores_of_cells:
        own: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for score in scores:
            own.setdefault((score["metric"], _protocol(score)), []).append(score)
        for key, course in own.items():
            series.setdefault(key, []).append(sorted(course, key=lambda score: int(score["step"])))
    found = []
    for (metric, _), courses in series.items():
        finals = [course[-1]["value"] for course in courses]
        better = courses[0][-1].get("better")
        finite = [value for value in finals if value is not None]
        pick = {"higher": max, "lower": min}.get(better or "")
        courses_of_values = [[score["value"] for score in course if score["value"] is not None] for course in courses]
        best = [pick(values) for values in courses_of_values if values] if pick else []
        protocol = {key: value for key, value in courses[0][-1]["protocol"].items() if key != "seed"}
        found.append(
            {
                "metric": metric,
                "protocol": protocol,
                "better": better,
                "n": len(finals),
                "final": summary(finite),
                "best": summary(best),
                "values": finals,
            }
        )
    return found


def summary(values: Sequence[float]) -> dict[str, float] | None:
    """Return mean, standard deviation (n − 1; 0 for one value), least and largest; None for no values."""
    if not values:
        return None
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
    }


def _protocol(score: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in score["protocol"].items() if key != "seed"}, sort_keys=True)


def _cost(settings: Settings) -> dict[str, Any]:
    """Return parameters, forward multiply-accumulates of one update, and images seen."""
    networks = networks_card(networks_of(settings))
    counted = {name: card["macs"] for name, card in networks.items() if card["layers"]}
    rows = {name: 2 if name == "critic" else 1 for name in counted}
    per_row = None if None in counted.values() else sum(macs * rows[name] for name, macs in counted.items())
    batch = settings.training.batch_size
    return {
        "parameters": sum(card["parameters"] for card in networks.values()),
        "macs_per_update": None if per_row is None else per_row * batch,
        "images_seen": settings.training.steps * batch,
        "steps": settings.training.steps,
    }


def _short(dataset: dict[str, Any]) -> str:
    fields = ", ".join(f"{key}={value}" for key, value in dataset.items() if key != "name")
    return f"{dataset['name']} ({fields})" if fields else str(dataset["name"])


def compared_before(folder: Path) -> list[str]:
    """Return whom the report in `folder` compares; nobody where there is none that can be read."""
    try:
        rows = files.read_json(folder / "results.json", "a comparison's results").get("rows")
    except UnreadableError:
        return []  # it is going to be replaced
    return [str(row.get("label")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def write_results(folder: Path, document: Mapping[str, Any]) -> None:
    """Put results.json in place."""
    with files.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "results.json", {"schema_version": files.SCHEMA_VERSION, **document})
