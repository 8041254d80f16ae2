"""Preparing: a data set decoded by all cores into one memory-mapped file of uint8 rows. Needs no torch.

A prepared data set is a folder with `images.safetensors` (images (N, C, H, W)), `labels.safetensors`, `names.jsonl` and
`card.json`, which says what it was made from and holds sizes and SHA-256s. It is written to a staging folder and
renamed, so that it exists whole or not at all. An interrupted preparation is continued where it stopped.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genzoo.data.contents import Contents
from genzoo.data.decode_pool import read_blocks
from genzoo.data.decoding import ImageFault
from genzoo.data.prepared_card import CARD, blocks_of, read_card, verify_prepared
from genzoo.data.staging import Staging
from genzoo.errors import ResourceError, SettingsError, UnreadableError
from genzoo.machine import usable_cores
from genzoo.storage import files

ImageProgress = Callable[[int, int], None]
"""Called with the number of rows decoded so far and the number of all; it may raise to stop."""


def prepare(
    contents: Contents,
    place: Path,
    *,
    shape: tuple[int, ...],
    about: dict[str, Any],
    jobs: int | None = None,
    skip_corrupt: bool = False,
    replace: bool = False,
    beside: str = "",
    report: ImageProgress = lambda done, total: None,
) -> dict[str, Any]:
    """Decode all blocks into the folder `place`, and return its card.

    `about` goes into the card; `beside` says in a message how a second set is kept beside the first. Raises
    `UnreadableError` for rows that cannot be read unless `skip_corrupt`, which leaves them out and counts them on the
    card; `SettingsError` for a folder that was made from something else, unless `replace`; `ResourceError` if the disk
    is full.
    """
    fingerprint = hashlib.sha256(files.json_bytes([about, contents.splits, contents.identity])).hexdigest()
    rows, lock_path = sum(block.rows for block in contents.blocks), place.with_name(f".{place.name}.lock")
    with files.storage(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    busy = f"another process is preparing {place}; waiting for it"
    with files.alone(lock_path, busy=busy, wait=lambda: report(0, rows)):
        if place.exists() and (card := _reusable(place, fingerprint, replace=replace, beside=beside)):
            return card
        staging = Staging(place, contents, shape, fingerprint)
        with files.storage(staging.path, needed=staging.bytes):
            staging.open()
            jobs = jobs or usable_cores()
            faults = _decode(staging, jobs, report, again=not skip_corrupt)
            if faults and (not skip_corrupt or len(faults) == staging.rows):
                raise _unreadable(faults, staging.rows)
            card = staging.finish(faults, about)
            _publish(staging.path, place)
    return card


def _reusable(place: Path, fingerprint: str, *, replace: bool, beside: str) -> dict[str, Any] | None:
    """Return the card at `place` if it has this fingerprint, None if the folder is to be replaced.

    With `replace`, that is also a folder of an earlier version, whose card has no hashes of blocks.
    """
    try:
        card = read_card(place)
        if replace:
            verify_prepared(place)
            if blocks_of(card) is None:
                return None
    except UnreadableError as error:
        if not (place / CARD).exists():
            raise UnreadableError(error.found, "move that folder away, or name another --data") from error
        if replace:
            return None
        raise
    if card["fingerprint"] == fingerprint:
        return card
    if not replace:
        remedy = f"to replace it, add: --replace{'; ' if beside else ''}{beside}"
        raise SettingsError(f"{place} was prepared from something else", remedy)
    return None


def _decode(staging: Staging, jobs: int, report: ImageProgress, *, again: bool) -> list[ImageFault]:
    """Read blocks that are not done, and those with faults if `again`; return all faults by row of the data set."""
    blocks = staging.contents.blocks
    done_before = {number for number, faults in staging.done.items() if not (faults and again)}
    left = [number for number in range(len(blocks)) if number not in done_before]
    done_rows = sum(blocks[number].rows for number in done_before)
    report(done_rows, staging.rows)
    try:
        for done in read_blocks(staging, left, min(jobs, len(left))):
            staging.note(done)
            done_rows += blocks[done.block].rows
            report(done_rows, staging.rows)
    except ResourceError:
        report(done_rows, staging.rows)  # a signal to the process group ends the workers too; let `report` raise for it
        raise
    finally:
        staging.sync()
    return [
        fault._replace(row=staging.starts[number] + fault.row)
        for number in range(len(blocks))
        for fault in staging.done[number]
    ]


def _unreadable(faults: list[ImageFault], rows: int) -> UnreadableError:
    first = "; ".join(f"{fault.name}: {fault.cause}" for fault in faults[:3])
    more = "" if len(faults) <= 3 else f"; and {len(faults) - 3:,} more"
    return UnreadableError(
        f"{len(faults):,} of {rows:,} images cannot be read: {first}{more}",
        "repair or remove them (what is decoded is kept),\nor leave them out with: --skip-corrupt",
    )


def _publish(staging: Path, place: Path) -> None:
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    os.replace(staging, place)
    files.sync_folder(place.parent)
    shutil.rmtree(old, ignore_errors=True)
