"""Nothing private enters what is written: no name of a user, machine or folder, and no environment."""

import getpass
import json
import socket
from pathlib import Path

import pytest
from toy import TOY

import genzoo
from genzoo.runs import export_run

CANARY = "canary-of-a-private-thing"


@pytest.fixture
def private(monkeypatch, tmp_path):
    """Return texts of this process's user, machine, folders and environment, all of which can be told apart."""
    home = tmp_path / f"{CANARY}-home"
    home.mkdir()
    for name in ("HOME", "USER", "LOGNAME", "SECRET_TOKEN", "GENZOO_ANYTHING"):
        monkeypatch.setenv(name, str(home) if name == "HOME" else f"{CANARY}-{name}")
    monkeypatch.setattr(socket, "gethostname", lambda: f"{CANARY}-host")
    monkeypatch.setattr("platform.node", lambda: f"{CANARY}-node")
    monkeypatch.chdir(home)
    assert CANARY in getpass.getuser()
    return home


def files_with(text, folder):
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_a_run_and_what_is_exported_of_it_hold_nothing_private(private):
    run = genzoo.train("gan", overrides=TOY, track=["csv", "tensorboard"])
    with run.hold():  # which names process and machine, for who finds the run in use
        assert files_with(CANARY, run.path) == ["holder.json"]
    genzoo.resume(run, steps=5)
    genzoo.evaluate(run, metrics=["modes"])
    export_run(run, Path("given"))
    assert len(list(run.path.rglob("*"))) > 10
    assert list(run.path.rglob("events.out.tfevents.*"))
    assert [path for path in run.path.rglob("*") if CANARY in str(path.relative_to(run.path))] == []
    assert [path for path in Path("given").rglob("*") if "tracker" in path.name] == []
    for folder in (run.path, Path("given")):
        assert files_with(CANARY, folder) == []
        assert files_with(str(private.parent), folder) == []


def test_a_report_holds_nothing_private(private):
    comparison = genzoo.compare(["gan"], overrides=TOY, jobs=1, track=["csv"])
    assert len(list(Path("comparisons").rglob("numbers.csv"))) == 1
    assert json.loads((comparison.folder / "results.json").read_text())["cells"][0]["failure"] == ""
    assert files_with(CANARY, Path("comparisons")) == []
    assert files_with(str(private.parent), Path("comparisons")) == []
