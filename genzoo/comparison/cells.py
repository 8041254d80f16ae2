"""Cells: the single trainings of a comparison, each in a run folder named after a hash of its settings."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genzoo.components import flat, to_json, to_text
from genzoo.data.root import data_root
from genzoo.errors import SettingsError
from genzoo.host.discovery import registry
from genzoo.runs.configuration import is_file
from genzoo.runs.job import Job, find_recipe, job_of, resolve_job
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run
from genzoo.training.settings import MAY_CHANGE, Settings, with_horizon

_EVALUATIONS = 5
"""How often a model is evaluated during training, unless its settings say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model with one seed: the job, and the run folder it is trained in."""

    label: str
    job: Job
    run: Run
    request: TrainingRequest | None
    """None: an existing run, which is not trained."""
    data: str | None = None
    """The fingerprint of its data set's files; None where it reads none."""

    @property
    def settings(self) -> Settings:
        """The resolved settings."""
        return self.job.settings

    @property
    def has_begun(self) -> bool:
        """Whether it has taken steps: one of them is in its log."""
        return self.run.exists and bool(self.run.read_log())

    @property
    def is_done(self) -> bool:
        """Whether it has been trained and evaluated."""
        measured = self.run.exists and any(score["step"] == self.run.step for score in self.run.scores_on_its_data)
        return measured and self.run.step >= self.settings.training.steps


def cell_of(label: str, request: TrainingRequest, folder: Path) -> Cell:
    """Return the cell of a request, whose run folder below `folder` is named after its settings."""
    if isinstance(request.recipe, str) and is_file(request.recipe):  # it may change, and lie elsewhere for a worker
        request = replace(request, recipe=find_recipe(registry(), request.recipe))
    source = None if request.from_run is None else Run.of(request.from_run).as_source()
    root = data_root(request.data)
    job = resolve_job(registry(), request, source).with_found_classes(root)
    data = job.settings.dataset.fingerprint(root)
    steps, every = job.settings.training.steps, job.settings.training.evaluate_every
    path = folder / "cells" / f"{job.label}-{identity(job, data)[:10]}"
    request = request.with_overrides({"training.evaluate_every": every or max(1, steps // _EVALUATIONS)})
    # Its precision is chosen here and not by the worker, which may have another device.
    request = replace(request, steps=steps, run=path, precision=job.precision)
    return Cell(label=label, job=job, run=Run(path), request=request, data=data)


def name_of(request: TrainingRequest) -> str:
    """Return the name of the model that a request is for."""
    return request.model if isinstance(request.model, str) else request.model.name


def existing_cell(label: str, run: Run) -> Cell:
    """Return the cell of an existing run."""
    return Cell(label=label, job=job_of(registry(), run.record), run=run, request=None, data=run.record.data)


def identity(job: Job, data: str | None) -> str:
    """Return a hash of everything that determines a run's numbers; `data` is the fingerprint of its data's files."""
    settings = to_json(job.settings, name_of=registry().name_of)
    for path in MAY_CHANGE:
        if path != "training.steps":
            settings["training"].pop(path.removeprefix("training."))
    source = None if job.source is None else job.source.sha256
    decisive = [job.model, settings, job.seed, job.precision, source, *([] if data is None else [data])]
    # Named only where it is so, as cells from before there was a choice keep their identity.
    decisive += ["deterministic"] if job.deterministic else []
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def names_of(cells: Sequence[Cell]) -> list[str]:
    """Return short names of cells: label, seed, and settings where others have both, as `MODEL labels=10 seed 0`."""
    alike: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        alike.setdefault((cell.label, cell.job.seed), []).append(cell)
    return [
        " ".join([cell.label, *_settings_apart(cell, alike[cell.label, cell.job.seed]), f"seed {cell.job.seed}"])
        for cell in cells
    ]


def _settings_apart(cell: Cell, cells: Sequence[Cell]) -> list[str]:
    """Return as few settings of a cell, as `name=value`, as tell it from all `cells` with other settings."""
    mine, *others = (dict(flat(to_json(each.settings), "")) for each in (cell, *cells))
    texts = []
    for path, value in mine.items():
        if any(other.get(path) != value for other in others):
            texts.append(f"{path.rpartition('.')[2]}={'none' if value is None else to_text(value)}")
            others = [other for other in others if other.get(path) == value]
    return texts


def decisive_settings(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the settings of one contestant's cells that decide its numbers, by name or path."""
    job, settings = cells[0].job, cells[0].settings
    training = settings.training
    content = {root: value for root, value in to_json(with_horizon(settings)).items() if root != "dataset"}
    beside = {*MAY_CHANGE, "game", "architecture.latent", "training.batch_size"}
    beside |= {"training.horizon"} if training.horizon in (None, training.steps) else set()
    paths = [pair for root, value in content.items() for pair in flat(value, root)]
    return {
        "data": " ".join([_short(to_json(settings.dataset)), *_fingerprints(cells)]),
        "recipe": job.recipe,
        "batch size": training.batch_size,
        "steps": training.steps,
        "latent size": settings.latent,
        "seeds": [cell.job.seed for cell in cells],
        "precision": job.precision,
        "source": None if job.source is None else job.source.run,
        **{path: value for path, value in paths if path not in beside},
    }


def _fingerprints(cells: Sequence[Cell]) -> list[str]:
    """Return the beginnings of the hashes of the files that cells were trained on, where their data have files."""
    files = {cell.run.record.data for cell in cells if cell.run.exists}
    return sorted(fingerprint[:8] for fingerprint in files if fingerprint is not None)


def refuse_unlike(cells: Sequence[Cell]) -> None:
    """Raise `SettingsError` unless all cells have the same data, and those of different labels different settings."""
    first = cells[0]
    label_of: dict[str, str] = {}
    for cell in cells:
        data, other = to_json(cell.settings.dataset), to_json(first.settings.dataset)
        if data != other:
            raise SettingsError(
                f"{cell.label} and {first.label} cannot be compared: they have other data, "
                f"{_short(data)} and {_short(other)}",
                "give all contestants the same: --set dataset.…, or leave out one of them",
            )
        if cell.data != first.data:
            raise SettingsError(
                f"{cell.label} and {first.label} cannot be compared: their files of '{data['name']}' differ",
                "compare runs on the same files; where they lie is named with --data",
            )
        key = str(cell.run.path) if cell.request is None else identity(cell.job, cell.data)
        if (other_label := label_of.setdefault(key, cell.label)) != cell.label:
            raise SettingsError(
                f"{cell.label} and {other_label} are the same model with the same settings",
                "give one of them a setting of its own; on the command line: --set NAME:PATH=VALUE",
            )


def refuse_other_data(cell: Cell, root: Path) -> None:
    """Raise `SettingsError` unless `root` holds the files that a cell's run was trained on."""
    dataset = cell.settings.dataset
    if dataset.fingerprint(root) != cell.data:
        raise SettingsError(
            f"{root} holds other data of '{dataset.name}' than {cell.run.path} was trained on",
            "name the folder of the run's data with --data",
        )


def _short(dataset: dict[str, Any]) -> str:
    fields = ", ".join(f"{key}={value}" for key, value in dataset.items() if key != "name")
    return f"{dataset['name']} ({fields})" if fields else str(dataset["name"])
