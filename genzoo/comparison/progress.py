"""The progress of a comparison: the callback it reports to, and an incremental reader of training logs."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from genzoo.errors import GenzooError
from genzoo.storage.run_folder import Run


class ComparisonCallback:
    """Receives the events of a comparison; a method may raise to stop it, after which all trainings are saved."""

    def on_start(self, folder: Path, labels: Sequence[str], done: int) -> None:
        """Called before training; `labels` names every training, and `done` counts the finished ones."""

    def on_progress(self, steps: Mapping[int, tuple[int, int]]) -> None:
        """Called a few times a second with (step, steps) by the number of the training."""

    def on_training_end(self, number: int, run: Run, error: GenzooError | None) -> None:
        """Called when the training with that number among the labels has ended: scored, or with an error."""


class LogTail:
    """The last step in a run's log; every byte of the log is read once."""

    def __init__(self, run: Run) -> None:
        self._path = run.path / "metrics.jsonl"
        self._inode = self._offset = self._step = 0

    def step(self) -> int:
        """Return the step of the last whole line; 0 while there is none."""
        if self._path.exists():
            with suppress(OSError):
                self._read_on()
        return self._step

    def _read_on(self) -> None:
        inode = self._path.stat().st_ino
        if inode != self._inode:  # the log was written anew
            self._inode, self._offset, self._step = inode, 0, 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._offset += len(whole) + 1
            with suppress(ValueError, KeyError, TypeError):  # damaged lines are for those who read the log
                self._step = int(json.loads(whole.rpartition(b"\n")[2])["step"])
