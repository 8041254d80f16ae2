"""Public names stay: one that is taken away is written into the changelog, and a plugin's import of it is explained."""

import runpy
from pathlib import Path

from genzoo.public.names import FORMER, Former

ROOT = Path(__file__).parents[2]
API = runpy.run_path(str(ROOT / "docs" / "make_api.py"))
BEFORE = Path(__file__).with_name("public_names.txt").read_text().split()
"""The public names of version 0.1. A name that comes later is added here with the version that brings it."""


def names_now():
    return {f"{module}.{name}" for module in API["public_modules"]() for name in API["names_of"](module)}


def reminders(before, now, *, former, changelog):
    """Return what is left to do about every name that is no longer there."""
    section = changelog.partition("### Removed\n")[2].partition("\n### ")[0]
    return [
        f"{name} is gone: write `{name}` into CHANGELOG.md under Removed, and into FORMER of genzoo/public/names.py "
        "the last version that has it, and what to use instead"
        for name in before
        if name not in now and (name not in former or f"`{name}`" not in section)
    ]


def test_every_public_name_is_there_or_said_to_be_removed():
    assert len(BEFORE) > 150
    assert reminders(BEFORE, names_now(), former=FORMER, changelog=(ROOT / "CHANGELOG.md").read_text()) == []


def test_who_removes_a_name_is_reminded_of_the_changelog_and_of_plugins():
    now = names_now() - {"genzoo.games.Hinge"}
    (reminder,) = reminders(BEFORE, now, former={}, changelog="### Removed\n")
    assert reminder.startswith("genzoo.games.Hinge is gone: write `genzoo.games.Hinge` into CHANGELOG.md under Removed")
    half = {"former": {"genzoo.games.Hinge": Former("0.1")}, "changelog": "### Added\n* `genzoo.games.Hinge`\n"}
    assert len(reminders(BEFORE, now, **half)) == 1
    done = half | {"changelog": "### Removed\n\n* `genzoo.games.Hinge`\n\n### Fixed\n"}
    assert reminders(BEFORE, now, **done) == []


def test_nothing_is_said_to_be_gone_that_is_there_and_what_takes_a_place_is():
    assert {name for name, former in FORMER.items() if not former.is_offered} & names_now() == set()
    assert {former.instead for former in FORMER.values()} - {""} <= names_now()
