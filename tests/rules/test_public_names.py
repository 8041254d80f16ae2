"""Public names stay: one that is taken away is written into the changelog, and a plugin's import of it is explained."""

import runpy
from pathlib import Path

from genzoo.host.versions import REMOVED

ROOT = Path(__file__).parents[2]
API = runpy.run_path(str(ROOT / "docs" / "make_api.py"))
BEFORE = Path(__file__).with_name("public_names.txt").read_text().split()
"""The public names of version 0.1. A name that comes later is added here with the version that brings it."""


def names_now():
    return {f"{module}.{name}" for module in API["public_modules"]() for name in API["names_of"](module)}


def reminders(before, now, *, removed, changelog):
    """Return what is left to do about every name that is no longer there."""
    section = changelog.partition("### Removed\n")[2].partition("\n### ")[0]
    return [
        f"{name} is gone: write `{name}` into CHANGELOG.md under Removed, and it and the last version that had it into "
        "REMOVED of genzoo/host/versions.py"
        for name in before
        if name not in now and (name not in removed or f"`{name}`" not in section)
    ]


def test_every_public_name_is_there_or_said_to_be_removed():
    assert len(BEFORE) > 150
    assert reminders(BEFORE, names_now(), removed=REMOVED, changelog=(ROOT / "CHANGELOG.md").read_text()) == []


def test_who_removes_a_name_is_reminded_of_the_changelog_and_of_plugins():
    now = names_now() - {"genzoo.games.Hinge"}
    (reminder,) = reminders(BEFORE, now, removed={}, changelog="### Removed\n")
    assert reminder.startswith("genzoo.games.Hinge is gone: write `genzoo.games.Hinge` into CHANGELOG.md under Removed")
    half = {"removed": {"genzoo.games.Hinge": "0.1.0"}, "changelog": "### Added\n* `genzoo.games.Hinge`\n"}
    assert len(reminders(BEFORE, now, **half)) == 1
    done = half | {"changelog": "### Removed\n\n* `genzoo.games.Hinge`\n\n### Fixed\n"}
    assert reminders(BEFORE, now, **done) == []


def test_nothing_is_said_to_be_removed_that_is_there():
    assert set(REMOVED) & names_now() == set()
