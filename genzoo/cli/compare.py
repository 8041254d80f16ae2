"""`genzoo compare`."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo.cli import options
from genzoo.cli.output import draws, result, result_json, show_table
from genzoo.cli.progress import watching
from genzoo.components import to_json, to_text
from genzoo.errors import SettingsError, of_exit_code
from genzoo.host.isolation import stdout_to_stderr
from genzoo.runs.configuration import (
    COMPARISON_KEYS,
    ComparisonConfiguration,
    Configuration,
    comparison_text,
    read_comparison,
)
from genzoo.runs.request import TrainingRequest
from genzoo.runs.stores import run_called
from genzoo.storage.run_folder import numbered
from genzoo.text import counted, is_text

if TYPE_CHECKING:
    from genzoo.comparison.comparison import Comparison, Contestant
    from genzoo.comparison.report import Column, ScoreTable, TableEntry


@click.command("compare")
@click.argument("models", nargs=-1, type=options.Name("models", or_run=True), metavar="MODEL|RUN...")
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
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="[NAME:]PATH=V1,V2,…",
    help="Make a contestant of every value; several sweeps make a grid.",
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="DIR", help="Where to; by default comparisons/RECIPE/MODELS."
)
@options.device
@options.deterministic
@options.data
@options.track
@click.option("--config", metavar="FILE", help="YAML file of what to compare; - reads stdin.")
@click.option("--print-config", is_flag=True, help="Write what would be compared as such a file, and train nothing.")
@options.as_json
@click.pass_context
def compare_command(
    context: click.Context,
    /,
    models: tuple[str, ...],
    assignments: tuple[str, ...],
    sweeps: tuple[str, ...],
    config: str | None,
    print_config: bool,
    as_json: bool,
    **given_options: Any,
) -> None:
    """Train models on the same data, and report on them side by side: what they share, and in what they differ.

    Write NAME=MODEL to compare a model with itself under other settings. A run that exists is named by its path or
    number. Trainings that are done already are not repeated.

    \b
    genzoo compare MODEL1 MODEL2 MODEL3
    genzoo compare MODEL hinge=MODEL --set hinge:game.objective=hinge --seeds 3
    genzoo compare MODEL --sweep training.learning_rate=1e-4,3e-4,1e-3 --seeds 3
    genzoo compare --config FILE
    """
    read = ComparisonConfiguration() if config is None else read_comparison(config)
    asked = _asked(models, assignments, sweeps, read)
    if print_config:
        result(comparison_text(_with_options(asked, given_options, context)).rstrip("\n"))
        return
    from genzoo.comparison.comparison import compare

    common_options = options.with_values_of(asked.common, context, given_options)
    executor, common = options.executor_of(common_options.pop("on"), asked.common.overrides)
    common_request = TrainingRequest(model="", recipe=common_options["recipe"], overrides=common)
    common_overrides = options.labelled_request(common_request, common_options.pop("labels")).overrides
    contestants = {label: _contestant(label, each, asked.common, context) for label, each in asked.contestants.items()}
    command = shlex.join(["genzoo", *sys.argv[1:]])
    with watching() as callback, stdout_to_stderr():  # engines print what they please
        comparison = compare(
            contestants,
            overrides=common_overrides,
            sweep=asked.sweeps,
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


def _asked(
    models: Sequence[str], assignments: Sequence[str], sweeps: Sequence[str], read: ComparisonConfiguration
) -> ComparisonConfiguration:
    """Return what is typed and what a file says as one; where both say a thing, what is typed decides."""
    contestants = _typed_contestants(models) or read.contestants
    if not contestants:
        raise SettingsError("no model is named", "models are listed by: genzoo list models")
    common, by_label = _split_assignments(assignments, list(contestants))
    return ComparisonConfiguration(
        common=options.overridden(read.common, common),
        contestants={label: options.overridden(each, by_label.get(label, {})) for label, each in contestants.items()},
        sweeps={**read.sweeps, **_sweeps(sweeps)},
    )


def _with_options(
    asked: ComparisonConfiguration, given_options: Mapping[str, Any], context: click.Context
) -> ComparisonConfiguration:
    """Return a comparison with the options that were typed among its values."""
    typed = {name: to_text(given_options[name]) for name in COMPARISON_KEYS if options.is_typed(name, context)}
    return replace(asked, common=replace(asked.common, values={**asked.common.values, **typed}))


def _typed_contestants(models: Sequence[str]) -> dict[str, Configuration]:
    """Return the contestants by label; each of `models` is MODEL, LABEL=MODEL, or the folder of a run."""
    contestants: dict[str, Configuration] = {}
    for name in map(numbered, models):
        if os.sep in name or Path(name, "run.json").is_file():
            label, values = run_called(name).name, {"run": name}
        else:
            label, _, model = name.rpartition("=")
            label, values = label or model, {"model": model}
            if not is_text(label):
                raise SettingsError(f"the name {label!r} is no text", "give it another one: NAME=MODEL")
        if label in contestants:
            raise SettingsError(
                f"{label} is named twice with the same settings",
                "give it another name and setting: NAME=MODEL and --set NAME:PATH=VALUE",
            )
        contestants[label] = Configuration(values=values)
    return contestants


def _contestant(label: str, read: Configuration, common: Configuration, context: click.Context) -> "Contestant":
    """Return a contestant, which also says where the settings of all stand."""
    if "run" in read.values:
        return run_called(read.values["run"])
    return TrainingRequest(
        model=read.values.get("model", label),
        recipe=read.values.get("recipe"),
        steps=options.parameter_value(read, "steps", context) if "steps" in read.values else None,
        overrides=read.overrides,
        places={**common.places, **read.places},
    )


def _sweeps(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of every sweep by its path."""
    for text in texts:
        if "=" not in text:
            raise SettingsError(f"--sweep {text}: expected PATH=V1,V2", "such as: --sweep training.batch_size=32,64")
    parts = [text.partition("=") for text in texts]
    paths = [path.strip() for path, _, _ in parts]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise SettingsError(f"--sweep {twice} is there twice", "write all its values after one")
    return {path.strip(): [value.strip() for value in values.split(",")] for path, _, values in parts}


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
