"""`genzoo list` and `genzoo runs`."""

from pathlib import Path
from typing import Any

import click

from genzoo.cli import options
from genzoo.cli.output import result, result_json, show_table, status
from genzoo.errors import UnreadableError
from genzoo.host.discovery import registry
from genzoo.host.registry import KINDS, Registry
from genzoo.storage.run_folder import Run
from genzoo.storage.runs_root import all_runs
from genzoo.storage.scores import value_text

_STYLES = {"done": "green", "running": "cyan", "stopped": "yellow"}
"""The colour of a run's status; any other is a fault."""


@click.command("list", short_help="List what the installed plugins offer.")
@click.argument("kind", type=click.Choice([*KINDS, "plugins"]), required=False)
@options.as_json
def list_command(kind: str | None, as_json: bool) -> None:
    """List what the installed plugins offer: models, recipes, datasets, metrics and so on, and the plugins."""
    listing = _listing(registry())
    selected = {kind: listing[kind]} if kind else listing
    if as_json:
        result_json(selected)
        return
    for name, items in selected.items():
        result(name if items else f"{name}\n  none")
        rows = [(f"  {item['name']}", item["summary"], f"{item['distribution']} {item['version']}") for item in items]
        show_table(rows, fold=(1, 2))


@click.command("runs", short_help="List the runs with their progress and a score.")
@click.option("--root", default="runs", show_default=True, metavar="DIR", help="Where the runs are.")
@options.as_json
def runs_command(root: str, as_json: bool) -> None:
    """List the runs below runs/, with their progress and a score of the newest step."""
    summaries = [_summary(run) for run in all_runs(Path(root))]
    if as_json:
        result_json({"runs": summaries})
        return
    if not summaries:
        status(f"no runs below {root}; begin one with: {options.train_command_for()}")
        return
    rows = [
        (
            item["run"],
            item["model"],
            item["recipe"],
            f"{item['step']:,}/{item['steps']:,}",
            item["status"],
            _newest_score(item),
        )
        for item in summaries
    ]
    header = ("run", "model", "recipe", "step", "status", "score")
    styles = {(row, 4): _STYLES.get(item["status"], "red") for row, item in enumerate(summaries)}
    show_table(rows, header=header, right=(3,), fold=(4, 5), drop=(2, 1, 5), styles=styles)


def _listing(names: Registry) -> dict[str, list[dict[str, Any]]]:
    listing: dict[str, list[dict[str, Any]]] = {
        kind: [
            {
                "name": entry.name,
                "summary": entry.summary,
                "distribution": entry.plugin.distribution,
                "version": entry.plugin.version,
            }
            for entry in names.of(kind)
        ]
        for kind in KINDS
    }
    listing["plugins"] = [
        {
            "name": plugin.name,
            "summary": f"broken: {plugin.cause}" if plugin.cause else plugin.summary,
            "distribution": plugin.distribution,
            "version": plugin.version,
        }
        for plugin in names.plugins
    ]
    return listing


def _summary(run: Run) -> dict[str, Any]:
    try:
        record, scores = run.record, run.scores
    except UnreadableError as error:
        blank: dict[str, Any] = {
            "model": "?",
            "recipe": "?",
            "seed": None,
            "step": 0,
            "steps": 0,
            "scores": [],
        }
        return {"run": str(run.path), **blank, "status": f"unreadable: {error}".partition("\n")[0]}
    steps = record.steps
    status = "running" if run.is_running else "done" if run.step >= steps else "stopped"
    return {
        "run": str(run.path),
        "model": record.model,
        "recipe": record.recipe,
        "seed": record.seed,
        "step": run.step,
        "steps": steps,
        "status": status,
        "scores": scores,
    }


def _newest_score(item: dict[str, Any]) -> str:
    """Return a score of the newest step: the first headline as measured, or else the first by name.

    Scores with the run's own seed come first.
    """
    newest = max((score["step"] for score in item["scores"]), default=None)
    scores = [score for score in item["scores"] if score["step"] == newest]
    scores = [score for score in scores if score["protocol"].get("seed") == item["seed"]] or scores
    scores.sort(key=lambda score: (0, "") if score.get("headline") else (1, score["metric"]))
    return f"{scores[0]['metric']} {value_text(scores[0]['value'])}" if scores else ""
