"""The summary of a search: a table of its trials, the best settings, and the comparison that they are handed to."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genzoo_tune.search import FIRST_SEED, Journal, Search, command_text, failure_of, place_of, score_of, scores_of

_SHOWN = 5
"""How many of the best trials are printed."""
_COMPARED_SEEDS = 3
"""The seeds of the comparison that the best settings are handed over to."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial that has ended."""

    number: int
    values: dict[str, str]
    """By path, as they are typed after `--set PATH=`."""
    score: float | None
    """The mean over seeds; None for a trial that failed."""
    scores: list[float]
    failure: str | None
    folder: str
    """Where its runs are, from the folder of the search."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A search's trials that have ended, the best first, then those that failed."""

    folder: Path
    search: Search
    rows: tuple[TrialRow, ...]
    unended: int = 0
    """How many trials are under way, in other processes."""

    @classmethod
    def of(cls, journal: Journal) -> "Summary":
        """Return the summary of a journal as it is now."""
        trials = journal.trials()
        trials.sort(key=lambda each: (each.value is None, each.value or 0.0, each.number))
        rows = [
            TrialRow(
                number=trial.number,
                values={each.path: each.text(trial.params[each.path]) for each in journal.search.ranges},
                score=score_of(trial),
                scores=scores_of(trial),
                failure=failure_of(trial),
                folder=os.path.join("trials", f"{place_of(trial):04}"),
            )
            for trial in trials
        ]
        return cls(folder=journal.folder, search=journal.search, rows=tuple(rows), unended=journal.unended)

    @property
    def best(self) -> TrialRow | None:
        """The trial with the best score; None if all failed."""
        return next((row for row in self.rows if row.score is not None), None)

    def write(self) -> None:
        """Write table.md and results.json, each whole or not at all."""
        _write(self.folder / "results.json", json.dumps({"schema_version": 1, **self.document()}, indent=2) + "\n")
        title = f"{self.search.model} on {self.search.recipe}, tuned by {self.search.score} on the validation split"
        header, *rows = self._table(len(self.rows), digits=6)
        lines = [title, "", *map(_line, [header, ["---"] * len(header), *rows]), ""]
        words = self.comparison()
        lines += [] if words is None else [self.warning(), "", f"    {command_text(words)}", ""]
        _write(self.folder / "table.md", "\n".join(lines))

    def document(self) -> dict[str, Any]:
        """Return the content of results.json."""
        best = self.best
        words = self.comparison()
        return {
            **{key: value for key, value in self.search.identity.items() if key != "file"},
            "folder": str(self.folder),
            "seeds": list(range(FIRST_SEED, FIRST_SEED + self.search.seeds)),
            "split": "validation",
            "best": None if best is None else {"trial": best.number, "score": best.score, "set": best.values},
            "then": None if words is None else command_text(words),
            "unended": self.unended,
            "trials": [
                {
                    "trial": row.number,
                    "set": row.values,
                    "score": row.score,
                    "scores": row.scores,
                    "failure": row.failure,
                    "runs": row.folder,
                }
                for row in self.rows
            ],
        }

    def text(self) -> str:
        """Return the best trials as an aligned table, and where all are."""
        table = self._table(_SHOWN, digits=4)
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        failed = sum(row.score is None for row in self.rows)
        ended = f"{len(self.rows)} trials" + (f", {failed} of them failed" if failed else "")
        return "\n".join([*(line.rstrip() for line in lines), f"{ended}; all: {self.folder / 'table.md'}"])

    def warning(self) -> str:
        """Return what the best score is not."""
        assert self.best is not None
        return (
            f"The score of trial {self.best.number} is the best of {len(self.rows)}, on the rows by which it was "
            "chosen, so it is optimistic. To train these settings and the former ones with other seeds, and to measure "
            "both on the test split, type:"
        )

    def comparison(self) -> list[str] | None:
        """Return the words after `genzoo` of the comparison with the best settings; None if all trials failed."""
        return None if self.best is None else self.search.comparison(self.best.values, seeds=_COMPARED_SEEDS)

    def _table(self, most: int, *, digits: int) -> list[list[str]]:
        paths = [each.path for each in self.search.ranges]
        last = [path.rpartition(".")[2] for path in paths]
        names = [name if last.count(name) == 1 else path for path, name in zip(paths, last, strict=True)]
        rows = [["trial", *names, self.search.score]]
        for row in self.rows[:most]:
            score = f"{row.score:.{digits}g}" if row.score is not None else f"failed: {row.failure}"
            rows.append([str(row.number), *(row.values[path] for path in paths), score])
        return rows


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    staged = path.with_name(f".{path.name}-{os.getpid()}")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)
