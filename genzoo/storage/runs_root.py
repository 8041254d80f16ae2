"""The folder of all runs: lists its runs and makes the folders of new ones. Needs no torch."""

import re
from pathlib import Path

from genzoo.errors import SettingsError
from genzoo.storage import files
from genzoo.storage.run_folder import RECORD, Run

_NUMBERED = re.compile(r"(\d{4,})-.*")
_OWN_LEFTOVER = re.compile(r"run\.lock|holder\.json|\..*\.tmp")
"""What a run that never began may have left in its folder."""


def claim(root: Path, label: str) -> Run:
    """Make and return the next numbered run folder below `root`, such as runs/0012-MODEL-RECIPE-s0."""
    from filelock import FileLock

    with files.storage(root):
        files.make_folder(root)
        with FileLock(root / ".lock"):
            numbers = (_NUMBERED.fullmatch(path.name) for path in root.iterdir())
            following = max((int(number[1]) for number in numbers if number), default=0) + 1
            path = root / f"{following:04d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', label)}"
            path.mkdir()
            files.sync_folder(root)
    return Run(path)


def claim_exactly(path: Path) -> Run:
    """Make and return the run folder at `path`; raise `SettingsError` for a folder that holds something else."""
    if path.is_dir() and not (path / RECORD).exists():
        others = [entry.name for entry in path.iterdir() if not _OWN_LEFTOVER.fullmatch(entry.name)]
        if others:
            raise SettingsError(
                f"{path} exists and is not a run (it holds {sorted(others)[0]})", "choose another --run"
            )
    with files.storage(path):
        files.make_folder(path)
    return Run(path)


def all_runs(root: Path) -> list[Run]:
    """Return the runs below `root`, by name."""
    if not root.is_dir():
        return []
    return [Run(path) for path in sorted(root.iterdir()) if _may_be_a_run(path)]


def runs_within(root: Path) -> list[Run]:
    """Return the runs at any depth below `root`, by path, as comparisons and studies keep theirs."""
    return [Run(path.parent) for path in sorted(root.rglob(RECORD))]


def _may_be_a_run(path: Path) -> bool:
    try:
        return (path / RECORD).exists()
    except OSError:
        return True  # unreadable; the error is raised where the run is read
