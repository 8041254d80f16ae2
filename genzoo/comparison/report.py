"""Reports: the results of a comparison as a Markdown table and as one self-contained HTML page."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from genzoo.comparison.results import Baseline, BaselineScore, Better, ResultRow, Results, RowScore, Summary
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
        self.columns = [Column(row.label, False) for row in contestants] + [
            Column(row.label, True) for row in baselines
        ]
        self.metrics = _metrics(results)
        self.rows = [_entries(metric, contestants, baselines) for metric in self.metrics]
        self.costs = [_cost_row(row) for row in contestants]
        self.reasons = _reasons(results, {metric.name.partition("/")[0] for metric in self.metrics})

    def markdown(self) -> str:
        """Return the scores, the baselines and the costs as Markdown."""
        header = ["score", *(column.label for column in self.columns)]
        lines = [_line(header), _line(["---"] * len(header))]
        for metric, row in zip(self.metrics, self.rows, strict=True):
            lines.append(_line([f"{metric.name} {metric.arrow}".strip(), *map(_in_markdown, row)]))
        lines += ["", _line(_COSTS), _line(["---"] * len(_COSTS)), *(_line(row) for row in self.costs)]
        seeds = f"{self.seeds} seed{'' if self.seeds == 1 else 's'}"
        lines += [
            "",
            f"Final means ± standard deviations over {seeds} (range, and mean of the best during training).",
            "",
        ]
        lines += [f"* {metric.name}: {metric.protocol}" for metric in self.metrics]
        lines += [f"* {reason}" for reason in self.reasons]
        return "\n".join(lines)


def _entries(metric: MetricLine, contestants: Sequence[ResultRow], baselines: Sequence[Baseline]) -> list[TableEntry]:
    """Return a metric's entries, one per contestant and baseline, the best contestant marked."""
    entries = []
    for scores in _all_scores(contestants, baselines):
        score = next((score for score in scores if score.metric == metric.name), None)
        final = None if score is None else score.final
        is_comparable = score is not None and _protocol_line(score.protocol) == metric.protocol
        text = NO_SCORE if final is None else _mean(final) + ("" if is_comparable else " †")
        mean = final.mean if final is not None and is_comparable else None
        entries.append(TableEntry(text, mean, "" if score is None else _detail(score)))
    ranked = [entry.mean for entry in entries[: len(contestants)] if entry.mean is not None]
    if metric.better is None or len(ranked) < 2:
        return entries
    best = max(ranked) if metric.better == "higher" else min(ranked)
    marked = [entry._replace(best=entry.mean == best) for entry in entries[: len(contestants)]]
    return marked + entries[len(contestants) :]


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


def _detail(score: RowScore | BaselineScore) -> str:
    """Return the range over seeds and the mean of the best scores, as far as they differ from the final mean."""
    final, best = score.final, score.best
    details = [f"{final.min:.4g} to {final.max:.4g}"] if final and final.min < final.max else []
    if final and best and best.mean != final.mean:
        details.append(f"best {best.mean:.4g}")
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
