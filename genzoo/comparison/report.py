"""Reports: the results of a comparison as a Markdown table and as one self-contained HTML page."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from genzoo.comparison.results import (
    Baseline,
    BaselineScore,
    Better,
    Difference,
    ResultRow,
    Results,
    RowScore,
    Summary,
)
from genzoo.comparison.sections import Section
from genzoo.storage import files

NO_SCORE = "–"


class Column(NamedTuple):
    """One contestant or baseline of the table."""

    label: str
    baseline: bool


class MetricLine(NamedTuple):
    """One metric of the table, with the protocol of the first column that has a score by it."""

    name: str
    better: Better
    arrow: str
    protocol: str


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
    environment.filters["png"] = _as_png
    source = (resources("genzoo.comparison") / "report.html.jinja").read_text(encoding="utf-8")
    template = environment.from_string(source)
    page = template.render(results=results, table=table, sections=sections, curves=_curves(results))
    files.write(folder / "report.html", page.encode())


class ScoreTable:
    """The scores of a comparison as text: a row per metric, a column per model, the best of each row marked."""

    def __init__(self, results: Results) -> None:
        contestants, baselines = results.rows, results.baselines
        self.seeds = max((len(row.seeds) for row in contestants), default=0)
        labels = [row.label for row in contestants]
        self.columns = [Column(label, False) for label in labels]
        self.columns += [Column(" − ".join(labels), True)] if results.differences else []
        self.columns += [Column(row.label, True) for row in baselines]
        self.metrics = _metrics(results)
        self.rows = [_entries(metric, results) for metric in self.metrics]
        self.notes = _notes(results, self.seeds)
        self.costs = [_cost_row(row) for row in contestants]
        self.reasons = _reasons(results, {metric.name.partition("/")[0] for metric in self.metrics})

    def markdown(self) -> str:
        """Return the scores, the baselines and the costs as Markdown."""
        header = ["score", *(column.label for column in self.columns)]
        lines = [_line(header), _line(["---"] * len(header))]
        for metric, row in zip(self.metrics, self.rows, strict=True):
            lines.append(_line([f"{metric.name} {metric.arrow}".strip(), *map(_in_markdown, row)]))
        lines += ["", _line(_COSTS), _line(["---"] * len(_COSTS)), *(_line(row) for row in self.costs)]
        lines += ["", *self.notes, ""]
        lines += [f"* {metric.name}: {metric.protocol}" for metric in self.metrics]
        lines += [f"* {reason}" for reason in self.reasons]
        return "\n".join(lines)


def _notes(results: Results, seeds: int) -> list[str]:
    """Return sentences that say what the numbers of the table are."""
    notes = [f"Final scores: mean ± standard deviation over {seeds} seed{'' if seeds == 1 else 's'} (and their range)."]
    chosen_by = ", ".join(dict.fromkeys(cell.best_by for cell in results.cells if cell.best_by))
    if chosen_by:
        notes.append(f"Best: the test score at the step that was best by {chosen_by} on the validation split.")
    if results.differences:
        interval = "with the 95 % interval of its mean by Student's t" if seeds > 1 else "n = 1: it has no interval"
        notes.append(f"Differences are of final scores with the same seed, {interval}.")
    return notes


def _entries(metric: MetricLine, results: Results) -> list[TableEntry]:
    """Return a metric's entries, one per column, the best contestant marked."""
    contestants = _ranked(metric, [_entry(metric, row.scores, len(row.seeds)) for row in results.rows])
    differences = [_difference_entry(metric, results.differences)] if results.differences else []
    return contestants + differences + [_entry(metric, baseline.scores, 1) for baseline in results.baselines]


def _entry(metric: MetricLine, scores: Sequence[RowScore | BaselineScore], seeds: int) -> TableEntry:
    """Return the entry of a contestant with so many seeds, or of a baseline."""
    score = next((score for score in scores if score.metric == metric.name), None)
    if score is None or score.final is None:
        return TableEntry(NO_SCORE, None, "")
    is_comparable = _protocol_line(score.protocol) == metric.protocol
    text = _mean(score.final) + ("" if is_comparable else " †")
    return TableEntry(text, score.final.mean if is_comparable else None, _detail(score, seeds))


def _difference_entry(metric: MetricLine, differences: Sequence[Difference]) -> TableEntry:
    """Return the entry of the difference between two contestants."""
    of_metric = (each for each in differences if each.metric == metric.name)
    difference = next((each for each in of_metric if _protocol_line(each.protocol) == metric.protocol), None)
    if difference is None:
        return TableEntry(NO_SCORE, None, "")
    interval = "" if difference.low is None else f"{difference.low:.3g} to {difference.high:.3g}, "
    return TableEntry(f"{difference.mean:+.4g}", None, f"{interval}n = {difference.n}")


def _ranked(metric: MetricLine, entries: list[TableEntry]) -> list[TableEntry]:
    """Return the contestants' entries, the best marked if at least two can be compared."""
    means = [entry.mean for entry in entries if entry.mean is not None]
    if metric.better is None or len(means) < 2:
        return entries
    best = max(means) if metric.better == "higher" else min(means)
    return [entry._replace(best=entry.mean == best) for entry in entries]


_COSTS = ("model", "parameters", "forward MACs per update", "updates", "images seen", "seconds")


def _metrics(results: Results) -> list[MetricLine]:
    """Return one line per metric, the headlines first."""
    first: dict[str, RowScore | BaselineScore] = {}
    for scores in _all_scores(results.rows, results.baselines):
        for score in scores:
            first.setdefault(score.metric, score)
    arrows = {"higher": "↑", "lower": "↓", None: ""}
    return [
        MetricLine(score.metric, score.better, arrows[score.better], _protocol_line(score.protocol))
        for score in sorted(first.values(), key=lambda score: not score.headline)
    ]


def _all_scores(
    contestants: Sequence[ResultRow], baselines: Sequence[Baseline]
) -> list[Sequence[RowScore | BaselineScore]]:
    return [*(row.scores for row in contestants), *(baseline.scores for baseline in baselines)]


def _cost_row(row: ResultRow) -> tuple[str, ...]:
    macs = NO_SCORE if row.macs_per_update is None else f"{row.macs_per_update:,}"
    return (row.label, f"{row.parameters:,}", macs, f"{row.steps:,}", f"{row.images_seen:,}", f"{row.seconds:.0f}")


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


def _in_markdown(entry: TableEntry) -> str:
    text = f"**{entry.text}**" if entry.best else entry.text
    return f"{text} ({entry.detail})" if entry.detail else text


def _mean(final: Summary) -> str:
    return f"{final.mean:.4g}" + (f" ± {final.std:.2g}" if final.std else "")


def _detail(score: RowScore | BaselineScore, seeds: int) -> str:
    """Return the range over seeds, the scores at the best steps, and the number of seeds if it is not `seeds`."""
    final, best = score.final, score.best
    details = [f"{final.min:.4g} to {final.max:.4g}"] if final and final.min < final.max else []
    details += [f"best {_mean(best)}"] if best else []
    details += [f"n = {score.n}"] if isinstance(score, RowScore) and score.n != seeds else []
    return ", ".join(details)


def _protocol_line(protocol: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in protocol.items() if value is not None and key != "seed")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _as_png(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _curves(results: Results) -> list[tuple[str, Markup]]:
    """Return one small SVG per metric that was measured during training, with the range over seeds as a band."""
    curves = []
    for metric in _metrics(results):
        if metric.better is None:
            continue
        courses = {row.label: _course(results, row.label, metric.name) for row in results.rows}
        if any(len(course) > 1 for course in courses.values()):
            curves.append((metric.name, _plot(courses)))
    return curves


def _course(results: Results, label: str, metric: str) -> list[tuple[int, list[float]]]:
    """Return the values over seeds at every step that all seeds measured."""
    by_step: dict[int, list[float]] = {}
    cells = [cell for cell in results.cells if cell.label == label]
    for cell in cells:
        for score in cell.scores:
            if score.metric == metric and score.value is not None:
                by_step.setdefault(score.step, []).append(score.value)
    return sorted((step, values) for step, values in by_step.items() if len(values) == len(cells))


def _plot(courses: dict[str, list[tuple[int, list[float]]]]) -> Markup:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for number, (label, course) in enumerate(courses.items()):
        if len(course) < 2:
            continue  # `number` still counts it, so that a model has the same colour in all plots
        steps = [step for step, _ in course]
        means = [sum(values) / len(values) for _, values in course]
        colour = f"C{number % 10}"
        axes.plot(steps, means, marker="o", markersize=3, color=colour, label=_plain(label))
        low, high = [min(values) for _, values in course], [max(values) for _, values in course]
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set_xlabel("step")
    axes.legend(fontsize="small", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    content = io.StringIO()
    figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    # matplotlib draws text as outlines and escapes metadata, so the SVG needs no further escaping
    return Markup(content.getvalue()[content.getvalue().index("<svg") :])


def _plain(label: str) -> str:
    """Return a label that matplotlib neither hides (`_…`) nor reads as mathematics (`$…$`)."""
    return label.replace("$", r"\$") if not label.startswith("_") else f" {label}"
