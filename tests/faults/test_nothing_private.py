"""What is written holds no name of a user, machine or folder and no environment, and is as open as the umask says."""

import getpass
import os
import platform
import socket
import stat
import sys
from pathlib import Path

import pytest
from photographs import write_pngs
from PIL import Image
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


def private_texts(private):
    """Return this machine's, this user's and this process's texts that nothing written may hold."""
    values = {value for name, value in os.environ.items() if len(value) > 7 and name != "PYTEST_CURRENT_TEST"}
    names = {socket.gethostname(), platform.node(), getpass.getuser(), CANARY, str(private.parent), sys.prefix}
    return sorted(values | names | {str(Path(genzoo.__file__).parent)})


def write_everything(say):
    """Write a data set, a run that draws, is measured, noted and exported, and a report; return their folders."""
    write_pngs(Path("photographs"), 10, size=(16, 16))
    assert say("data", "prepare", "folder32", "--source", "photographs", "--data", "data", "--jobs", "1").code == 0
    run = genzoo.train("gan", overrides=TOY, run="a-run")
    genzoo.resume(run, steps=5)
    genzoo.evaluate(run, metrics=["modes"])
    assert say("note", "a-run", "worth a look", "--tag", "good").code == 0
    assert say("sample", "a-run", "--out", "a-run/drawn.png").code == 0
    export_run(run, Path("given"))
    assert genzoo.compare(["gan"], overrides=TOY, jobs=1, report="report", track=["csv"]).results.failures == []
    return [Path(name) for name in ("data", "a-run", "given", "report")]


@pytest.mark.parametrize(
    "mask", [pytest.param(0o022, marks=pytest.mark.slow), 0o027, pytest.param(0o077, marks=pytest.mark.slow)]
)
def test_all_that_is_written_is_as_open_as_the_umask_says_and_holds_nothing_private(
    say, private, trained_here, monkeypatch, mask
):
    monkeypatch.chdir(private)  # an empty folder, in which `say` does not begin
    before = os.umask(mask)
    try:
        folders = write_everything(say)
    finally:
        os.umask(before)
    written = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    wrong = {
        str(path): oct(stat.S_IMODE(path.stat().st_mode))
        for path in written
        if stat.S_IMODE(path.stat().st_mode) != (0o777 if path.is_dir() else 0o666) & ~mask
    }
    assert wrong == {}
    texts = private_texts(private)
    assert len(texts) > 5
    assert [(text, files_with(text, folder)) for text in texts for folder in folders if files_with(text, folder)] == []
    assert [path for path in written if any(text in str(path) for text in texts)] == []
    pictures = [path for path in written if path.suffix == ".png"]
    assert len(pictures) > 3
    assert {key for path in pictures for key in Image.open(path).info} <= {"Software", "dpi"}
