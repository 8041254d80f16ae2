"""The folder of a report, chosen so that no report replaces one on other trainings. Needs no torch."""

import hashlib
import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path, PurePath

from genzoo.errors import SettingsError, UnreadableError
from genzoo.storage import files

RESULTS = "results.json"
_LONGEST = 80
"""The largest number of characters of a folder's name, which file systems limit to 255 bytes."""

LabelledRun = tuple[str, str]
"""The label of a contestant and the name of a run folder."""


def free_folder(root: Path, labels: Sequence[str], trainings: Sequence[LabelledRun]) -> Path:
    """Return the folder below `root` for a report on these trainings, named after the contestants.

    It is numbered if reports on other trainings have the names before it. A report on some of the trainings, such as
    fewer seeds, is continued.
    """
    name = _name_for(labels)
    numbered = (root / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in numbered if not folder.exists() or _reports_on_some_of(folder, trainings))


def refuse_other_report(folder: Path, trainings: Sequence[LabelledRun]) -> None:
    """Raise `SettingsError` if `folder` holds a report on other trainings; one that cannot be read is none."""
    try:
        reported = _trainings(folder)
    except UnreadableError:
        return
    if reported.keys() - set(trainings):
        labels = ", ".join(sorted({label for label, _ in reported}))
        raise SettingsError(
            f"{folder} holds a report on {labels or 'something else'}, with trainings that are not in this one",
            "choose another folder: --report DIR, or leave it out",
        )


def _reports_on_some_of(folder: Path, trainings: Sequence[LabelledRun]) -> bool:
    try:
        return not _trainings(folder).keys() - set(trainings)
    except UnreadableError:
        return False


def reported_reuse(folder: Path) -> dict[LabelledRun, bool]:
    """Return the trainings of the report in `folder`, and whether each was done before it; none without a report."""
    try:
        return _trainings(folder)
    except UnreadableError:
        return {}


def _trainings(folder: Path) -> dict[LabelledRun, bool]:
    """Return the trainings that the report in `folder` is on, and whether each was done before it."""
    cells = files.read_json(folder / RESULTS, "a comparison's results").get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        return {("", ""): False}  # the results of something else, such as a study
    return {(str(cell.get("label")), PurePath(str(cell.get("run"))).name): bool(cell.get("reused")) for cell in cells}


def _name_for(labels: Sequence[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(labels)).lstrip(".") or "report"
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
