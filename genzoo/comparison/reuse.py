"""Runs that were trained before with the settings of a cell: in other comparisons, or by a training of its own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from genzoo.comparison.cells import Cell, identity
from genzoo.errors import GenzooError
from genzoo.host.discovery import registry
from genzoo.runs.job import job_of
from genzoo.storage.run_folder import Run
from genzoo.storage.runs_root import all_runs

COMPARISONS = Path("comparisons")
"""The folder of comparisons whose folder is not named."""


def with_earlier_run(cell: Cell) -> Cell:
    """Return the cell with a run that was trained elsewhere, or as it is if there is none or it is done itself.

    Such a run lies in comparisons/…/cells or in the folder of runs. It has the cell's settings, seed and data, its last
    checkpoint is whole, and its scores are measured.
    """
    if cell.request is None or cell.is_done:
        return cell
    earlier = (run for run in _candidates(cell) if _is_same(run, cell))
    return replace(cell, run=next(earlier, cell.run))


def _candidates(cell: Cell) -> Iterator[Run]:
    assert cell.request is not None
    for path in sorted(COMPARISONS.glob(f"*/cells/{cell.run.name}")):
        yield Run(path)
    yield from all_runs(Path(cell.request.runs))


def _is_same(run: Run, cell: Cell) -> bool:
    """Return whether a run is whole, evaluated, and was trained as the cell would be; one that is not read is not."""
    try:
        record = run.record
        if (record.model, record.seed, record.ranks, record.data) != (cell.job.model, cell.job.seed, 1, cell.data):
            return False
        if run.is_running or identity(job_of(registry(), record), record.data) != identity(cell.job, cell.data):
            return False
        checkpoint, faults = run.newest_checkpoint()
        return not faults and checkpoint.step == cell.settings.training.steps and replace(cell, run=run).is_done
    except GenzooError:
        return False
