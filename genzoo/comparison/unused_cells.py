"""Unused cells: trainings of comparisons that no report is on any more. Needs no torch."""

from collections.abc import Iterator
from pathlib import Path

from genzoo.comparison.report_folder import RESULTS
from genzoo.errors import UnreadableError
from genzoo.storage import files
from genzoo.storage.run_folder import RECORD, Run
from genzoo.storage.upkeep import Removable


def unused_cells(root: Path) -> Iterator[Removable]:
    """Yield the trainings of comparisons below `root` that no report below it is on.

    Where there is no report yet, or something else than a comparison's, as of a study, all are in use.
    """
    reported = {results: _reported(results) for results in sorted(root.rglob(RESULTS))}
    used = {run for runs in reported.values() for run in runs or ()}
    for cells in sorted(root.rglob("cells")):
        reports = [
            runs for results, runs in reported.items() if cells.parent in (results.parent, results.parent.parent)
        ]
        if not reports or None in reports:
            continue
        runs = (Run(path.parent) for path in sorted(cells.glob(f"[!.]*/{RECORD}")))
        yield from (Removable(run, run.path, "no report is on it") for run in runs if run.path.resolve() not in used)


def _reported(results: Path) -> set[Path] | None:
    """Return the run folders that a comparison's report is on; None for anything else."""
    try:
        cells = files.read_json(results, "a comparison's results").get("cells")
    except UnreadableError:
        return None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        return None
    return {(results.parent / str(cell.get("run"))).resolve() for cell in cells}
