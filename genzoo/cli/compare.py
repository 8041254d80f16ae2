"""`genzoo compare`."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo.cli import options
from genzoo.cli.output import draws, result, result_json, show_table
from genzoo.cli.progress import watching
from genzoo.errors import SettingsError, of_exit_code
from genzoo.host.isolation import stdout_to_stderr
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run, numbered
from genzoo.text import counted, is_text

if TYPE_CHECKING:
    from genzoo.comparison.comparison import Comparison, Contestant
    from genzoo.comparison.report import Column, ScoreTable, TableEntry


@click.command("compare", short_help="Train models on the same data and budget, and report.")
@click.argument("models", nargs=-1, required=True, type=options.Name("models", or_run=True), metavar="MODEL|RUN...")
@options.recipe
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, metavar="K", help="How many.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Updates of every model.")
@options.jobs
@options.on
@options.together
@options.labels
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="[NAME:]PATH=VALUE",
    help="Override a setting of all models, or of one; repeatable.",
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="DIR", help="Where to; by default comparisons/RECIPE/MODELS."
)
@options.device
@options.deterministic
@options.data
@options.as_json
def compare_command(
    models: tuple[str, ...],
    assignments: tuple[str, ...],
    labels: int | None,
    on: str,
    as_json: bool,
    **common_options: Any,
) -> None:
    """Train models on the same data, and report on them side by side: what they share, and in what they differ.

    Write NAME=MODEL to compare a model with itself under other settings. A run that exists is named by its path or
    number. Trainings that are done already are not repeated.

    \b
    genzoo compare MODEL1 MODEL2 MODEL3
    genzoo compare MODEL hinge=MODEL --set hinge:game.objective=hinge --seeds 3
    """
    from genzoo.comparison.comparison import compare
    from genzoo.components import to_json

    common, overrides = _split_assignments(assignments, [name.partition("=")[0] for name in models])
    executor, common = options.executor_of(on, common)
    common_request = TrainingRequest(model="", recipe=common_options["recipe"], overrides=common)
    common_overrides = options.labelled_request(common_request, labels).overrides
    contestants = _contestants(models, overrides)
    command = shlex.join(["genzoo", *sys.argv[1:]])
    with watching() as callback, stdout_to_stderr():  # engines print what they please
        comparison = compare(
            contestants,
            overrides=common_overrides,
            callback=callback,
            executor=executor,
            command=command,
            **common_options,
        )
    if as_json:
        result_json(to_json(comparison.results))
    elif draws(sys.stdout):
        _show_in_terminal(comparison)
    else:
        result(f"{comparison.table}\n\n{comparison.report}")
    failures = comparison.results.failures
    if failures:
        count = f"{len(failures)} of {counted(len(comparison.results.cells), 'training')}"
        problem = f"{count} failed: {'; '.join(failures)}"
        raise of_exit_code(comparison.results.exit_code, problem, "type the same again: what is done is not repeated")


def _show_in_terminal(comparison: "Comparison") -> None:
    """Write the scores that matter as a table to the terminal, and where the others are."""
    from genzoo.comparison.report import ScoreTable

    scores = ScoreTable(comparison.results)
    result(scores.notes[0], fold=True)
    show_contestants(scores)
    for line in (legend(scores), *scores.reasons):
        result(line, fold=True)
    others = len(scores.metrics) - len(scores.groups[0].numbers) if scores.groups else 0
    more = f"{others} more scores: " if others else ""
    result(f"{more}{comparison.folder / 'table.md'}\n{comparison.report}", fold=True)


def show_contestants(scores: "ScoreTable") -> None:
    """Write the first group of scores as a table: a row per contestant and baseline, the best marked."""
    numbers = scores.groups[0].numbers if scores.groups else ()
    header = ["", *(f"{scores.metrics[number].name} {scores.metrics[number].arrow}".strip() for number in numbers)]
    rows: list[list[str]] = []
    styles: dict[tuple[int, int], str] = {}
    for place, column in enumerate(scores.columns):
        entries = scores.entries(scores.groups[0], place) if scores.groups else []
        rows.append([column.label, *(_entry_text(entry, column) for entry in entries)])
        styles |= dict.fromkeys(((place, across) for across in range(len(header))), "dim" if column.baseline else "")
        styles |= {(place, across): "bold green" for across, entry in enumerate(entries, start=1) if entry.best}
    columns = range(len(header))
    show_table(rows, header=header, right=columns[1:], fold=columns, drop=columns[:1:-1], styles=styles)


def legend(scores: "ScoreTable") -> str:
    """Return what the marks in the table mean, and of how many seeds its numbers are."""
    parts = [f"mean ± standard deviation of n = {scores.seeds} seeds", "★ the best beyond chance"]
    if scores.seeds == 1:
        parts = ["n = 1 seed: no deviation, no interval, and no ★ for the best"]
    elif any(" − " in column.label for column in scores.columns):
        parts.insert(1, "of paired differences, the 95 % interval of the mean")
    if any("†" in entry.text for row in scores.rows for entry in row):
        parts.append("† measured differently, not ranked")
    return "; ".join([*parts, "↑ higher is better, ↓ lower"])


def _entry_text(entry: "TableEntry", column: "Column") -> str:
    """Return an entry as text: of a difference with its interval, as a word that does not fold."""
    first = entry.detail.partition(", ")[0]
    interval = first.replace(" to ", "…") if column.baseline and " to " in first else ""
    return f"{entry.text} {'★ ' if entry.best else ''}{interval}".strip()


def _contestants(models: Sequence[str], overrides: dict[str, dict[str, str]]) -> "dict[str, Contestant]":
    """Return the contestants by label; each of `models` is MODEL, LABEL=MODEL, or the folder of a run."""
    contestants: dict[str, Contestant] = {}
    for name in map(numbered, models):
        contestant: Contestant
        if os.sep in name or Path(name, "run.json").is_file():
            contestant = Run.at(name)
            label = contestant.name
        else:
            label, _, model = name.rpartition("=")
            label = label or model
            if not is_text(label):
                raise SettingsError(f"the name {label!r} is no text", "give it another one: NAME=MODEL")
            contestant = TrainingRequest(model=model, overrides=overrides.get(label, {}))
        if label in contestants:
            raise SettingsError(
                f"{label} is named twice with the same settings",
                "give it another name and setting: NAME=MODEL and --set NAME:PATH=VALUE",
            )
        contestants[label] = contestant
    return contestants


def _split_assignments(
    assignments: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return the settings for all models, and the settings of single models by label."""
    common: dict[str, str] = {}
    by_label: dict[str, dict[str, str]] = {}
    for path, value in options.parse_settings(assignments).items():
        label, colon, rest = path.rpartition(":")
        if not colon:
            common[path] = value
        elif label in names:
            by_label.setdefault(label, {})[rest] = value
        else:
            raise SettingsError(
                f"--set {path}: no '{label}' is compared", f"there are: {', '.join(sorted(set(names)))}"
            )
    return common, by_label
