"""A table of every number of a run."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from genzoo.runs import TrackedRun, Tracker, Tracking


@dataclass(frozen=True, kw_only=True)
class CSVTable(Tracker):
    """A table `trackers/csv/numbers.csv` in the run's folder, with the columns step, name and value."""

    name: ClassVar[str] = "csv"

    def start(self, run: TrackedRun) -> Tracking:
        """Begin the table, or go on with it after its last whole line."""
        run.folder.mkdir(parents=True, exist_ok=True)
        return _Table(run.folder / "numbers.csv")


class _Table(Tracking):
    def __init__(self, path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else [b"step,name,value\n"]
        path.write_bytes(b"".join(line for line in lines if line.endswith(b"\n")))
        self._path = path

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row per number."""
        with self._path.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerows((step, name, repr(value)) for name, value in values.items())
