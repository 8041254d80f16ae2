"""Upkeep of run folders: what is wrong with one, what can be set aside, and what takes room. Needs no torch."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from genzoo.errors import UnreadableError
from genzoo.storage import checkpoints, files
from genzoo.storage.record import RunRecord
from genzoo.storage.run_folder import RECORD, TRACKERS, Run
from genzoo.storage.run_notes import RunNote
from genzoo.storage.run_trackers import TrackerMemory

_PNG_BEGIN, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class Damage(NamedTuple):
    """A file or checkpoint of a run that is not as it was written."""

    path: Path
    found: str
    remedy: str | None
    is_repairable: bool
    """Whether the run can go on once `repair` has set it aside."""


class Removable(NamedTuple):
    """Something that takes room and that nobody needs."""

    run: Run
    path: Path
    why: str

    @property
    def bytes(self) -> int:
        """The size of all of its files."""
        files_within = self.path.rglob("*") if self.path.is_dir() else (self.path,)
        return sum(path.lstat().st_size for path in files_within if path.is_file())


def damages_of(run: Run) -> list[Damage]:
    """Return everything that is not as it was written, after reading all that the run's training wrote."""
    record, damages = None, []
    try:
        record = run.record
    except UnreadableError as error:
        damages.append(Damage(run.path / RECORD, error.found, error.remedy, False))
    if run.is_exported:
        damages += damage_in(run.path / checkpoints.MANIFEST, lambda: checkpoints.verify_weights(run.path), False)
    damages += [damage for step in checkpoints.steps(run.checkpoints) for damage in _in_checkpoint(run, record, step)]
    if record is not None:
        damages += damage_in(run.path / "evaluation.json", lambda: run.scores)
        damages += _in_log(run, record)
    damages += damage_in(run.path / "data.json", lambda: run.data_place)
    damages += damage_in(run.path / TRACKERS, lambda: TrackerMemory.of(run))
    damages += damage_in(run.path / "note.json", lambda: RunNote.of(run))
    return damages + [damage for path in pictures_of(run) for damage in damage_in(path, partial(_read_png, path))]


def damage_in(path: Path, read: Callable[[], object], is_repairable: bool = True) -> list[Damage]:
    """Return what `read` finds wrong with a file or folder: one damage, or none."""
    try:
        read()
    except UnreadableError as error:
        return [Damage(path, error.found, error.remedy, is_repairable)]
    return []


def pictures_of(run: Run) -> list[Path]:
    """Return the pictures that were drawn while the run was trained."""
    return sorted(path for kind in run.picture_kinds for path in (run.path / kind).glob("*.png"))


def repair(run: Run) -> list[tuple[Damage, Path]]:
    """Set aside what is damaged and can be, and return where each now lies; nothing is deleted.

    The whole lines of a damaged log are written again. Raises `BusyError` while another process holds the run.
    """
    with run.hold():
        return [(damage, _set_aside(run, damage.path)) for damage in damages_of(run) if damage.is_repairable]


def old_checkpoints(run: Run, *, keep: int) -> Iterator[Removable]:
    """Yield the checkpoints before the newest `keep`, unless the newest is damaged."""
    old = checkpoints.steps(run.checkpoints)[:-keep]
    if old and not checkpoints.newest(run.checkpoints)[1]:
        yield from (Removable(run, checkpoints.path_of(run.checkpoints, step), "an older checkpoint") for step in old)


def set_aside_earlier(run: Run) -> Iterator[Removable]:
    """Yield what was set aside because it was damaged."""
    for folder in (run.path, run.checkpoints, *(run.path / kind for kind in run.picture_kinds)):
        yield from (
            Removable(run, path, "damaged, and set aside") for path in sorted(folder.glob(f"{checkpoints.DAMAGED}*"))
        )


def remove(item: Removable) -> None:
    """Remove something; raise `BusyError` while another process holds its run."""
    with item.run.hold(), files.storage(item.path):
        aside = item.path.with_name(f".tmp-{uuid.uuid4().hex}")
        os.replace(item.path, aside)
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()


def _in_checkpoint(run: Run, record: RunRecord | None, step: int) -> list[Damage]:
    path = checkpoints.path_of(run.checkpoints, step)
    damages = damage_in(path, lambda: checkpoints.verify(path, owner=None if record is None else record.owner))
    return damages if path.exists() else []  # a training that goes on may have removed it meanwhile


def _in_log(run: Run, record: RunRecord) -> list[Damage]:
    path, steps = run.path / "metrics.jsonl", list[int]()
    if damages := damage_in(path, lambda: steps.extend(entry["step"] for entry in run.read_log())):
        return damages
    if any(after <= before for before, after in pairwise(steps)):
        return [Damage(path, f"{path} has a step twice, or out of order", files.RESTORE, True)]
    # A checkpoint is on disk after the entries of its steps, as often as the last session logged.
    every = record.settings["training"].get("log_every")
    if not record.sessions or run.is_exported or type(every) is not int or every < 1:
        return []
    due = run.step - run.step % every
    if due > record.last_session.step and due not in steps:
        return [Damage(path, f"{path} lacks step {due:,}, which the newest checkpoint is beyond", files.RESTORE, False)]
    return []


def _read_png(path: Path) -> None:
    content = path.read_bytes()
    if not content.startswith(_PNG_BEGIN) or not content.endswith(_PNG_END):
        raise UnreadableError(f"{path} is no whole picture", "it can be set aside: genzoo repair RUN")


def _set_aside(run: Run, path: Path) -> Path:
    """Rename a damaged file or checkpoint, and write again what is whole of a log; return the new path."""
    if path.parent == run.checkpoints:
        return checkpoints.set_aside(run.checkpoints, int(path.name.removeprefix("step-")))
    aside = path.with_name(f"{checkpoints.DAMAGED}{path.name}-{uuid.uuid4().hex[:8]}")
    with files.storage(path):
        os.replace(path, aside)
        files.sync_folder(path.parent)
    if path.name == "metrics.jsonl" and (lines := _whole_lines(aside)):
        files.write(path, "".join(f"{line}\n" for line in lines).encode())
    return aside


def _whole_lines(path: Path) -> list[str]:
    """Return the lines of a damaged log that are entries of later and later steps."""
    last, lines = -1, []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            entry = files.strict_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and type(step := entry.get("step")) is int and step > last:
            last = step
            lines.append(line)
    return lines
