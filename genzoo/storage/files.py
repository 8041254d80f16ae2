"""Files: written whole or not at all, and checked when they are read. Needs no torch."""

import errno
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from genzoo.errors import ResourceError, UnreadableError, warn
from genzoo.text import printable

SCHEMA_VERSION = 1
"""The version of every format that genzoo writes, and of the tensors beside it; a reader refuses a newer one."""

JSON_LIMIT = 4 * 2**20
"""The largest JSON file, in bytes, that genzoo reads."""

Content = bytes | memoryview
"""What a file is to hold."""

_LOCK_POLL = 0.2
"""Seconds between two looks at a lock that another process holds."""
RESTORE = "restore it from a copy"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(path: Path, content: Content) -> None:
    """Write `content` to `path` in one step: to a temporary file, synchronised, then renamed."""
    with storage(path, needed=len(content)):
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            write_synced(beside, content)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_json(path: Path, document: Any) -> None:
    """Write `document` to `path` as indented JSON, in one step."""
    write(path, json_bytes(document))


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` with its own SHA-256, which reveals any later change."""
    return {**document, "sha256": _seal(document)}


def write_sealed(path: Path, document: dict[str, Any]) -> None:
    """Write `document` to `path` as JSON with its own SHA-256."""
    write_json(path, sealed(document))


def read_sealed(path: Path, what: str, *, remedy: str = RESTORE) -> dict[str, Any]:
    """Return a document that `write_sealed` wrote, without its seal."""
    document = read_json(path, what, remedy=remedy)
    check_seal(path, document, remedy=remedy)
    return document


def check_seal(path: Path, document: dict[str, Any], *, remedy: str = RESTORE) -> None:
    """Remove the SHA-256 from a document that was read from `path`; raise `UnreadableError` unless it is its own."""
    seal = document.pop("sha256", None)
    if seal != _seal(document):
        raise UnreadableError(f"{path} was changed or damaged after it was written", remedy)


def read_json(path: Path, what: str, *, remedy: str = RESTORE) -> dict[str, Any]:
    """Return the JSON object in the regular file `path`; raise `UnreadableError` naming `what` it should be."""
    content = read_bytes(path, what, limit=JSON_LIMIT, remedy=remedy)
    try:
        document = strict_json(content.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path} is not readable as {what}: {error}", remedy) from error
    if not isinstance(document, dict):
        raise UnreadableError(f"{path} is not readable as {what}: expected a JSON object", remedy)
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UnreadableError(f"{path} is not readable as {what}: it has no schema_version", remedy)
    if version > SCHEMA_VERSION:
        raise UnreadableError(
            f"{path} was written by {_writer_of(document)} (format {version}, this one reads {SCHEMA_VERSION})",
            "type: pip install --upgrade genzoo",
        )
    return document


def _writer_of(document: dict[str, Any]) -> str:
    """Return which genzoo wrote a document of a newer format, if it says so."""
    versions = document.get("versions")
    version = versions.get("genzoo") if isinstance(versions, dict) else document.get("genzoo")
    return f"genzoo {printable(version)[:40]}, a newer one" if isinstance(version, str) else "a newer genzoo"


def strict_json(text: str) -> Any:
    """Return what JSON says; raise `ValueError` for anything else, NaN and Infinity included, which Python reads."""
    return _DECODER.decode(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Made once: `json.loads` makes another for every text, and a list of runs reads thousands."""


def read_bytes(path: Path, what: str, *, limit: int, remedy: str = RESTORE) -> bytes:
    """Return the content of the regular file `path`, refusing links, devices and more than `limit` bytes."""
    size = regular_size(path, what, remedy=remedy)
    if size > limit:
        raise UnreadableError(f"{path} has {size:,} bytes, too many for {what}", remedy)
    with readable(path):
        return path.read_bytes()


def regular_size(path: Path, what: str, *, remedy: str = RESTORE) -> int:
    """Return the size of the regular file `path`; raise `UnreadableError` for anything else."""
    try:
        status = path.lstat()
    except OSError as error:
        raise UnreadableError(f"{path} is missing or unreadable ({error.strerror}), expected {what}", remedy) from error
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(f"{path} is not a regular file, expected {what}", remedy)
    return status.st_size


def json_bytes(document: Any) -> bytes:
    """Return `document` as indented, strict JSON; bytes of a path that are no text become escapes, and return so."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content without holding all of it in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_synced(path: Path, content: Content) -> None:
    """Write a new file and wait until it is on disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until the content of a file is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the folder's entries are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, and wait until their names are on disk."""
    if not path.is_dir():
        if not path.parent.exists():
            make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


@contextmanager
def storage(path: Path, *, needed: int | None = None) -> Iterator[None]:
    """Turn an `OSError` of writing below `path` into a `ResourceError` with the needed and free bytes."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            want = "" if needed is None else f", {needed:,} bytes are needed"
            raise ResourceError(
                f"no room to write {path}{want}, {_free(path)} are free",
                "free some space, then go on: what was saved is kept",
            ) from error
        raise ResourceError(
            f"cannot write {path}: {error.strerror or error}",
            "choose a folder that you may write to, or repair this one",
        ) from error


@contextmanager
def alone(lock_path: Path, *, busy: str, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock inside the `with` block.

    While another process holds it, warn of that with the text `busy`, and call `wait`, which may raise, now and then.
    """
    from filelock import FileLock, Timeout  # imported here to keep `genzoo --help` fast

    lock, is_told = FileLock(lock_path), False
    while not lock.is_locked:
        with storage(lock_path), suppress(Timeout):
            lock.acquire(timeout=_LOCK_POLL)
        if not lock.is_locked:
            warn([] if is_told else [busy])
            is_told = True
            wait()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn an `OSError` of reading `path` into an `UnreadableError`."""
    try:
        yield
    except OSError as error:
        raise UnreadableError(
            f"{path} cannot be read: {error.strerror or error}", "make it readable, or " + RESTORE
        ) from error


def _free(path: Path) -> str:
    present = next((folder for folder in (path, *path.parents) if folder.exists()), None)
    return "an unknown number" if present is None else f"{shutil.disk_usage(present).free:,}"


def _seal(document: dict[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()
