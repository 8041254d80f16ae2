"""The card of a prepared data set: what its folder holds, read and checked. Needs no torch."""

from collections.abc import Sequence
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
    if not isinstance(card.get("class_names"), list) or not _are(str, card["class_names"]):
        return "class_names"
    return None if isinstance(card.get("fingerprint"), str) else "fingerprint"


def _are(kind: type, values: Sequence[object]) -> bool:
    return all(type(value) is kind for value in values)


def verify_prepared(place: Path) -> None:
    """Raise `UnreadableError` unless every file of a prepared data set has the hash on its card."""
    for name, entry in read_card(place)["files"].items():
        if files.sha256_of(place / name) != entry["sha256"]:
            raise UnreadableError(f"{place / name} is damaged: its SHA-256 is not the one on its card", AGAIN)
