"""Errors: what was found, what to do about it, and the exit code of the command line."""

import errno
import warnings
from collections.abc import Iterable
from typing import ClassVar

from genzoo.text import text_of


class GenzooError(Exception):
    """An error that a user can act on; `found` says what is wrong, `remedy` what to do or type."""

    exit_code: ClassVar[int] = 1

    def __init__(self, found: str, remedy: str | None = None) -> None:
        super().__init__(found if remedy is None else f"{found}\n{remedy}")
        self.found = found
        self.remedy = remedy


class SettingsError(GenzooError):
    """A name, value or combination of settings that is not valid (exit 2)."""

    exit_code = 2


class UnreadableError(GenzooError):
    """Data, a run or a checkpoint is missing, damaged or of a newer format (exit 3)."""

    exit_code = 3


class PluginError(GenzooError):
    """A plugin that is needed is broken, ambiguous or incompatible (exit 4)."""

    exit_code = 4


class DivergedError(GenzooError):
    """A loss, gradient, weight or statistic became non-finite, and was not saved (exit 5)."""

    exit_code = 5


class ResourceError(GenzooError):
    """Memory or disk ran out, or a folder cannot be written (exit 6)."""

    exit_code = 6


class BusyError(GenzooError):
    """Another process is writing to the run folder (exit 7)."""

    exit_code = 7


class Interrupted(BaseException):
    """A signal came while there was nothing to save; not an `Exception`, so that `except Exception` lets it pass."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class InterruptedRun(GenzooError):
    """A signal ended the run after it was saved (exit 128 + the signal: 130 for SIGINT, 143 for SIGTERM)."""

    def __init__(self, found: str, remedy: str | None = None, *, signal_number: int = 2) -> None:
        super().__init__(found, remedy)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal_number


_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "storage size calculation overflowed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; on a CPU, torch raises a plain `RuntimeError` for that."""
    text = text_of(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


def explain(error: Exception) -> GenzooError:
    """Return any error as a `GenzooError`: out of memory, a full disk, or else unexpected (exit 1)."""
    if isinstance(error, GenzooError):
        return error
    text = text_of(error).strip().partition("\n")[0]
    if is_out_of_memory(error):
        remedy = "ask for less at a time: fewer samples or images, or in training a smaller training.batch_size"
        return ResourceError(f"out of memory: {text}", remedy)
    if isinstance(error, OverflowError):
        return SettingsError(f"a number is too large: {text}", "choose a smaller one")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"the disk is full: {text}", "free some space, then type the same again")
    remedy = "for a traceback, type the same command after: genzoo --debug"
    return GenzooError(f"{type(error).__name__}: {text}", remedy)


def of_exit_code(code: int, found: str, remedy: str | None = None) -> GenzooError:
    """Return the error of a process that ended with exit code `code`."""
    if code > 128:
        return InterruptedRun(found, remedy, signal_number=code - 128)
    kinds = (SettingsError, UnreadableError, PluginError, DivergedError, ResourceError, BusyError)
    return next((kind for kind in kinds if kind.exit_code == code), GenzooError)(found, remedy)


class GenzooWarning(UserWarning):
    """A condition that the user may not expect; the command line prints it in one line."""


def warn(lines: Iterable[str]) -> None:
    """Issue a `GenzooWarning` for each line."""
    for line in lines:
        warnings.warn(line, GenzooWarning, stacklevel=3)
