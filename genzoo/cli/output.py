"""Output of the command line: status on stderr, results on stdout, or one JSON document with `--json`."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from genzoo.storage.files import SCHEMA_VERSION
from genzoo.text import printable


def status(text: str) -> None:
    """Write a line of status to stderr, if it is open."""
    if sys.stderr is None:  # print would write to stdout instead
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # the disk is full or the reader is gone; the command ends as it would have
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process


def result(text: str) -> None:
    """Write a line of results to stdout."""
    print(text)


def result_json(document: dict[str, Any]) -> None:
    """Write `document`, with its schema version, as the one JSON document on stdout."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2))


def columns(rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Sequence[int] = ()) -> str:
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


def show_scores(scores: Sequence[dict[str, Any]]) -> None:
    """Write scores with their protocols as a table, or a line of status if there are none."""
    if not scores:
        status("no installed metric can measure this model")
        return
    rows = [(score["metric"], value_text(score["value"]), _protocol_text(score["protocol"])) for score in scores]
    result(columns(rows, header=("score", "value", "how it was measured"), right=(1,)))


def gradients_text(per_player_reason: str | None) -> str:
    """Return how a run takes its gradients."""
    return "one backward pass" if per_player_reason is None else f"a backward pass per player: {per_player_reason}"


def value_text(value: float | None) -> str:
    """Return a score's value with six digits."""
    return "not finite" if value is None else f"{value:.6g}"


def _protocol_text(protocol: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in protocol.items() if value is not None)
