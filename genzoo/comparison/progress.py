"""The progress of a comparison: whom it reports to, and the logs of its trainings, read as they grow."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from genzoo.storage.run_folder import Run


class ComparisonCallback:
    """Hears what a comparison does; every method may raise to stop it, after which all trainings are saved."""

    def on_start(self, folder: Path, labels: Sequence[str], done: int, replaces: Sequence[str]) -> None:
        """Hear the label of every training, how many are done already, and whose report is going to be replaced."""

    def on_progress(self, steps: Mapping[int, tuple[int, int]]) -> None:
        """Hear (step, steps) by the number of the training, a few times a second."""


class LogTail:
    """The end of a run's log, of which every byte is read once."""

    def __init__(self, run: Run) -> None:
        self._path = run.path / "metrics.jsonl"
        self._inode = self._offset = self._step = 0

    def step(self) -> int:
        """Return the step of the last whole line; 0 while there is none."""
        with suppress(OSError), self._path.open("rb") as file:
            inode = self._path.stat().st_ino
            if inode != self._inode:  # the log was written anew
                self._inode, self._offset, self._step = inode, 0, 0
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                self._offset += len(whole) + 1
                with suppress(ValueError, KeyError, TypeError):  # damaged lines are for those who read the log
                    self._step = int(json.loads(whole.rpartition(b"\n")[2])["step"])
        return self._step
