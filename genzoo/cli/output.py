"""Output of the command line: status on stderr, results on stdout, or one JSON document with `--json`.

On a terminal, text folds at spaces, and colour marks what matters unless NO_COLOR is set. Elsewhere a row is a line.
"""

import json
import os
import re
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, TextIO

from genzoo.storage.files import SCHEMA_VERSION
from genzoo.storage.scores import arrow_of, main_scores, value_text
from genzoo.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

TextRows = Sequence[Sequence[str]]

_MARKS = {"error": "bold red", "warning": "bold yellow", "failed": "bold red"}
"""The style of a status line's first word."""
_MOST_LISTED = 5
"""The largest number of items of a setting, such as classes, that are all shown."""


def draws(stream: TextIO | None) -> bool:
    """Return whether `stream` is a terminal that can be drawn on."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def draws_results() -> bool:
    """Return whether results go to a terminal."""
    return draws(sys.stdout)


@cache
def console(*, stderr: bool = False) -> "Console":
    """Return the console of stdout or stderr; what is written to a live bar's console appears above the bar."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def status(text: str, *, fold: bool = True) -> None:
    """Write a line of status to stderr, if it is open; a command to copy is not to `fold`."""
    if sys.stderr is None:  # print would write to stdout instead
        return
    text = _printable_lines(text)
    try:
        if draws(sys.stderr):
            from rich.text import Text

            line = Text(_folded(text, stderr=True) if fold else text)
            if match := re.match(rf"({'|'.join(_MARKS)}):", text):
                line.stylize(_MARKS[match[1]], 0, match.end())
            console(stderr=True).print(line, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)
    except OSError:  # the disk is full or the reader is gone; the command ends as it would have
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process


def result(text: str, *, fold: bool = False) -> None:
    """Write a line of results to stdout; on a terminal, it is printable, and may `fold` at spaces."""
    if draws(sys.stdout):
        text = _printable_lines(text.expandtabs())
        text = _folded(text) if fold else text
    print(text)


def _printable_lines(text: str) -> str:
    """Return lines without control codes: a name in them may hold commands for the terminal."""
    return "\n".join(map(printable, text.split("\n")))


def _folded(text: str, *, stderr: bool = False) -> str:
    """Return text folded at spaces to the terminal's width; a longer word, such as a path, is left whole."""
    width = console(stderr=stderr).width
    lines = text.split("\n")
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False, break_long_words=False) for line in lines)


def result_json(document: dict[str, Any]) -> None:
    """Write `document`, with its schema version, as the one JSON document on stdout."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2))


def result_markdown(text: str) -> None:
    """Write Markdown to stdout; on a terminal, its tables as tables of the terminal's width."""
    if not draws_results():
        result(text)
        return
    for is_table, lines in groupby(text.split("\n"), key=lambda line: line.startswith("|")):
        if is_table:
            _show_markdown_table(list(lines))
        else:
            result("\n".join(lines), fold=True)


def _show_markdown_table(lines: Sequence[str]) -> None:
    """Write a table in Markdown whose second line parts the header from the rows."""
    header, _, *rows = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])] for line in lines
    ]
    numbers = range(len(header))
    show_table(rows, header=header, right=numbers[1:], fold=numbers, drop=numbers[:1:-1])


def columns(rows: TextRows, *, header: Sequence[str] = (), right: Collection[int] = ()) -> str:
    """Return rows of text in aligned columns; `right` lists the columns that are flush right."""
    lines = [[printable(cell) for cell in line] for line in ([header, *rows] if header else rows)]
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def show_table(
    rows: TextRows,
    *,
    header: Sequence[str] = (),
    right: Collection[int] = (),
    fold: Collection[int] = (),
    drop: Sequence[int] = (),
    styles: Mapping[tuple[int, int], str] | None = None,
    stderr: bool = False,
) -> None:
    """Write rows in aligned columns, to stdout or `stderr`.

    On a terminal, the columns `fold` fold at spaces. While that is too wide, the columns `drop` are left out, first to
    last, and named below. `styles` gives the style of a cell by (row, column).
    """
    if not rows:
        return
    if not draws(sys.stderr if stderr else sys.stdout):
        text = columns(rows, header=header, right=right)
        status(text) if stderr else result(text)
        return
    screen = console(stderr=stderr)
    lines = [[printable(cell) for cell in line] for line in ([header, *rows] if header else rows)]
    for count in range(len(drop) + 1):
        shown = [column for column in range(len(lines[0])) if column not in drop[:count]]
        widths, fits = _widths([[line[column] for line in lines] for column in shown], shown, fold, screen.width)
        if fits:
            break
    screen.print(_rich_table(lines, shown, widths, bool(header), right, styles or {}))
    if len(shown) < len(lines[0]):
        left_out = [name for column, name in enumerate(header) if column not in shown]
        screen.print(f"(no room for: {', '.join(left_out)})", style="dim")


def _widths(cells: TextRows, shown: Sequence[int], fold: Collection[int], room: int) -> tuple[list[int], bool]:
    """Return the widths of columns, the widest made narrower until all fit, and whether no word must break for it."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in cells]
    longest_words = [max(cell_len(word) for cell in column for word in [*cell.split(), ""]) for column in cells]
    least = [longest_words[place] if column in fold else widths[place] for place, column in enumerate(shown)]
    room -= 2 * (len(widths) - 1)
    fits = sum(least) <= room
    least = least if fits else [1] * len(least)
    while sum(widths) > max(room, sum(least)):
        wider = (place for place, width in enumerate(widths) if width > least[place])
        widths[max(wider, key=widths.__getitem__)] -= 1
    return widths, fits


def _broken(cell: str, width: int) -> str:
    """Return a cell with spaces inside its words that are wider than its column, after one of ( / = , - _."""

    def broken(word: re.Match[str]) -> str:
        parts = [""]
        for part in re.findall(r"[^(/=,_-]*[(/=,_-]*", word[0]):
            parts = [*parts[:-1], parts[-1] + part] if len(parts[-1] + part) <= width else [*parts, part]
        return " ".join(filter(None, parts))

    return re.sub(rf"\S{{{width + 1},}}", broken, cell)


def _rich_table(
    lines: TextRows,
    shown: Sequence[int],
    widths: Sequence[int],
    has_header: bool,
    right: Collection[int],
    styles: Mapping[tuple[int, int], str],
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=has_header, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column, width in zip(shown, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column in right else "left"
        name = _broken(lines[0][column], width) if has_header else ""
        table.add_column(name, justify=justify, width=width, overflow="fold")
    for number, line in enumerate(lines[has_header:]):
        cells = [_broken(line[column], width) for column, width in zip(shown, widths, strict=True)]
        table.add_row(
            *(Text(cell, styles.get((number, column), "")) for column, cell in zip(shown, cells, strict=True))
        )
    return table


def show_scores(scores: Sequence[dict[str, Any]]) -> None:
    """Write scores with their protocols as a table, or a line of status if there are none."""
    if not scores:
        status("no installed metric can measure this model")
        return
    protocols = [score["protocol"] for score in scores]
    shared = protocols[0].items() if len(protocols) > 1 else ()
    alike = {key: value for key, value in shared if all(other.get(key) == value for other in protocols)}
    rest = [{key: value for key, value in protocol.items() if key not in alike} for protocol in protocols]
    rows = [(*_score_cells(score), _protocol_text(of_it)) for score, of_it in zip(scores, rest, strict=True)]
    width = 4 if any(rest) else 3
    header = ("score", "", "value", "how it was measured")[:width]
    styles, drop = _score_styles(scores), range(3, width)
    show_table([row[:width] for row in rows], header=header, right=(2,), fold=(3,), drop=drop, styles=styles)
    if common := _protocol_text(alike):
        status(f"all of them: {common}")


def show_main_scores(scores: Sequence[dict[str, Any]]) -> None:
    """Write the scores that matter most, headlines first, and how many others there are."""
    chosen = main_scores(scores)
    if not chosen:
        show_scores(scores)
        return
    header = ("score", "", "value")
    show_table([_score_cells(score) for score in chosen], header=header, right=(2,), styles=_score_styles(chosen))
    others = len(scores) - len(chosen)
    status("↑ higher is better, ↓ lower" + (f"; {others} more are shown by: genzoo show RUN" if others else ""))


def _score_cells(score: dict[str, Any]) -> tuple[str, str, str]:
    return score["metric"], arrow_of(score), value_text(score["value"])


def _score_styles(scores: Sequence[dict[str, Any]]) -> dict[tuple[int, int], str]:
    return {(row, 2): "red" if score.get("failure") else "bold" for row, score in enumerate(scores)}


def gradients_text(per_player_reason: str | None) -> str:
    """Return how a run takes its gradients."""
    return "one backward pass" if per_player_reason is None else f"a backward pass per player: {per_player_reason}"


def settings_texts(value: Mapping[str, Any]) -> list[str]:
    """Return the fields of settings as `name=value`, without those that are left open or empty."""
    return [
        f"{key}={_field_text(item)}" for key, item in value.items() if key != "name" and item not in (None, {}, [], "")
    ]


def _field_text(item: Any) -> str:
    if isinstance(item, dict) and "name" in item:
        inner = ", ".join(settings_texts(item))
        return f"{item['name']}({inner})" if inner else str(item["name"])
    if isinstance(item, list) and len(item) > _MOST_LISTED:
        return f"[{', '.join(map(str, item[:_MOST_LISTED]))}, … {len(item):,} in all]"
    return str(item)


def _protocol_text(protocol: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in protocol.items() if value is not None)
