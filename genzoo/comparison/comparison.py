"""`compare`: models trained on the same data, networks, batches and budget, scored, and reported on side by side."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from genzoo.comparison.baselines import baselines_of
from genzoo.comparison.cells import Cell, cell_of, existing_cell, named_twice, refuse_unlike, train_cells
from genzoo.comparison.executors import LocalProcesses
from genzoo.comparison.progress import ComparisonCallback
from genzoo.comparison.report import ScoreTable, write_report
from genzoo.comparison.results import ResultRow, Results, cell_result, environment, labels_of, row_of
from genzoo.comparison.sections import sections_of
from genzoo.comparison.worker import Outcome
from genzoo.data.root import data_root
from genzoo.errors import UnreadableError, warn
from genzoo.evaluation.model import Model
from genzoo.evaluation.scoring import metrics_with_obstacles
from genzoo.games.game import Game
from genzoo.host.discovery import registry
from genzoo.runs import session
from genzoo.runs.job import find_recipe
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run
from genzoo.training.devices import choose_device
from genzoo.training.settings import Recipe

Contestant = str | Game | TrainingRequest | Run
"""A model by name or as a value, a request with settings of its own, or a run that exists."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison showed, and where its report is; a notebook shows it as its table."""

    folder: Path
    results: Results
    runs: Mapping[str, tuple[Run, ...]]
    """By label, in the order of the seeds."""

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """One per contestant, with its scores, their protocols, and what it cost."""
        return self.results.rows

    @property
    def report(self) -> Path:
        """The HTML page; table.md and results.json lie beside it."""
        return self.folder / "report.html"

    @property
    def table(self) -> str:
        """The scores and costs as Markdown."""
        return ScoreTable(self.results).markdown()

    def _repr_markdown_(self) -> str:
        return self.table


def compare(
    contestants: Sequence[Contestant] | Mapping[str, Contestant],
    *,
    recipe: str | Recipe | None = None,
    seeds: int = 1,
    steps: int | None = None,
    overrides: Mapping[str, object] | None = None,
    jobs: int | None = None,
    together: bool | None = None,
    report: str | Path | None = None,
    device: str = "auto",
    data: str | Path | None = None,
    callback: ComparisonCallback | None = None,
    executor: Executor | None = None,
    command: str = "",
) -> Comparison:
    """Train every contestant with seeds 0 … `seeds` − 1, score them all, write the report, and return what it showed.

    `contestants` are models, requests with overrides of their own, or runs; a mapping gives them labels. `recipe`,
    `steps` and `overrides` hold for all that do not say otherwise. What is trained already, below `report` (by default
    comparisons/RECIPE), is not trained again. A training that fails has its row in `results.failures`.
    `jobs` trainings run at a time in processes of this machine (None: as many as it has cores), or wherever `executor`
    runs them; `together` plays those that differ in seed and optimizer alone as one program (None: on a GPU).
    Raises `SettingsError` for contestants that cannot be compared.
    """
    common = TrainingRequest(model="", recipe=recipe, steps=steps, overrides=overrides or {}, device=device, data=data)
    labelled = contestants if isinstance(contestants, Mapping) else _by_label(contestants)
    first = next(iter(labelled.values()))
    folder = Path(report) if report else Path("comparisons") / _recipe_of(first, common)
    cells = _cells(labelled, common, seeds, folder)
    refuse_unlike(cells)
    for cell in cells:
        if cell.request is None and not cell.is_done:
            raise UnreadableError(f"{cell.run.path} is not finished", f"type: genzoo resume {cell.run.path}")
    callback = callback or ComparisonCallback()
    labels = [f"{cell.label} seed {cell.job.seed}" for cell in cells]
    replaced = labels_of(folder)
    replaces = [] if replaced == list(labelled) else replaced
    callback.on_start(folder, labels, sum(cell.is_done for cell in cells), replaces)
    with local_executor(executor, jobs or min(len(cells), os.cpu_count() or 1)) as chosen:
        outcomes = train_cells(
            cells,
            chosen,
            tasks=folder / "tasks",
            together=plays_together(together, device),
            progress=callback.on_progress,
        )
    warn(dict.fromkeys(line for outcome in outcomes for line in outcome.warnings))
    results = _report(cells, outcomes, folder, data=data, command=command)
    runs = {label: tuple(cell.run for cell in cells if cell.label == label) for label in labelled}
    return Comparison(folder=folder, results=results, runs=runs)


def plays_together(chosen: bool | None, device: str) -> bool:
    """Return whether replicas are played as one program: as was chosen, else on GPUs, where that was made for."""
    return choose_device(device).type == "cuda" if chosen is None else chosen


@contextmanager
def local_executor(executor: Executor | None, jobs: int) -> Iterator[Executor]:
    """Yield the caller's executor, or one of this machine's, whose trainings are stopped and saved on an exception."""
    if executor is not None:
        yield executor
        return
    chosen = LocalProcesses(jobs)
    try:
        yield chosen
    finally:
        chosen.shutdown(cancel_futures=True)


def _by_label(contestants: Sequence[Contestant]) -> dict[str, Contestant]:
    labelled: dict[str, Contestant] = {}
    for contestant in contestants:
        model = contestant.model if isinstance(contestant, TrainingRequest) else contestant
        label = model if isinstance(model, str) else model.name
        if label in labelled:
            raise named_twice(label)
        labelled[label] = contestant
    return labelled


def _recipe_of(contestant: Contestant, common: TrainingRequest) -> str:
    """Return the name of the recipe that a contestant is trained on."""
    request = contestant if isinstance(contestant, TrainingRequest) else common
    source = contestant if isinstance(contestant, Run) else request.from_run
    named = request.recipe or common.recipe
    if source is not None and (named is None or isinstance(contestant, Run)):
        return Run.at(source).record.recipe
    return find_recipe(registry(), named).name


def _cells(contestants: Mapping[str, Contestant], common: TrainingRequest, seeds: int, folder: Path) -> list[Cell]:
    """Return all cells, seed by seed."""
    cells = []
    for seed in range(seeds):
        for label, contestant in contestants.items():
            if isinstance(contestant, Run):
                if seed == 0:
                    cells.append(existing_cell(label, contestant))
                continue
            request = contestant if isinstance(contestant, TrainingRequest) else TrainingRequest(model=contestant)
            request = replace(
                request.with_overrides(common.overrides),
                seed=seed,
                recipe=request.recipe or common.recipe,
                steps=request.steps or common.steps,
                device=common.device,
                data=common.data,
            )
            cells.append(cell_of(label, request, folder))
    return cells


def _report(
    cells: Sequence[Cell], outcomes: Sequence[Outcome], folder: Path, *, data: str | Path | None, command: str
) -> Results:
    """Write results.json, table.md and report.html, and return the results."""
    first = {cell.label: cell for cell in reversed(cells)}
    first = {label: first[label] for label in dict.fromkeys(cell.label for cell in cells)}
    dataset = cells[0].settings.dataset
    splits = dataset.load(data_root(data))
    ended_well = {id(cell) for cell, outcome in zip(cells, outcomes, strict=True) if not outcome.code}
    models = {label: session.load_run(cell.run) for label, cell in first.items() if id(cell) in ended_well}
    of_cells = [cell_result(cell, outcome) for cell, outcome in zip(cells, outcomes, strict=True)]
    rows = []
    for label in first:
        own = [(cell, result) for cell, result in zip(cells, of_cells, strict=True) if cell.label == label]
        rows.append(row_of([cell for cell, _ in own], [result for _, result in own], _obstacles(models.get(label))))
    results = Results(
        recipe=cells[0].job.recipe,
        data=dataset.name,
        rows=tuple(rows),
        baselines=baselines_of(first, models, splits),
        cells=tuple(of_cells),
        environment=environment(),
        command=command,
        vectors=not dataset.spec.is_image,
    )
    results.write(folder)
    write_report(folder, results, sections_of(models, splits))
    return results


def _obstacles(model: Model | None) -> list[tuple[str, str]]:
    pairs = [] if model is None else metrics_with_obstacles(model)
    return [(metric.name, obstacle) for metric, obstacle in pairs if obstacle is not None]
