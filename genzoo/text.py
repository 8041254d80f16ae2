"""Text for messages and records: errors in one line, printable text, suggestions, and times."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches


def in_a_line(cause: object) -> str:
    """Return an error with its type, or the first line of a text, in at most 200 printable characters."""
    text = text_of(cause).strip()
    if isinstance(cause, BaseException):
        text = f"{type(cause).__name__}: {text}" if text else type(cause).__name__
    else:
        text = text.partition("\n")[0]
    text = printable(text.replace("\n", " "))
    return text if len(text) <= 200 else text[:197] + "..."


def short_repr(value: object) -> str:
    """Return a value's repr in at most 60 printable characters."""
    text = printable(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def text_of(cause: object) -> str:
    """Return the message of an error; an empty string if the error cannot produce it."""
    try:
        return str(cause)
    except Exception:  # __str__ of a plugin's error may raise; its type is reported without a message
        return ""


def in_words(words: Sequence[str], conjunction: str = "and") -> str:
    """Return words as a list in a sentence, such as `a, b and c`; there is at least one."""
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def printable(text: str) -> str:
    """Return text of any origin with every unprintable character replaced, such as those of terminal commands."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def is_text(path: str) -> bool:
    """Return whether all bytes of a path are text."""
    return not any("\ud800" <= character <= "\udfff" for character in path)


def escaped(text: str) -> str:
    """Return text with every unprintable character as its escape, so that texts which differ still do."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def in_markdown(text: str) -> str:
    """Return text of any origin as a line of Markdown that begins no HTML, link or picture."""
    line = printable(text.replace("\n", " ")).replace("\\", "\\\\").replace("<", "&lt;")
    return re.sub(r"\](?=[(\[:])", r"\\]", line)


def markdown_row(cells: Iterable[str]) -> str:
    """Return texts of any origin as a row of a table in Markdown."""
    return "| " + " | ".join(in_markdown(cell).replace("|", "\\|") for cell in cells) + " |"


def markdown_table(header: Sequence[str], *rows: Iterable[str]) -> list[str]:
    """Return texts of any origin as the lines of a table in Markdown."""
    return [markdown_row(header), markdown_row(["---"] * len(header)), *map(markdown_row, rows)]


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return `; did you mean '…'?` with the candidate nearest to `name`, or an empty string.

    A dotted path is compared by its last part, first with those beside it. Initials stand for words: lr, learning_rate.
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    parent, _, last = name.lower().rpartition(".")
    beside = {path.rpartition(".")[2]: path for path in by_lower if path.rpartition(".")[0] == parent}
    close = [beside[part] for part in beside if initials(part) == last]
    close += [beside[part] for part in get_close_matches(last, beside, n=1, cutoff=0.5)]
    if not close and parent and beside:
        elsewhere = {path.rpartition(".")[2]: path for path in by_lower}
        close = [elsewhere[part] for part in get_close_matches(last, elsewhere, n=1, cutoff=0.75)]
    elif not close:
        close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


def initials(words: str) -> str:
    """Return the first letters of words between underscores."""
    return "".join(word[:1] for word in words.split("_"))


def counted(number: int, what: str) -> str:
    """Return a number with a noun, which gets its plural s unless the number is one."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def in_mib(count: int) -> str:
    """Return a number of bytes in MiB."""
    return f"{count / 2**20:,.1f} MiB"


def now() -> str:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def duration(seconds: float) -> str:
    """Return a rough duration in the largest fitting unit: 40 s, 12 min, 3.5 h, 2.1 days."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.1f} days"


def time_left(seconds: float) -> str:
    """Return a time left in minutes and seconds, and hours if there are any."""
    whole = round(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02}:{whole % 60:02} left" if hours else f"{minutes}:{whole % 60:02} left"
