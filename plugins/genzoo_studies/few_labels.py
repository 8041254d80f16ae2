"""Learning from few labels: test error against the number of labels, over several draws of the labelled rows."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import numpy
from numpy.typing import NDArray

from genzoo import Run, SettingsError
from genzoo.comparison import Lab, Study, half_interval
from genzoo.data import as_input, labelled_part
from genzoo.runs import TrainingRequest
from genzoo.types import Split, Splits
from genzoo_studies.coverage import Spread, spread
from genzoo_studies.published import PUBLISHED, Published, published_line

Overrides = Mapping[str, object]
Cell = tuple[str, int, int]
"""A training's model, number of labels, and label seed."""
BASELINE = "classifier"
"""The supervised model that every other one is compared with, draw by draw."""
FIRST_DRAW = 20
"""The label seed of the first reported draw, which is also the seed of its training."""
CHOOSING_DRAW = 10
"""The label seed of the draw with which settings are chosen."""
COLUMNS = ("nearest neighbour on pixels", "logistic regression on pixels")


class Interval(TypedDict):
    """A model's error minus the classifier's, over the draws that both finished."""

    mean: float
    low: float | None
    """The limits of the 95 % interval by Student's t; None for a single draw."""
    high: float | None
    below_on_every_draw: bool


class Row(TypedDict):
    """The test errors, in %, of one model with one number of labels."""

    model: str
    labels: int
    overrides: dict[str, object]
    """The settings that were chosen on the validation split, or fixed before."""
    draws: list[int]
    """The label seeds, which decide whose labels were used; a run's record holds its own."""
    runs: list[str | None]
    """By draw; None where the training diverged, and empty for what is fitted on pixels."""
    errors: list[float | None]
    spread: Spread | None
    """The standard deviation is that over draws, with n − 1."""
    against_classifier: Interval | None


@dataclass(frozen=True, kw_only=True)
class FewLabels(Study):
    """Train every model with several draws of the labelled rows, and compare it with the classifier draw by draw.

    Settings are chosen by the error on the validation split with one draw of its own; only the reported trainings, with
    fresh draws, are measured on the test split.
    """

    recipe: ClassVar[str]
    batches: ClassVar[Mapping[str, Overrides]]
    """How every model's batches are composed, in the order of the table."""
    candidates: ClassVar[Mapping[str, tuple[Overrides, ...]]] = {}
    """The settings to choose from, for the models with more than one."""
    sources: ClassVar[Mapping[str, str]] = {}
    """The models that others are trained `--from`, once, with as many steps and no label."""
    beyond_quick: ClassVar[tuple[str, ...]] = ()
    """The models that the quick budget leaves out unless they are named."""
    common: ClassVar[Overrides] = {}
    """The settings of all models beside the recipe's."""
    draws_of: ClassVar[Mapping[str, Mapping[int, int]]]
    """The number of draws by budget and number of labels."""
    steps_of: ClassVar[Mapping[str, int]]
    notes: ClassVar[tuple[str, ...]] = ()
    models: tuple[str, ...] = ()
    """Empty: all."""
    labels: tuple[int, ...] = ()
    """Empty: all."""
    draws: int | None = None
    """None: as many as the budget says, which may differ by the number of labels."""
    steps: int | None = None
    """None: as many as the budget says."""

    def __post_init__(self) -> None:
        if unknown := [model for model in self.models if model not in self.batches]:
            raise ValueError(f"models has '{unknown[0]}', expected some of: {', '.join(self.batches)}")
        if self.draws is not None and self.draws < 1:
            raise ValueError(f"draws is {self.draws}, expected at least 1")

    def carry_out(self, lab: Lab) -> str:
        """Choose settings, train every model with every draw, and return a table beside the published numbers."""
        chosen = self._chosen(lab)
        sources = self._trained_sources(lab, chosen)
        cells = [(model, labels, draw) for model in chosen for labels in self._labels for draw in self._draws(labels)]
        cells.sort(key=lambda cell: cell[2])  # draw by draw, so that a study that is stopped has some of everything
        requests = (self._request(*cell, chosen[cell[0]]) for cell in cells)
        trained = lab.train([replace(request, from_run=sources.get(str(request.model))) for request in requests])
        runs = dict(zip(cells, trained, strict=True))
        rows = [self._row(model, labels, chosen[model], runs) for model, labels in product(chosen, self._labels)]
        rows += self._pixels(lab, [run for run in trained if run is not None])
        rows = _compared(rows)
        beside = [entry for entry in PUBLISHED if entry["data"] == self.recipe]
        document = {"study": self.name, "budget": self.budget, "steps": self._steps, "rows": rows, "published": beside}
        lab.write(document | {"notes": self.notes})
        draw_errors(rows, beside, lab.folder / "few-labels.png")
        return _page(rows, beside, self.notes, self._steps)

    @property
    def _labels(self) -> tuple[int, ...]:
        return self.labels or tuple(self.draws_of[self.budget])

    @property
    def _steps(self) -> int:
        return self.steps or self.steps_of[self.budget]

    def _draws(self, labels: int) -> list[int]:
        count = self.draws or self.draws_of[self.budget].get(labels, 1)
        return [FIRST_DRAW + number for number in range(count)]

    def _chosen(self, lab: Lab) -> dict[str, Overrides]:
        """Return every model's settings: of its candidates, those with the least error on the validation split."""
        left_out = self.beyond_quick if self.budget == "quick" else ()
        models = self.models or tuple(model for model in self.batches if model not in left_out)
        tried = {model: self.candidates.get(model, ({},)) for model in models}
        contests = {model: settings for model, settings in tried.items() if len(settings) > 1}
        most = max(self._labels)
        requests = [
            replace(self._request(model, most, CHOOSING_DRAW, overrides), split="validation")
            for model, settings in contests.items()
            for overrides in settings
        ]
        runs = iter(lab.train(requests) if requests else [])
        for model, settings in contests.items():
            errors = [_error_of(next(runs)) for _ in settings]
            tried[model] = (settings[errors.index(min(errors, key=lambda error: 100.0 if error is None else error))],)
        return {model: settings[0] for model, settings in tried.items()}

    def _trained_sources(self, lab: Lab, models: Iterable[str]) -> dict[str, Run]:
        """Return by model the run that it is trained from."""
        needed = {model: self.sources[model] for model in models if model in self.sources}
        overrides = {**self.common, "training.evaluate_every": self._steps}
        requests = {
            source: TrainingRequest(
                model=source, recipe=self.recipe, steps=self._steps, overrides=overrides, split="validation"
            )
            for source in needed.values()
        }
        runs = dict(zip(requests, lab.train(list(requests.values())) if requests else [], strict=True))
        if diverged := [source for source, run in runs.items() if run is None]:
            raise SettingsError(f"{diverged[0]}, which others are trained from, diverged", "see the study's folder")
        return {model: run for model, source in needed.items() if (run := runs[source]) is not None}

    def _request(self, model: str, labels: int, draw: int, overrides: Overrides) -> TrainingRequest:
        few = {"training.labels": labels, "training.label_seed": draw}
        ends = dict.fromkeys((f"training.{what}_every" for what in ("evaluate", "picture", "checkpoint")), self._steps)
        return TrainingRequest(
            model=model,
            recipe=self.recipe,
            seed=draw,
            steps=self._steps,
            overrides={**self.common, **self.batches[model], **overrides, **few, **ends},
            metrics=("classification",),
        )

    def _row(self, model: str, labels: int, overrides: Overrides, trained: Mapping[Cell, Run | None]) -> Row:
        runs = [trained[model, labels, draw] for draw in self._draws(labels)]
        names = [None if run is None else run.name for run in runs]
        settings = {**self.batches[model], **overrides}
        return row_of(model, labels, self._draws(labels), map(_error_of, runs), runs=names, overrides=settings)

    def _pixels(self, lab: Lab, runs: Sequence[Run]) -> Iterator[Row]:
        """Yield the rows of simple classifiers of pixels, fitted on the labelled rows of the same draws."""
        data: dict[tuple[int, int], Splits] = {}
        for run in runs:
            training = run.record.settings["training"]
            place = training["labels"], training["label_seed"]
            data[place] = data[place] if place in data else lab.data(run)
        for name, labels in product(COLUMNS, self._labels):
            draws = [draw for draw in self._draws(labels) if (labels, draw) in data]
            yield row_of(name, labels, draws, [_pixel_error(name, data[labels, draw]) for draw in draws])


def row_of(
    model: str,
    labels: int,
    draws: Sequence[int],
    errors: Iterable[float | None],
    *,
    runs: Sequence[str | None] = (),
    overrides: Overrides | None = None,
) -> Row:
    """Return a row, not yet compared with the classifier's."""
    known = list(errors)
    return {
        "model": model,
        "labels": labels,
        "overrides": dict(overrides or {}),
        "draws": list(draws),
        "runs": list(runs),
        "errors": known,
        "spread": spread([error for error in known if error is not None]),
        "against_classifier": None,
    }


def _error_of(run: Run | None) -> float | None:
    """Return a run's final error in %; None where it diverged."""
    scores = {} if run is None else {score["metric"]: score["value"] for score in run.final_scores}
    value = scores.get("classification")
    return None if value is None else 100 * value


def _pixel_error(name: str, data: Splits) -> float:
    """Return the test error in % of a simple classifier of pixels, fitted on the rows with a label."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(1) if name == COLUMNS[0] else LogisticRegression(max_iter=2000)
    fitted, test = _table(labelled_part(data.train)), _table(data.test)
    return float(100 * (classifier.fit(*fitted).predict(test[0]) != test[1]).mean())


def _table(split: Split) -> tuple[NDArray[Any], NDArray[Any]]:
    assert split.labels is not None
    return as_input(split.x).flatten(1).numpy(), split.labels.numpy()


def _compared(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with their differences from the classifier's with as many labels, draw by draw."""
    compared: list[Row] = []
    for row in rows:
        base = next((other for other in rows if other["model"] == BASELINE and other["labels"] == row["labels"]), None)
        is_model = base is not None and row["model"] not in (BASELINE, *COLUMNS)
        interval = paired(row, base) if base is not None and is_model else None
        compared.append({**row, "against_classifier": interval})
    return compared


def paired(row: Row, base: Row) -> Interval | None:
    """Return the difference of two rows' errors over their common draws; None without any."""
    known = {draw: error for draw, error in zip(base["draws"], base["errors"], strict=True) if error is not None}
    pairs = zip(row["draws"], row["errors"], strict=True)
    gaps = [error - known[draw] for draw, error in pairs if error is not None and draw in known]
    if not gaps:
        return None
    mean, half = statistics.fmean(gaps), half_interval(gaps) if len(gaps) > 1 else None
    return {
        "mean": mean,
        "low": None if half is None else mean - half,
        "high": None if half is None else mean + half,
        "below_on_every_draw": all(gap < 0 for gap in gaps),
    }


def draw_errors(rows: Sequence[Row], published: Sequence[Published], path: Path) -> None:
    """Draw every model's mean error against the number of labels, with a band of one standard deviation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, model in enumerate(dict.fromkeys(row["model"] for row in rows)):
        points = [(row["labels"], row["spread"]) for row in rows if row["model"] == model]
        known = [(labels, of_row["mean"], of_row["std"]) for labels, of_row in points if of_row is not None]
        across, mean, std = numpy.array(known).reshape(-1, 3).T
        style = "--" if model in COLUMNS else "-"
        axes.plot(across, mean, style, marker="o", markersize=4, color=f"C{number % 10}", label=model)
        if model not in COLUMNS:
            axes.fill_between(across, mean - std, mean + std, color=f"C{number % 10}", alpha=0.15, linewidth=0)
            axes.vlines(across, mean - std, mean + std, color=f"C{number % 10}", alpha=0.4)
    for entry in published:
        axes.scatter(entry["labels"], entry["error"], marker="x", color="black", s=24)
    ticks = sorted({row["labels"] for row in rows})
    axes.set(xscale="log", xlabel="labels", ylabel="test error, %")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=120)


def _page(rows: Sequence[Row], published: Sequence[Published], notes: Sequence[str], steps: int) -> str:
    labels = sorted({row["labels"] for row in rows})
    lines = [f"Test error in %, {steps:,} steps:", ""]
    lines += [f"| model | {' | '.join(f'{count:,} labels' for count in labels)} |", "|---" * (len(labels) + 1) + "|"]
    for model in dict.fromkeys(row["model"] for row in rows):
        by_labels = {row["labels"]: _shown(row) for row in rows if row["model"] == model}
        lines.append(f"| {model} | {' | '.join(by_labels.get(count, '–') for count in labels)} |")
    lines += ["", "Mean ± standard deviation over draws of the labelled rows (n of them).", ""]
    lines.append("| error minus the classifier's | labels | mean | 95 % interval | less on every draw |")
    lines.append("|---" * 5 + "|")
    for row in rows:
        if (gap := row["against_classifier"]) is not None:
            ends = "–" if gap["low"] is None else f"{gap['low']:.1f} to {gap['high']:.1f}"
            every = "yes" if gap["below_on_every_draw"] else "no"
            lines.append(f"| {row['model']} | {row['labels']:,} | {gap['mean']:+.1f} | {ends} | {every} |")
    if published:
        lines += ["", "| published | labels | error | bar | what the bar is |", "|---|---|---|---|---|"]
        lines += [published_line(entry) for entry in published]
    return "\n".join([*lines, "", *(f"* {note}" for note in notes)])


def _shown(row: Row) -> str:
    of_row = row["spread"]
    diverged = sum(error is None for error in row["errors"])
    text = "–" if of_row is None else f"{of_row['mean']:.1f} ± {of_row['std']:.1f} ({len(row['errors']) - diverged})"
    return f"{text}, {diverged} diverged" if diverged else text
