"""Preparing: a data set decoded by all cores into one memory-mapped file of uint8 rows. Needs no torch.

A prepared data set is a folder with `images.safetensors` (images (N, C, H, W)), `labels.safetensors` and
`card.json`, which says what it was made from and holds sizes and SHA-256s. It is made beside its place and renamed, so
that it is there whole or not at all; what an interrupted preparation has done is kept and used.
"""

import ctypes
import hashlib
import json
import math
import os
import platform
import shutil
import signal
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from filelock import FileLock
from numpy.typing import NDArray
from safetensors.numpy import save

from genzoo.data.decoding import Block, ImageFault
from genzoo.errors import ResourceError, SettingsError, UnreadableError
from genzoo.storage import files
from genzoo.storage.run_folder import now

SPLITS = ("train", "validation", "test")
AGAIN = "prepare the data set again: --replace"
"""What to do with one that is damaged."""
CARD, IMAGES, LABELS = "card.json", "images.safetensors", "labels.safetensors"
_PLAN, _JOURNAL = "plan.json", "done.jsonl"
_SECONDS_BETWEEN_SYNCS = 2.0
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEPT = -1, -3, 2**25
_NAMED = 100
"""Left-out images that a card names; it counts all."""

ImageProgress = Callable[[int, int], None]
"""Is told how many rows of how many are decoded; may raise to stop."""

Labels = NDArray[numpy.int64] | NDArray[numpy.uint8]
"""(N,) int64 class indices, or (N, attributes) uint8 of 0/1."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What was found at a source: rows in the order train, validation, test."""

    blocks: Sequence[Block]
    splits: dict[str, int]
    """Rows of `train`, `validation` and `test`, in this order."""
    labels: Labels | None = None
    """For every row; a class index is −1 where it is unknown."""
    class_names: tuple[str, ...] = ()
    """One name per class, in the order of the indices; empty without classes."""
    identity: str
    """A hash of what lies there, so that a preparation is only continued on the same files."""


def prepare(
    contents: Contents,
    place: Path,
    *,
    shape: tuple[int, ...],
    about: dict[str, Any],
    jobs: int | None = None,
    skip_corrupt: bool = False,
    replace: bool = False,
    report: ImageProgress = lambda done, total: None,
) -> dict[str, Any]:
    """Decode all blocks into the folder `place`, and return its card.

    `about` goes into the card. Rows that cannot be read are named and counted; they end in `UnreadableError` unless
    `skip_corrupt` leaves them out. A folder made from something else is kept unless `replace`. Raises `ResourceError`
    where there is no room.
    """
    fingerprint = hashlib.sha256(files.json_bytes([about, contents.splits, contents.identity])).hexdigest()
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    with files.storage(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        if place.exists() and (card := _standing(place, fingerprint, replace=replace)):
            return card
        staging = _Staging(place, contents, shape, fingerprint)
        with files.storage(staging.path, needed=staging.bytes):
            staging.open()
            jobs = jobs or len(os.sched_getaffinity(0))
            faults = _decode(staging, jobs, report, again=not skip_corrupt)
            if faults and (not skip_corrupt or len(faults) == staging.rows):
                raise _unreadable(faults, staging.rows)
            card = staging.finish(faults, about)
            _publish(staging.path, place)
    finally:
        lock.release()
    return card


def _standing(place: Path, fingerprint: str, *, replace: bool) -> dict[str, Any] | None:
    """Return the card of what stands at `place` if it is what is wanted, None if it is to be replaced."""
    try:
        card = read_card(place)
        if replace:
            verify_prepared(place)
    except UnreadableError as error:
        if not (place / CARD).exists():
            raise UnreadableError(error.found, "move that folder away, or name another --data") from error
        if replace:
            return None
        raise
    if card["fingerprint"] == fingerprint:
        return card
    if not replace:
        raise SettingsError(f"{place} was prepared from something else", "to replace it, add: --replace")
    return None


def read_card(place: Path) -> dict[str, Any]:
    """Return the card of the prepared data set at `place`, with the sizes of its files checked."""
    card = files.read_sealed(place / CARD, "a data set's card", remedy=AGAIN)
    if wrong := _wrong_in_card(card):
        raise UnreadableError(f"{place / CARD} is not a data set's card: {wrong} is missing or wrong", AGAIN)
    for name, known in card["files"].items():
        size = files.regular_size(place / name, "a prepared data set's file", remedy=AGAIN)
        if size != known["bytes"]:
            raise UnreadableError(f"{place / name} is damaged: {size:,} bytes", AGAIN)
    return card


def _wrong_in_card(card: dict[str, Any]) -> str | None:
    """Return what in a card is missing or of another type, or cannot be so."""
    known = card.get("files")
    if not isinstance(known, dict) or not {IMAGES} <= known.keys() <= {IMAGES, LABELS}:
        return "files"
    if not all(isinstance(one, dict) and _are(int, [one.get("bytes")]) for one in known.values()):
        return "files"
    if not _are(str, [one.get("sha256") for one in known.values()]):
        return "files"
    if not isinstance(card.get("shape"), list) or not _are(int, card["shape"]):
        return "shape"
    splits = card.get("splits")
    if not isinstance(splits, dict) or list(splits) != list(SPLITS):
        return "splits"
    begin = 0
    for rows in splits.values():
        if not isinstance(rows, list) or len(rows) != 2 or not _are(int, rows) or not begin == rows[0] <= rows[1]:
            return "splits"
        begin = rows[1]
    if not isinstance(card.get("class_names"), list) or not _are(str, card["class_names"]):
        return "class_names"
    return None if isinstance(card.get("fingerprint"), str) else "fingerprint"


def _are(kind: type, values: Sequence[object]) -> bool:
    return all(type(value) is kind for value in values)


def verify_prepared(place: Path) -> None:
    """Raise `UnreadableError` unless every file of a prepared data set has the hash on its card."""
    for name, known in read_card(place)["files"].items():
        if files.sha256_of(place / name) != known["sha256"]:
            raise UnreadableError(f"{place / name} is damaged: its SHA-256 is not the one on its card", AGAIN)


class _Done(NamedTuple):
    block: int
    faults: list[ImageFault]


class _Staging:
    """The folder beside its place in which a data set is made, and the journal of what is done."""

    def __init__(self, place: Path, contents: Contents, shape: tuple[int, ...], fingerprint: str) -> None:
        self.path = place.with_name(f".{place.name}.preparing")
        self.contents = contents
        self.shape = shape
        self.fingerprint = fingerprint
        self.rows = sum(block.rows for block in contents.blocks)
        self.starts = numpy.cumsum([0, *(block.rows for block in contents.blocks)]).tolist()
        self.header = _header((self.rows, *shape))
        self.bytes = len(self.header) + self.rows * math.prod(shape)
        self.done: dict[int, list[ImageFault]] = {}
        self._unwritten: list[_Done] = []
        self._synced = 0.0

    def open(self) -> None:
        """Take up what an earlier preparation of the same contents has done, or begin."""
        blocks = hashlib.sha256(json.dumps(self.starts).encode()).hexdigest()
        plan = {
            "schema_version": files.SCHEMA_VERSION,
            "fingerprint": self.fingerprint,
            "shape": list(self.shape),
            "blocks": blocks,
        }
        kept = self.path / _PLAN
        if kept.exists() and files.read_json(kept, "a preparation's plan") == plan:
            self._read_journal()
            return
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        try:
            with (self.path / IMAGES).open("xb") as file:
                file.write(self.header)
                # Real blocks, not holes: a full disk shows here, not as a crash of a worker that writes to the map.
                os.posix_fallocate(file.fileno(), 0, self.bytes)
        except OSError:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        files.write_json(kept, plan)

    def images(self, start: int, rows: int) -> numpy.ndarray[Any, Any]:
        """Return rows of the images as a writable map."""
        return _map(self.path / IMAGES, len(self.header), start, (rows, *self.shape))

    def note(self, done: _Done) -> None:
        """Remember that a block is done; every few seconds on disk, images before the journal that vouches for them."""
        self.done[done.block] = done.faults
        self._unwritten.append(done)
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Put what is done on the disk."""
        if not self._unwritten:
            return
        _sync(self.path / IMAGES)
        with (self.path / _JOURNAL).open("a") as journal:
            journal.writelines(json.dumps(entry) + "\n" for entry in self._unwritten)
            journal.flush()
            os.fsync(journal.fileno())
        self._unwritten.clear()
        self._synced = time.monotonic()

    def finish(self, faults: list[ImageFault], about: dict[str, Any]) -> dict[str, Any]:
        """Leave out the faulty rows, write labels and card, and return the card."""
        keep = numpy.ones(self.rows, dtype=bool)
        keep[[fault.row for fault in faults]] = False
        images = self._leave_out(keep) if faults else self.path / IMAGES
        contents, splits, start, given = self.contents, {}, 0, 0
        for name, rows in contents.splits.items():
            kept = int(keep[given : given + rows].sum())
            splits[name] = [start, start + kept]
            start, given = start + kept, given + rows
        if contents.labels is not None:
            labels = {"labels": numpy.ascontiguousarray(contents.labels[keep])}
            files.write(self.path / LABELS, save(labels))
        made = {IMAGES: images, LABELS: self.path / LABELS}
        card = {
            "schema_version": files.SCHEMA_VERSION,
            **about,
            "shape": list(self.shape),
            "splits": splits,
            "class_names": list(contents.class_names),
            "left_out": {"count": len(faults), "names": [fault.name for fault in faults[:_NAMED]]},
            "fingerprint": self.fingerprint,
            "prepared": now(),
            "files": {
                name: {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}
                for name, path in made.items()
                if path.exists()
            },
        }
        _sync(images)
        files.write_sealed(self.path / CARD, card)
        # The journal speaks of all rows: it must be gone before the images have fewer.
        for name in (_PLAN, _JOURNAL):
            (self.path / name).unlink(missing_ok=True)
        os.replace(images, self.path / IMAGES)
        return card

    def _leave_out(self, keep: numpy.ndarray[Any, Any]) -> Path:
        """Write the images again without some rows, beside those with all."""
        rows = int(keep.sum())
        header = _header((rows, *self.shape))
        without = self.path / f"{IMAGES}.without"
        with without.open("wb") as file:
            file.write(header)
            for start, stop in zip(self.starts, self.starts[1:], strict=False):
                file.write(numpy.ascontiguousarray(self.images(start, stop - start)[keep[start:stop]]).tobytes())
        return without

    def _read_journal(self) -> None:
        journal = self.path / _JOURNAL
        if not journal.exists():
            return
        whole = 0
        for line in journal.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):  # the torn last line of a preparation that was killed
                break
            block, faults = json.loads(line)
            self.done[block] = [ImageFault(*fault) for fault in faults]
            whole += len(line)
        os.truncate(journal, whole)


def _decode(staging: _Staging, jobs: int, report: ImageProgress, *, again: bool) -> list[ImageFault]:
    """Read every block that is not done yet, or that had faults if `again`; return all faults by row of all blocks."""
    blocks = staging.contents.blocks
    kept = {number for number, faults in staging.done.items() if not (faults and again)}
    left = [number for number in range(len(blocks)) if number not in kept]
    done_rows = sum(blocks[number].rows for number in kept)
    report(done_rows, staging.rows)
    try:
        for done in _read_all(staging, left, min(jobs, len(left))):
            staging.note(done)
            done_rows += blocks[done.block].rows
            report(done_rows, staging.rows)
    except ResourceError:
        report(done_rows, staging.rows)  # a signal to all processes ends the workers too, and is no fault
        raise
    finally:
        staging.sync()
    return [
        fault._replace(row=staging.starts[number] + fault.row)
        for number in range(len(blocks))
        for fault in staging.done[number]
    ]


def _read_all(staging: _Staging, left: list[int], jobs: int) -> Iterator[_Done]:
    """Yield blocks as they are read, in any order, with a few at a time under way in other processes."""
    path, offset, shape = staging.path / IMAGES, len(staging.header), staging.shape
    if jobs <= 1:
        for number in left:
            yield _read_block(path, offset, staging.starts[number], shape, number, staging.contents.blocks[number])
        return
    waiting = iter(left)
    with _safe_path(), _workers(jobs) as pool:
        running: set[Future[_Done]] = set()
        while True:
            for number in waiting:
                block = staging.contents.blocks[number]
                running.add(_submit(pool, _read_block, path, offset, staging.starts[number], shape, number, block))
                if len(running) >= 3 * jobs:
                    break
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    others = set(active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_to_work)
    try:
        yield pool
    except BrokenProcessPool as error:
        for child in set(active_children()) - others:  # the pool forgets one that it was just starting
            child.kill()
        raise ResourceError(
            "a decoding process was ended from outside, as when memory runs out; what is done is kept",
            "type the same command again, with --jobs 1 if it happens again",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, *work: Any) -> Future[_Done]:
    """Submit work; a worker that this starts ignores Ctrl-C, which is left to the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(*work)
    except (OSError, ValueError) as error:  # a worker ended, and the pool closed its pipes while another was started
        raise BrokenProcessPool(str(error)) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the current folder off the module path of all Python processes started inside: workers and their helpers."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _begin_to_work() -> None:
    """Leave Ctrl-C to the parent, and keep freed memory, which glibc otherwise returns and faults in per image."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)


def _read_block(path: Path, offset: int, start: int, shape: tuple[int, ...], number: int, block: Block) -> _Done:
    return _Done(number, block.read(_map(path, offset, start, (block.rows, *shape))))


def _map(path: Path, offset: int, start: int, shape: tuple[int, ...]) -> numpy.ndarray[Any, Any]:
    begin = offset + start * math.prod(shape[1:])
    return numpy.memmap(path, dtype=numpy.uint8, mode="r+", offset=begin, shape=shape)


def _header(shape: tuple[int, ...]) -> bytes:
    """Return the beginning of a safetensors file that holds `images` of this shape and nothing else."""
    entry = {"images": {"dtype": "U8", "shape": list(shape), "data_offsets": [0, math.prod(shape)]}}
    text = json.dumps(entry, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _unreadable(faults: list[ImageFault], rows: int) -> UnreadableError:
    shown = "; ".join(f"{fault.name}: {fault.cause}" for fault in faults[:3])
    more = "" if len(faults) <= 3 else f"; and {len(faults) - 3:,} more"
    return UnreadableError(
        f"{len(faults):,} of {rows:,} images cannot be read: {shown}{more}",
        "repair or remove them, or leave them out with: --skip-corrupt (what is decoded is kept)",
    )


def _publish(staging: Path, place: Path) -> None:
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    os.replace(staging, place)
    files.sync_folder(place.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
