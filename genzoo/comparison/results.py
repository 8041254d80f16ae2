"""The results of a comparison as frozen values: rows, baselines and cells, with every score and its protocol."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from genzoo import __version__
from genzoo.comparison.cells import Cell
from genzoo.comparison.report_folder import RESULTS
from genzoo.comparison.settings import ComparedSettings
from genzoo.comparison.sweeps import SweepPoint, short_names
from genzoo.comparison.worker import Outcome
from genzoo.components import from_json, to_json
from genzoo.errors import DivergedError
from genzoo.evaluation.costs import forward_macs
from genzoo.evaluation.scoring import selection_seed
from genzoo.host.discovery import registry
from genzoo.nn.interfaces import Networks
from genzoo.storage import files
from genzoo.text import in_words
from genzoo.training.trainer import Trainer

NO_SCORE = "–"
"""What stands in a table where nothing was measured."""
HELD_OUT = "held-out samples"
"""The label of the baseline of real rows, which no model is expected to beat."""

_MOST_LOSSES = 200
_ROUNDING = 1e-12
"""The spread of differences, over the size of the scores, that rounding alone may make."""

Better = Literal["higher", "lower"] | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Statistics of a score over seeds."""

    mean: float
    std: float
    """With n − 1 in the denominator; 0 for a single value."""
    min: float
    max: float


@dataclass(frozen=True, kw_only=True)
class StoredScore:
    """A score of a run at a step; its value is None if it is not finite."""

    step: int
    metric: str
    value: float | None
    protocol: dict[str, Any]
    better: Better = None
    headline: bool = False


@dataclass(frozen=True, kw_only=True)
class RowScore:
    """A metric of one contestant over seeds: its final values, and those at each seed's best step."""

    metric: str
    protocol: dict[str, Any]
    better: Better
    n: int
    final: Summary | None
    best: Summary | None
    """Of the values at `CellResult.best_step`; None unless every seed has such a step."""
    values: tuple[float | None, ...]
    """The final values, by seed."""
    headline: bool = False
    """Whether the table shows it before other scores."""


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One contestant: its scores over seeds, and its costs."""

    label: str
    model: str
    images_seen: int
    steps: int
    seconds: float
    """Seconds of training, the mean over seeds."""
    seeds: tuple[int, ...]
    failed: tuple[str, ...]
    scores: tuple[RowScore, ...]
    settings: dict[str, Any]
    obstacles: tuple[tuple[str, str], ...] = ()
    """The metrics that cannot measure it, and why."""
    parameters: int | None = None
    """None if it took no step."""
    macs_per_update: int | None = None
    """Multiply-accumulates of a step's losses, forward; None if it took no step."""
    evaluations: int | None = 1
    """How often a network runs for a sample; 0 without a decoder, None where that depends on the sample."""


@dataclass(frozen=True, kw_only=True)
class BaselineScore:
    """A metric of a baseline, measured once."""

    metric: str
    value: float
    protocol: dict[str, Any]
    better: Better
    final: Summary | None
    best: None = None
    headline: bool = False


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Scores for comparison: of held-out rows of the data, of noise, or of networks before their first step."""

    label: str
    scores: tuple[BaselineScore, ...]


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """One training with its scores."""

    label: str
    seed: int
    run: str
    """Its folder relative to the comparison's."""
    step: int
    seconds: float
    failure: str
    scores: tuple[StoredScore, ...]
    best_step: int | None = None
    """The step with the best score by `best_by` on the validation split; None if there is no such score."""
    best_by: str | None = None
    """The metric by which the best step is chosen: the run's first headline."""
    created: str = ""
    """When the training began, as an ISO date; empty if it is not known."""
    reused: bool = False
    """Whether an earlier command than the first of this report trained it.

    Its time is then not comparable, and its evaluations along the way may be missing.
    """
    losses: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """Pairs (step, loss) by player from the run's log, at most 200 per player."""
    exit_code: int = 0
    """The exit code that `genzoo train` would have ended with."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric of one contestant minus that of another, paired by the seeds that both finished."""

    minuend: str = ""
    """The label of the contestant from whose scores those of the other, the subtrahend, are subtracted."""
    subtrahend: str = ""
    metric: str
    protocol: dict[str, Any]
    n: int
    mean: float
    low: float | None
    """The limits of the 95 % interval of the mean, by Student's t with n − 1 degrees of freedom.

    None for n = 1, and where all differences are equal up to rounding and so have no spread to estimate it from.
    """
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Results:
    """All results of a comparison, as stored in results.json."""

    recipe: str
    data: str
    rows: tuple[ResultRow, ...]
    baselines: tuple[Baseline, ...]
    cells: tuple[CellResult, ...]
    environment: dict[str, str]
    command: str
    vectors: bool
    """Whether x is a vector instead of an image."""
    differences: tuple[Difference, ...] = ()
    """The first contestant's scores minus every other's, paired by seed."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What each score is, in one sentence, by its name."""
    created: str = ""
    """When the report was written, as an ISO date."""
    settings: ComparedSettings | None = None
    """What the contestants share and in what they differ; None in results of an earlier version."""
    sweep: Mapping[str, SweepPoint] = field(default_factory=dict)
    """What the contestants are that a sweep made, by label."""

    @property
    def names(self) -> list[str]:
        """The contestants' labels, and in place of those that a sweep made, the contestant and what was swept."""
        by_base: dict[str, list[str]] = {}
        for row in self.rows:
            point = self.sweep.get(row.label, SweepPoint(contestant=row.label))
            by_base[point.contestant] = [*short_names(point.values).values()]
        return [f"{label} by {in_words(paths)}" if paths else label for label, paths in by_base.items()]

    @property
    def swept_by_all(self) -> set[str]:
        """The settings that every contestant's label gives, because a sweep made all of them."""
        paths = [set(self.sweep[row.label].values) if row.label in self.sweep else set() for row in self.rows]
        return set.intersection(*paths) if paths else set()

    @property
    def failures(self) -> list[str]:
        """One line per failed training, with its reason."""
        return [f"{row.label}: {failure}" for row in self.rows for failure in row.failed]

    @property
    def exit_code(self) -> int:
        """The exit code of the first failure that is no divergence, else that of a divergence; 0 without failures."""
        codes = [cell.exit_code for cell in self.cells if cell.exit_code]
        return next((code for code in codes if code != DivergedError.exit_code), codes[0] if codes else 0)

    def write(self, folder: Path) -> None:
        """Write results.json."""
        write_results(folder, to_json(self))

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """Return the results that a comparison wrote to its folder; raise `UnreadableError` if they cannot be read."""
        document = files.read_json(folder / RESULTS, "a comparison's results")
        document.pop("schema_version", None)
        results = from_json(cls, document, resolve=registry().resolve, path="results")
        assert isinstance(results, cls)
        return results


def row_of(
    cells: Sequence[Cell], results: Sequence[CellResult], obstacles: Sequence[tuple[str, str]], start: Trainer | None
) -> ResultRow:
    """Return the row of one contestant's cells; `start` is its training before the first step, None if it took none."""
    settings = cells[0].settings
    return ResultRow(
        label=cells[0].label,
        model=cells[0].job.model,
        steps=settings.training.steps,
        images_seen=settings.training.steps * settings.training.batch_size,
        **_cost(start),
        seconds=statistics.fmean(result.seconds for result in results),
        seeds=tuple(result.seed for result in results),
        failed=tuple(result.failure for result in results if result.failure),
        scores=row_scores(results),
        settings=to_json(settings),
        obstacles=tuple(obstacles),
    )


def cell_result(cell: Cell, outcome: Outcome, folder: Path, *, reused: bool = False) -> CellResult:
    """Return a cell's result for the report in `folder`: the scores of its run that were measured with its seed."""
    exists = cell.run.exists
    log, scores = (cell.run.read_log(), cell.run.scores_on_its_data) if exists else ([], [])
    best_step, best_by = _best_step(_with_seed(scores, selection_seed(cell.job.seed)))
    return CellResult(
        label=cell.label,
        seed=cell.job.seed,
        run=os.path.relpath(cell.run.path, folder),
        step=cell.run.step,
        seconds=float(log[-1]["seconds"]) if log else 0.0,
        failure=f"exit {outcome.code}: {outcome.found}" if outcome.code else "",
        scores=tuple(_with_seed(scores, cell.job.seed)),
        best_step=best_step,
        best_by=best_by,
        created=cell.run.record.created if exists else "",
        reused=reused,
        losses=_losses(log),
        exit_code=outcome.code,
    )


def _losses(log: Sequence[dict[str, Any]]) -> dict[str, tuple[tuple[int, float], ...]]:
    """Return the finite losses of a log by player, of at most `_MOST_LOSSES` evenly chosen entries."""
    courses: dict[str, list[tuple[int, float]]] = {}
    for entry in log[:: -(-len(log) // _MOST_LOSSES) or 1]:
        for player, loss in entry.get("losses", {}).items():
            if isinstance(loss, int | float):  # one that is not finite is text
                courses.setdefault(player, []).append((entry["step"], float(loss)))
    return {player: tuple(course) for player, course in courses.items()}


def row_scores(cells: Sequence[CellResult]) -> tuple[RowScore, ...]:
    """Return the final and best scores over cells, per metric and protocol (apart from its seed)."""
    courses: dict[tuple[str, str], list[_Course]] = {}
    for cell in cells:
        for key, course in _courses(cell).items():
            courses.setdefault(key, []).append(course)
    return tuple(_row_score(metric, of_metric) for (metric, _), of_metric in courses.items())


def differences_of(cells: Sequence[CellResult]) -> tuple[Difference, ...]:
    """Return the differences of the first contestant's final scores and every other's."""
    labels = list(dict.fromkeys(cell.label for cell in cells))
    return tuple(each for other in labels[1:] for each in differences_between(cells, labels[0], other))


def differences_between(cells: Sequence[CellResult], minuend: str, subtrahend: str) -> tuple[Difference, ...]:
    """Return the differences of two contestants' final scores, paired by seed."""
    finals = {(cell.label, cell.seed): _courses(cell) for cell in cells if not cell.failure}
    pairs: dict[tuple[str, str], list[tuple[StoredScore, StoredScore]]] = {}
    for (label, seed), courses in finals.items():
        others = finals.get((subtrahend, seed), {}) if label == minuend else {}
        for key in courses.keys() & others.keys():
            pairs.setdefault(key, []).append((courses[key].final, others[key].final))
    differences = [_difference(minuend, subtrahend, pairs[key]) for key in sorted(pairs)]
    return tuple(difference for difference in differences if difference is not None)


def summary(values: Sequence[float]) -> Summary | None:
    """Return the mean, standard deviation, minimum and maximum; None for no values."""
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else 0.0
    return Summary(mean=statistics.fmean(values), std=std, min=min(values), max=max(values))


def environment() -> dict[str, str]:
    """Return the versions and the machine that the results were obtained with."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    return {
        "genzoo": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
    }


def write_results(folder: Path, document: Mapping[str, Any]) -> None:
    """Write a results.json."""
    with files.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / RESULTS, {"schema_version": files.SCHEMA_VERSION, **document})


class _Course(NamedTuple):
    """The scores of one cell by one metric and protocol, by step, and the cell's best step."""

    scores: tuple[StoredScore, ...]
    best_step: int | None

    @property
    def final(self) -> StoredScore:
        return self.scores[-1]

    @property
    def best(self) -> float | None:
        return next((score.value for score in self.scores if score.step == self.best_step), None)


def _courses(cell: CellResult) -> dict[tuple[str, str], _Course]:
    """Return a cell's scores by metric and protocol (apart from its seed)."""
    by_protocol: dict[tuple[str, str], list[StoredScore]] = {}
    for score in sorted(cell.scores, key=lambda score: score.step):
        key = score.metric, json.dumps(_without_seed(score.protocol), sort_keys=True)
        by_protocol.setdefault(key, []).append(score)
    return {key: _Course(tuple(scores), cell.best_step) for key, scores in by_protocol.items()}


def _with_seed(scores: Sequence[dict[str, Any]], seed: int) -> list[StoredScore]:
    """Return the scores of a run that were measured with this seed."""
    return [
        StoredScore(
            step=score["step"],
            metric=score["metric"],
            value=score["value"],
            protocol=score["protocol"],
            better=score.get("better"),
            headline=score.get("headline", False),
        )
        for score in scores
        if score["protocol"].get("seed") == seed
    ]


def _best_step(scores: Sequence[StoredScore]) -> tuple[int | None, str | None]:
    """Return the step with the best first headline of these scores, and that headline's name; the first of equals."""
    name = next((score.metric for score in scores if score.headline), None)
    course = [(score.value, score) for score in scores if score.metric == name and score.value is not None]
    if not course or course[0][1].better is None:
        return None, None
    sign = 1 if course[0][1].better == "lower" else -1
    return min(course, key=lambda pair: (sign * pair[0], pair[1].step))[1].step, name


def _difference(minuend: str, subtrahend: str, pairs: Sequence[tuple[StoredScore, StoredScore]]) -> Difference | None:
    """Return the mean difference of pairs of scores with its interval; None if no pair is finite."""
    finite = [(a.value, b.value) for a, b in pairs if a.value is not None and b.value is not None]
    if not finite:
        return None
    values = [a - b for a, b in finite]
    mean = statistics.fmean(values)
    largest = max(abs(value) for pair in finite for value in pair)
    half = half_interval(values) if max(values) - min(values) > _ROUNDING * largest else None
    first = pairs[0][0]
    return Difference(
        minuend=minuend,
        subtrahend=subtrahend,
        metric=first.metric,
        protocol=_without_seed(first.protocol),
        n=len(values),
        mean=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
    )


def half_interval(values: Sequence[float]) -> float:
    """Return half the width of the 95 % interval of the mean of at least two values, by Student's t."""
    from scipy.stats import t

    n = len(values)
    return float(t.ppf(0.975, n - 1) * statistics.stdev(values) / n**0.5)


def _row_score(metric: str, courses: Sequence[_Course]) -> RowScore:
    last = courses[0].final
    finals = tuple(course.final.value for course in courses)
    bests = [course.best for course in courses]
    return RowScore(
        metric=metric,
        protocol=_without_seed(last.protocol),
        better=last.better,
        n=len(finals),
        final=summary([value for value in finals if value is not None]),
        best=None if None in bests else summary([value for value in bests if value is not None]),
        values=finals,
        headline=last.headline,
    )


def _parameters(networks: Networks) -> int:
    """Return how many parameters there are without inherited ones; those that two networks share count once."""
    inherited = {id(parameter) for part in networks.frozen.values() for parameter in part.parameters()}
    return sum(parameter.numel() for parameter in networks.parameters() if id(parameter) not in inherited)


def _without_seed(protocol: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in protocol.items() if key != "seed"}


def _cost(start: Trainer | None) -> dict[str, Any]:
    """Return parameters, forward multiply-accumulates per update, and evaluations per sample."""
    if start is None:
        return {"parameters": None, "macs_per_update": None, "evaluations": 0}
    return {
        "parameters": _parameters(start.networks),
        "macs_per_update": forward_macs(start),
        "evaluations": start.networks.evaluations,
    }
