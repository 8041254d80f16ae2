"""Downloads: a file is fetched from the first mirror that has it, resumed, checked by hash and put in place whole."""

import hashlib
import http.client
import json
import os
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, ClassVar, Protocol

from genzoo.errors import UnreadableError
from genzoo.storage import files
from genzoo.text import in_a_line

ByteProgress = Callable[[int, int | None], None]
"""Called with the bytes fetched so far and those in all, None if unknown, also while nothing comes; it may raise."""

_ATTEMPTS = 3
_STALL = 30.0
"""Seconds after which a connection is given up that has brought no answer, or too few bytes."""
_SLOWEST = 1024
"""Bytes per second that a connection has to bring, on average over `_STALL` seconds."""
_TICK = 0.2
"""Seconds between two reports while nothing comes, so that a signal is soon heard."""
_PIECE = 2**18
_RECORDS = "hashes.json"
_MOST_BYTES = 2**36
"""The largest answer that is taken for a file of which no size is published."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file of a data set, with its addresses and its published hash."""

    file: str
    """Its name in the folder of downloads."""
    urls: tuple[str, ...] = ()
    """Mirrors in the order in which they are tried; empty if a person has to fetch the file."""
    md5: str | None = None
    """The published MD5. If None, the hash of the first download is recorded, and later ones are checked against it."""
    size: int | None = None
    """Its size in bytes, if it is published; an answer beyond it is not the file, and is given up."""


class Downloaded(Protocol):
    """What needs files that are downloaded: a data set, or a metric."""

    name: ClassVar[str]
    downloads: ClassVar[tuple[Download, ...]]


def folder_of(what: Downloaded, root: Path) -> Path:
    """Return the folder, below that of data sets, to which its files are fetched."""
    return root / "downloads" / what.name


def fetch_all(
    what: Downloaded,
    root: Path,
    *,
    source: str | None = None,
    offline: bool = False,
    report: ByteProgress = lambda done, total: None,
) -> list[Path]:
    """Return the paths of its checked files, after fetching missing ones.

    `source` is a folder or an address that holds all files by name; it replaces the published mirrors.
    """
    folder = folder_of(what, root)
    base = None if source is None else source if "://" in source else Path(source).absolute().as_uri()
    return [
        fetch(
            download,
            folder,
            mirrors=() if base is None else (f"{base.rstrip('/')}/{download.file}",),
            offline=offline,
            report=report,
        )
        for download in what.downloads
    ]


class _Fault(Exception):
    """Why a mirror did not deliver the file; a `passing` fault may be gone at the next attempt."""

    def __init__(self, cause: str, *, passing: bool) -> None:
        super().__init__(cause)
        self.passing = passing


def fetch(
    download: Download,
    folder: Path,
    *,
    mirrors: Sequence[str] = (),
    offline: bool = False,
    report: ByteProgress = lambda done, total: None,
) -> Path:
    """Return the path of the checked file below `folder`, fetching it first where it is missing.

    `mirrors` are tried in place of the published addresses. One process fetches, others wait for it. Raises
    `UnreadableError` with the answer of every mirror, or with the path where the file belongs if `offline`. `report` is
    called several times a second whatever the servers do, so that it can raise to stop.
    """
    path = folder / download.file
    if path.is_file():
        check(download, path)
        return path
    urls = tuple(mirrors) or download.urls
    if offline or not urls:
        md5 = f" (MD5 {download.md5})" if download.md5 else ""
        raise UnreadableError(f"{path} is missing", f"put {download.file}{md5} there")
    with files.storage(path):
        folder.mkdir(parents=True, exist_ok=True)
    busy = f"another process is fetching to {folder}; waiting for it"
    with files.alone(folder / ".fetch.lock", busy=busy, wait=lambda: report(0, None)):
        if not path.is_file():
            _fetch_from_any(download, path, urls, report)
    check(download, path)
    return path


def check(download: Download, path: Path) -> None:
    """Raise `UnreadableError` unless the file has its published hash, or the hash recorded at its first download."""
    expected, origin = download.md5, "published"
    if expected is None:
        expected, origin = _recorded(path), "recorded when it was first fetched"
    if expected is None:
        return
    digest = _hash(path, "md5" if download.md5 else "sha256")
    if digest != expected:
        raise UnreadableError(
            f"{path} is not the file it should be: its hash is {digest}, {origin}: {expected}",
            f"remove it and fetch it again: {shlex.join(['rm', str(path)])}"
            + ("" if download.md5 else f"; if the first one was the wrong one, too, also: {_forget(path)}"),
        )


def hashes(download: Download, path: Path) -> dict[str, Any]:
    """Return the size of a file and its published and recorded hashes."""
    return {"bytes": path.stat().st_size, "md5": download.md5, "sha256": _recorded(path)}


def _fetch_from_any(download: Download, path: Path, urls: Sequence[str], report: ByteProgress) -> None:
    part = path.with_name(f".{path.name}.part")
    causes = []
    for url in urls:
        for attempt in range(_ATTEMPTS):
            try:
                with files.storage(path):
                    continued = _fetch_from(download, url, part, report)
                    _check_new(download, part, continued=continued)
                    os.replace(part, path)
                    files.sync_folder(path.parent)
                return
            except _Fault as fault:
                if attempt == _ATTEMPTS - 1 or not fault.passing:
                    causes.append(f"{url}: {fault}")
                    break
                time.sleep(2**attempt)
    raise UnreadableError(f"{download.file} could not be fetched: {'; '.join(causes)}", f"or put it at {path}")


def _fetch_from(download: Download, url: str, part: Path, report: ByteProgress) -> bool:
    """Complete `part` from `url`, and return whether the bytes that were there already were kept."""
    tag_path, may_continue = part.with_name(f"{part.name}.json"), download.md5 is not None
    have, tag = _partial(part, tag_path, url, may_continue)
    with closing(_Transfer(_request(url, have, tag))) as transfer:
        answer = _answer(transfer, url, lambda: report(have, None))
        if answer is None:
            if may_continue:  # we have as many bytes as there are; the check of the hash follows
                return True
            part.unlink()
            raise _Fault("another file than the one begun", passing=True)
        if answer.headers.get_content_type() == "text/html":
            raise _Fault("a web page, not the file", passing=False)
        new = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if have and answer.status == 206:
            begins = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if not begins or (tag and new != tag):
                part.unlink()
                raise _Fault("another file than the one begun", passing=True)
        else:
            have = 0
            part.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length") or ""
        total = have + int(length) if length.isdecimal() and len(length) < 20 else None
        tag_path.write_text(json.dumps({"url": url, "tag": new}))
        done = _copy(download, transfer, part, have, total, report)
    if total is not None and done < total:
        raise _Fault(f"the connection ended after {done:,} of {total:,} bytes", passing=True)
    return have > 0


class _Transfer:
    """A connection that a thread reads, so that the clock and signals are heeded whatever the server does."""

    def __init__(self, request: Callable[[], Any]) -> None:
        self._request = request
        self._arrived: Queue[Any] = Queue(maxsize=4)
        self._is_closed = Event()
        Thread(target=self._read, name="genzoo-download", daemon=True).start()

    def next(self, wait: Callable[[], None]) -> Any:
        """Return the answer and then its pieces, of which the last one is empty; call `wait` while nothing comes.

        Raises what the connection raised, and `_Fault` if nothing comes for too long.
        """
        began = time.monotonic()
        while time.monotonic() - began < _STALL:
            try:
                item = self._arrived.get(timeout=min(_TICK, _STALL))
            except Empty:
                wait()
                continue
            if isinstance(item, Exception):
                raise item
            return item
        raise _Fault(f"timed out: nothing came for {_STALL:g} s", passing=True)

    def close(self) -> None:
        """Have the thread end as soon as the server lets it."""
        self._is_closed.set()

    def _read(self) -> None:
        for item in self._items():
            while not self._put(item):
                if self._is_closed.is_set():
                    return

    def _put(self, item: Any) -> bool:
        try:
            self._arrived.put(item, timeout=_TICK)
        except Full:
            return False
        return True

    def _items(self) -> Iterator[Any]:
        try:
            with self._request() as answer:
                yield answer
                while piece := answer.read1(_PIECE):
                    yield piece
                yield b""
        except Exception as error:  # raised again where the items are asked for
            yield error


def _request(url: str, have: int, tag: str | None) -> Callable[[], Any]:
    """Return a function that asks a server for the bytes after the first `have`."""
    headers = {"User-Agent": "genzoo", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
    return lambda: urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_STALL)


def _answer(transfer: _Transfer, url: str, wait: Callable[[], None]) -> Any:
    """Return the server's answer, or None if it has no bytes after those that are here (HTTP 416)."""
    try:
        return transfer.next(wait)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return None
        raise _Fault(f"HTTP {error.code} {_reason_of(error.reason)}", passing=error.code >= 500) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        passing = not isinstance(error, ValueError) and not url.startswith("file:")
        raise _Fault(_reason_of(getattr(error, "reason", error)), passing=passing) from error


def _partial(part: Path, tag_path: Path, url: str, may_continue: bool) -> tuple[int, str | None]:
    """Return how many bytes of an earlier attempt can be kept, and the server's ETag or date for that file."""
    try:
        record = json.loads(tag_path.read_text())
        have = files.regular_size(part, "a part of a download")
    except (OSError, ValueError, UnreadableError):  # another user may have put a link there
        return 0, None
    if not isinstance(record, dict):
        return 0, None
    tag = record.get("tag") if record.get("url") == url else None
    return (have, tag) if tag or may_continue else (0, None)


def _copy(
    download: Download, transfer: _Transfer, part: Path, have: int, total: int | None, report: ByteProgress
) -> int:
    _check_size(download, part, total or 0)
    with part.open("r+b" if have else "wb") as file:
        file.seek(have)
        report(have, total)
        before, began = have, time.monotonic()
        while piece := _piece(transfer, partial(report, have, total)):
            file.write(piece)
            have += len(piece)
            _check_size(download, part, have)
            report(have, total)
            if time.monotonic() - began > _STALL:
                if have - before < _SLOWEST * _STALL:
                    raise _Fault(f"timed out: {have - before:,} bytes in {_STALL:g} s", passing=True)
                before, began = have, time.monotonic()
        file.truncate(have)
        file.flush()
        os.fsync(file.fileno())
    return have


def _check_size(download: Download, part: Path, size: int) -> None:
    most = _MOST_BYTES if download.size is None else download.size
    if size > most:
        part.unlink(missing_ok=True)
        raise _Fault(f"{size:,} bytes or more, the file has at most {most:,}", passing=False)


def _piece(transfer: _Transfer, wait: Callable[[], None]) -> bytes:
    try:
        piece = transfer.next(wait)
    except (OSError, http.client.HTTPException) as error:
        raise _Fault(_reason_of(error), passing=True) from error
    assert isinstance(piece, bytes)
    return piece


def _reason_of(reason: Any) -> str:
    return in_a_line(str(reason)) or type(reason).__name__


def _forget(path: Path) -> str:
    """Return the command by which the hashes of first downloads beside a file are forgotten."""
    return shlex.join(["rm", str(path.parent / _RECORDS)])


def _check_new(download: Download, part: Path, *, continued: bool) -> None:
    """Check a complete download against its published hash, or record its hash where none is published."""
    tag_path = part.with_name(f"{part.name}.json")
    if download.md5 is not None:
        md5 = _hash(part, "md5")
        if md5 != download.md5:
            part.unlink()
            tag_path.unlink(missing_ok=True)
            # The bytes that were kept may be of another mirror or version of the file: fetch it again from the start.
            raise _Fault(f"another file (MD5 {md5}, published: {download.md5})", passing=continued)
    else:
        with part.open("rb") as file:
            beginning = file.read(64)
        if not beginning:
            part.unlink()
            raise _Fault("nothing, not the file", passing=True)
        if beginning.lstrip().lower().startswith((b"<!doctype", b"<html")):
            part.unlink()
            raise _Fault("a web page, not the file", passing=False)
        records_path, sha256 = part.parent / _RECORDS, _hash(part, "sha256")
        records = _records(records_path)
        if records.get(download.file, sha256) != sha256:
            part.unlink()
            problem = f"another file than the first time (SHA-256 {sha256}); if this one is right: {_forget(part)}"
            raise _Fault(problem, passing=False)
        records[download.file] = sha256
        files.write_json(records_path, {"schema_version": files.SCHEMA_VERSION, "sha256": records})
    tag_path.unlink(missing_ok=True)


def _recorded(path: Path) -> str | None:
    return _records(path.parent / _RECORDS).get(path.name)


def _records(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    records = files.read_json(path, "a record of hashes").get("sha256", {})
    return records if isinstance(records, dict) else {}


def _hash(path: Path, kind: str) -> str:
    with files.readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
