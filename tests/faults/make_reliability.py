"""Tries every fault that tests note with `tally`, and writes the table of docs/reliability.md.

Run it with `python tests/faults/make_reliability.py`, and with `--slow` for the long forms; with `--rows FILE` it
takes what test runs with GENZOO_TALLY=FILE have noted there. A fault that was not survived has its row, too.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import torch

_HERE = Path(__file__).parent
_PAGE = _HERE.parents[1] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- table: made by tests/faults/make_reliability.py -->", "<!-- end of the table -->"


def tried(place, *, slow):
    """Run every test file that tallies faults, and return its rows."""
    files = [
        str(path) for path in sorted(_HERE.parent.rglob("test_*.py")) if "tally(" in path.read_text(encoding="utf-8")
    ]
    marks = [] if slow else ["-m", "not slow"]
    if slow:
        marks = ["-m", "slow or not slow", "--timeout", "7200"]
    command = [sys.executable, "-m", "pytest", "-q", *marks, *files]
    code = subprocess.run(command, env={**os.environ, "GENZOO_TALLY": str(place)}, check=False).returncode
    return code, noted(place)


def noted(place):
    """Return the rows that test runs have written to a file."""
    return [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()] if place.exists() else []


def table(rows):
    """Return the rows as Markdown, those of one fault and test added up, in the words of the one that tried most."""
    merged = {}
    for row in sorted(rows, key=lambda row: -row["tries"]):
        known = merged.setdefault((row["test"], row["fault"]), {**row, "tries": 0, "survived": 0, "seconds": 0.0})
        for name in ("tries", "survived", "seconds"):
            known[name] += row[name]
    lines = ["| fault | tries | survived | plain `torch.save` | how | time | test |", "|---|---|---|---|---|---|---|"]
    for row in sorted(merged.values(), key=lambda row: (row["test"], row["fault"])):
        name = row["test"].removeprefix("tests/")
        cells = (
            row["fault"],
            f"{row['tries']:,}",
            f"{row['survived']:,}",
            row["plain"],
            row["how"],
            f"{row['seconds']:.0f} s",
            f"`{name}`",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slow", action="store_true", help="the long forms as well")
    parser.add_argument("--rows", type=Path, help="what was noted before, in place of a run")
    chosen = parser.parse_args()
    if chosen.rows:
        write(noted(chosen.rows), slow=chosen.slow)
        return
    with tempfile.TemporaryDirectory() as folder:
        code, rows = tried(Path(folder) / "tally", slow=chosen.slow)
    write(rows, slow=chosen.slow)
    if code:
        sys.exit(f"the tests ended with {code}")


def write(rows, *, slow):
    """Put the rows into the page."""
    page = _PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    told = (
        f"{datetime.now(UTC):%Y-%m-%d}, {'long forms' if slow else 'default forms'}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}."
    )
    for what, are_inputs in (("faults", False), ("contents made up", True)):
        of_it = [row for row in rows if row.get("inputs", False) == are_inputs]
        tries, survived = (sum(row[name] for row in of_it) for name in ("tries", "survived"))
        told += f" {tries:,} {what}, {survived:,} survived." if of_it else ""
    _PAGE.write_text(f"{before}{_BEGIN}\n\n{told}\n\n{table(rows)}\n\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
