"""Run folders: what one training produced, read and written. Needs no torch."""

import json
import os
import re
import shlex
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genzoo.errors import UnreadableError, warn
from genzoo.storage import checkpoints, files, run_lock
from genzoo.storage.checkpoints import Checkpoint
from genzoo.storage.record import RunRecord, Session, SourceRecord, wrong_key
from genzoo.storage.run_html import run_html
from genzoo.text import in_words

RECORD = "run.json"
_DATA_PLACE = "data.json"
TRACKERS = "trackers.json"
TRACKED = "trackers"
"""The folder below which trackers may keep files of their own."""
_LOG_LIMIT = 2**31
_OURS = re.compile(r"\.(run\.json|data\.json|trackers\.json|metrics\.jsonl|holder\.json|\d{7,}\.png)\.[0-9a-f]+\.tmp")
"""The temporary files of a holder that was killed while it wrote."""


@dataclass(frozen=True)
class Run:
    """A run folder. Its properties read files; only inside `hold()` may it be written, but for its scores."""

    path: Path

    @classmethod
    def at(cls, run: "str | Path | Run") -> "Run":
        """Return `run` itself, or the run in the folder `run`; a file of an exported model stands for its folder."""
        if isinstance(run, Run):
            return run
        path = Path(run)
        with files.readable(path):
            beside = cls(path.parent)
            return beside if path.is_file() and beside.exists and beside.is_exported else cls(path)

    @classmethod
    def of(cls, run: "str | Path | Run", *, runs: str | Path = "runs") -> "Run":
        """Return what `at` does, or where `run` is a number, the run below `runs` that has it."""
        return cls.at(numbered(run, Path(runs)) if isinstance(run, str) else run)

    @property
    def name(self) -> str:
        """The folder's name; bytes that are not text are replaced."""
        return os.fsencode(self.path.resolve().name).decode(errors="replace")

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run."""
        with files.readable(self.path / RECORD):
            return (self.path / RECORD).exists()

    @property
    def record(self) -> RunRecord:
        """The content of run.json; raises `UnreadableError` if it is missing or damaged."""
        if self.path.is_file():
            raise UnreadableError(
                f"{self.path} is a file of no exported model: {RECORD} and {checkpoints.MANIFEST} are not beside it",
                "name a run's folder, or write an exported model: genzoo export RUN --out DIR",
            )
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
    def is_exported(self) -> bool:
        """Whether the folder is an exported model: weights alone, which can be looked at and not trained on."""
        return (self.path / checkpoints.MANIFEST).is_file()

    @property
    def step(self) -> int:
        """The step of the newest checkpoint, unverified; 0 without one."""
        if self.is_exported:
            return checkpoints.verify_weights(self.path).step
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
    def final_scores(self) -> list[dict[str, Any]]:
        """The scores of the newest step that were measured with the run's own seed, as its training measures them."""
        record = self.record
        return final_of(self.scores_on_data_of(record), step=self.step, seed=record.seed)

    @property
    def scores_on_its_data(self) -> list[dict[str, Any]]:
        """The scores that were measured on the data it was trained on, or do not say on which."""
        return self.scores_on_data_of(self.record)

    def scores_on_data_of(self, record: RunRecord) -> list[dict[str, Any]]:
        """Return `scores_on_its_data`, given the run's record."""
        return [score for score in self.scores if score.get("data", record.data) == record.data]

    @property
    def data_place(self) -> Path | None:
        """The folder of data sets that its training read; None for the user's default, and where it read no file."""
        path = self.path / _DATA_PLACE
        with files.readable(path):
            if not path.exists():
                return None
        remedy = f"go on without it, and name the folder with --data: {shlex.join(['rm', str(path)])}"
        place = files.read_json(path, "the place of a run's data", remedy=remedy).get("place")
        if not isinstance(place, str) or not place:
            raise UnreadableError(f"{path} is not the place of a run's data", remedy)
        return Path(os.path.normpath(self.path.resolve() / place))

    def write_data_place(self, place: Path | None) -> None:
        """Remember the folder of data sets, relative to the run; None: the user's default."""
        path = self.path / _DATA_PLACE
        if place is not None:
            relative = os.path.relpath(place.resolve(), self.path.resolve())
            files.write_json(path, {"schema_version": files.SCHEMA_VERSION, "place": relative})
        elif path.exists():
            with files.storage(path):
                path.unlink()

    def newest_picture(self, kind: str) -> Path | None:
        """Return the last picture of a kind that was drawn during training, if any."""
        return max((self.path / kind).glob("*.png"), default=None)

    @property
    def picture_kinds(self) -> list[str]:
        """The folders of pictures that a training draws: samples, reconstructions, and those of the game below them."""
        return ["samples", "reconstructions", *sorted(f"pictures/{path.name}" for path in self.path.glob("pictures/*"))]

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what the run is, its main scores and its newest pictures."""
        record = self.record
        facts = {"model": record.model, "recipe": record.recipe, "seed": str(record.seed)}
        facts |= {"steps": f"{self.step:,} of {record.steps:,}"}
        pictures = [self.newest_picture(kind) for kind in self.picture_kinds]
        return run_html(str(self.path), facts, self.final_scores, pictures)

    @property
    def is_running(self) -> bool:
        """Whether a process on this machine holds the run and is alive."""
        return run_lock.is_held(self.path)

    def newest_checkpoint(self) -> tuple[Checkpoint, list[str]]:
        """Return the newest whole checkpoint and a warning per damaged newer one; raise `UnreadableError`."""
        if self.is_exported:
            return checkpoints.verify_weights(self.path), []
        checkpoint, faults = checkpoints.newest(self.checkpoints, owner=self.record.owner)
        if checkpoint is None and faults:
            raise UnreadableError(
                f"no checkpoint of {self.path} is whole: {faults[0].found}",
                "restore one from a copy, or train again with another --run",
            )
        if checkpoint is None:
            raise UnreadableError(f"{self.path} has no checkpoint yet", f"type: {self._command()}")
        return checkpoint, [f"{fault.found}; using step {checkpoint.step} instead" for fault in faults]

    def _command(self) -> str:
        """Return the command that starts the run, with what its record says: its recipe may have been in a file."""
        return shlex.join(["genzoo", "train", "--config", str(self.path / RECORD), "--run", str(self.path)])

    def as_source(self) -> SourceRecord:
        """Return the run as the source of another run that inherits its networks."""
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
        """Write the run's record."""
        files.write_sealed(self.path / RECORD, {"schema_version": files.SCHEMA_VERSION, **record.to_json()})

    def begin_session(self, record: RunRecord, session: Session) -> None:
        """Write the record of a run that is begun or continued, with its former sessions; warn of what changed."""
        former = self.record if self.exists else None
        if former is not None and (changes := session.changes_since(former.last_session)):
            warn(
                [
                    f"{self.path} goes on with {in_words(changes)}: its numbers may be others than those of a run "
                    "that is not interrupted; run.json (sessions) says what each part was trained with"
                ]
            )
        earlier = () if former is None else former.sessions or (former.last_session,)
        identity = uuid.uuid4().hex if former is None or former.identity is None else former.identity
        self.write_record(replace(record, sessions=(*earlier, session), identity=identity))

    def write_scores(self, scores: list[dict[str, Any]]) -> None:
        """Write the scores, and keep earlier ones of other metrics, protocols, steps or data.

        Any process may do so, whoever holds the run: a lock of the scores' own keeps one from undoing another.
        """
        self.check_lock()
        data = self.record.data
        written = {_identity_of(score, data) for score in scores}
        with run_lock.scores(self.path):
            earlier = [score for score in self.scores if _identity_of(score, data) not in written]
            document = {"schema_version": files.SCHEMA_VERSION, "run": self.name, "scores": earlier + scores}
            files.write_sealed(self.path / "evaluation.json", document)

    def save_checkpoint(self, *, step: int, content: Mapping[str, files.Content], keep: int) -> None:
        """Add a checkpoint and remove all but the newest `keep`; by then, the log of its steps is on disk, too."""
        self.check_lock()
        log = self.path / "metrics.jsonl"
        with files.storage(log):
            if log.exists():
                files.sync(log)
        checkpoints.save(self.checkpoints, step=step, files=content, keep=keep)

    def check_lock(self) -> None:
        """Raise `ResourceError` if this process held the run, and another folder or lock is in its place now."""
        run_lock.check_held(self.path)

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl; a file that a backup links to is replaced first, so that it stays there."""
        self.check_lock()
        path = self.path / "metrics.jsonl"
        line = json.dumps(entry, allow_nan=False) + "\n"
        with files.storage(path, needed=len(line)):
            is_new = not path.exists()
            if not is_new and path.stat().st_nlink > 1:
                files.write(path, path.read_bytes())
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
            if is_new:
                files.sync_folder(self.path)

    def read_log(self) -> list[dict[str, Any]]:
        """Return the entries of metrics.jsonl, without a last line that was cut short."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        aside = shlex.join(["mv", str(path), f"{path}.damaged"])
        remedy = f"restore it from a copy, or go on without what it says: {aside}"
        content = files.read_bytes(path, "a run's log", limit=_LOG_LIMIT, remedy=remedy)
        *lines, rest = content.decode(errors="replace").split("\n")
        try:
            whole = lines + ([rest] if _is_json(rest) else [])
            entries = [json.loads(line, parse_constant=files.refuse_constant) for line in whole]
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"{path} is damaged: {error}", remedy) from error
        if not all(isinstance(entry, dict) and isinstance(entry.get("step"), int) for entry in entries):
            raise UnreadableError(f"{path} is damaged: a line is no log entry", remedy)
        return entries

    def rewind_log(self, step: int, *, keep_partial: bool = False) -> list[dict[str, Any]]:
        """Remove the entries after `step`, and partial ones unless kept, which a run that goes on writes again.

        Returns the entries that stay.
        """
        entries = [entry for entry in self.read_log() if entry["step"] <= step]
        entries = [entry for entry in entries if keep_partial or not entry.get("partial")]
        if (self.path / "metrics.jsonl").exists():
            lines = [json.dumps(entry) for entry in entries]
            files.write(self.path / "metrics.jsonl", "".join(f"{line}\n" for line in lines).encode())
        return entries

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the run's lock for writing; raise `BusyError` naming the process that holds it, if another one does."""
        with run_lock.hold(self.path):
            checkpoints.remove_leftovers(self.checkpoints)
            folders = (self.path, *(self.path / kind for kind in self.picture_kinds))
            for leftover in (path for folder in folders for path in folder.glob(".*.tmp")):
                if _OURS.fullmatch(leftover.name):
                    leftover.unlink(missing_ok=True)
            yield


def final_of(scores: list[dict[str, Any]], *, step: int, seed: int) -> list[dict[str, Any]]:
    """Return those of a run's scores that its training measures at its newest step."""
    return [score for score in scores if score["step"] == step and score["protocol"].get("seed") == seed]


def numbered(text: str, root: Path = Path("runs")) -> str:
    """Return the run folder below `root` with this number, or the text itself if it is no number."""
    if not text.isdecimal() or Path(text).exists():
        return text
    return next((str(path) for path in sorted(root.glob(f"{int(text):04}-*"))), text)


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
        and isinstance(score.get("better"), str | None)
        and isinstance(score.get("failure"), str | None)
        and isinstance(score.get("data"), str | None)
    )


def _identity_of(score: dict[str, Any], data: str | None) -> tuple[Any, ...]:
    """Return what no two scores share; a score that does not say on which data it was measured has `data`."""
    protocol = json.dumps(score.get("protocol"), sort_keys=True)
    return score.get("metric"), score.get("step"), score.get("data", data), protocol
