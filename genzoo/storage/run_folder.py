"""Run folders: what one training produced, and the lock of the one process that writes there. Needs no torch."""

import json
import os
import re
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genzoo.errors import BusyError, SettingsError, UnreadableError
from genzoo.storage import checkpoints, files
from genzoo.storage.checkpoints import Checkpoint
from genzoo.storage.record import RunRecord, SourceRecord, wrong_key

RECORD = "run.json"
_LOG_LIMIT = 2**31
_OURS = re.compile(r"\.(run\.json|metrics\.jsonl|holder\.json)\.[0-9a-f]+\.tmp")
"""What is left where a holder was killed while it wrote a file that only holders write."""
_NUMBERED = re.compile(r"(\d{4,})-.*")


@dataclass(frozen=True)
class Run:
    """A run folder; its methods read files, and only the holder of `hold()` may write."""

    path: Path

    @classmethod
    def at(cls, run: "str | Path | Run") -> "Run":
        """Return the run itself, or the one in the folder of that path."""
        return run if isinstance(run, Run) else cls(Path(run))

    @property
    def name(self) -> str:
        """The folder's name, as text."""
        return os.fsencode(self.path.resolve().name).decode(errors="replace")

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run."""
        with files.readable(self.path / RECORD):
            return (self.path / RECORD).exists()

    @property
    def record(self) -> RunRecord:
        """The content of run.json; raise `UnreadableError`."""
        if not self.path.is_dir():
            raise UnreadableError(f"there is no run folder {self.path}", "runs are listed by: genzoo runs")
        if not self.exists:
            raise UnreadableError(f"{self.path} is not a run: it has no {RECORD}", "runs are listed by: genzoo runs")
        remedy = "restore it from a copy, or train again with another --run"
        data = files.read_sealed(self.path / RECORD, "a run's record", remedy=remedy)
        if wrong := wrong_key(data):
            raise UnreadableError(f"{self.path / RECORD} is not a run's record: {wrong} is missing or wrong", remedy)
        return RunRecord.from_json(data)

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.path / "checkpoints"

    @property
    def step(self) -> int:
        """The step of the newest checkpoint, unverified; 0 without one."""
        return max(checkpoints.steps(self.checkpoints), default=0)

    @property
    def scores(self) -> list[dict[str, Any]]:
        """The scores in evaluation.json, each `{metric, value, step, protocol}`; empty before any evaluation."""
        path = self.path / "evaluation.json"
        if not path.exists():
            return []
        remedy = f"type: {shlex.join(['rm', str(path)])} && {shlex.join(['genzoo', 'evaluate', str(self.path)])}"
        scores = files.read_sealed(path, "a run's evaluation", remedy=remedy).get("scores")
        if not isinstance(scores, list) or not all(_is_score(score) for score in scores):
            raise UnreadableError(f"{path} is not a run's evaluation: scores is missing or wrong", remedy)
        return scores

    @property
    def is_running(self) -> bool:
        """Whether the process that last held the run, on this machine, is alive and still holds it."""
        holder = self._holder()
        if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
            return False
        try:
            os.kill(holder["pid"], 0)
        except PermissionError:
            return True  # it is there, and somebody else's
        except (ProcessLookupError, OverflowError):
            return False
        return True

    def newest_checkpoint(self) -> tuple[Checkpoint, list[str]]:
        """Return the newest whole checkpoint and a warning for each damaged newer one; raise `UnreadableError`."""
        found, faults = checkpoints.newest(self.checkpoints)
        if found is None and faults:
            raise UnreadableError(
                f"no checkpoint of {self.path} is whole: {faults[0].found}",
                "restore one from a copy, or train again with another --run",
            )
        if found is None:
            raise UnreadableError(f"{self.path} has no checkpoint yet", f"type: {self._command()}")
        return found, [f"{fault.found}; using step {found.step} instead" for fault in faults]

    def _command(self) -> str:
        """Return the command that began the run."""
        record = self.record
        parts = ["genzoo", "train", record.model, "--recipe", record.recipe, "--seed", str(record.seed)]
        parts += ["--steps", str(record.steps)]
        for path, value in record.overrides.items():
            parts += ["--set", f"{path}={value}"]
        return shlex.join([*parts, "--run", str(self.path)])

    def as_source(self) -> SourceRecord:
        """Return the run as one that another run inherits from."""
        record, (checkpoint, _) = self.record, self.newest_checkpoint()
        return SourceRecord(
            run=self.name,
            step=checkpoint.step,
            sha256=checkpoint.sha256,
            recipe=record.recipe,
            settings=record.settings,
            source=record.source,
            checkpoint=checkpoint,
        )

    def write_record(self, record: RunRecord) -> None:
        """Put the run's record in place."""
        files.write_sealed(self.path / RECORD, {"schema_version": files.SCHEMA_VERSION, **record.to_json()})

    def write_scores(self, scores: list[dict[str, Any]]) -> None:
        """Put the scores in place, keeping earlier ones of other metrics, protocols or steps."""
        kept = [old for old in self.scores if all(_identity_of(old) != _identity_of(new) for new in scores)]
        document = {"schema_version": files.SCHEMA_VERSION, "run": self.name, "scores": kept + scores}
        files.write_sealed(self.path / "evaluation.json", document)

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        line = json.dumps(entry, allow_nan=False) + "\n"
        with files.storage(path, needed=len(line)), path.open("a", encoding="utf-8") as file:
            file.write(line)

    def read_log(self) -> list[dict[str, Any]]:
        """Return the entries of metrics.jsonl; a last line that was cut short is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        aside = shlex.join(["mv", str(path), f"{path}.damaged"])
        remedy = f"restore it from a copy, or go on without what it says: {aside}"
        content = files.read_bytes(path, "a run's log", limit=_LOG_LIMIT, remedy=remedy)
        *lines, rest = content.decode(errors="replace").split("\n")
        try:
            entries = [json.loads(line) for line in lines + ([rest] if _is_json(rest) else [])]
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"{path} is damaged: {error}", remedy) from error
        if not all(isinstance(entry, dict) and isinstance(entry.get("step"), int) for entry in entries):
            raise UnreadableError(f"{path} is damaged: a line is no log entry", remedy)
        return entries

    def rewind_log(self, step: int) -> None:
        """Drop the entries after `step`, which will be made again."""
        if (self.path / "metrics.jsonl").exists():
            kept = [json.dumps(entry) for entry in self.read_log() if entry["step"] <= step]
            files.write(self.path / "metrics.jsonl", "".join(f"{line}\n" for line in kept).encode())

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the run for writing; raise `BusyError` naming the holder if another process does."""
        from filelock import FileLock, Timeout  # here, because `genzoo --help` should not wait for it

        if not self.path.is_dir():  # the lock would make it anew
            raise UnreadableError(f"there is no run folder {self.path}", "runs are listed by: genzoo runs")
        lock = FileLock(self.path / "run.lock")
        with files.storage(self.path), suppress(Timeout):
            lock.acquire(timeout=0)
        if not lock.is_locked:
            holder = self._holder_soon()
            who = f"process {holder.get('pid')} on {holder.get('host')}" if holder else "another process"
            raise BusyError(f"{self.path} is in use by {who}", "wait for it, stop it, or choose another --run")
        try:
            mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
            files.write_json(self._holder_path, {"schema_version": files.SCHEMA_VERSION, **mine})
            checkpoints.remove_leftovers(self.checkpoints)
            for leftover in self.path.glob(".*.tmp"):
                if _OURS.fullmatch(leftover.name):
                    leftover.unlink(missing_ok=True)
            yield
        finally:
            with suppress(OSError):
                self._holder_path.unlink()
            lock.release()

    @property
    def _holder_path(self) -> Path:
        return self.path / "holder.json"

    def _holder_soon(self) -> dict[str, Any]:
        """Return the holder's own words, which come a moment after it has the lock; a killed one's may be left."""
        for _ in range(25):
            holder = self._holder()
            if self.is_running or holder.get("host", socket.gethostname()) != socket.gethostname():
                return holder
            time.sleep(0.02)
        return self._holder()

    def _holder(self) -> dict[str, Any]:
        try:
            return files.read_json(self._holder_path, "the name of a run's holder")
        except UnreadableError:
            return {}  # it is being written, or was never there: only a message is poorer for it


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
    """Make and return the run folder at `path`; refuse a folder that holds something else."""
    if path.is_dir() and not (path / RECORD).exists():
        others = [entry.name for entry in path.iterdir() if not _OWN_LEFTOVER.fullmatch(entry.name)]
        if others:
            raise SettingsError(
                f"{path} exists and is not a run (it holds {sorted(others)[0]})", "choose another --run"
            )
    with files.storage(path):
        files.make_folder(path)
    return Run(path)


_OWN_LEFTOVER = re.compile(r"run\.lock|holder\.json|\..*\.tmp")


def all_runs(root: Path) -> list[Run]:
    """Return the runs below `root`, by name."""
    if not root.is_dir():
        return []
    return [Run(path) for path in sorted(root.iterdir()) if _may_be_a_run(path)]


def _may_be_a_run(path: Path) -> bool:
    try:
        return (path / RECORD).exists()
    except OSError:
        return True  # it may not be read, which those who look at it will say


def now() -> str:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_score(score: Any) -> bool:
    return (
        isinstance(score, dict)
        and isinstance(score.get("metric"), str)
        and isinstance(score.get("value"), int | float | None)
        and abs(score.get("value") or 0) < 2**1023
        and isinstance(score.get("step"), int)
        and isinstance(score.get("protocol"), dict)
        and isinstance(score.get("headline", False), bool)
    )


def _identity_of(score: dict[str, Any]) -> tuple[Any, ...]:
    return score.get("metric"), score.get("step"), json.dumps(score.get("protocol"), sort_keys=True)
