"""`compare`: trains models on the same data, scores them, and reports what they share and in what they differ."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path

from genzoo.comparison.baselines import baselines_of, start_of
from genzoo.comparison.cells import (
    Cell,
    cell_of,
    decisive_settings,
    existing_cell,
    name_of,
    refuse_other_data,
    refuse_unlike,
)
from genzoo.comparison.executors import ExecutorFactory
from genzoo.comparison.progress import ComparisonCallback
from genzoo.comparison.report import ScoreTable, write_report
from genzoo.comparison.report_folder import LabelledRun, free_folder, refuse_other_report, reported_reuse
from genzoo.comparison.results import ResultRow, Results, cell_result, differences_of, environment, row_of
from genzoo.comparison.reuse import COMPARISONS, with_earlier_run
from genzoo.comparison.sections import sections_of
from genzoo.comparison.settings import compared_settings
from genzoo.comparison.sweeps import SweepPoint, first_of_sweeps, short_names, swept
from genzoo.comparison.train_cells import train_cells
from genzoo.comparison.worker import Outcome
from genzoo.data.root import data_root
from genzoo.errors import GenzooError, SettingsError, UnreadableError
from genzoo.evaluation.model import Model
from genzoo.evaluation.scoring import metric_called, metrics_with_obstacles
from genzoo.games.game import Game
from genzoo.host.discovery import registry
from genzoo.runs import session
from genzoo.runs.job import recipe_name
from genzoo.runs.request import TrainingRequest
from genzoo.runs.tracker import Tracker, trackers_called
from genzoo.storage.run_folder import Run
from genzoo.text import now
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

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what was compared, the main scores, and where the report is."""
        return f"{ScoreTable(self.results).html()}<p>{escape(str(self.report))}</p>"


def compare(
    contestants: Sequence[Contestant] | Mapping[str, Contestant],
    *,
    recipe: str | Recipe | None = None,
    seeds: int = 1,
    steps: int | None = None,
    overrides: Mapping[str, object] | None = None,
    sweep: Mapping[str, Sequence[object]] | None = None,
    jobs: int | None = None,
    together: bool | None = None,
    report: str | Path | None = None,
    device: str = "auto",
    deterministic: bool = False,
    data: str | Path | None = None,
    track: Sequence[str | Tracker] | None = None,
    callback: ComparisonCallback | None = None,
    executor: Executor | ExecutorFactory | None = None,
    command: str = "",
) -> Comparison:
    """Train every contestant with seeds 0 … `seeds` − 1, score all of them, write a report and return the results.

    `contestants` are models, requests with their own overrides, or runs; a mapping gives them labels. `recipe`, `steps`
    and `overrides` apply to all contestants that do not set them. `sweep` gives values by path, or by LABEL:PATH for
    one contestant, and every combination of them makes a contestant of its own. The folder `report` holds the trainings
    too, and those that are finished are not repeated. By default it is comparisons/RECIPE/CONTESTANTS, numbered where
    that is taken by a report on other trainings, and the trainings are in comparisons/RECIPE/cells. A run there, in
    other comparisons or in runs/ that was trained alike is used, and the report says where it is. A training that fails
    is listed in `results.failures`. `jobs` trainings run at a time in processes on this machine (None: as many as it
    has cores), or wherever `executor` or the one that it makes runs them; `together` trains those that differ only in
    seed and optimizer as one program (None: on a GPU, if the data are vectors). `deterministic` and `track` are as in
    `train`, for each training.
    Raises `SettingsError` for contestants that cannot be compared, and for a `report` on other trainings.
    """
    if isinstance(contestants, str):
        problem = f"contestants is the text '{contestants}', expected a list or a mapping"
        raise SettingsError(problem, f"put it in one: ['{contestants}']")
    given = contestants if isinstance(contestants, Mapping) else _by_label(contestants)
    if not given:
        raise SettingsError("there is nothing to compare", "name a model or the folder of a run")
    requests = {label: each if isinstance(each, Run) else _request_of(each) for label, each in given.items()}
    labelled, points = swept(requests, sweep or {}, overrides=overrides or {}, seeds=seeds)

    common = partial(
        _requested,
        recipe=recipe,
        steps=steps,
        overrides=overrides or {},
        device=device,
        deterministic=deterministic,
        data=data,
        track=None if track is None else trackers_called(track),
    )
    first = next(iter(labelled.values()))
    name = first.record.recipe if isinstance(first, Run) else recipe_name(registry(), common(first))
    root = Path(report or COMPARISONS / name)
    cells = [
        existing_cell(label, contestant)
        if isinstance(contestant, Run)
        else with_earlier_run(cell_of(label, replace(common(contestant), seed=seed), root))
        for seed in range(seeds)
        for label, contestant in labelled.items()
        if seed == 0 or not isinstance(contestant, Run)
    ]
    refuse_unlike(cells)
    refuse_other_data(cells[0], data_root(data))
    for cell in cells:
        if cell.request is None and not cell.is_done:
            raise UnreadableError(f"{cell.run.path} is not finished", f"type: genzoo resume {cell.run.path}")
    done_before = {_labelled_run(cell) for cell in cells if cell.is_done}
    names = [*given, *short_names(dict.fromkeys(key.rpartition(":")[2] for key in sweep or {})).values()]
    outcomes = train_cells(
        cells,
        _report_folder(cells, root, names, is_named=report is not None),
        tasks=root / "tasks",
        callback=callback,
        jobs=jobs,
        together=together,
        device=device,
        executor=executor,
    )
    # Another comparison may have taken the folder meanwhile.
    folder = _report_folder(cells, root, names, is_named=report is not None)
    reused = {training: training in done_before for training in map(_labelled_run, cells)} | reported_reuse(folder)
    results = _report(cells, outcomes, folder, reused=reused, data=data, command=command, sweep=points)
    runs = {label: tuple(cell.run for cell in cells if cell.label == label) for label in labelled}
    return Comparison(folder=folder, results=results, runs=runs)


def _report_folder(cells: Sequence[Cell], root: Path, names: Sequence[str], *, is_named: bool) -> Path:
    """Return the folder of the report; raise `SettingsError` if it was named and holds a report on other trainings.

    One that was not named is called after `names`, those of the contestants and of what is swept.
    """
    trainings = list(map(_labelled_run, cells))
    if is_named:
        refuse_other_report(root, trainings)
        return root
    return free_folder(root, list(dict.fromkeys(names)), trainings)


def _labelled_run(cell: Cell) -> LabelledRun:
    return cell.label, cell.run.name


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
    request: TrainingRequest,
    *,
    recipe: str | Recipe | None,
    steps: int | None,
    overrides: Mapping[str, object],
    device: str,
    deterministic: bool,
    data: str | Path | None,
    track: Sequence[Tracker] | None,
) -> TrainingRequest:
    """Return a contestant's request; its own recipe, steps and overrides come before the common ones."""
    own_steps = request.steps is not None or "training.steps" in request.overrides
    return replace(
        request.with_overrides(overrides),
        recipe=request.recipe or recipe,
        steps=request.steps if own_steps else steps,
        device=device,
        deterministic=request.deterministic or deterministic,
        data=data,
        track=request.track if track is None else track,
    )


def _report(
    cells: Sequence[Cell],
    outcomes: Sequence[Outcome],
    folder: Path,
    *,
    reused: Mapping[LabelledRun, bool],
    data: str | Path | None,
    command: str,
    sweep: Mapping[str, SweepPoint],
) -> Results:
    """Write results.json, table.md and report.html, and return the results."""
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.label, cell)
    dataset = cells[0].settings.dataset
    splits = dataset.load(data_root(data))
    ended_well = {id(cell) for cell, outcome in zip(cells, outcomes, strict=True) if not outcome.code}
    models = {label: session.load_run(cell.run) for label, cell in first.items() if id(cell) in ended_well}
    starts = {label: start_of(cell, splits) for label, cell in first.items() if cell.has_begun}
    cell_results = [
        cell_result(cell, outcome, folder, reused=reused[_labelled_run(cell)])
        for cell, outcome in zip(cells, outcomes, strict=True)
    ]
    rows, settings = [], {}
    for label in first:
        pairs = [(cell, result) for cell, result in zip(cells, cell_results, strict=True) if cell.label == label]
        own_cells, own_results = [cell for cell, _ in pairs], [result for _, result in pairs]
        rows.append(row_of(own_cells, own_results, _obstacles(models.get(label)), starts.get(label)))
        settings[label] = decisive_settings(own_cells)
    results = Results(
        recipe=cells[0].job.recipe,
        data=dataset.name,
        rows=tuple(rows),
        baselines=baselines_of(
            first, models, {label: starts[label] for label in first_of_sweeps(first, sweep) if label in starts}, splits
        ),
        cells=tuple(cell_results),
        environment=environment(),
        command=command,
        vectors=not dataset.spec.is_image,
        differences=differences_of([result for result in cell_results if result.label not in sweep]),
        about=_descriptions({score.metric for result in cell_results for score in result.scores}),
        created=now(),
        settings=compared_settings(settings),
        sweep=sweep,
    )
    results.write(folder)
    write_report(folder, results, sections_of(models, splits))
    return results


def _descriptions(scores: Collection[str]) -> dict[str, str]:
    """Return what each of these scores is, as far as their metrics are installed and say it."""
    measured = {name.partition("/")[0] for name in scores}
    about: dict[str, str] = {}
    for entry in registry().of("metrics"):
        if entry.name in measured:
            with suppress(GenzooError):  # a broken metric, of which another message has warned
                metric = metric_called(entry.qualified)
                about |= {metric.name: metric.summary()} | dict(metric.about)
    return {name: text for name, text in about.items() if name in scores}


def _obstacles(model: Model | None) -> list[tuple[str, str]]:
    pairs = [] if model is None else metrics_with_obstacles(model)
    return [(metric.name, obstacle) for metric, obstacle in pairs if obstacle is not None]
