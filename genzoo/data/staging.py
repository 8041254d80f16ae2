"""Staging: the folder in which a data set is prepared, and the journal of the blocks that are done. Needs no torch."""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray
from safetensors.numpy import save

from genzoo import __version__
from genzoo.data.contents import Contents
from genzoo.data.decoding import ImageFault
from genzoo.data.prepared_card import CARD, IMAGES, LABELS, NAMES, hash_rows
from genzoo.errors import UnreadableError
from genzoo.machine import reserve
from genzoo.storage import files
from genzoo.storage.safetensors_header import TensorEntry, header
from genzoo.text import escaped, now

_PLAN, _JOURNAL = "plan.json", "done.jsonl"
_SECONDS_BETWEEN_SYNCS = 2.0
_NAMED = 100
"""How many of the left-out images a card names; it counts all."""


class BlockDone(NamedTuple):
    """A block that was read."""

    block: int
    """Its index among the blocks of the data set."""
    faults: list[ImageFault]
    """Their rows are counted within the block."""


class Staging:
    """The folder in which a data set is prepared before it is renamed, with a journal of the blocks that are done."""

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
        self._unwritten: list[BlockDone] = []
        self._synced = 0.0

    def open(self) -> None:
        """Continue an earlier preparation of the same contents, or begin a new one."""
        blocks = hashlib.sha256(json.dumps(self.starts).encode()).hexdigest()
        plan = {
            "schema_version": files.SCHEMA_VERSION,
            "fingerprint": self.fingerprint,
            "shape": list(self.shape),
            "blocks": blocks,
        }
        plan_path = self.path / _PLAN
        with suppress(UnreadableError):  # a damaged preparation is begun anew
            if plan_path.exists() and files.read_json(plan_path, "a preparation's plan") == plan:
                whole = files.regular_size(self.path / IMAGES, "prepared images") == self.bytes
                self._read_journal()
                if whole:
                    return
        self.done.clear()
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        try:
            with (self.path / IMAGES).open("xb") as file:
                file.write(self.header)
                # Reserve the blocks: on a full disk this raises here; a write to a sparse map would kill the worker.
                file.flush()
                reserve(file.fileno(), self.bytes)
        except OSError:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        files.write_json(plan_path, plan)

    def images(self, start: int, rows: int) -> numpy.ndarray[Any, Any]:
        """Return images (rows, C, H, W) from row `start` as a writable map."""
        return map_rows(self.path / IMAGES, len(self.header), start, (rows, *self.shape))

    def note(self, done: BlockDone) -> None:
        """Record that a block is done; every few seconds, write this to disk."""
        self.done[done.block] = done.faults
        self._unwritten.append(done)
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Write what is done to disk: the images first, then the journal that lists them."""
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
        """Leave out the faulty rows, write labels, names and card, and return the card."""
        keep = numpy.ones(self.rows, dtype=bool)
        keep[[fault.row for fault in faults]] = False
        images = self._leave_out(keep) if faults else self.path / IMAGES
        contents = self.contents
        if contents.labels is not None:
            labels = {"labels": numpy.ascontiguousarray(contents.labels[keep])}
            files.write(self.path / LABELS, save(labels))
        if contents.names:
            lines = (json.dumps(name) for name, is_there in zip(contents.names, keep, strict=True) if is_there)
            files.write(self.path / NAMES, "".join(f"{line}\n" for line in lines).encode())
        images_hash, blocks = hash_rows(images, rows=int(keep.sum()), row_bytes=math.prod(self.shape))
        entries = {IMAGES: {"bytes": images.stat().st_size, "sha256": images_hash}}
        for path in (self.path / LABELS, self.path / NAMES):
            if path.exists():
                entries[path.name] = {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}
        card = {
            "schema_version": files.SCHEMA_VERSION,
            "genzoo": __version__,
            **about,
            "shape": list(self.shape),
            "splits": _split_ranges(contents.splits, keep),
            "class_names": list(map(escaped, contents.class_names)),
            "left_out": {"count": len(faults), "names": [fault.name for fault in faults[:_NAMED]]},
            "notes": list(map(escaped, contents.notes)),
            "fingerprint": self.fingerprint,
            "prepared": now(),
            "files": entries,
            "blocks": asdict(blocks),
        }
        _sync(images)
        files.write_sealed(self.path / CARD, card)
        # The journal counts all rows, so it is removed before the images lose some.
        for name in (_PLAN, _JOURNAL):
            (self.path / name).unlink(missing_ok=True)
        os.replace(images, self.path / IMAGES)
        return card

    def _leave_out(self, keep: NDArray[numpy.bool_]) -> Path:
        """Write the images where `keep` (rows,) is true to a second file, and return its path."""
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
            done = self._block_in(line)
            self.done[done.block] = done.faults
            whole += len(line)
        os.truncate(journal, whole)

    def _block_in(self, line: bytes) -> BlockDone:
        """Return the block that a line of the journal lists; raise `UnreadableError` for another line."""
        try:
            block, faults = json.loads(line)
            done = BlockDone(block, [ImageFault(*fault) for fault in faults])
            if type(block) is int and block >= 0 and _are_faults(done.faults, self.contents.blocks[block].rows):
                return done
        except (ValueError, TypeError, IndexError, RecursionError):
            pass
        raise UnreadableError(f"{self.path / _JOURNAL} is damaged", "prepare the data set again")


def _are_faults(faults: Sequence[ImageFault], rows: int) -> bool:
    """Return whether what was read from a journal are faults of a block of so many rows."""
    return all(
        type(fault.row) is int and 0 <= fault.row < rows and type(fault.name) is type(fault.cause) is str
        for fault in faults
    )


def _split_ranges(splits: dict[str, int], keep: NDArray[numpy.bool_]) -> dict[str, list[int]]:
    """Return begin and end of each split among the rows that are kept; `splits` counts all, `keep` is (rows,)."""
    ranges, begin, first = {}, 0, 0
    for name, rows in splits.items():
        end = begin + int(keep[first : first + rows].sum())
        ranges[name] = [begin, end]
        begin, first = end, first + rows
    return ranges


def map_rows(path: Path, offset: int, start: int, shape: tuple[int, ...]) -> numpy.ndarray[Any, Any]:
    """Return rows of the file at `path`, from `start`, as a writable map of `shape` (rows, C, H, W).

    Row 0 begins at byte `offset`.
    """
    begin = offset + start * math.prod(shape[1:])
    return numpy.memmap(path, dtype=numpy.uint8, mode="r+", offset=begin, shape=shape)


def _header(shape: tuple[int, ...]) -> bytes:
    """Return the beginning of a safetensors file that holds `images` of this shape and nothing else."""
    return header({"images": TensorEntry("U8", shape, math.prod(shape))})


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
