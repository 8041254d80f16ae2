"""The beginning of a safetensors file, for what writes large ones itself. Needs no torch."""

import json
import struct
from collections.abc import Mapping
from typing import NamedTuple


class TensorEntry(NamedTuple):
    """A tensor of the file."""

    dtype: str
    """In the format's words, such as F32."""
    shape: tuple[int, ...]
    size: int
    """In bytes."""


def header(entries: Mapping[str, TensorEntry], *, notes: Mapping[str, str] | None = None) -> bytes:
    """Return what precedes the tensors, which follow each other in the order of `entries`, with `notes` as metadata.

    Its length is a multiple of 8, so that tensors are aligned if larger types come first.
    """
    document: dict[str, object] = {"__metadata__": dict(notes)} if notes else {}
    begin = 0
    for name, entry in entries.items():
        end = begin + entry.size
        document[name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
