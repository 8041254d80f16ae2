"""`genzoo plugin`: a new plugin of every kind passes its own tests, a mistake is found, and the doctor looks."""

import json
import os
import subprocess
import sys

import pytest
from processes import python_path
from sites import on_the_path

from genzoo import __version__
from genzoo.host.discovery import registry
from genzoo.public.names import FORMER, Former

MISTAKE = '''
from dataclasses import dataclass
from typing import ClassVar

from genzoo import Game, Losses, Networks


@dataclass(frozen=True, kw_only=True)
class Key(Game):
    """A game that fails."""

    name: ClassVar[str] = "key"

    def build(self, architecture, data):
        return Networks(decoder=architecture.decoder(data))

    def losses(self, networks, batch, movers):
        return Losses({"generator": {}["what"]}, {})
'''
LAWFUL = '''
from dataclasses import dataclass
from typing import ClassVar

import torch

from genzoo.games import Law


@dataclass(frozen=True, kw_only=True)
class Normal(Law):
    """A prior of a class that has another name by now."""

    name: ClassVar[str] = "lawful"

    def draw(self, rows, latent, generator):
        return torch.randn(rows, latent, generator=generator)
'''
KINDS = ["model", "prior", "architecture", "dataset", "recipe", "metric", "command", "study", "executor", "tracker"]
HOOKS = [
    "models",
    "components",
    "architectures",
    "datasets",
    "recipes",
    "metrics",
    "commands",
    "studies",
    "executors",
    "trackers",
]


def run(folder, *command, path=()):
    environment = os.environ | {"PYTHONPATH": python_path(*path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


def installed(folder, *kinds):
    """Write and install a plugin of these kinds below a folder, without network, and return the folder of its tests."""
    written = run(folder, "genzoo", "plugin", "new", "genzoo-fresh", *(f"--kind={kind}" for kind in kinds))
    assert written.returncode == 0, written.stderr
    pip = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", "site"]
    done = run(folder, *pip, "./genzoo-fresh")
    assert done.returncode == 0, done.stderr
    return folder / "genzoo-fresh" / "tests"


def test_a_new_plugin_passes_its_own_tests_and_its_check(tmp_path):
    tests = installed(tmp_path, "prior")
    passed = run(tests, "pytest", "-q", "-p", "no:cacheprovider", ".", path=[tmp_path / "site"])
    assert passed.returncode == 0, passed.stdout
    checked = run(tmp_path, "genzoo", "plugin", "check", "genzoo-fresh", "--json", path=[tmp_path / "site"])
    assert checked.returncode == 0, checked.stderr
    names = {entry["check"] for entry in json.loads(checked.stdout)["checks"]}
    assert {"summary", "json", "draw", "density"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_of_every_kind_passes_its_own_tests_and_types(tmp_path, kind):
    tests = installed(tmp_path, kind)
    passed = run(tests, "pytest", "-q", "-p", "no:cacheprovider", ".", path=[tmp_path / "site"])
    assert passed.returncode == 0, passed.stdout
    assert "passed" in passed.stdout
    typed = run(tests.parent, "mypy")
    assert typed.returncode == 0, typed.stdout
    checked = run(tmp_path, "genzoo", "plugin", "check", "genzoo-fresh", path=[tmp_path / "site"])
    assert checked.returncode == 0, checked.stderr


def test_every_kind_of_the_registry_can_be_written(say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = say("plugin", "new", "genzoo-all", *(f"--kind={kind}" for kind in KINDS))
    assert said.code == 0
    module = (tmp_path / "genzoo-all" / "genzoo_all" / "__init__.py").read_text()
    compile(module, "genzoo_all", "exec")
    for hook in (
        "models",
        "components",
        "architectures",
        "datasets",
        "recipes",
        "metrics",
        "commands",
        "studies",
        "executors",
        "trackers",
    ):
        assert f"def genzoo_{hook}()" in module
    again = say("plugin", "new", "genzoo-all")
    assert again.code == 2
    assert "is there already" in again.err


def test_a_mistake_in_a_file_is_found_with_its_place(say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mistaken.py").write_text(MISTAKE)
    said = say("plugin", "check", "./mistaken.py:Key", "--json")
    assert said.code == 4
    line = MISTAKE[: MISTAKE.index('{}["what"]')].count("\n") + 1
    failed = [entry for entry in json.loads(said.out)["checks"] if not entry["passed"]]
    assert {entry["found"] for entry in failed} == {f"Key.losses, mistaken.py:{line}: KeyError: 'what'"}
    assert "losses" in {entry["check"] for entry in failed}
    trained = say("train", "./mistaken.py:Key", "--quiet")
    assert trained.code == 4
    assert trained.err.startswith(f"error: Key.losses, mistaken.py:{line}: KeyError: 'what'\n")


def test_a_check_tells_of_names_that_will_be_removed(say, tmp_path, monkeypatch):
    minor = __version__.rpartition(".")[0]
    monkeypatch.setitem(FORMER, "genzoo.games.Law", Former(minor, "genzoo.games.Prior"))
    (tmp_path / "lawful.py").write_text(LAWFUL)
    said = say("plugin", "check", "./lawful.py:Normal")
    assert said.code == 0
    told = f"genzoo.games.Law will be removed: the last genzoo that has it is {minor}; use genzoo.games.Prior"
    assert f"warning: DeprecationWarning: {told}\n" in said.err


def test_the_doctor_says_what_is_installed_and_from_where(say):
    plugins = json.loads(say("plugin", "doctor", "--json").out)["plugins"]
    core = next(plugin for plugin in plugins if plugin["name"] == "genzoo")
    assert core["offers"]["components"] > 0
    assert core["place"].endswith("genzoo/__init__.py")
    assert all(plugin["cause"] is None for plugin in plugins)
    assert "all well" in say("plugin", "doctor").out


@pytest.fixture
def site(tmp_path):
    """Give a folder of distributions that this process sees."""
    (tmp_path / "site").mkdir()
    with on_the_path(tmp_path / "site") as folder:
        registry.cache_clear()
        yield folder
    registry.cache_clear()


@pytest.mark.parametrize(
    ("source", "code", "error"),
    [
        (
            "def genzoo_models(): return []",
            4,
            "genzoo-bare 1.0 is broken: PluginError: genzoo_models must be marked @hookimpl; without it, nothing is",
        ),
        ("'''Nothing yet.'''", 2, "genzoo-bare offers nothing to check"),
    ],
    ids=["a hook without its mark", "no hooks"],
)
def test_a_distribution_that_offers_nothing_is_told_of_by_its_own_fault(say, site, source, code, error):
    site.install("genzoo-bare", source)
    said = say("plugin", "check", "genzoo-bare")
    assert said.code == code
    assert f"error: {error}" in said.err
    assert "did you mean" not in said.err
    assert ("broken: " in say("plugin", "doctor").out) == (code == 4)
