"""`genzoo tune`."""

import json
import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo import SettingsError, find
from genzoo_tune.ranges import range_in

if TYPE_CHECKING:
    from genzoo_tune.search import Search
    from genzoo_tune.summary import Summary


@click.command("tune", short_help="Search ranges of settings on the validation split.")
@click.argument("model")
@click.option("--recipe", metavar="R", help="Recipe, or the file of one; the default one if left out.")
@click.option(
    "--range",
    "ranges",
    multiple=True,
    required=True,
    metavar="PATH=RANGE",
    help="LOW..HIGH, LOW..HIGH:log or A,B,…; repeatable.",
)
@click.option("--score", required=True, metavar="NAME", help="Score to tune by, such as METRIC or METRIC/NAME.")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Trials in all.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Steps of a trial, in place of the recipe's.")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, metavar="K", help="Trainings of a trial."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of the search.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="J", help="Trials at a time.")
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Set a setting; repeatable.")
@click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:INDEX.")
@click.option("--data", type=click.Path(), metavar="DIR", help="Folder of data sets (or GENZOO_DATA).")
@click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", help="By default tunings/RECIPE/MODEL.")
@click.option("--then-compare", is_flag=True, help="Go on with the comparison that is printed at the end.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def tune(
    model: str,
    recipe: str | None,
    ranges: tuple[str, ...],
    assignments: tuple[str, ...],
    trials: int,
    seed: int,
    jobs: int,
    folder: Path | None,
    then_compare: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Search settings of MODEL that make a score on the validation split best.

    Typed again, it goes on where it was: trials that have ended are not repeated, and a training that was interrupted
    goes on. Other processes may search in the same folder at the same time. A trial that diverges counts as one.

    \b
    genzoo tune MODEL --score S --range training.learning_rate=1e-5..1e-2:log
    genzoo tune MODEL --score S --range training.batch_size=32,64,128 --trials 6
    """
    if as_json and then_compare:
        raise SettingsError("--json writes one document, and --then-compare another", "leave out one of them")
    from genzoo_tune.search import Search, command_text, imported_optuna

    imported_optuna()
    find("metric", options["score"].partition("/")[0])
    chosen = tuple(range_in(text) for text in ranges)
    overrides = dict(_assignment(text) for text in assignments)
    _refuse_twice([each.path for each in chosen], overrides)
    from genzoo.runs import default_recipe

    search = Search(model=model, recipe=recipe or default_recipe(), ranges=chosen, overrides=overrides, **options)
    _check(search)
    summary = _searched(search, folder, trials=trials, seed=seed, jobs=jobs)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **summary.document()}, indent=2))
        return
    click.echo(summary.text())
    if summary.unended:
        click.echo(f"under way in other processes, which will say more: {summary.unended}")
        return
    words = summary.comparison()
    if words is None:
        raise SettingsError("no trial has a score", f"see why: {summary.folder / 'table.md'}; search other ranges")
    click.echo(_folded(summary.warning()))
    click.echo(f"  {command_text(words)}")
    if then_compare:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-P", "-m", "genzoo", *words])


def _searched(search: "Search", folder: Path | None, *, trials: int, seed: int, jobs: int) -> "Summary":
    """Carry out a search in its folder, and return the summary that is written there."""
    from genzoo.comparison import LocalProcesses
    from genzoo_tune.search import Journal, Searcher, free_journal
    from genzoo_tune.summary import Summary

    if folder is None:
        journal = free_journal(Path("tunings") / _name(search.recipe) / _name(search.model), search, seed=seed)
    else:
        journal = Journal(folder, search, seed=seed)
        if not journal.is_of_search:
            raise SettingsError(f"{folder} holds another search", "choose another --folder, or leave it out")
    done = len(journal.trials())
    click.echo(f"{trials} trials, {done} done already; folder: {journal.folder}", err=True)
    executor = LocalProcesses(jobs)
    Searcher(journal, trials=trials, executor=executor, say=lambda line: click.echo(_folded(line), err=True)).run(jobs)
    summary = Summary.of(journal)
    summary.write()
    return summary


def _check(search: "Search") -> None:
    """Raise `SettingsError` for settings that cannot be, such as a misspelt one, before anything is written."""
    from genzoo.runs import new_trainer

    for end in (0, 1):
        (request, *_) = search.requests({each.path: each.ends[end] for each in search.ranges})
        new_trainer(request)


def _refuse_twice(paths: list[str], overrides: dict[str, str]) -> None:
    if twice := next((path for path in paths if path in overrides or paths.count(path) > 1), None):
        raise SettingsError(f"{twice} is named twice", f"leave one --range {twice}=… and no --set of it")


def _assignment(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: expected PATH=VALUE", "such as: --set training.batch_size=64")
    return path.strip(), value


def _name(name: str) -> str:
    """Return the name of a folder for a model or recipe, which may be a file."""
    stem = Path(name).stem if name.endswith((".yaml", ".yml", ".json")) else name
    return "".join(character if character.isalnum() or character in "._-" else "_" for character in stem).lstrip(".")


def _folded(text: str) -> str:
    """Return text folded at spaces to the terminal's width."""
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
