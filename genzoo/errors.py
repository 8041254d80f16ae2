"""What genzoo says when something is wrong: the finding, the remedy and the exit code of the command line."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class GenzooError(Exception):
    """A fault that a user can act on; `found` says what is wrong, `remedy` what to do or type."""

    exit_code: ClassVar[int] = 1

    def __init__(self, found: str, remedy: str | None = None) -> None:
        super().__init__(found if remedy is None else f"{found}\n{remedy}")
        self.found = found
        self.remedy = remedy


class SettingsError(GenzooError):
    """A name, value or combination of settings that cannot be meant (exit 2)."""

    exit_code = 2


class UnreadableError(GenzooError):
    """Data, a run or a checkpoint is missing, damaged or of a newer format (exit 3)."""

    exit_code = 3


class PluginError(GenzooError):
    """A plugin that was asked for is broken, ambiguous or incompatible (exit 4)."""

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
    """A signal came while there was nothing to save; no `Exception`, so that nobody takes it for a fault."""

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
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; torch says so on a CPU with a plain `RuntimeError`."""
    text = text_of(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


def in_a_line(cause: object) -> str:
    """Return an error with its type, or the first line of a text, in at most 200 characters that can be printed."""
    text = text_of(cause).strip()
    if isinstance(cause, BaseException):
        text = f"{type(cause).__name__}: {text}" if text else type(cause).__name__
    else:
        text = text.partition("\n")[0]
    text = printable(text.replace("\n", " "))
    return text if len(text) <= 200 else text[:197] + "..."


def text_of(cause: object) -> str:
    """Return what an error says of itself."""
    try:
        return str(cause)
    except Exception:  # an error that cannot be told: that it was raised is told all the same
        return ""


def printable(text: str) -> str:
    """Return text from elsewhere without what a terminal would take for a command."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean '…'?` for the known name nearest to `name`, or an empty string."""
    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


class GenzooWarning(UserWarning):
    """Something that goes on differently from what one might expect; the command line prints it in one line."""
