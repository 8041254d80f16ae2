"""Reports: the results of a comparison as a Markdown table and as one self-contained HTML page."""

import base64
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from genzoo.comparison.drawings import Drawing, new_axes, plain, scale_of, svg_of
from genzoo.comparison.results import (
    HELD_OUT,
    NO_SCORE,
    Baseline,
    BaselineScore,
    Better,
    CellResult,
    Difference,
    ResultRow,
    Results,
    RowScore,
    Summary,
    differences_between,
)
from genzoo.comparison.sections import Section
from genzoo.comparison.settings import ComparedSettings
from genzoo.comparison.sweep_charts import SWEEP_NOTE, charts_of
from genzoo.evaluation.cards import evaluations_text
from genzoo.storage import files
from genzoo.storage.scores import value_text
from genzoo.text import in_markdown, markdown_table

_MARKED = 20
"""The largest number of points of a curve that are marked."""


_Pair = tuple[str, str]
"""The labels of two contestants whose scores are subtracted."""


class Column(NamedTuple):
    """One contestant or baseline of the table."""

    label: str
    baseline: bool
    note: str = ""
    """The main settings in which the contestant differs from others."""


class MetricLine(NamedTuple):
    """One metric of the table, with the protocol of the first column that has a score by it."""

    name: str
    better: Better
    arrow: str
    protocol: str
    headline: bool


class MetricGroup(NamedTuple):
    """Metrics that stand together in a table of the page."""

    title: str
    numbers: tuple[int, ...]
    """Their places among all metrics."""


class TableEntry(NamedTuple):
    """One entry of the table: a column's score by a metric."""

    text: str
    mean: float | None
    detail: str
    best: bool = False


def write_report(folder: Path, results: Results, sections: Sequence[Section]) -> None:
    """Write table.md and report.html beside results.json."""
    table = ScoreTable(results)
    files.write(folder / "table.md", (table.markdown() + "\n").encode())
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"png": _as_png, "breakable": _breakable}
    source = (resources("genzoo.comparison") / "report.html.jinja").read_text(encoding="utf-8")
    template = environment.from_string(source)
    page = template.render(
        results=results,
        table=table,
        sections=sections,
        curves=curves_of(results),
        losses=losses_of(results),
        sweeps=[chart.drawing() for chart in table.sweeps],
        sweep_note=SWEEP_NOTE,
    )
    files.write(folder / "report.html", page.encode())


class ScoreTable:
    """The scores of a comparison as text: a row per metric, a column per model, the best of each row marked."""

    def __init__(self, results: Results) -> None:
        contestants, baselines = results.rows, results.baselines
        self.seeds = max((len(row.seeds) for row in contestants), default=0)
        labels = [row.label for row in contestants]
        self.settings = results.settings or ComparedSettings()
        self.columns = [Column(label, False, self.settings.of(label)) for label in labels]
        self.columns += [Column(_pair_name(pair), True) for pair in _label_pairs(results)]
        self.columns += [Column(row.label, True) for row in baselines]
        self.metrics = _metrics(results)
        self.rows = [_entries(metric, results) for metric in self.metrics]
        self.groups = _groups(self.metrics)
        self.notes = _notes(results, self.seeds)
        reused = {cell.label for cell in results.cells if cell.reused}
        self.costs = [_COSTS, *(_cost_row(row, is_reused=row.label in reused) for row in contestants)]
        self.listed = _without(self.settings, results.swept_by_all)
        self.differing = _differing(self.listed, labels)
        self.trainings = [_TRAININGS, *map(_training_row, results.cells)]
        self.sweeps = charts_of(results)
        self.cost_note = _COST_NOTE + (_REUSED_NOTE if reused else "")
        self.reasons = _reasons(results, {metric.name.partition("/")[0] for metric in self.metrics})
        self.reasons += _unranked(results, self.metrics)

    def entries(self, group: MetricGroup, column: int) -> list[TableEntry]:
        """Return a contestant's or baseline's entries of a group of metrics, given the number of its column."""
        return [self.rows[number][column] for number in group.numbers]

    def html(self) -> str:
        """Return what was compared, and the first group of scores as an HTML table, the best in bold."""
        group = self.groups[0] if self.groups else MetricGroup("", ())
        header = ["", *(f"{self.metrics[number].name} {self.metrics[number].arrow}" for number in group.numbers)]
        rows = [_html_row(Markup("<th>{}</th>").format(name) for name in header)]
        for place, column in enumerate(self.columns):
            entries = self.entries(group, place)
            cells = [
                Markup("<td><b>{}</b></td>" if entry.best else "<td>{}</td>").format(entry.text) for entry in entries
            ]
            rows.append(_html_row([Markup("<td>{}</td>").format(column.label), *cells]))
        return Markup("<p>{}</p><table>{}</table>").format(self.notes[0], Markup("").join(rows))

    def markdown(self) -> str:
        """Return the scores, the baselines and the costs as Markdown."""
        header = ["score", *(f"{each.label} ({each.note})" if each.note else each.label for each in self.columns)]
        scores = [
            [f"{metric.name} {metric.arrow}".strip(), *map(_marked, row)]
            for metric, row in zip(self.metrics, self.rows, strict=True)
        ]
        lines = [*markdown_table(header, *scores), "", *markdown_table(*self.costs), "", self.cost_note]
        lines += ["", *map(in_markdown, self.notes), ""]
        for chart in (chart for chart in self.sweeps if chart.headline):
            lines += [in_markdown(f"{chart.title}:"), "", *markdown_table(*chart.rows()), ""]
        listed = [*self.listed.lines(), *(f"{metric.name}: {metric.protocol}" for metric in self.metrics)]
        lines += [f"* {in_markdown(line)}" for line in [*listed, *self.reasons]]
        return "\n".join(lines)


def _html_row(cells: Iterable[Markup]) -> Markup:
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


_RULE = (
    "A score is marked as the best if the interval of its paired difference to every other contestant excludes 0, and "
    "it is better than that of noise, a fitted Gaussian and untrained networks. Differences that are the same for all "
    "seeds have no spread, so no interval, and mark nothing."
)


def _notes(results: Results, seeds: int) -> list[str]:
    """Return sentences that say what was compared, and what the numbers of the table are."""
    shared = f": {results.settings.sentence()}" if results.settings and len(results.rows) > 1 else ""
    notes = [f"Compared on {results.data}{shared}."]
    notes += [
        f"Final scores: mean ± standard deviation over {seeds} seed{'' if seeds == 1 else 's'} (and their range)."
    ]
    chosen_by = ", ".join(dict.fromkeys(cell.best_by for cell in results.cells if cell.best_by))
    if chosen_by:
        notes.append(f"Best: the test score at the step that was best by {chosen_by} on the validation split.")
    reused = [f"{cell.label} seed {cell.seed} ({cell.run})" for cell in results.cells if cell.reused]
    if reused:
        notes.append(f"Trained before, and not again: {', '.join(reused)}.")
    unseen = [f"{cell.label} seed {cell.seed}" for cell in results.cells if cell.reused and cell.best_step is None]
    if unseen:
        notes.append(f"Evaluated at the end alone, so a point for a curve, and no best step: {', '.join(unseen)}.")
    if results.differences:
        interval = "with the 95 % interval of their mean by Student's t" if seeds > 1 else "n = 1: without an interval"
        notes.append(f"Differences are of final scores, paired by seed, {interval}.")
    if len(results.rows) > 1:
        notes.append(_RULE if seeds > 1 else "With one seed, no score is marked as the best: --seeds K trains more.")
    return notes


def _entries(metric: MetricLine, results: Results) -> list[TableEntry]:
    """Return a metric's entries, one per column, the best contestant marked."""
    best = _best(metric, results)
    contestants = [_entry(metric, row.scores, len(row.seeds))._replace(best=row.label == best) for row in results.rows]
    differences = [_difference_entry(metric, results.differences, pair) for pair in _label_pairs(results)]
    return contestants + differences + [_entry(metric, baseline.scores, 1) for baseline in results.baselines]


def _entry(metric: MetricLine, scores: Sequence[RowScore | BaselineScore], seeds: int) -> TableEntry:
    """Return the entry of a contestant with so many seeds, or of a baseline."""
    score = next((score for score in scores if score.metric == metric.name), None)
    if score is None or score.final is None:
        return TableEntry(NO_SCORE, None, "")
    is_comparable = _protocol_line(score.protocol) == metric.protocol
    text = _mean(score.final) + ("" if is_comparable else " †")
    return TableEntry(text, score.final.mean if is_comparable else None, _detail(score, seeds))


def _difference_entry(metric: MetricLine, differences: Sequence[Difference], pair: _Pair) -> TableEntry:
    """Return the entry of the difference between two contestants."""
    difference = _difference_by(metric, [each for each in differences if (each.minuend, each.subtrahend) == pair])
    if difference is None:
        return TableEntry(NO_SCORE, None, "")
    interval = "" if difference.low is None else f"{difference.low:.3g} to {difference.high:.3g}, "
    return TableEntry(f"{difference.mean:+.4g}", None, f"{interval}n = {difference.n}")


def _difference_by(metric: MetricLine, differences: Sequence[Difference]) -> Difference | None:
    of_metric = (each for each in differences if each.metric == metric.name)
    return next((each for each in of_metric if _protocol_line(each.protocol) == metric.protocol), None)


def _best(metric: MetricLine, results: Results) -> str | None:
    """Return the label of the contestant that is better than all others by a metric, beyond chance; None if none is."""
    means = _mean_scores(metric, results.rows)
    if metric.better is None or len(means) < 2 or _as_good(metric, results):
        return None
    sign = 1 if metric.better == "higher" else -1
    leader = max(means, key=lambda label: sign * means[label])
    for other in means.keys() - {leader}:
        difference = _difference_by(metric, differences_between(results.cells, leader, other))
        if difference is None or difference.low is None or difference.high is None:
            return None
        if difference.low <= 0 <= difference.high:
            return None
    return leader


def _as_good(metric: MetricLine, results: Results) -> str | None:
    """Return the best baseline by a metric, held-out rows apart, if it is as good as every contestant, or None."""
    means = _mean_scores(metric, results.rows)
    baselines = _mean_scores(metric, [baseline for baseline in results.baselines if baseline.label != HELD_OUT])
    if metric.better is None or not means or not baselines:
        return None
    sign = 1 if metric.better == "higher" else -1
    best = max(baselines, key=lambda label: sign * baselines[label])
    return best if all(sign * baselines[best] >= sign * mean for mean in means.values()) else None


def _mean_scores(metric: MetricLine, columns: Sequence[ResultRow | Baseline]) -> dict[str, float]:
    """Return by label the mean scores that were measured by the metric's protocol."""
    entries = {column.label: _entry(metric, column.scores, 1) for column in columns}
    return {label: entry.mean for label, entry in entries.items() if entry.mean is not None}


def _unranked(results: Results, metrics: Sequence[MetricLine]) -> list[str]:
    """Return lines that say which baselines are as good as every contestant, and by what."""
    names: dict[str, list[str]] = {}
    for metric in metrics:
        if (baseline := _as_good(metric, results)) is not None:
            names.setdefault(baseline, []).append(metric.name)
    return [
        f"no contestant is better than '{baseline}' by {', '.join(of_baseline)}: nothing is marked there"
        for baseline, of_baseline in names.items()
    ]


def _label_pairs(results: Results) -> list[_Pair]:
    """Return the labels of the contestants whose scores are subtracted."""
    return list(dict.fromkeys((each.minuend, each.subtrahend) for each in results.differences))


def _pair_name(pair: _Pair) -> str:
    return " − ".join(pair)


_COST_NOTE = "Seconds are the mean over seeds, of trainings as they ran, some beside others."
_REUSED_NOTE = " ‡ was measured by an earlier command, perhaps beside other work: not comparable."
_TRAININGS = ("contestant", "seed", "steps taken", "seconds", "begun (UTC)", "run folder")
_COSTS = (
    "model",
    "parameters",
    "multiply-adds per step, forward",
    "network evaluations per sample",
    "steps",
    "rows of data seen",
    "seconds",
)


def _metrics(results: Results) -> list[MetricLine]:
    """Return one line per metric, the headlines first."""
    first: dict[str, RowScore | BaselineScore] = {}
    for scores in _all_scores(results.rows, results.baselines):
        for score in scores:
            first.setdefault(score.metric, score)
    arrows = {"higher": "↑", "lower": "↓", None: ""}
    return [
        MetricLine(score.metric, score.better, arrows[score.better], _protocol_line(score.protocol), score.headline)
        for score in sorted(first.values(), key=lambda score: not score.headline)
    ]


def _groups(metrics: Sequence[MetricLine]) -> list[MetricGroup]:
    """Return the headlines as a first group, and the other scores by metric; without headlines, the metrics alone."""
    groups: dict[str, list[int]] = {}
    for number, metric in enumerate(metrics):
        groups.setdefault("" if metric.headline else metric.name.partition("/")[0], []).append(number)
    return [MetricGroup(title, tuple(numbers)) for title, numbers in groups.items()]


def _all_scores(
    contestants: Sequence[ResultRow], baselines: Sequence[Baseline]
) -> list[Sequence[RowScore | BaselineScore]]:
    return [*(row.scores for row in contestants), *(baseline.scores for baseline in baselines)]


def _cost_row(row: ResultRow, *, is_reused: bool) -> tuple[str, ...]:
    parameters, macs = (NO_SCORE if n is None else f"{n:,}" for n in (row.parameters, row.macs_per_update))
    seconds = f"{row.seconds:.0f}" + (" ‡" if is_reused else "")
    evaluations = evaluations_text(row.evaluations)
    return (row.label, parameters, macs, evaluations, f"{row.steps:,}", f"{row.images_seen:,}", seconds)


def _without(settings: ComparedSettings, names: Collection[str]) -> ComparedSettings:
    return replace(settings, different={name: by for name, by in settings.different.items() if name not in names})


def _differing(settings: ComparedSettings, labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Return one row per setting in which contestants differ: its name, and every contestant's value."""
    return [(name, *(settings.text(name, label) for label in labels)) for name in settings.different]


def _training_row(cell: CellResult) -> tuple[str, ...]:
    begun = f"{cell.created[:10]} {cell.created[11:16]}"
    folder = f"{cell.run} ({cell.failure})" if cell.failure else cell.run
    return (cell.label, str(cell.seed), f"{cell.step:,}", f"{cell.seconds:.0f}", begun, folder)


def _reasons(results: Results, metrics: set[str]) -> list[str]:
    """Return lines that say which trainings failed, and why some cells of the table are empty."""
    reasons = [f"{row.label} failed: {failure}" for row in results.rows for failure in row.failed]
    for row in results.rows:
        by_reason: dict[str, list[str]] = {}
        for name, reason in row.obstacles:
            if name in metrics:
                by_reason.setdefault(reason, []).append(name)
        reasons += [f"{row.label} has no {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return reasons


def _marked(entry: TableEntry) -> str:
    text = f"**{entry.text}**" if entry.best else entry.text
    return f"{text} ({entry.detail})" if entry.detail else text


def _mean(final: Summary) -> str:
    return value_text(final.mean) + (f" ± {final.std:.2g}" if final.std else "")


def _detail(score: RowScore | BaselineScore, seeds: int) -> str:
    """Return the range over seeds, the scores at the best steps, and the number of seeds if it is not `seeds`."""
    final, best = score.final, score.best
    details = [f"{value_text(final.min)} to {value_text(final.max)}"] if final and final.min < final.max else []
    details += [f"best {_mean(best)}"] if best else []
    details += [f"n = {score.n}"] if isinstance(score, RowScore) and score.n != seeds else []
    return ", ".join(details)


def _protocol_line(protocol: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in protocol.items() if value is not None and key != "seed")


def _breakable(name: str) -> Markup:
    """Return a name that may fold after / = and _."""
    return Markup("<wbr>").join(part for part in re.split(r"(?<=[/=_])", name) if part)


def _as_png(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def curves_of(results: Results) -> list[Drawing]:
    """Return one drawing per score with a better side that was measured during training."""
    curves = []
    for metric in _metrics(results):
        points = {
            (cell.label, cell.seed): [
                (score.step, score.value)
                for score in cell.scores
                if score.metric == metric.name and score.value is not None
            ]
            for cell in results.cells
        }
        courses = _over_seeds(results, points)
        if metric.better is not None and any(len(course) > 1 for course in courses.values()):
            curves.append(Drawing(metric.name, _plot(courses), metric.headline))
    return curves


def losses_of(results: Results) -> list[Drawing]:
    """Return one drawing per player, of the contestants that have it."""
    curves = []
    for player in dict.fromkeys(player for cell in results.cells for player in cell.losses):
        points = {(cell.label, cell.seed): cell.losses.get(player, ()) for cell in results.cells}
        courses = _over_seeds(results, points)
        if any(len(course) > 1 for course in courses.values()):
            curves.append(Drawing(f"loss of the {player}", _plot(courses), False))
    return curves


_OverSeeds = list[tuple[int, list[float]]]
"""The values over seeds by step."""


def _over_seeds(
    results: Results, points: Mapping[tuple[str, int], Sequence[tuple[int, float]]]
) -> dict[str, _OverSeeds]:
    """Return by contestant the values over seeds at every step that all seeds have."""
    courses: dict[str, _OverSeeds] = {}
    for row in results.rows:
        by_step: dict[int, list[float]] = {}
        for seed in row.seeds:
            for step, value in points.get((row.label, seed), ()):
                by_step.setdefault(step, []).append(value)
        courses[row.label] = sorted((step, values) for step, values in by_step.items() if len(values) == len(row.seeds))
    return courses


def _plot(courses: Mapping[str, _OverSeeds]) -> Markup:
    """Return an SVG with the mean of every course and its range as a band; a course of one step is a point."""
    figure, axes = new_axes()
    for number, (label, course) in enumerate(courses.items()):
        if not course:
            continue  # `number` still counts it, so that a model has the same colour in all plots
        steps = [step for step, _ in course]
        means = [sum(values) / len(values) for _, values in course]
        colour, marker = f"C{number % 10}", "o" if len(course) <= _MARKED else ""
        size = 3 if len(course) > 1 else 7
        axes.plot(steps, means, marker=marker, markersize=size, color=colour, label=plain(label))
        low, high = [min(values) for _, values in course], [max(values) for _, values in course]
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set_yscale(**scale_of([value for course in courses.values() for _, values in course for value in values]))
    axes.set_xlabel("step")
    return svg_of(figure)
