"""Closed streams, narrow encodings, odd environments and paths that are no text: told or survived, never exit 1."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy import TOY

import genzoo
from genzoo import cli
from genzoo.data import root
from genzoo.storage.run_folder import Run

TOY_OPTIONS = [part for path, value in TOY.items() for part in ("--set", f"{path}={value}")]
CLOSED = """
import os, sys
for descriptor in map(int, sys.argv[1].split(",")):
    os.close(descriptor)
os.execv(sys.executable, [sys.executable, "-m", "genzoo", *sys.argv[2:]])
"""


def code_with_closed(descriptors, *arguments):
    """Return the exit code and stderr of a command of which these descriptors are closed."""
    command = [sys.executable, "-c", CLOSED, ",".join(map(str, descriptors)), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("descriptors", [(1,), (2,), (0, 1, 2)])
def test_a_command_whose_streams_are_closed_ends_as_with_open_ones(descriptors):
    assert code_with_closed(descriptors, "--help") == (0, "")


def test_a_training_whose_streams_are_closed_trains(tmp_path):
    """Its pipe of signals got the descriptor of stdout, which what a plugin prints is sent away from."""
    code, err = code_with_closed((0, 1), "train", "gan", *TOY_OPTIONS, "--run", tmp_path / "run", "--quiet")
    assert code == 0, err
    assert "Traceback" not in err
    assert Run(tmp_path / "run").step == 4


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stdout_that_knows_few_characters_is_written_to(monkeypatch, encoding):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "argv", ["genzoo", "show", "mixture25", "--model", "ali"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    written = stdout.buffer.getvalue().decode(encoding)
    assert "mixture25" in written
    assert ("\N{MIDDLE DOT}" in written) is (encoding != "ascii")


@pytest.mark.parametrize(
    ("variables", "code", "told"),
    [
        ({"WORLD_SIZE": ""}, 0, ""),
        ({"WORLD_SIZE": "abc"}, 2, "WORLD_SIZE is 'abc', expected a number"),
        ({"WORLD_SIZE": "2"}, 2, "RANK is not set"),
        ({"WORLD_SIZE": "2", "RANK": "first"}, 2, "RANK is 'first', expected a number"),
    ],
)
def test_an_environment_as_of_a_launcher_that_is_none_is_told(say, monkeypatch, variables, code, told):
    monkeypatch.delenv("RANK", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = say("train", "gan", *TOY_OPTIONS, "--run", "run") if code else say("list", "models")
    assert said.code == code
    assert told in said.err


def test_a_user_without_a_home_has_a_folder_of_data(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENZOO_DATA", raising=False)

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert root.data_root() == tmp_path / ".cache" / "genzoo" / "data"


def test_a_run_whose_path_is_no_text_is_read_again(tmp_path):
    """It was trained with exit 0, and nothing could open it afterwards."""
    run = genzoo.train("gan", overrides=TOY, run=tmp_path / os.fsdecode(b"run \xff"))
    assert genzoo.load(run).step == 4
    assert genzoo.resume(run).step == 4
