"""The threads of a training, and the shell's completion of names and runs."""

import os
import subprocess
import sys

import pytest
import torch
from toy import RECORD, TOY

from genzoo.runs import threads
from genzoo.runs.threads import idle_threads, use_threads
from genzoo.storage.record import RunRecord
from genzoo.storage.run_folder import Run

TOY_OPTIONS = [part for path, value in TOY.items() for part in ("--set", f"{path}={value}")]


@pytest.fixture(autouse=True)
def threads_as_before(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


def run_with(path, count):
    """Write the record of a run that was trained with so many threads."""
    path.mkdir()
    Run(path).write_record(RunRecord.from_json(RECORD | {"threads": count}))
    return Run(path)


@pytest.mark.parametrize(
    ("cores", "load", "expected"), [(8, 0.2, None), (8, 2.6, 5), (8, 7.7, 1), (2, 30.0, 1), (1, 0.0, None)]
)
def test_a_loaded_machine_leaves_its_idle_cores(monkeypatch, cores, load, expected):
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 99.0, 99.0))
    assert idle_threads() == expected


def test_where_no_load_is_known_torch_chooses(monkeypatch):
    monkeypatch.delattr(os, "getloadavg")
    assert idle_threads() is None


def test_what_was_asked_for_comes_first_then_the_environment_the_run_and_the_load(monkeypatch, tmp_path):
    run = run_with(tmp_path / "run", 3)
    monkeypatch.setattr(threads, "idle_threads", lambda: 2)
    use_threads(None, run)
    assert torch.get_num_threads() == 1  # as the environment says
    use_threads(4, run)
    assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (4, "4")
    for of, expected in ((run, 3), (None, 2), (run_with(tmp_path / "older", None), 2), (Run(tmp_path / "none"), 2)):
        monkeypatch.delenv("OMP_NUM_THREADS")
        use_threads(None, of)
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (expected, str(expected))


def test_a_header_and_a_record_say_the_threads(say, tmp_path):
    said = say("train", "vae", *TOY_OPTIONS, "--device", "cpu", "--threads", "2", "--run", "two")
    assert "  (seed 0, cpu, fp32, 2 threads)" in said.err
    assert Run(tmp_path / "two").record.threads == 2
    torch.set_num_threads(1)
    one = say("resume", "two", "--threads", "1", "--steps", "5")
    assert "  (seed 0, cpu, fp32, 1 thread)" in one.err
    assert say("train", "vae", "--threads", "0").code == 2


# Completion


@pytest.fixture
def home(monkeypatch, tmp_path):
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_or_installed_once(say, home, shell):
    script = say("completion", shell).out
    assert "_GENZOO_COMPLETE" in script
    assert list(home.iterdir()) == []
    start = home / f".{shell}rc"
    start.write_text("true")
    for _ in range(2):
        (path,) = say("completion", shell, "--install").out.splitlines()
        with open(path) as file:
            assert file.read().strip() == script.strip()
    lines = start.read_text().splitlines()
    assert lines[0] == "true"
    assert [line.endswith(f"source {path}") for line in lines[1:]] == ([] if shell == "fish" else [True])


def test_bash_completes_models_recipes_and_runs(say, home, tmp_path):
    (tmp_path / "runs").mkdir()
    run_with(tmp_path / "runs" / "0007-ali-digits-s0", 1)
    say("completion", "bash", "--install")
    genzoo = tmp_path / "genzoo"
    genzoo.write_text(f'#!/bin/sh\nexec {sys.executable} -m genzoo "$@"\n')
    genzoo.chmod(0o755)
    cases = {
        "train ali": "ali",
        "train ali --recipe digi": "digits",
        "show 7": "0007",
        "train gan --from runs/": "0007",
    }
    for typed, expected in cases.items():
        words = ["genzoo", *typed.split()]
        asked = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _genzoo_completion genzoo"
        command = ["bash", "-c", f'source ~/.bashrc; {asked}; printf "%s\\n" "${{COMPREPLY[@]}}"']
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
        assert any(expected in line for line in found.stdout.splitlines()), (typed, found)
