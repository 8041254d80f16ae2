"""Stored rows that are compared with the hashes on their card when they are first read."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from torch import Tensor

from genzoo.data.prepared_card import AGAIN, HASH_LENGTH, Blocks
from genzoo.errors import UnreadableError

RowIndices = NDArray[numpy.int64]
"""Numbers of rows, (N,)."""

_LOOKS = frozenset(
    getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "nbytes", "layout")
) | {Tensor.__len__, Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_contiguous, Tensor.stride, Tensor.element_size}
"""What may be asked of rows without reading any."""


class BlockCheck:
    """Compares blocks of the rows in a file with their hashes, each block once."""

    def __init__(self, path: Path, stored: Tensor, blocks: Blocks) -> None:
        """`stored` are all rows of the file (N, *shape)."""
        self._path = path
        self._stored = stored.numpy()
        self._blocks = blocks
        self._unread = set(range(-(-len(stored) // blocks.rows)))

    @property
    def is_done(self) -> bool:
        """Whether all blocks were compared."""
        return not self._unread

    def check(self, rows: RowIndices) -> None:
        """Raise `UnreadableError` unless the blocks with these rows are as they were written."""
        size = self._blocks.rows
        for number in self._unread.intersection((rows // size).tolist()):
            first, stop = number * size, min((number + 1) * size, len(self._stored))
            digest = hashlib.sha256(self._stored[first:stop].data).hexdigest()
            if digest[:HASH_LENGTH] != self._blocks.hash_of(number):
                raise UnreadableError(f"{self._path} is damaged: rows {first:,} to {stop - 1:,} are other bytes", AGAIN)
            self._unread.discard(number)


class CheckedRows(Tensor):
    """RowIndices (N, *shape) of a file; whatever reads some of them checks their blocks first, and gives plain tensors.

    A slice of them is checked when it is read.
    """

    block_check: BlockCheck
    first: int

    @classmethod
    def of(cls, rows: Tensor, block_check: BlockCheck, first: int = 0) -> "CheckedRows":
        """Return `rows`, whose first one is row `first` of the file."""
        checked = rows.as_subclass(cls)
        checked.block_check, checked.first = block_check, first
        return checked

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        plain = tuple(_unchecked(argument) for argument in args)
        if func in _LOOKS:
            return func(*plain, **kwargs)
        rows = args[0]
        if isinstance(rows, CheckedRows):
            if func is Tensor.to and func(*plain, **kwargs) is plain[0]:
                return rows
            if func is Tensor.__getitem__ and isinstance(args[1], slice) and args[1].step in (None, 1):
                return cls.of(func(*plain), rows.block_check, rows.first + args[1].indices(len(plain[0]))[0])
        for argument in (part for given in (*args, *kwargs.values()) for part in _checked_parts(given)):
            if not argument.block_check.is_done:
                argument.block_check.check(_rows_read(func, args, argument))
        return func(*plain, **{name: _unchecked(value) for name, value in kwargs.items()})


def _rows_read(func: Callable[..., Any], args: Sequence[Any], rows: CheckedRows) -> RowIndices:
    """Return the numbers in the file of the rows that a call reads: those selected, or else all of `rows`."""
    if func is Tensor.index_select and len(args) == 3 and args[1] == 0:
        selected: RowIndices = args[2].cpu().numpy()
        return selected + rows.first
    count = len(_unchecked(rows))
    if func is Tensor.__getitem__ and isinstance(args[1], int):
        return numpy.array([rows.first + args[1] % max(count, 1)])
    return numpy.arange(rows.first, rows.first + count)


def _checked_parts(value: Any) -> Sequence[CheckedRows]:
    """Return the checked rows in an argument, which may be a list of tensors."""
    if isinstance(value, list | tuple):
        return [part for each in value for part in _checked_parts(each)]
    return [value] if isinstance(value, CheckedRows) else []


def _unchecked(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_unchecked(each) for each in value)
    if isinstance(value, CheckedRows):
        return Tensor.__torch_function__(Tensor.as_subclass, (), (value, Tensor))  # type: ignore[no-untyped-call]
    return value
