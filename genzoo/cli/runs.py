"""`genzoo runs` and `genzoo note`, and what `genzoo show` says of a run."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from genzoo.cli import options
from genzoo.cli.output import console, draws_results, result, result_json, show_scores, show_table, status
from genzoo.cli.progress import describe
from genzoo.errors import UnreadableError
from genzoo.runs.collapse import failures_of
from genzoo.storage import checkpoints
from genzoo.storage.run_folder import Run, final_of
from genzoo.storage.run_notes import RunNote
from genzoo.storage.runs_root import all_runs, runs_within
from genzoo.storage.scores import value_text
from genzoo.text import counted, duration

_STYLES = {"done": "green", "running": "cyan", "stopped": "yellow"}
"""The colour of a run's state; any other is a fault."""
_DEEPER = ("comparisons", "studies")
"""Folders whose runs lie deeper, and are listed beside those below runs/."""
_LEVELS = "▁▂▃▄▅▆▇█"


@click.command("runs")
@click.option("--root", metavar="DIR", help="Where they are; by default runs/, comparisons/ and studies/.")
@click.option(
    "--sort",
    "order",
    type=click.Choice(["name", "date", "model", "recipe", "score"]),
    default="name",
    show_default=True,
    help="The order; by date, the newest first; by score, the best first.",
)
@click.option("--tag", metavar="TAG", help="Only runs with this tag, given by: genzoo note RUN --tag TAG")
@options.as_json
def runs_command(root: str | None, order: str, tag: str | None, as_json: bool) -> None:
    """List the runs below runs/, and those of comparisons and studies, with their progress and a score.

    The score is one of the newest step.
    """
    runs = all_runs(Path(root or "runs"))
    if root is None:
        runs += [run for folder in _DEEPER for run in runs_within(Path(folder))]
    summaries = [item for item in map(_summary, runs) if tag is None or item["tag"] == tag]
    summaries.sort(key=_ORDERS[order], reverse=order == "date")
    if as_json:
        result_json({"runs": summaries})
        return
    if not summaries:
        status(f"no runs below {root or 'runs'}; begin one with: {options.train_command_for()}")
        return
    apart = draws_results() and order == "name"  # the long paths of comparisons take no room from the others
    for _, group in groupby(summaries, key=lambda item: apart and Path(item["run"]).parts[0]):
        _show_list(list(group), order)
    if failed := sum(bool(item["failures"]) for item in summaries):
        status(f"{counted(failed, 'run')} failed; why is said by: genzoo show RUN")


def _show_list(summaries: Sequence[dict[str, Any]], order: str) -> None:
    header = ("run", "model", "recipe", "started", "step", "status", "score", "note")
    sorted_by = header.index({"name": "run", "date": "started"}.get(order, order))
    width = len(header) if any(item["note"] or item["tag"] for item in summaries) else len(header) - 1
    styles = {(row, 5): _STYLES.get(_state(item), "red") for row, item in enumerate(summaries)}
    rows = [_listed(item)[:width] for item in summaries]
    drop = [column for column in (2, 1, 3, 7, 6, 4) if column < width and column != sorted_by]
    show_table(rows, header=header[:width], right=(4,), fold=(5, 6, 7), drop=drop, styles=styles)


@click.command("note")
@options.run
@click.argument("text", required=False)
@click.option("--tag", metavar="TAG", help="A word to find it by: genzoo runs --tag TAG")
@options.as_json
def note_command(run: str, text: str | None, tag: str | None, as_json: bool) -> None:
    """Write TEXT, a tag or both on RUN, or show what is noted; an empty text removes it.

    It is kept in RUN/note.json and changes nothing else.
    """
    target = Run.at(run)
    _ = target.record  # it is a run
    before = RunNote.of(target) if text is None or tag is None else RunNote()
    note = RunNote(text=before.text if text is None else text, tag=before.tag if tag is None else tag)
    if text is not None or tag is not None:
        note.write(target)
    if as_json:
        result_json({"run": str(target.path), "note": note.text, "tag": note.tag})
    elif str(note):
        result(str(note))
    else:
        status(f"nothing is noted on {target.path}")


def run_card(run: Run) -> dict[str, Any]:
    """Return all there is to know of a run, as JSON data."""
    log, record = run.read_log(), run.record
    seconds = [entry["seconds"] for entry in log if isinstance(entry.get("seconds"), int | float)]
    return {
        "kind": "run",
        **_summary(run),
        "device": record.device,
        "precision": record.precision,
        "seconds": seconds[-1] if seconds else 0.0,
        "settings": record.settings,
        "versions": record.versions,
        "curves": _series(log, run),
        "files": {name: str(path) for name, path in _files(run).items()},
    }


def show_run(run: Run) -> None:
    """Write a run's settings, curves, scores and files."""
    card = run_card(run)
    (_, where), *settings = describe(run)
    rows = [("run", where), ("recipe", card["recipe"])]
    rows += [("status", f"{card['status']}, {card['step']:,} of {card['steps']:,} steps")]
    trained = f", {duration(card['seconds'])} of training" if card["seconds"] else ""  # an exported model has no log
    rows += [("started", f"{_date(card['created'])}{trained}")]
    rows += [("note", note)] if (note := str(RunNote.of(run))) else []
    rows += [("versions", ", ".join(f"{name} {version}" for name, version in card["versions"].items()))]
    rows += [*settings, *((name, str(path.relative_to(run.path))) for name, path in _files(run).items())]
    show_table(rows, fold=(1,), styles={(row, 0): "bold" for row in range(len(rows))})
    if card["curves"]:
        result("")
        width = 20 if draws_results() and console().width < 80 else 40
        curves = [(name, _sparkline(points, width), _span(points)) for name, points in card["curves"].items()]
        show_table(curves, header=("curve", "over the steps", "first, last"), styles={})
    if scores := run.final_scores:
        result("")
        show_scores(scores)
    for failure in card["failures"]:
        status(f"failed: {failure}")


def _summary(run: Run) -> dict[str, Any]:
    try:
        record, step, note = run.record, run.step, RunNote.of(run)
        scores, is_running = run.scores_on_data_of(record), run.is_running
        failures = [] if is_running else failures_of(run, final_of(scores, step=step, seed=record.seed))
    except UnreadableError as error:
        blank: dict[str, Any] = {"model": "?", "recipe": "?", "seed": None, "step": 0, "steps": 0, "scores": []}
        blank |= {"created": "", "note": "", "tag": "", "failures": []}
        return {"run": str(run.path), **blank, "status": f"unreadable: {error}".partition("\n")[0]}
    steps = record.steps
    state = "running" if is_running else "done" if step >= steps else "stopped"
    return {
        "run": str(run.path),
        "model": record.model,
        "recipe": record.recipe,
        "seed": record.seed,
        "step": step,
        "steps": steps,
        "status": state,
        "created": record.created,
        "note": note.text,
        "tag": note.tag,
        "scores": scores,
        "failures": failures,
    }


def _listed(item: Mapping[str, Any]) -> tuple[str, ...]:
    score = _newest_score(item)
    return (
        item["run"],
        item["model"],
        item["recipe"],
        _date(item["created"]),
        f"{item['step']:,}/{item['steps']:,}",
        _state(item),
        f"{score['metric']} {value_text(score['value'])}" if score else "",
        str(RunNote(text=item["note"], tag=item["tag"])),
    )


def _state(item: Mapping[str, Any]) -> str:
    """Return a run's status, and whether it has plainly failed."""
    return f"{item['status']}, failed" if item["failures"] else str(item["status"])


def _newest_score(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a score of the newest step: the first headline as measured, or else the first by name.

    Scores with the run's own seed come first.
    """
    newest = max((score["step"] for score in item["scores"]), default=None)
    scores = [score for score in item["scores"] if score["step"] == newest]
    scores = [score for score in scores if score["protocol"].get("seed") == item["seed"]] or scores
    scores.sort(key=lambda score: (0, "") if score.get("headline") else (1, score["metric"]))
    return scores[0] if scores else None


def _by_score(item: Mapping[str, Any]) -> tuple[str, float]:
    """Return a key that puts the best score of each metric first, and runs without one last."""
    score = _newest_score(item)
    if score is None or score["value"] is None:
        return "\uffff", 0.0
    return score["metric"], -score["value"] if score.get("better") == "higher" else score["value"]


_ORDERS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "name": lambda item: 0,  # as they are found
    "date": lambda item: item["created"],
    "model": lambda item: item["model"],
    "recipe": lambda item: item["recipe"],
    "score": _by_score,
}


def _date(created: str) -> str:
    """Return a time of a record as this machine's date and minute, or as it is if it is none."""
    try:
        return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return created


def _series(log: Sequence[dict[str, Any]], run: Run) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of every loss and of every headline that was measured more than once."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for entry in log:
        losses = entry.get("losses")
        for name, value in losses.items() if isinstance(losses, dict) else ():
            if isinstance(value, int | float):
                curves.setdefault(f"loss of {name}", []).append((entry["step"], value))
    seed = run.record.seed
    measured: dict[str, list[tuple[int, float]]] = {}
    for score in sorted(run.scores_on_its_data, key=lambda score: score["step"]):
        if score.get("headline") and score["value"] is not None and score["protocol"].get("seed") == seed:
            measured.setdefault(score["metric"], []).append((score["step"], score["value"]))
    return curves | {name: points for name, points in measured.items() if len({step for step, _ in points}) > 1}


def _sparkline(points: Sequence[tuple[int, float]], width: int) -> str:
    """Return a row of blocks, each as high as the mean of the values in its share of the points; a point has none."""
    if len(points) == 1:
        return f"step {points[0][0]:,} alone"
    count = min(width, len(points))
    shares = [points[len(points) * part // count : len(points) * (part + 1) // count] for part in range(count)]
    means = [sum(value for _, value in share) / len(share) for share in shares]
    low, high = min(means), max(means)
    return "".join(_LEVELS[round((mean - low) / (high - low) * 7) if high > low else 0] for mean in means)


def _span(points: Sequence[tuple[int, float]]) -> str:
    first, last = (value_text(value) for _, value in (points[0], points[-1]))
    return f"{first}, {last}" if len(points) > 1 else last


def _files(run: Run) -> dict[str, Path]:
    """Return the newest file of each kind that a run has."""
    newest = {kind: run.newest_picture(kind) for kind in run.picture_kinds}
    newest["checkpoint"] = checkpoints.path_of(run.checkpoints, run.step)
    others = {name: run.path / file for name, file in (("log", "metrics.jsonl"), ("scores", "evaluation.json"))}
    return {name: path for name, path in ({**newest, **others}).items() if path is not None and path.exists()}
