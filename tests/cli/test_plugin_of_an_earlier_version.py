"""A plugin that was made for 0.1 runs on this version, and on the next one with warnings for what was renamed."""

import json
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from processes import python_path
from sites import on_the_path

import genzoo
from genzoo.host.discovery import registry
from genzoo.public.names import FORMER, Former

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "support" / "plugin_of_0_1"
DIGEST = "ce41f1451514fcecd0a541f2e59828066d5f43e8c29bb50375ac1d3dbc9f848a"
"""Of the plugin's files: it is frozen, and whatever it needs is kept or warned of."""

RENAMED = {"genzoo.evaluation.Score": "Measurement", "genzoo.types.DataSpec": "DataShape"}
"""What the next version of these tests calls by another name: a name of a package, and one of a plain module."""
LAST = "0.2"


def former():
    return {name: Former(LAST, f"{name.rpartition('.')[0]}.{now}") for name, now in RENAMED.items()}


@pytest.fixture
def installed(monkeypatch):
    """Have the plugin installed, and no other."""
    monkeypatch.setenv("GENZOO_PLUGINS", "genzoo_early")
    with on_the_path(PLUGIN):
        registry.cache_clear()
        yield
    registry.cache_clear()


def test_the_plugin_is_as_it_was_when_0_1_was_the_newest():
    files = [path for path in sorted(PLUGIN.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    text = b"".join(str(path.relative_to(PLUGIN)).encode() + path.read_bytes() for path in files)
    assert sha256(text).hexdigest() == DIGEST


@pytest.mark.usefixtures("installed")
def test_a_plugin_made_for_0_1_runs_on_this_version(say):
    trained = say("train", "early", "--recipe", "early-ring", "--json").document
    assert trained["step"] == 3
    assert "early-radius" in {score["metric"] for score in trained["scores"]}
    assert say("show", "early", "--json").document["fields"]["weight"] == 0.5
    again = say("evaluate", "1", "--metric", "early-radius", "--json").document
    assert [score["metric"] for score in again["scores"]] == ["early-radius"]
    assert say("early-size", trained["run"]).out == "2\n"


def of_next_version(folder):
    """Copy genzoo as a next version may be: with a new number, two names that are changed, and its table of them."""
    shutil.copytree(ROOT / "genzoo", folder / "genzoo", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (path for path in (folder / "genzoo").rglob("*") if path.suffix in (".py", ".pyi")):
        text = path.read_text()
        for name, now in RENAMED.items():
            text = re.sub(rf"\b{name.rpartition('.')[2]}\b", now, text)
        path.write_text(text)
    changed(folder / "genzoo" / "__init__.py", f'"{genzoo.__version__}"', f'"{LAST}.0"')
    changed(folder / "genzoo" / "public" / "names.py", "FORMER: dict[str, Former] = {}", f"FORMER = {former()!r}")


def changed(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_plugin_made_for_0_1_runs_on_the_next_version_and_is_told_what_to_change(tmp_path):
    of_next_version(tmp_path)
    environment = os.environ | {"GENZOO_PLUGINS": "genzoo_early", "PYTHONPATH": python_path(tmp_path, PLUGIN)}
    words = ["-W", "default", "-m", "genzoo", "train", "early", "--recipe", "early-ring", "--json"]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] == 3
    assert f"of genzoo-early 1.0 is made for genzoo <0.2,>=0.1, and this is {LAST}.0" in done.stderr
    for name, now in former().items():
        line = f"warning: DeprecationWarning: {name} will be removed: the last genzoo that has it is {LAST}"
        assert f"{line}; use {now.instead}\n" in done.stderr


@pytest.mark.usefixtures("installed")
def test_the_version_after_that_says_which_one_had_the_name_last(say, monkeypatch):
    monkeypatch.setattr(genzoo, "__version__", "0.3.0")
    for name, now in former().items():
        monkeypatch.setitem(FORMER, name, now)
    monkeypatch.delattr("genzoo.evaluation.Score", raising=False)  # as one that nobody has asked for yet
    said = say("show", "model:early")
    assert said.code == 4
    assert "cannot import name 'Score' from 'genzoo.evaluation'" in said.err
    assert f"; the last genzoo that has it is {LAST}; use genzoo.evaluation.Measurement" in said.err
    assert "is made for genzoo <0.2,>=0.1, and this is 0.3.0" in said.err
