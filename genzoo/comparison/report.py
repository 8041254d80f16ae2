"""Reports: the results of a comparison as a Markdown table and as one HTML page that needs nothing else."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from genzoo.storage import files

NO_SCORE = "–"


class Picture(NamedTuple):
    """A PNG with what it shows."""

    title: str
    content: bytes


class Section(NamedTuple):
    """Pictures that belong side by side, one per model."""

    title: str
    note: str
    pictures: tuple[Picture, ...]


def write_report(folder: Path, results: dict[str, Any], sections: Sequence[Section]) -> None:
    """Write table.md and report.html beside results.json."""
    table = Table(results)
    files.write(folder / "table.md", (table.markdown() + "\n").encode())
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["png"] = _as_png
    source = (resources("genzoo.comparison") / "report.html.jinja").read_text(encoding="utf-8")
    template = environment.from_string(source)
    page = template.render(results=results, table=table, sections=sections, curves=_curves(results))
    files.write(folder / "report.html", page.encode())


class Table:
    """The scores of a comparison as text: a row per metric, a column per model, the best of each row marked."""

    def __init__(self, results: dict[str, Any]) -> None:
        contestants, baselines = results["rows"], results["baselines"]
        self.seeds = max((len(row["seeds"]) for row in contestants), default=0)
        self.columns = [{"label": row["label"], "baseline": False} for row in contestants]
        self.columns += [{"label": row["label"], "baseline": True} for row in baselines]
        self.metrics = _metrics(results)
        self.rows = [_row(metric, contestants, baselines) for metric in self.metrics]
        self.costs = [_cost_row(row) for row in contestants]
        self.reasons = _reasons(results, {metric["name"].partition("/")[0] for metric in self.metrics})

    def markdown(self) -> str:
        """Return the scores, the baselines and the costs as Markdown."""
        header = ["score", *(column["label"] for column in self.columns)]
        lines = [_line(header), _line(["---"] * len(header))]
        for metric, row in zip(self.metrics, self.rows, strict=True):
            lines.append(_line([f"{metric['name']} {metric['arrow']}".strip(), *map(_in_markdown, row)]))
        lines += ["", _line(_COSTS), _line(["---"] * len(_COSTS)), *(_line(row) for row in self.costs)]
        seeds = f"{self.seeds} seed{'' if self.seeds == 1 else 's'}"
        lines += ["", f"Final means ± standard deviations over {seeds} (range, and mean of the best on the way).", ""]
        lines += [f"* {metric['name']}: {metric['protocol']}" for metric in self.metrics]
        lines += [f"* {reason}" for reason in self.reasons]
        return "\n".join(lines)


def _row(metric: dict[str, Any], contestants: list[Any], baselines: list[Any]) -> list[dict[str, Any]]:
    """Return a metric's cells, one per contestant and baseline, the best contestant marked."""
    cells: list[dict[str, Any]] = []
    for row in (*contestants, *baselines):
        own = next((one for one in row["scores"] if one["metric"] == metric["name"]), None)
        final = None if own is None else own["final"]
        alike = own is not None and _shown(own["protocol"]) == metric["protocol"]
        cells.append(
            {
                "text": NO_SCORE if final is None else _mean(final) + ("" if alike else " †"),
                "mean": None if final is None or not alike else final["mean"],
                "detail": "" if own is None else _detail(own),
                "best": False,
            }
        )
    ranked = [cell for cell in cells[: len(contestants)] if cell["mean"] is not None]
    if metric["better"] is not None and len(ranked) > 1:
        means: list[float] = [cell["mean"] for cell in ranked]
        best = max(means) if metric["better"] == "higher" else min(means)
        for cell in ranked:
            cell["best"] = cell["mean"] == best
    return cells


_COSTS = ("model", "parameters", "forward MACs per update", "updates", "images seen", "seconds")


def _metrics(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every metric once, with the protocol by which the first row that has it was measured."""
    found: dict[str, dict[str, Any]] = {}
    for row in (*results["rows"], *results["baselines"]):
        for score in row["scores"]:
            name = score["metric"]
            arrow = {"higher": "↑", "lower": "↓"}.get(score["better"] or "", "")
            protocol = _shown(score["protocol"])
            found.setdefault(name, {"name": name, "better": score["better"], "arrow": arrow, "protocol": protocol})
    return list(found.values())


def _cost_row(row: dict[str, Any]) -> tuple[str, ...]:
    macs = NO_SCORE if row["macs_per_update"] is None else f"{row['macs_per_update']:,}"
    seen = f"{row['images_seen']:,}"
    return (row["label"], f"{row['parameters']:,}", macs, f"{row['steps']:,}", seen, f"{row['seconds']:.0f}")


def _reasons(results: dict[str, Any], shown: set[str]) -> list[str]:
    """Return which trainings failed, and why some cells are empty."""
    rows = results["rows"]
    said = [f"{row['label']} failed: {failure}" for row in rows for failure in row["failed"]]
    for row in rows:
        by_reason: dict[str, list[str]] = {}
        for name, reason in row["obstacles"]:
            if name in shown:
                by_reason.setdefault(reason, []).append(name)
        said += [f"{row['label']} has no {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return said


def _in_markdown(cell: dict[str, Any]) -> str:
    shown = f"**{cell['text']}**" if cell["best"] else str(cell["text"])
    return f"{shown} ({cell['detail']})" if cell["detail"] else shown


def _mean(final: dict[str, float]) -> str:
    return f"{final['mean']:.4g}" + (f" ± {final['std']:.2g}" if final["std"] else "")


def _detail(score: dict[str, Any]) -> str:
    """Return the range over seeds and the mean best on the way, as far as they say more than the final mean."""
    final, best = score["final"], score.get("best")
    said = [f"{final['min']:.4g} to {final['max']:.4g}"] if final and final["min"] < final["max"] else []
    if final and best and best["mean"] != final["mean"]:
        said.append(f"best {best['mean']:.4g}")
    return ", ".join(said)


def _shown(protocol: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in protocol.items() if value is not None and key != "seed")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _as_png(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _curves(results: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Return one small SVG per metric that was measured on the way, with the range over seeds as a band."""
    found = []
    for metric in _metrics(results):
        if metric["better"] is None:
            continue
        courses = {row["label"]: _course(results, row["label"], metric["name"]) for row in results["rows"]}
        if any(len(course) > 1 for course in courses.values()):
            found.append((metric["name"], _plot(courses)))
    return found


def _course(results: dict[str, Any], label: str, metric: str) -> list[tuple[int, list[float]]]:
    """Return the values over seeds at every step that all seeds measured."""
    by_step: dict[int, list[float]] = {}
    cells = [cell for cell in results["cells"] if cell["label"] == label]
    for cell in cells:
        for score in cell["scores"]:
            if score["metric"] == metric and score["value"] is not None:
                by_step.setdefault(int(score["step"]), []).append(score["value"])
    return sorted((step, values) for step, values in by_step.items() if len(values) == len(cells))


def _plot(courses: dict[str, list[tuple[int, list[float]]]]) -> Markup:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for number, (label, course) in enumerate(courses.items()):
        if len(course) < 2:
            continue  # its colour is kept for it, so that a model has one in all drawings
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
    # matplotlib draws text as outlines and escapes what it writes, so the drawing is safe as it is
    return Markup(content.getvalue()[content.getvalue().index("<svg") :])


def _plain(label: str) -> str:
    """Return a label that matplotlib neither hides nor reads as mathematics."""
    return label.replace("$", r"\$") if not label.startswith("_") else f" {label}"
