"""`genzoo runs`, `note` and `show RUN`: orders, tags, curves, and runs that are named by their number."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from processes import WITHOUT_TORCH, python
from terminal import typed
from toy import RECORD, TOY

import genzoo
from genzoo.cli.runs import _sparkline
from genzoo.storage.record import RunRecord
from genzoo.storage.run_folder import Run
from genzoo.storage.run_notes import RunNote
from genzoo.storage.scores import value_text

TOY_OPTIONS = [part for path, value in TOY.items() for part in ("--set", f"{path}={value}")]


def write(path, *, created, score=None, better="higher", **more):
    """Write a run without checkpoints."""
    path.mkdir(parents=True)
    run = Run(path)
    run.write_record(RunRecord.from_json(RECORD | {"created": created} | more))
    if score is not None:
        stored = {"metric": "m", "value": score, "step": 4, "protocol": {"seed": 0}, "better": better, "headline": True}
        run.write_scores([stored])
    return run


@pytest.fixture
def three(tmp_path):
    """Return runs whose orders by name, date, model and score differ."""
    return [
        write(tmp_path / "runs/0001-a", created="2026-01-02T00:00:00+00:00", model="b", score=1.0),
        write(tmp_path / "runs/0002-b", created="2026-01-03T00:00:00+00:00", model="c", score=3.0),
        write(tmp_path / "runs/0003-c", created="2026-01-01T00:00:00+00:00", model="a"),
    ]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("name", ["0001-a", "0002-b", "0003-c"]),
        ("date", ["0002-b", "0001-a", "0003-c"]),
        ("model", ["0003-c", "0001-a", "0002-b"]),
        ("score", ["0002-b", "0001-a", "0003-c"]),
    ],
)
def test_runs_are_listed_in_the_order_asked_for(say, three, order, names):
    listed = say("runs", "--sort", order, "--json").document["runs"]
    assert [Path(item["run"]).name for item in listed] == names


def test_the_list_reads_each_document_of_a_run_once(say, three, monkeypatch):
    three[0].log({"step": 2, "losses": {"generator": 1.0}})
    read, look = Counter(), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.update([path.resolve()]), look(path))[1])
    said = say("runs", "--json")
    assert [item["status"] for item in said.document["runs"]] == ["stopped"] * 3
    expected = {run.path / name for run in three for name in ("run.json", "evaluation.json", "metrics.jsonl")}
    assert read == {path.resolve(): 1 for path in expected if path.exists()}


def test_a_narrow_terminal_keeps_the_column_that_runs_are_sorted_by(tmp_path):
    name = "runs/0001-a-model-of-a-long-name-on-a-recipe-s0-0123"
    write(tmp_path / name, created="2026-01-02T00:00:00+00:00", score=1.0, model="a-model")
    screens = [typed(tmp_path, "runs", "--sort", order, columns=80).lines for order in ("name", "date", "model")]
    assert all(lines[1].startswith(f"{name} ") for lines in screens)  # whole
    assert [("started" in lines[0].split(), "model" in lines[0].split()) for lines in screens] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_the_lowest_score_is_best_where_lower_is_better(say, tmp_path):
    for name, score in (("0001-a", 2.0), ("0002-b", 1.0)):
        write(tmp_path / "runs" / name, created="2026-01-01T00:00:00+00:00", score=score, better="lower")
    assert say("runs", "--sort", "score").out.splitlines()[1].startswith("runs/0002-b")


def test_runs_of_comparisons_and_studies_are_listed_unless_a_folder_is_named(say, three, tmp_path):
    for place in ("comparisons/digits/cells/x", "studies/figure/y"):
        write(tmp_path / place, created="2026-01-01T00:00:00+00:00")
    listed = [item["run"] for item in say("runs", "--json").document["runs"]]
    assert listed == [*(f"runs/{run.name}" for run in three), "comparisons/digits/cells/x", "studies/figure/y"]
    assert len(say("runs", "--root", "runs", "--json").document["runs"]) == 3


def test_a_run_that_has_failed_says_so_in_the_list_and_why_in_json(say, three, monkeypatch):
    why = "its critic is always right"
    three[1].write_scores([{"metric": "m", "value": 1.0, "step": 0, "protocol": {"seed": 0}, "failure": why}])
    said = say("runs")
    assert ["failed" in line for line in said.out.splitlines()] == [False, False, True, False]
    assert "stopped, failed" in said.out
    assert said.err == "1 run failed; why is said by: genzoo show RUN\n"
    listed = say("runs", "--json").document["runs"]
    assert [item["failures"] for item in listed] == [[], [why], []]
    assert {item["status"] for item in listed} == {"stopped"}
    assert f"failed: {why}" in say("show", "2").err
    monkeypatch.setattr(Run, "is_running", True)  # what goes on has not failed yet
    assert [item["failures"] for item in say("runs", "--json").document["runs"]] == [[], [], []]


def test_a_log_of_one_entry_is_a_point_and_no_broken_curve(say, three):
    three[0].log({"step": 20, "losses": {"critic": 0.123456}})
    curves = say("show", "1").out.partition("curve")[2].splitlines()
    assert curves[1].split() == ["loss", "of", "critic", "step", "20", "alone", "0.1235"]
    three[0].log({"step": 21, "losses": {"critic": 1234.56}})
    curves = say("show", "1").out.partition("curve")[2].splitlines()
    assert curves[1].split() == ["loss", "of", "critic", "▁█", "0.1235,", "1,235"]


def test_the_header_says_why_a_run_is_in_bf16_and_shortens_long_lists(say, tmp_path):
    settings = RECORD["settings"] | {"dataset": {"name": "folder", "classes": [f"c{number}" for number in range(200)]}}
    write(tmp_path / "runs/0001-a", created="", precision="bf16", settings=settings)
    shown = say("show", "1").out
    assert "precision" in shown
    assert "--precision fp32 computes all in float32" in shown
    assert "classes=[c0, c1, c2, c3, c4, … 200 in all]" in shown
    write(tmp_path / "runs/0002-b", created="")
    assert "precision" not in say("show", "2").out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.662567, "0.6626"),
        (9.876543, "9.877"),
        (350.0, "350"),
        (12345.6, "12,346"),
        (-12345.6, "-12,346"),
        (2.5e7, "2.5e+07"),
        (1e-5, "1e-05"),
        (None, "not finite"),
    ],
)
def test_a_score_is_written_with_four_significant_digits(value, text):
    assert value_text(value) == text


def test_a_note_and_a_tag_are_kept_beside_the_record_and_found_again(say, three):
    before = (three[1].path / "run.json").read_bytes()
    assert say("note", "2", "too narrow", "--tag", "tries").out == "[tries]  too narrow\n"
    assert (three[1].path / "run.json").read_bytes() == before
    assert json.loads((three[1].path / "note.json").read_text()) == {
        "schema_version": 1,
        "text": "too narrow",
        "tag": "tries",
    }
    (item,) = say("runs", "--tag", "tries", "--json").document["runs"]
    assert (item["run"], item["note"], item["tag"]) == ("runs/0002-b", "too narrow", "tries")
    assert "[tries]  too narrow" in say("runs").out
    say("note", "2", "--tag", "")
    assert RunNote.of(three[1]) == RunNote(text="too narrow")
    assert say("note", "1").err == "nothing is noted on runs/0001-a\n"
    assert not (three[0].path / "note.json").exists()


def test_a_damaged_note_is_told_with_what_replaces_it(say, three):
    (three[0].path / "note.json").write_text("{}")
    said = say("note", "1")
    assert said.code == 3
    assert "genzoo note runs/0001-a TEXT" in said.err
    assert say("note", "1", "new", "--tag", "").code == 0


def test_a_note_on_what_is_no_run_is_refused(say, tmp_path):
    assert say("note", "elsewhere", "text").code == 3
    assert not (tmp_path / "elsewhere").exists()


# show RUN, and numbers


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    genzoo.train("ali", overrides=TOY, runs=root / "runs")
    return root


@pytest.fixture
def inside(trained, tmp_path):
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return Run(tmp_path / "runs/0001-ali-mixture25-s0")


def test_a_run_is_shown_with_settings_curves_scores_and_files(say, inside):
    RunNote(text="a note").write(inside)
    said = say("show", "1")
    lines = said.out.splitlines()
    starts = {line.split()[0] for line in lines if line}
    assert {"run", "recipe", "status", "started", "note", "game", "training", "samples", "checkpoint"} <= starts
    assert {score["metric"] for score in inside.final_scores} <= starts
    losses = [entry["losses"]["critic"] for entry in inside.read_log()]
    (curve,) = (line for line in lines if line.startswith("loss of critic"))
    assert curve.split()[-2:] == [f"{losses[0]:.4g},", f"{losses[-1]:.4g}"]
    card = say("show", "runs/0001-ali-mixture25-s0", "--json").document
    assert (card["kind"], card["model"], card["status"], card["note"]) == ("run", "ali", "done", "a note")
    assert [value for _, value in card["curves"]["loss of critic"]] == losses
    assert all(Path(path).exists() for path in card["files"].values())


def test_a_run_is_shown_without_torch(inside, tmp_path):
    found = python(WITHOUT_TORCH, "show", str(inside.path))
    assert (found.returncode, found.stderr.splitlines()[-1]) == (0, "heavy:")


@pytest.mark.parametrize(
    ("name", "text"),
    [("9", "there is no run 9"), ("runs/0009-nothing", "no run, model, recipe or component named 'runs/0009-nothing'")],
)
def test_a_run_that_is_not_there_is_told_as_such(say, inside, name, text):
    said = say("show", name)
    assert said.code == 2
    assert text in said.err


def test_a_number_names_a_run_wherever_one_is_asked_for(say, inside):
    followed = say("train", "post-hoc-ali", "--from", "1", *TOY_OPTIONS, "--json")
    assert followed.document["run"] == "runs/0002-post-hoc-ali-mixture25-s0"
    assert Run(Path(followed.document["run"])).record.source.run == inside.name
    compared = say("compare", "1", "2", "--json").document
    assert [cell["label"] for cell in compared["cells"]] == [inside.name, "0002-post-hoc-ali-mixture25-s0"]


@pytest.mark.parametrize(
    ("values", "width", "text"),
    [
        ([0, 7], 40, "▁█"),
        (range(8), 40, "▁▂▃▄▅▆▇█"),
        ([3, 3, 3], 40, "▁▁▁"),
        ([0, 0, 4, 4], 2, "▁█"),
        ([5], 40, "step 0 alone"),
    ],
)
def test_a_curve_is_as_high_as_its_values(values, width, text):
    assert _sparkline([(step, float(value)) for step, value in enumerate(values)], width) == text
