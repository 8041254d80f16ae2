"""Charts of a sweep: scores against a swept setting, as values, as drawings and as Markdown tables."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from genzoo.comparison.drawings import Drawing, new_axes, plain, scale_of, svg_of
from genzoo.comparison.results import NO_SCORE, Better, Results, RowScore, row_scores
from genzoo.comparison.sweeps import first_of_sweeps
from genzoo.storage.scores import value_text

SWEEP_NOTE = (
    "Lines join the means over seeds, each dot is a seed, a × at the lower edge is a training that failed, and a "
    "dashed line is the mean of a contestant that was not swept. "
    "The best of many settings looks better than it is: compare it with the others again, with other seeds."
)
_DIRECTIONS = {"higher": "↑ higher is better", "lower": "↓ lower is better"}


class CurvePoint(NamedTuple):
    """The final scores of one contestant."""

    x: float
    """The place of its value on the axis."""
    values: tuple[float, ...]
    """By seed, of the trainings that did not fail and whose score is finite."""
    failed: int
    """How many of its trainings failed."""

    @property
    def mean(self) -> float | None:
        """The mean of the scores; None without any."""
        return sum(self.values) / len(self.values) if self.values else None


class SweepChart(NamedTuple):
    """A score against a swept setting: a curve per contestant and per combination of the other settings' values."""

    metric: str
    better: Better
    headline: bool
    path: str
    """The setting on the axis."""
    ticks: Mapping[float, str]
    """The swept values as they were typed, by their places on the axis."""
    is_geometric: bool
    """Whether the values lie nearer to equal ratios than to equal distances, so that the axis is logarithmic."""
    curves: Mapping[str, tuple[CurvePoint, ...]]
    constants: Mapping[str, float]
    """The mean scores of contestants that were not swept, which do not depend on the setting."""

    @property
    def title(self) -> str:
        """The score, and which values of it are better."""
        return f"{self.metric} {_DIRECTIONS[self.better or 'higher']}"

    def drawing(self) -> Drawing:
        """Return it as an SVG: lines join means over seeds, dots are seeds, a × at the edge is a failed training."""
        figure, axes = new_axes()
        for number, (label, points) in enumerate(self.curves.items()):
            colour = f"C{number % 10}"
            means = [(point.x, point.mean) for point in points if point.mean is not None]
            axes.plot(*zip(*means, strict=True), color=colour, marker="_", label=plain(label) or self.metric)
            dots = [(point.x, value) for point in points for value in point.values]
            axes.plot(*zip(*dots, strict=True), "o", color=colour, markersize=3.5, alpha=0.6, markeredgewidth=0)
            failed = [point.x for point in points if point.failed]
            edge = axes.get_xaxis_transform()
            axes.plot(failed, [0.03] * len(failed), "x", color=colour, transform=edge, markersize=6)
        for number, (label, value) in enumerate(self.constants.items(), start=len(self.curves)):
            axes.axhline(value, color=f"C{number % 10}", linestyle="--", linewidth=1, label=plain(label))
        values = [value for points in self.curves.values() for point in points for value in point.values]
        axes.set_yscale(**scale_of([*values, *self.constants.values()]))
        axes.set_xscale("log" if self.is_geometric else "linear")
        axes.set_xticks(list(self.ticks), [plain(text) for text in self.ticks.values()])
        axes.minorticks_off()
        axes.set_xlabel(plain(self.path))
        return Drawing(self.title, svg_of(figure, legend=bool(self.constants) or len(self.curves) > 1), self.headline)

    def rows(self) -> list[list[str]]:
        """Return it as the rows of a table after a header: a row per value, a column per curve, means over seeds."""
        table = [[self.path, *(label or self.metric for label in self.curves)]]
        for place, text in self.ticks.items():
            of_place = [next((each for each in points if each.x == place), None) for points in self.curves.values()]
            table.append([text, *map(_cell_text, of_place)])
        return table


def charts_of(results: Results) -> list[SweepChart]:
    """Return a chart per score with a better side and per setting that some sweep names first, headlines first."""
    good = [cell for cell in results.cells if not cell.failure]
    scores = {row.label: row_scores([cell for cell in good if cell.label == row.label]) for row in results.rows}
    first: dict[str, RowScore] = {}
    for score in (score for of_row in scores.values() for score in of_row if score.better is not None):
        first.setdefault(score.metric, score)
    paths = dict.fromkeys(next(iter(point.values)) for point in results.sweep.values())
    charts = [_chart(results, scores, score, path) for path in paths for score in first.values()]
    return sorted((chart for chart in charts if chart.curves), key=lambda chart: not chart.headline)


def _chart(results: Results, scores: Mapping[str, Sequence[RowScore]], shown: RowScore, path: str) -> SweepChart:
    on_axis = {label: point for label, point in results.sweep.items() if next(iter(point.values)) == path}
    places = _places([point.values[path] for point in on_axis.values()])
    is_several = len(first_of_sweeps([row.label for row in results.rows], results.sweep)) > 1
    curves: dict[str, list[CurvePoint]] = {}
    constants: dict[str, float] = {}
    for row in results.rows:
        own = [each for each in scores[row.label] if (each.metric, each.protocol) == (shown.metric, shown.protocol)]
        values = tuple(value for score in own for value in score.values if value is not None)
        if row.label in on_axis:
            point = on_axis[row.label]
            name = f"{point.contestant if is_several else ''} {point.text([*point.values][1:])}".strip()
            curves.setdefault(name, []).append(CurvePoint(places[point.values[path]], values, len(row.failed)))
        elif row.label not in results.sweep and values:
            constants[row.label] = sum(values) / len(values)
    return SweepChart(
        metric=shown.metric,
        better=shown.better,
        headline=shown.headline,
        path=path,
        ticks={place: text for text, place in places.items()},
        is_geometric=_is_geometric(sorted(places.values())),
        curves={name: tuple(sorted(points)) for name, points in curves.items() if any(each.values for each in points)},
        constants=constants,
    )


def _places(texts: Sequence[str]) -> dict[str, float]:
    """Return where values stand on an axis: at their numbers, or else one after the other."""
    in_order = {text: float(number) for number, text in enumerate(dict.fromkeys(texts))}
    try:
        numbers = {text: float(text) for text in in_order}
    except ValueError:
        return in_order
    return numbers if all(map(math.isfinite, numbers.values())) else in_order


def _is_geometric(values: Sequence[float]) -> bool:
    """Return whether sorted values lie nearer to equal ratios than to equal distances; of two, from tenfold on."""
    if len(values) < 2 or values[0] <= 0:
        return False
    if len(values) == 2:
        return values[1] >= 10 * values[0]
    return _unevenness([math.log(value) for value in values]) < _unevenness(values)


def _unevenness(values: Sequence[float]) -> float:
    gaps = [after - before for before, after in pairwise(values)]
    return max(gaps) / min(gaps) if min(gaps) > 0 else math.inf


def _cell_text(point: CurvePoint | None) -> str:
    """Return the mean over seeds, and how many of them failed."""
    if point is None or (point.mean is None and not point.failed):
        return NO_SCORE
    failed = f"{point.failed} failed" if point.failed else ""
    return ", ".join(filter(None, ["" if point.mean is None else value_text(point.mean), failed]))
