"""`genzoo verify`, `genzoo repair` and `genzoo gc`."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from genzoo.cli import options
from genzoo.cli.output import result_json, show_table, status
from genzoo.data.prepared_card import CARD, read_card, verify_prepared
from genzoo.errors import UnreadableError
from genzoo.storage import checkpoints, upkeep
from genzoo.storage.run_folder import Run
from genzoo.storage.runs_root import runs_within
from genzoo.storage.upkeep import Damage, Removable
from genzoo.text import counted, in_mib

_ROOTS = ("runs", "comparisons", "studies")
_run_or_folder = click.argument("place", metavar="RUN|FOLDER", type=options.RunFolder())


@click.command("verify")
@_run_or_folder
@options.as_json
def verify_command(place: str, as_json: bool) -> None:
    """Read all that is stored in RUN, or in all runs and prepared data sets below FOLDER, and compare every hash.

    Ends with exit 3 if anything is damaged, lacks entries, or is another run's. Nothing is changed.
    """
    runs, data_sets = _below(Path(place))
    checked = {run.path: (_contents_of(run), upkeep.damages_of(run)) for run in runs}
    checked |= {path: (_rows_in(path), _in_data_set(path)) for path in data_sets}
    damages = [damage for _, found in checked.values() for damage in found]
    if as_json:
        items = [{"path": str(path), "damages": len(found)} for path, (_, found) in checked.items()]
        result_json({"checked": items, "damages": [_as_json(damage) for damage in damages]})
    else:
        rows = [(str(path), what, "damaged" if found else "whole") for path, (what, found) in checked.items()]
        styles = {(number, 2): "red" if row[2] == "damaged" else "green" for number, row in enumerate(rows)}
        show_table(rows, header=("where", "what it holds", "state"), fold=(0, 1), styles=styles)
        _say(damages)
    _refuse(damages, place)


@click.command("repair")
@_run_or_folder
@options.as_json
def repair_command(place: str, as_json: bool) -> None:
    """Set aside what is damaged in RUN, or in all runs below FOLDER, so that these can go on; nothing is deleted.

    A run then goes on from the checkpoint before. The whole lines of a damaged log are written again. What cannot be
    repaired, such as a record, is named, and ends the command with exit 3.
    """
    runs, data_sets = _below(Path(place))
    moved = [(damage, aside) for run in runs for damage, aside in upkeep.repair(run)]
    left = [damage for run in runs for damage in upkeep.damages_of(run)]
    left += [damage for path in data_sets for damage in _in_data_set(path)]
    if as_json:
        items = [{**_as_json(damage), "set_aside": str(aside)} for damage, aside in moved]
        result_json({"repaired": items, "damages": [_as_json(damage) for damage in left]})
    else:
        rows = [(str(damage.path), aside.name) for damage, aside in moved]
        show_table(rows, header=("damaged", "set aside beside it as"), fold=(0, 1))
        _say(left)
        status(f"{counted(len(moved), 'file')} set aside" if moved else "there was nothing to set aside")
    _refuse(left, place)


@click.command("gc")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=options.RunFolder())
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="Checkpoints that each run keeps.",
)
@click.option(
    "--what",
    "kinds",
    multiple=True,
    type=click.Choice(["checkpoints", "cells", "set-aside"]),
    help="What is looked for; all three if left out; repeatable.",
)
@click.option("--delete", is_flag=True, help="Remove it; without this, it is only listed.")
@options.as_json
def gc_command(folders: tuple[str, ...], keep: int, kinds: tuple[str, ...], delete: bool, as_json: bool) -> None:
    """List what takes room for nothing below the FOLDERs, by default runs/, comparisons/ and studies/.

    That is: checkpoints before the newest N of each run, trainings of comparisons that no report below FOLDER is on,
    and what was set aside because it was damaged. A run that is being trained is left alone.
    """
    roots = [Path(folder) for folder in folders or [root for root in _ROOTS if Path(root).is_dir()]]
    searches = [_SEARCHES[kind] for kind in dict.fromkeys(kinds or _SEARCHES)]
    items = [item for search in searches for root in roots for item in search(root, keep)]
    items = list({item.path: item for item in items if not item.run.is_running}.values())
    gone = {item.path for item in items if item.path == item.run.path}
    items = [item for item in items if item.path in gone or item.run.path not in gone]
    sizes = {item.path: item.bytes for item in items}
    if delete:
        for item in items:
            upkeep.remove(item)
    if as_json:
        listed = [{"path": str(item.path), "why": item.why, "bytes": sizes[item.path]} for item in items]
        result_json({"deleted": delete, "items": listed, "bytes": sum(sizes.values())})
        return
    rows = [(str(item.path), item.why, in_mib(sizes[item.path])) for item in items]
    show_table(rows, header=("folder or file", "why", "size"), right=(2,), fold=(0, 1))
    total = f"{counted(len(items), 'thing')}, {in_mib(sum(sizes.values()))}"
    status(
        "there is nothing to remove" if not items else f"removed {total}" if delete else f"{total}; nothing is removed"
    )
    if items and not delete:
        status("to remove it, type the same command with: --delete")


def _below(place: Path) -> tuple[list[Run], list[Path]]:
    """Return the run `place`, or all runs and prepared data sets below it; raise `UnreadableError` without any."""
    if Run(place).exists:
        return [Run(place)], []
    runs, data_sets = _runs_in(place), sorted(path.parent for path in place.rglob(CARD))
    if not runs and not data_sets:
        raise UnreadableError(f"{place} holds no run and no prepared data set", "runs are listed by: genzoo runs")
    return runs, data_sets


def _runs_in(root: Path) -> list[Run]:
    return [Run(root)] if Run(root).exists else runs_within(root)


_SEARCHES: dict[str, Callable[[Path, int], Iterator[Removable]]] = {
    "checkpoints": lambda root, keep: (
        item for run in _runs_in(root) for item in upkeep.old_checkpoints(run, keep=keep)
    ),
    "cells": lambda root, keep: _unused_cells(root),
    "set-aside": lambda root, keep: (item for run in _runs_in(root) for item in upkeep.set_aside_earlier(run)),
}


def _unused_cells(root: Path) -> Iterator[Removable]:
    from genzoo.comparison.unused_cells import unused_cells

    return unused_cells(root)


def _contents_of(run: Run) -> str:
    if run.is_exported:
        return "an exported model"
    saved, drawn = checkpoints.steps(run.checkpoints), upkeep.pictures_of(run)
    return f"a run: {counted(len(saved), 'checkpoint')}, {counted(len(drawn), 'picture')}"


def _rows_in(path: Path) -> str:
    try:
        return f"a data set: {read_card(path)['splits']['test'][1]:,} images"
    except UnreadableError:
        return "a data set"


def _in_data_set(path: Path) -> list[Damage]:
    return upkeep.damage_in(path, lambda: verify_prepared(path), False)


def _as_json(damage: Damage) -> dict[str, Any]:
    return {
        "path": str(damage.path),
        "found": damage.found,
        "remedy": damage.remedy,
        "repairable": damage.is_repairable,
    }


def _say(damages: Sequence[Damage]) -> None:
    for damage in damages:
        status(damage.found)


def _refuse(damages: Sequence[Damage], place: str) -> None:
    """Raise `UnreadableError` if anything is damaged, with what to do."""
    if not damages:
        return
    if any(damage.is_repairable for damage in damages):
        remedy: str | None = f"set aside what can be, and go on without it: {shlex.join(['genzoo', 'repair', place])}"
    else:
        remedy = damages[0].remedy
    raise UnreadableError(f"{counted(len(damages), 'fault')} in {place}", remedy)
