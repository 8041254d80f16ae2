"""The lock of a run folder: one process holds it and writes, and others can see which. Needs no torch."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from genzoo.errors import BusyError, ResourceError, UnreadableError
from genzoo.machine import start_of_process
from genzoo.storage import files
from genzoo.text import now

_LOCK = "run.lock"
SCORES_LOCK = ".evaluation.lock"
_WAIT = 60
"""Seconds to wait for another process that adds scores, which takes milliseconds."""
_NAME_WAIT = 5.0
"""Seconds to wait for the name of a holder, which writes it once it has the lock: late on a busy machine."""
_HELD: dict[Path, int] = {}
"""The folders that this process holds, as they were named, with the inode of the lock."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; raise `BusyError` naming the process that holds it, if another one does."""
    from filelock import FileLock, Timeout  # imported here to keep `genzoo --help` fast

    if not folder.is_dir():  # the lock would create the folder
        raise UnreadableError(f"there is no run folder {folder}", "runs are listed by: genzoo runs")
    lock = FileLock(folder / _LOCK)
    with files.storage(folder), suppress(Timeout):
        lock.acquire(timeout=0)
    if not lock.is_locked:
        who = _name_of(_holder_soon(folder))
        raise BusyError(f"{folder} is in use by {who}", "wait for it, stop it, or choose another --run")
    try:
        with files.storage(folder):
            _HELD[folder] = (folder / _LOCK).stat().st_ino
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now(), **_identity(folder, os.getpid())}
        files.write_json(_holder_path(folder), {"schema_version": files.SCHEMA_VERSION, **holder})
        yield
    finally:
        with suppress(OSError):
            if _has_our_lock(folder):  # not the name of another holder, of a folder that took this one's place
                _holder_path(folder).unlink()
        _HELD.pop(folder, None)
        lock.release()


def check_held(folder: Path) -> None:
    """Raise `ResourceError` if this process holds the folder, and the lock in it is not the one that it holds."""
    if folder not in _HELD:
        return
    with files.storage(folder):
        is_lost = folder.is_dir() and not _has_our_lock(folder)
    if is_lost:
        raise ResourceError(
            f"{folder} is no longer the folder that this training holds: it was moved, replaced, or lost its lock",
            "nothing more is written; go on with the folder that has its checkpoints: genzoo resume RUN",
        )


@contextmanager
def scores(folder: Path) -> Iterator[None]:
    """Wait for the lock of a run's scores, which every process takes that adds some, the holder of the run included."""
    from filelock import FileLock, Timeout  # imported here to keep `genzoo --help` fast

    lock = FileLock(folder / SCORES_LOCK)
    with files.storage(folder), suppress(Timeout):
        lock.acquire(timeout=_WAIT)
    if not lock.is_locked:
        problem = f"another process has been writing the scores of {folder} for {_WAIT} s"
        raise BusyError(problem, "end it, then type the same again")
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Return whether a process on this machine holds the folder and is alive."""
    holder = _holder(folder)
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return False
    try:
        os.kill(holder["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it runs, for another user
    return all(holder.get(key, value) == value for key, value in _identity(folder, holder["pid"]).items())


def holder_of(folder: Path) -> str:
    """Return which process holds the folder, or last held it, in words."""
    return _name_of(_holder(folder))


def _name_of(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid')} on {holder.get('host')}" if holder else "another process"


def _has_our_lock(folder: Path) -> bool:
    lock = folder / _LOCK
    return lock.exists() and lock.stat().st_ino == _HELD.get(folder)


def _identity(folder: Path, pid: int) -> dict[str, Any]:
    """Return what a copy of the folder, or another process with the same number, does not have in common."""
    try:
        lock = (folder / _LOCK).stat().st_ino
    except OSError:
        lock = None
    return {"lock": lock, "started": start_of_process(pid)}


def _holder_soon(folder: Path) -> dict[str, Any]:
    """Return the holder once it has written its name; until then, the name of a killed one may be there."""
    end = time.monotonic() + _NAME_WAIT
    while time.monotonic() < end:
        is_written = is_held(folder)  # asked first: the name may come between the two
        holder = _holder(folder)
        if holder and (is_written or holder.get("host", socket.gethostname()) != socket.gethostname()):
            return holder
        time.sleep(0.02)
    return _holder(folder)


def _holder(folder: Path) -> dict[str, Any]:
    path = _holder_path(folder)
    try:
        return files.read_json(path, "the name of a run's holder") if os.path.exists(path) else {}
    except UnreadableError:
        return {}  # absent or being written; it is needed for a message only


def _holder_path(folder: Path) -> Path:
    return folder / "holder.json"
