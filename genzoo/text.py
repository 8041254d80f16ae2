"""Text for messages and records: errors in a line, near names, what a terminal may print, and the time."""

from collections.abc import Iterable
from datetime import UTC, datetime
from difflib import get_close_matches


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


def now() -> str:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
