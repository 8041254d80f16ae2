"""The program for a machine with a GPU ends within its minutes, keeps what it has, and needs nothing installed."""

import json
import os
import sys
from importlib.metadata import distributions, entry_points
from pathlib import Path
from runpy import run_path
from subprocess import run
from time import monotonic

import pytest

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def rehearse(folder, *options):
    """Return the results of a rehearsal on the CPU, and the lines that it printed."""
    command = [sys.executable, PROGRAM, "--device", "cpu", "--out", folder / "results.json", *options]
    done = run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "results.json").read_text()), done.stdout.splitlines()


def test_parts_for_which_no_time_is_left_are_named_and_left_out(tmp_path):
    began = monotonic()
    results, lines = rehearse(tmp_path, "--minutes", "0.1")
    assert monotonic() - began < 60
    about, *parts = results.values()
    assert about["device"] == "cpu"
    assert len(parts) > 15
    assert all("left out" in part for part in parts)
    assert len(lines) == 2 * len(parts)


def test_a_part_is_measured_and_shown_beside_what_was_predicted(tmp_path):
    results, lines = rehearse(tmp_path, "--minutes", "5", "--only", "failed capture")
    assert {recipe: part["steps"] for recipe, part in results["failed capture"].items()} == {
        "mixture25-paper": 7,
        "digits": 7,
    }
    assert lines[0].startswith("failed capture")
    assert "predicted" in lines[1]


@pytest.mark.parametrize(
    ("script", "seconds", "said"),
    [
        ("import time; time.sleep(60)", 1, "not done within 1 seconds"),
        ("raise SystemExit('no such device')", 60, "no such device"),
    ],
)
def test_a_part_that_fails_or_takes_too_long_is_said(script, seconds, said):
    program = run_path(str(PROGRAM))
    part = {"command": ["-c", script]}
    began = monotonic()
    assert program["take"](part, device="cuda", seconds=seconds, environment=dict(os.environ)) == {"failed": said}
    assert monotonic() - began < 50


def test_what_stands_in_for_an_installation_names_the_same_plugins(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); import gpu; gpu.metadata({str(tmp_path)!r})"
    run([sys.executable, "-c", code], check=True)
    (stand_in,) = distributions(path=[str(tmp_path)])
    assert stand_in.name == "genzoo"
    named = {(point.name, point.value) for point in stand_in.entry_points}
    installed = entry_points(group="genzoo")
    assert named == {(point.name, point.value) for point in installed if point.dist.name == "genzoo"}


@pytest.mark.slow
def test_every_part_runs_on_a_cpu(tmp_path):
    results, _ = rehearse(tmp_path, "--minutes", "20")
    assert [name for name, part in results.items() if "failed" in part or "left out" in part] == []
