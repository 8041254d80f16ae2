"""What a source of images holds, before anything is decoded. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from genzoo.data.decoding import Block

Labels = NDArray[numpy.int64] | NDArray[numpy.uint8]
"""(N,) int64 class indices, or (N, attributes) uint8 of 0/1."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a source holds: rows in the order train, validation, test."""

    blocks: Sequence[Block]
    splits: dict[str, int]
    """Rows of `train`, `validation` and `test`, in this order."""
    labels: Labels | None = None
    """For every row; a class index is −1 where it is unknown."""
    class_names: tuple[str, ...] = ()
    """One name per class, in the order of the indices; empty without classes."""
    names: Sequence[str] = ()
    """Of the file of every row; empty where rows are no files."""
    notes: tuple[str, ...] = ()
    """What a person should know of it, a line each: what is left out, and where classes are from."""
    identity: str
    """A hash of the files at the source; an interrupted preparation is continued only where it is the same."""
