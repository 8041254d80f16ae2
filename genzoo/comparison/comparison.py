"""`compare`: trains models on the same data, networks, batches and budget, scores them, and writes a report."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from genzoo.comparison.baselines import baselines_of
from genzoo.comparison.cells import Cell, cell_of, existing_cell, name_of, refuse_unlike
from genzoo.comparison.progress import ComparisonCallback
from genzoo.comparison.report import ScoreTable, write_report
from genzoo.comparison.results import ResultRow, Results, cell_result, differences_of, environment, labels_of, row_of
from genzoo.comparison.sections import sections_of
from genzoo.comparison.train_cells import train_cells
from genzoo.comparison.worker import Outcome
from genzoo.data.root import data_root
from genzoo.errors import SettingsError, UnreadableError
from genzoo.evaluation.model import Model
from genzoo.evaluation.scoring import metrics_with_obstacles
from genzoo.games.game import Game
from genzoo.host.discovery import registry
from genzoo.runs import session
from genzoo.runs.job import recipe_name
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run
from genzoo.training.settings import Recipe

Contestant = str | Game | TrainingRequest | Run
"""A model by name or as an object, a request with its own settings, or an existing run."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The results and the report of a comparison; a notebook displays it as its table."""

    folder: Path
    results: Results
    runs: Mapping[str, tuple[Run, ...]]
    """The runs by label, in the order of their seeds."""

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """One row per contestant, with its scores, their protocols, and its costs."""
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
    """Train every contestant with seeds 0 … `seeds` − 1, score all of them, write a report and return the results.

    `contestants` are models, requests with their own overrides, or runs; a mapping gives them labels. `recipe`, `steps`
    and `overrides` apply to all contestants that do not set them. The folder `report` (default: comparisons/RECIPE)
    holds the trainings too, and those that are finished are not repeated; a report on other contestants there is
    replaced. A training that fails is listed in `results.failures`. `jobs` trainings run at a time in processes on this
    machine (None: as many as it has cores), or wherever `executor` runs them; `together` trains those that differ only
    in seed and optimizer as one program (None: on a GPU).
    Raises `SettingsError` for contestants that cannot be compared.
    """
    if isinstance(contestants, str):
        problem = f"contestants is the text '{contestants}', expected a list or a mapping"
        raise SettingsError(problem, f"put it in one: ['{contestants}']")
    labelled = dict(contestants) if isinstance(contestants, Mapping) else _by_label(contestants)
    if not labelled:
        raise SettingsError("there is nothing to compare", "name a model or the folder of a run")

    common = partial(_requested, recipe=recipe, steps=steps, overrides=overrides or {}, device=device, data=data)
    first = next(iter(labelled.values()))
    name = first.record.recipe if isinstance(first, Run) else recipe_name(registry(), common(first))
    folder = Path(report or Path("comparisons") / name)
    cells = [
        existing_cell(label, contestant)
        if isinstance(contestant, Run)
        else cell_of(label, replace(common(contestant), seed=seed), folder)
        for seed in range(seeds)
        for label, contestant in labelled.items()
        if seed == 0 or not isinstance(contestant, Run)
    ]
    refuse_unlike(cells)
    for cell in cells:
        if cell.request is None and not cell.is_done:
            raise UnreadableError(f"{cell.run.path} is not finished", f"type: genzoo resume {cell.run.path}")
    replaced = labels_of(folder)
    outcomes = train_cells(
        cells,
        folder,
        callback=callback,
        replaces=[] if replaced == list(labelled) else replaced,
        jobs=jobs,
        together=together,
        device=device,
        executor=executor,
    )
    results = _report(cells, outcomes, folder, data=data, command=command)
    runs = {label: tuple(cell.run for cell in cells if cell.label == label) for label in labelled}
    return Comparison(folder=folder, results=results, runs=runs)


def _by_label(contestants: Sequence[Contestant]) -> dict[str, Contestant]:
    labelled: dict[str, Contestant] = {}
    for contestant in contestants:
        label = contestant.name if isinstance(contestant, Run) else name_of(_request_of(contestant))
        if label in labelled:
            raise SettingsError(f"two contestants are called {label}", 'give them labels: {"NAME": …, "OTHER NAME": …}')
        labelled[label] = contestant
    return labelled


def _request_of(contestant: str | Game | TrainingRequest) -> TrainingRequest:
    return contestant if isinstance(contestant, TrainingRequest) else TrainingRequest(model=contestant)


def _requested(
    contestant: str | Game | TrainingRequest,
    *,
    recipe: str | Recipe | None,
    steps: int | None,
    overrides: Mapping[str, object],
    device: str,
    data: str | Path | None,
) -> TrainingRequest:
    """Return a contestant's request; its own recipe, steps and overrides come before the common ones."""
    request = _request_of(contestant)
    return replace(
        request.with_overrides(overrides),
        recipe=request.recipe or recipe,
        steps=request.steps or steps,
        device=device,
        data=data,
    )


def _report(
    cells: Sequence[Cell], outcomes: Sequence[Outcome], folder: Path, *, data: str | Path | None, command: str
) -> Results:
    """Write results.json, table.md and report.html, and return the results."""
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.label, cell)
    dataset = cells[0].settings.dataset
    splits = dataset.load(data_root(data))
    ended_well = {id(cell) for cell, outcome in zip(cells, outcomes, strict=True) if not outcome.code}
    models = {label: session.load_run(cell.run) for label, cell in first.items() if id(cell) in ended_well}
    cell_results = [cell_result(cell, outcome) for cell, outcome in zip(cells, outcomes, strict=True)]
    rows = []
    for label in first:
        pairs = [(cell, result) for cell, result in zip(cells, cell_results, strict=True) if cell.label == label]
        own_cells, own_results = [cell for cell, _ in pairs], [result for _, result in pairs]
        rows.append(row_of(own_cells, own_results, _obstacles(models.get(label))))
    results = Results(
        recipe=cells[0].job.recipe,
        data=dataset.name,
        rows=tuple(rows),
        baselines=baselines_of(first, models, splits),
        cells=tuple(cell_results),
        environment=environment(),
        command=command,
        vectors=not dataset.spec.is_image,
        differences=differences_of(cell_results),
    )
    results.write(folder)
    write_report(folder, results, sections_of(models, splits))
    return results


def _obstacles(model: Model | None) -> list[tuple[str, str]]:
    pairs = [] if model is None else metrics_with_obstacles(model)
    return [(metric.name, obstacle) for metric, obstacle in pairs if obstacle is not None]
