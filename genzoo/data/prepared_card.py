"""The card of a prepared data set: what its folder holds, read and checked. Needs no torch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genzoo.errors import UnreadableError
from genzoo.storage import files

SPLITS = ("train", "validation", "test")
AGAIN = "prepare the data set again: --replace"
"""The remedy for a damaged one."""
CARD, IMAGES, LABELS = "card.json", "images.safetensors", "labels.safetensors"
NAMES = "names.jsonl"
"""The names of the files that the rows are from, a JSON string per line; older sets have none."""
HASH_LENGTH = 16
"""Hexadecimal digits that a card keeps of a block's SHA-256."""
_BLOCK_BYTES = 2**18
_MOST_BLOCKS = 2**15


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The hashes of a file's rows, some at a time, by which the rows that are read are checked."""

    rows: int
    """In a block; the last block may have fewer."""
    sha256: str
    """The beginnings of all hashes, one after the other."""

    def hash_of(self, number: int) -> str:
        """Return the beginning of a block's hash."""
        return self.sha256[number * HASH_LENGTH : (number + 1) * HASH_LENGTH]


def hash_rows(path: Path, *, rows: int, row_bytes: int) -> tuple[str, Blocks]:
    """Return the SHA-256 of a file that ends with rows, and the hashes of blocks of these rows, read once."""
    in_a_block = max(1, _BLOCK_BYTES // row_bytes, -(-rows // _MOST_BLOCKS))
    hashes = []
    with path.open("rb") as file:
        whole = hashlib.sha256(file.read(path.stat().st_size - rows * row_bytes))
        for first in range(0, rows, in_a_block):
            block = file.read(min(in_a_block, rows - first) * row_bytes)
            whole.update(block)
            hashes.append(hashlib.sha256(block).hexdigest()[:HASH_LENGTH])
    return whole.hexdigest(), Blocks(rows=in_a_block, sha256="".join(hashes))


def blocks_of(card: dict[str, Any]) -> Blocks | None:
    """Return the hashes of the blocks of images; None on the card of an earlier version, which has none."""
    return Blocks(**card["blocks"]) if "blocks" in card else None


def read_card(place: Path) -> dict[str, Any]:
    """Return the card of the prepared data set at `place`, with the sizes of its files checked."""
    card = files.read_sealed(place / CARD, "a data set's card", remedy=AGAIN)
    if wrong := _wrong_in_card(card):
        raise UnreadableError(f"{place / CARD} is not a data set's card: {wrong} is missing or wrong", AGAIN)
    for name, entry in card["files"].items():
        size = files.regular_size(place / name, "a prepared data set's file", remedy=AGAIN)
        if size != entry["bytes"]:
            raise UnreadableError(f"{place / name} is damaged: {size:,} bytes", AGAIN)
    return card


def _wrong_in_card(card: dict[str, Any]) -> str | None:
    """Return the first key of a card that is missing, of another type or impossible; None for a good card."""
    entries = card.get("files")
    if not isinstance(entries, dict) or not {IMAGES} <= entries.keys() <= {IMAGES, LABELS, NAMES}:
        return "files"
    if not all(isinstance(entry, dict) and _are(int, [entry.get("bytes")]) for entry in entries.values()):
        return "files"
    if not _are(str, [entry.get("sha256") for entry in entries.values()]):
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
    if "blocks" in card and not _are_blocks(card["blocks"], begin):
        return "blocks"
    left_out = card.get("left_out")
    if not isinstance(left_out, dict) or not _are(int, [left_out.get("count")]):
        return "left_out"
    if not isinstance(card.get("dataset"), str):
        return "dataset"
    if not isinstance(card.get("class_names"), list) or not _are(str, card["class_names"]):
        return "class_names"
    return None if isinstance(card.get("fingerprint"), str) else "fingerprint"


def _are_blocks(blocks: object, rows: int) -> bool:
    """Return whether these are the hashes of so many rows."""
    if not isinstance(blocks, dict) or blocks.keys() != {"rows", "sha256"}:
        return False
    if not _are(int, [blocks["rows"]]) or not _are(str, [blocks["sha256"]]) or blocks["rows"] < 1:
        return False
    return bool(len(blocks["sha256"]) == HASH_LENGTH * -(-rows // blocks["rows"]))


def _are(kind: type, values: Sequence[object]) -> bool:
    return all(type(value) is kind for value in values)


def verify_prepared(place: Path) -> None:
    """Raise `UnreadableError` unless every file of a prepared data set has the hash on its card."""
    for name, entry in read_card(place)["files"].items():
        if files.sha256_of(place / name) != entry["sha256"]:
            raise UnreadableError(f"{place / name} is damaged: its SHA-256 is not the one on its card", AGAIN)
