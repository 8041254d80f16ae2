"""`genzoo verify`, `repair` and `gc`: all of a run is read, what is damaged is set aside, and nothing goes unasked."""

import json
import os
import struct
import zlib

import pytest
from toy import record

from genzoo.storage import checkpoints, files
from genzoo.storage.run_folder import Run
from genzoo.storage.run_notes import RunNote

SCORE = {"metric": "m", "value": 1.0, "step": 6, "protocol": {}}


def png():
    """Return a picture of one grey pixel."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\x80")),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def made(path, *, steps=(2, 4, 6), seed=0):
    """Make a run folder with a checkpoint per step, a log, scores, a picture and a note."""
    run = Run(path)
    (path / "samples").mkdir(parents=True)
    run.write_record(record(seed=seed, settings={"training": {"steps": 6, "log_every": 2}}))
    for step in steps:
        run.log({"step": step, "seconds": 1.0})
        state = files.json_bytes({"schema_version": 1, "step": step, "seed": seed, "seconds": 1.0})
        content = {"networks.safetensors": b"n" * 100, "optimizers.safetensors": b"o" * 100, "state.json": state}
        checkpoints.save(run.checkpoints, step=step, files=content, keep=9)
    run.write_scores([SCORE])
    (path / "samples" / "0000006.png").write_bytes(png())
    RunNote(text="a note").write(run)
    return run


@pytest.fixture
def run(tmp_path):
    return made(tmp_path / "runs" / "0001-toy")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def of_another_run(path):
    state = json.loads(path.read_bytes()) | {"seed": 9}
    folder = path.parent
    content = {each.name: each.read_bytes() for each in folder.iterdir() if each.name != "MANIFEST.json"}
    content["state.json"] = files.json_bytes(state)
    checkpoints.save(folder.parent, step=6, files=content, keep=9)


def step_twice(path):
    path.write_text(path.read_text() + '{"step": 4}\n')


DAMAGES = {
    "checkpoints/step-0000006/networks.safetensors": flip,
    "checkpoints/step-0000004/MANIFEST.json": cut,
    "checkpoints/step-0000006/state.json": of_another_run,
    "evaluation.json": flip,
    "metrics.jsonl": step_twice,
    "note.json": cut,
    "samples/0000006.png": cut,
}


def test_a_damaged_picture_of_the_game_is_found_and_set_aside(say, run):
    folder = run.path / "pictures" / "categories"
    folder.mkdir(parents=True)
    (folder / "0000006.png").write_bytes(png()[:-9])
    assert say("verify", run.path).code == 3
    assert say("repair", run.path).code == say("verify", run.path).code == 0
    assert next(path.name for path in folder.iterdir()).startswith("damaged-0000006.png")
    assert say("gc", run.path, "--delete").code == 0
    assert not list(folder.iterdir())


def test_a_whole_run_is_verified_and_nothing_is_changed(say, run):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    said = say("verify", run.path)
    assert said.code == 0
    assert "a run: 3 checkpoints, 1 picture" in said.out
    assert say("verify", "runs", "--json").document["damages"] == []
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_named_then_set_aside_and_the_run_goes_on(say, run, name):
    DAMAGES[name](run.path / name)
    said = say("verify", "1")
    place = "step-0000006" if "0006/" in name else "step-0000004" if "0004/" in name else name
    assert (said.code, place in said.err) == (3, True)
    assert f"genzoo repair {run.path.relative_to(run.path.parents[1])}" in said.err
    contents = sum(len(path.read_bytes()) for path in run.path.rglob("*") if path.is_file())
    repaired = say("repair", "runs", "--json").document
    assert [place in item["path"] for item in repaired["repaired"]] == [True]
    assert repaired["damages"] == []
    assert say("verify", run.path).code == 0
    assert sum(len(path.read_bytes()) for path in run.path.rglob("*") if path.is_file()) >= contents
    whole = [step for step in (2, 4, 6) if f"step-{step:07d}" not in name]
    assert checkpoints.steps(run.checkpoints) == whole
    assert [entry["step"] for entry in run.read_log()] == [2, 4, 6]
    assert say("repair", run.path).err == "there was nothing to set aside\n"


def test_a_damaged_log_keeps_its_whole_lines_in_their_order(say, run):
    log = run.path / "metrics.jsonl"
    content = log.read_text()
    log.write_text(content.replace('{"step": 4', "{torn", 1) + '{"step": 6, "seconds": 2.0}\n\0\0\n')
    assert say("repair", run.path).code == 0
    assert run.read_log() == [{"step": 2, "seconds": 1.0}, {"step": 6, "seconds": 1.0}]


def test_a_damaged_record_is_told_and_not_repaired(say, run):
    flip(run.path / "run.json")
    for command in ("verify", "repair"):
        said = say(command, run.path)
        assert (said.code, "run.json" in said.err) == (3, True)
        assert "restore it from a copy" in said.err.splitlines()[-1]
    assert (run.path / "run.json").exists()


def test_a_log_that_lacks_steps_of_a_checkpoint_is_told(say, run):
    session = {"step": 0, "began": "", "device": "cpu", "execution": "eager", "threads": 1, "processor": ""}
    session |= {"versions": {}, "plugins": {}, "code": {}}
    settings = {"training": {"steps": 6, "log_every": 2}}
    run.write_record(record(settings=settings, sessions=[session]))
    assert say("verify", run.path).code == 0
    run.rewind_log(4)
    said = say("verify", run.path)
    assert (said.code, "lacks step 6" in said.err) == (3, True)
    run.write_record(record(settings=settings, sessions=[session | {"step": 6}]))  # it goes on from there
    assert say("verify", run.path).code == 0


def test_a_folder_without_runs_is_told(say, tmp_path):
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere"):
        assert say("verify", place).code == 3


def test_old_checkpoints_are_listed_and_removed_when_asked(say, run):
    listed = say("gc", "--json").document
    assert [(item["path"], item["why"]) for item in listed["items"]] == [
        ("runs/0001-toy/checkpoints/step-0000002", "an older checkpoint")
    ]
    size = sum(path.stat().st_size for path in (run.checkpoints / "step-0000002").iterdir())
    assert (listed["deleted"], listed["bytes"], listed["items"][0]["bytes"]) == (False, size, size)
    assert "nothing is removed" in say("gc").err
    assert checkpoints.steps(run.checkpoints) == [2, 4, 6]
    assert say("gc", "--delete", "--keep", "1", "--json").document["deleted"] is True
    assert checkpoints.steps(run.checkpoints) == [6]
    assert say("gc").err == "there is nothing to remove\n"


def test_beside_a_damaged_newest_checkpoint_the_older_ones_stay(say, run):
    flip(run.checkpoints / "step-0000006" / "networks.safetensors")
    assert say("gc", "--json").document["items"] == []
    say("repair", run.path)
    (aside,) = say("gc", "--json").document["items"]
    assert aside["why"] == "damaged, and set aside"
    assert say("gc", "--what", "set-aside", "--delete").code == 0
    assert list(run.checkpoints.glob("damaged-*")) == []


def test_a_run_that_is_being_trained_is_left_alone(say, run):
    with run.hold():
        assert say("gc", "--json").document["items"] == []
        assert say("repair", run.path).code == 7
    assert checkpoints.steps(run.checkpoints) == [2, 4, 6]


def test_cells_that_no_report_is_on_are_removed_when_asked(say, tmp_path):
    root = tmp_path / "comparisons" / "toy"
    used, unused = (made(root / "cells" / f"toy-s{seed}", steps=(6,), seed=seed) for seed in (0, 1))
    assert say("gc", "--json").document["items"] == []  # there is no report yet
    report = root / "toy" / "results.json"
    report.parent.mkdir()
    files.write_json(
        report, {"schema_version": 1, "cells": [{"label": "toy", "run": os.path.relpath(used.path, report.parent)}]}
    )
    (item,) = say("gc", "--what", "cells", "--json").document["items"]
    assert (item["path"], item["why"]) == ("comparisons/toy/cells/toy-s1", "no report is on it")
    assert say("gc", "--delete").code == 0
    assert (used.path.exists(), unused.path.exists()) == (True, False)
    assert list((root / "cells").iterdir()) == [used.path]


def test_trainings_of_a_study_are_all_in_use(say, tmp_path):
    study = tmp_path / "studies" / "a" / "b"
    made(study / "cells" / "toy-s0", steps=(6,))
    files.write_json(study / "results.json", {"schema_version": 1, "cells": 4})
    assert say("gc", "--json").document["items"] == []
