"""Comparisons: the same batches and z for everyone, statistics, what is not trained twice, and the report."""

import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from processes import wait_for
from toy import record
from toy_components import WithoutEncoder

import genzoo
from genzoo.cli.progress import watching
from genzoo.comparison import (
    ComparisonCallback,
    LocalProcesses,
    Results,
    baselines,
    cells,
    comparison,
    report,
    reuse,
    train_cells,
    worker,
)
from genzoo.comparison.sections import ReportPicture, Section
from genzoo.components import to_json
from genzoo.errors import GenzooWarning, SettingsError
from genzoo.evaluation.scoring import selection_seed
from genzoo.host.discovery import registry
from genzoo.runs import TrainingRequest
from genzoo.runs.job import find_recipe, resolve_job
from genzoo.runs.signals import STOPPING
from genzoo.storage.run_folder import Run
from genzoo.training.trainer import Trainer

SMALL = ("--set", "dataset.rows=200", "--set", "dataset.held_out_rows=2200", "--set", "training.batch_size=20")
SMALL_OVERRIDES = {"dataset.rows": 200, "dataset.held_out_rows": 2200, "training.batch_size": 20}


class SharesParameters(WithoutEncoder):
    """Cannot be trained: two of its players have the critic's parameters."""

    name = "shares"

    def players(self, networks):
        players = super().players(networks)
        return {**players, "generator": [*players["generator"], *players["critic"]]}


SIGNALS = (signal.SIGINT, signal.SIGTERM)
here = pytest.mark.usefixtures("trained_here")


def request(model="ali", *, seed=0, steps=4, recipe="mixture25", precision="fp32", **overrides):
    return TrainingRequest(
        model=model, recipe=recipe, seed=seed, steps=steps, precision=precision, overrides=overrides, device="cpu"
    )


def job(*arguments, **chosen):
    return resolve_job(registry(), request(*arguments, **chosen))


def cell(label, *arguments, folder=Path("none"), **chosen):
    return cells.cell_of(label, request(*arguments, **chosen), folder)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return a folder in which ALI, GAN and VAE were compared, two seeds each."""
    folder = tmp_path_factory.mktemp("compared")
    with ThreadPoolExecutor(1) as executor:
        genzoo.compare(
            ["ali", "gan", "vae"], steps=10, seeds=2, overrides=SMALL_OVERRIDES, report=folder, executor=executor
        )
    return folder


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


# Identity


def test_trainings_are_named_by_what_tells_them_apart():
    sizes = {"gan": (2, 3), "ali": (2,)}
    listed = [cell(model, model, **{"architecture.latent": size}) for model in sizes for size in sizes[model]]
    listed.append(cell("gan", "gan", seed=1))
    assert cells.names_of(listed) == ["gan latent=2 seed 0", "gan latent=3 seed 0", "ali seed 0", "gan seed 1"]


def test_what_decides_the_numbers_decides_the_folder_and_intervals_do_not():
    same = cells.identity(job(**{"training.log_every": 7, "training.evaluate_every": 3}), None)
    assert cells.identity(job(), None) == same
    assert len({cells.identity(job(), data) for data in (None, "a", "b")}) == 3
    others = [
        job(seed=1),
        job(steps=5),
        job("gan"),
        job(**{"game.objective": "hinge"}),
        job(**{"architecture.latent": 3}),
    ]
    assert len({cells.identity(other, None) for other in (job(), *others)}) == len(others) + 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_worker_with_another_device_trains_in_the_precision_of_the_cell(monkeypatch, precision):
    monkeypatch.setattr("genzoo.runs.job.choose_precision", lambda *_: precision)
    assert cell("ali", precision="auto").request.precision == precision


def test_the_same_model_twice_needs_different_settings(say):
    said = say("compare", "ali", "ali")
    assert said.code == 2
    assert "ali is named twice with the same settings" in said.err
    said = say("compare", "ali", "other=ali")
    assert said.code == 2
    cells.refuse_unlike([cell("ali"), cell("ali", seed=1), cell("hinge", **{"game.objective": "hinge"})])
    with pytest.raises(SettingsError, match="other and ali are the same model with the same settings"):
        cells.refuse_unlike([cell("ali"), cell("other")])
    with pytest.raises(SettingsError, match="two contestants are called ali"):
        genzoo.compare(["ali", TrainingRequest(model="ali", overrides={"game.objective": "hinge"})])


def test_a_text_is_no_list_of_contestants():
    with pytest.raises(SettingsError, match="contestants is the text 'ali', expected a list or a mapping"):
        genzoo.compare("ali")
    with pytest.raises(SettingsError, match="nothing to compare"):
        genzoo.compare([])


def test_other_data_are_not_comparable(compared, say, tmp_path):
    assert say("train", "ali", "--recipe", "digits", "--steps", 1, "--run", "digits", "--quiet").code == 0
    some = next((compared / "cells").glob("ali-*"))
    said = say("compare", some, "./digits")
    assert said.code == 2
    assert "they have other data" in said.err


def test_settings_for_a_model_that_is_not_compared_are_refused(say):
    said = say("compare", "ali", "gan", "--set", "vae:game.beta=2")
    assert said.code == 2
    assert "no 'vae' is compared" in said.err


def test_an_unknown_model_is_refused_with_the_nearest(say):
    said = say("compare", "ali", "gann")
    assert said.code == 2
    assert "did you mean 'gan'?" in said.err


# What was trained


def test_every_cell_is_an_ordinary_run_with_the_same_batches_and_decoder(compared):
    cells = sorted((compared / "cells").iterdir())
    assert [cell.name.rsplit("-", 1)[0] for cell in cells] == [
        f"{model}-mixture25-s{seed}" for model in ("ali", "gan", "vae") for seed in (0, 1)
    ]
    records = [Run(cell).record for cell in cells]
    for name in ("dataset", "architecture", "prior"):
        assert all(record.settings[name] == records[0].settings[name] for record in records)
    assert all(Run(cell).step == 10 for cell in cells)


def test_a_second_comparison_trains_nothing_and_says_the_same(compared, say):
    before = results_of(compared)
    stamps = {path: path.stat().st_mtime_ns for path in (compared / "cells").rglob("*.safetensors")}
    arguments = ("ali", "gan", "vae", "--steps", 10, "--seeds", 2, *SMALL, "--report", compared)
    assert say("compare", *arguments, "--json").document["rows"] == before["rows"]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    after = results_of(compared)
    assert {**after, "command": None, "created": None} == {**before, "command": None, "created": None}


def test_existing_runs_are_compared_by_their_paths(compared, say, tmp_path):
    runs = [next((compared / "cells").glob(f"{model}-*-s0-*")) for model in ("ali", "vae")]
    found = say("compare", *runs, "--report", tmp_path / "two", "--json").document
    assert [row["label"] for row in found["rows"]] == [run.name for run in runs]
    known = {row["label"]: row for row in results_of(compared)["rows"]}
    assert found["rows"][0]["parameters"] == known["ali"]["parameters"]


@here
def test_a_second_comparison_on_a_recipe_leaves_the_first_alone_and_shares_its_trainings(say, tmp_path):
    def compare(*models, steps):
        said = say("compare", *models, "--steps", steps, *SMALL, "--jobs", 1)
        lines.append(said.err.splitlines())
        return said.out.splitlines()[-1]

    root, lines = Path("comparisons/mixture25"), []
    assert compare("gan", "vae", steps=2) == str(root / "gan-vae" / "report.html")
    assert lines[0][:2] == [
        f"2 trainings, 0 done already; report: {root / 'gan-vae'}",
        "to be trained: gan seed 0 (2 steps), vae seed 0 (2 steps)",
    ]
    assert [re.sub(r" \S+ steps/s$", "", line) for line in lines[0] if "steps/s" in line] == [
        f"{model} seed 0 is trained: 2 steps at" for model in ("gan", "vae")
    ]
    first = {path: path.read_bytes() for path in (root / "gan-vae").iterdir()}
    assert {path.name for path in first} == {"report.html", "results.json", "table.md"}
    assert compare("gan", "vae", steps=3) == str(root / "gan-vae-2" / "report.html")
    assert compare("vae", steps=2) == str(root / "vae" / "report.html")
    assert {path: path.read_bytes() for path in (root / "gan-vae").iterdir()} == first
    (run,) = (cell["run"] for cell in results_of(root / "vae")["cells"])
    of_folders = [[cell["reused"] for cell in results_of(root / name)["cells"]] for name in ("gan-vae", "vae")]
    assert of_folders == [[False, False], [True]]  # the second comparison on it did not train vae
    assert (root / "vae" / run).resolve() in {
        (root / "gan-vae" / cell["run"]).resolve()
        for cell in json.loads(first[root / "gan-vae" / "results.json"])["cells"]
    }
    assert len(list((root / "cells").iterdir())) == 4
    said = say("compare", "ali", *SMALL, "--report", root / "gan-vae")
    assert said.code == 2
    assert "holds a report on gan, vae, with trainings that are not in this one" in said.err


@here
def test_a_run_that_was_trained_alike_is_used_and_the_report_says_where_it_is(say, tmp_path):
    said = say("train", "gan", "--steps", 3, *SMALL, "--run", "runs/mine", "--quiet")
    assert said.code == 0, said.err
    (document,) = (say("compare", "gan", "--steps", 3, *SMALL, "--report", tmp_path / "a", "--json").document,)
    (trained,) = document["cells"]
    assert (trained["run"], trained["reused"]) == ("../runs/mine", True)
    assert not (tmp_path / "a" / "cells").exists()
    assert "Trained before, and not again: gan seed 0 (../runs/mine)." in (tmp_path / "a" / "table.md").read_text()
    assert trained["scores"] == [
        {key: score[key] for key in trained["scores"][0]} for score in Run(Path("runs/mine")).final_scores
    ]
    first = say("compare", "gan", "--steps", 2, *SMALL, "--report", "comparisons/first", "--json").document
    second = say("compare", "gan", "--steps", 2, *SMALL, "--report", "comparisons/second", "--json").document
    assert not first["cells"][0]["reused"]
    assert second["cells"][0]["run"] == "../first/" + first["cells"][0]["run"]


def test_data_that_were_prepared_anew_are_trained_on_anew(monkeypatch):
    """The same names and settings on other files are other trainings, and not on the data of a run of before."""
    kind = type(job().settings.dataset)
    before = cell("gan", "gan")
    monkeypatch.setattr(kind, "fingerprint", lambda dataset, root: "other files")
    after = cell("ali")
    assert cell("gan", "gan").run != before.run
    with pytest.raises(SettingsError, match="their files of 'mixture25' differ"):
        cells.refuse_unlike([after, before])
    with pytest.raises(SettingsError, match="other data of 'mixture25' than none/cells/gan"):
        cells.refuse_other_data(before, Path("data"))
    cells.refuse_other_data(after, Path("data"))


@pytest.mark.parametrize("fault", ["seed", "steps", "setting", "checkpoint", "scores", "running", "data"])
def test_a_run_that_is_not_the_same_or_not_whole_is_not_used(say, monkeypatch, fault):
    assert say("train", "gan", "--steps", 3, *SMALL, "--run", "runs/mine", "--quiet").code == 0
    run = Run(Path("runs/mine"))
    asked = cells.cell_of("gan", request("gan", steps=3, **SMALL_OVERRIDES), Path("a"))
    assert reuse.with_earlier_run(asked).run == run
    changes = {"seed": {"seed": 1}, "steps": {"steps": 2}, "setting": {"training.beta1": 0.3}}.get(fault, {})
    asked = cells.cell_of("gan", request("gan", **{"steps": 3} | SMALL_OVERRIDES | changes), Path("a"))
    if fault == "checkpoint":
        weights = next(path for path in run.checkpoints.rglob("*.safetensors"))
        weights.write_bytes(bytes(weights.stat().st_size))
    elif fault == "scores":
        (run.path / "evaluation.json").unlink()
    elif fault == "running":
        monkeypatch.setattr(Run, "is_running", True)
    elif fault == "data":
        monkeypatch.setattr(type(asked.settings.dataset), "fingerprint", lambda dataset, root: "other files")
        asked = cells.cell_of("gan", request("gan", steps=3, **SMALL_OVERRIDES), Path("a"))
    assert reuse.with_earlier_run(asked) == asked


@here
def test_the_report_says_in_what_its_contestants_differ(say, tmp_path):
    arguments = ("gan", "longer=gan", "--set", "longer:training.steps=4", "--set", "longer:training.beta1=0.9")
    found = say("compare", *arguments, "--steps", 2, *SMALL, "--report", tmp_path / "two", "--json").document
    beta1 = found["rows"][0]["settings"]["training"]["beta1"]
    assert found["settings"]["different"] == {
        "steps": {"gan": 2, "longer": 4},
        "training.beta1": {"gan": beta1, "longer": 0.9},
    }
    assert found["settings"]["same"] == [
        "data",
        "recipe",
        "architecture",
        "batch size",
        "latent size",
        "seeds",
        "precision",
    ]
    sentence = "different steps: gan 2, longer 4; different in training.beta1."
    for name in ("report.html", "table.md"):
        assert sentence in (tmp_path / "two" / name).read_text()
    assert "| score | gan (steps 2) | longer (steps 4) |" in (tmp_path / "two" / "table.md").read_text()
    assert f"* training.beta1 differs: gan {beta1}, longer 0.9" in (tmp_path / "two" / "table.md").read_text()


@here
def test_a_comparison_of_one_model_is_a_report_of_one(compared, say, tmp_path):
    found = say("compare", "vae", "--steps", 10, *SMALL, "--report", tmp_path / "one", "--json").document
    assert [row["label"] for row in found["rows"]] == ["vae"]


@here
@pytest.mark.parametrize("end", [*(pytest.param(each, marks=pytest.mark.slow) for each in SIGNALS), signal.SIGKILL])
def test_an_interrupted_comparison_goes_on_to_the_same_results(compared, say, tmp_path, end):
    """In tests/faults a comparison is sent the other signals."""
    folder = tmp_path / "interrupted"
    command = ["compare", "vae", "--steps", "10", "--seeds", "2", *SMALL, "--report", str(folder), "--jobs", "1"]
    program = [sys.executable, "-m", "genzoo", *command]
    process = subprocess.Popen(program, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: any(folder.glob("cells/*/run.json")))
    process.send_signal(end)
    assert process.wait(300) == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[end]
    assert not (folder / "results.json").exists()
    # A training whose comparison was killed is asked to save and end.
    wait_for(lambda: not any(Run(cell).is_running for cell in (folder / "cells").iterdir()))
    assert say(*command).code == 0
    (row,) = results_of(folder)["rows"]
    known = next(row for row in results_of(compared)["rows"] if row["label"] == "vae")
    assert timeless(row) == timeless(known)


KILLED_COMPARISON = """
import signal, sys, time
from pathlib import Path
from genzoo.comparison import LocalProcesses, run_task
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
executor = LocalProcesses(1)
executor.submit(run_task, Path(sys.argv[1]))
time.sleep(600)
"""


def test_a_worker_is_asked_to_save_and_end_when_its_comparison_is_killed(tmp_path):
    held = cell("gan", "gan", folder=tmp_path, steps=2, **SMALL_OVERRIDES)
    held.run.path.mkdir(parents=True)
    held.run.write_record(record())
    task = worker.Task(tmp_path / "task")
    task.write([held.request])
    with held.run.hold():  # so that the worker waits for it
        parent = subprocess.Popen([sys.executable, "-c", KILLED_COMPARISON, str(task.folder)])
        wait_for(lambda: any(map(hears_hangups, children_of(parent))), process=parent)
        parent.kill()
        parent.wait()
        wait_for(lambda: STOPPING in (task.folder / worker.OUTPUT).read_text())


def children_of(process):
    """Return the numbers of the processes that any thread of a process has started."""
    numbers = []
    for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
        with suppress(OSError):  # that thread has ended
            numbers += path.read_text().split()
    return numbers


def hears_hangups(number):
    """Whether a process has a handler for SIGHUP, as genzoo's have while signals stop a training."""
    status = dict(line.split(":\t") for line in Path(f"/proc/{number}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) & 1 << (signal.SIGHUP - 1))


def timeless(document):
    """Return a document without what time and place decide."""
    if isinstance(document, dict):
        return {key: timeless(value) for key, value in document.items() if key not in ("seconds", "command")}
    return [timeless(item) for item in document] if isinstance(document, list) else document


@here
def test_a_model_that_diverges_has_its_row_and_the_others_finish(say, tmp_path):
    arguments = ("ali", "wild=ali", "--set", "wild:training.learning_rate=1e30", "--steps", 30, *SMALL)
    said = say("compare", *arguments, "--report", tmp_path / "wild")
    assert said.code == 5, said.err
    found = {row["label"]: row for row in results_of(tmp_path / "wild")["rows"]}
    assert found["wild"]["failed"][0].startswith("exit 5: ")
    assert found["ali"]["failed"] == []
    assert found["ali"]["scores"]
    assert [cell["exit_code"] for cell in results_of(tmp_path / "wild")["cells"]] == [0, 5]
    assert "wild failed" in (tmp_path / "wild" / "table.md").read_text()


def test_a_contestant_that_cannot_begin_has_its_row_and_the_others_their_report(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        comparison = genzoo.compare(
            [SharesParameters(), "gan"],
            steps=2,
            overrides=SMALL_OVERRIDES,
            report=tmp_path,
            device="cpu",
            executor=executor,
        )
    broken, gan = comparison.rows
    assert "exit 2: the players critic and generator of shares move in the same step and share" in broken.failed[0]
    assert (broken.parameters, broken.macs_per_update, gan.failed) == (None, None, ())
    assert "| shares | – | – | – | 2 | 40 | 0 |" in (tmp_path / "table.md").read_text()


def test_a_training_waits_for_a_worker_that_still_saves(tmp_path):
    """After kill -9 of a comparison, the same command found its runs in use and left them out of its report."""
    held = cell("gan", "gan", folder=tmp_path, steps=2, **SMALL_OVERRIDES)
    held.run.path.mkdir(parents=True)
    task = worker.Task(tmp_path / "task")
    task.write([held.request])
    is_held, ends = threading.Event(), threading.Event()

    def hold():
        with held.run.hold():
            is_held.set()
            ends.wait(30)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(hold)
        assert is_held.wait(30)
        threading.Timer(1.0, ends.set).start()
        assert worker.run_task(task.folder) == 0
    assert held.run.step == 2


def test_a_comparison_says_at_once_which_process_holds_a_run_that_it_waits_for(tmp_path):
    held = cell("gan", "gan", folder=tmp_path, steps=2, **SMALL_OVERRIDES)
    held.run.path.mkdir(parents=True)

    class Impatient(ComparisonCallback):
        def on_progress(self, steps):
            raise KeyboardInterrupt  # before any training has begun

    with (
        ThreadPoolExecutor(1) as threads,
        held.run.hold(),
        pytest.warns(GenzooWarning) as warned,
        pytest.raises(KeyboardInterrupt),
    ):
        train_cells.run_cells([held], threads, tasks=tmp_path / "tasks", callback=Impatient())
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    (line,) = [str(warning.message) for warning in warned]
    assert line == f"{held.run.path} is in use by {holder}; its training waits up to 30 s for it"


def test_a_training_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PATIENCE", 0.1)
    held = cell("gan", "gan", folder=tmp_path, steps=2, **SMALL_OVERRIDES)
    held.run.path.mkdir(parents=True)
    task = worker.Task(tmp_path / "task")
    task.write([held.request])
    with held.run.hold(), ThreadPoolExecutor(1) as threads:
        assert threads.submit(worker.run_task, task.folder).result() == 7


@pytest.mark.parametrize(("codes", "expected"), [((5, 0), 5), ((5, 6), 6), ((7, 5), 7), ((0, 3), 3), ((0, 0), 0)])
def test_a_comparison_ends_with_the_code_of_a_failure_that_is_no_divergence(
    compared, say, monkeypatch, codes, expected
):
    """A full disk or a run in use is no finding: it must not look as if a training had diverged."""
    results = Results.read(compared)
    pairs = list(zip(results.cells, codes, strict=False))
    rows = tuple(replace(row, failed=("why",) if any(codes) else ()) for row in results.rows)
    failed = replace(results, rows=rows, cells=tuple(replace(cell, exit_code=code) for cell, code in pairs))
    ended = comparison.Comparison(folder=compared, results=failed, runs={})
    monkeypatch.setattr(comparison, "compare", lambda *_, **__: ended)
    assert say("compare", "gan", "ali").code == expected


def test_two_cells_with_the_same_seed_see_the_same_batches_and_z_and_start_from_the_same_decoder():
    trainers = [
        Trainer(one.settings, one.settings.dataset.load(None).train, seed=1, device=torch.device("cpu"))
        for one in (job("ali", seed=1), job("gan", seed=1), job("vae", seed=1))
    ]
    first, *others = trainers
    for other in others:
        assert torch.equal(other.stream.batch(7).x, first.stream.batch(7).x)
        assert torch.equal(other.stream.batch(7).z, first.stream.batch(7).z)
        ours, theirs = first.networks.decoder.state_dict(), other.networks.decoder.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


# What is said of it


def test_what_a_model_cannot_do_is_a_dash_with_a_reason(compared):
    table = (compared / "table.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| reconstruction ↓"))
    assert row.split("|")[3].strip() == "–"
    assert "gan has no cycle, latent-match, posterior-width, reconstruction: it has no encoder" in table


def test_baselines_are_held_out_samples_noise_and_untrained_networks(compared):
    scores = {
        row["label"]: {score["metric"]: score["final"]["mean"] for score in row["scores"]}
        for row in results_of(compared)["baselines"]
    }
    untrained = ["ali, untrained", "gan, untrained", "vae, untrained"]
    assert list(scores) == ["held-out samples", "noise", "Gaussian", *untrained]
    held_out, noise = scores["held-out samples"], scores["noise"]
    assert held_out["modes"] == held_out["modes/strict"] == noise["modes"] == 25
    assert held_out["modes/high-quality"] > 0.97
    assert noise["modes/high-quality"] < 0.04
    assert noise["modes/counted"] < held_out["modes/counted"] == 25
    assert scores["ali, untrained"]["reconstruction/ratio"] == pytest.approx(1, abs=0.01)


def test_the_best_step_is_chosen_by_the_first_headline_on_the_validation_split(compared):
    document = results_of(compared)
    assert {cell["best_by"] for cell in document["cells"]} == {"modes/divergence"}
    for cell in document["cells"]:
        scores = Run(compared / cell["run"]).scores
        chosen = [score for score in scores if score["protocol"]["seed"] == selection_seed(cell["seed"])]
        assert {score["metric"].partition("/")[0] for score in chosen} == {"modes"}
        course = {score["step"]: score["value"] for score in chosen if score["metric"] == "modes/divergence"}
        assert sorted(course) == [2, 4, 6, 8, 10]
        assert cell["best_step"] == min(course, key=lambda step: (course[step], step))
    row, own = document["rows"][0], [cell for cell in document["cells"] if cell["label"] == "ali"]
    divergence = next(score for score in row["scores"] if score["metric"] == "modes/divergence")
    tests = [
        score["value"]
        for cell in own
        for score in cell["scores"]
        if score["step"] == cell["best_step"] and score["metric"] == "modes/divergence"
    ]
    assert len(tests) == 2
    assert divergence["best"]["mean"] == sum(tests) / 2


def test_a_run_that_is_evaluated_at_its_end_alone_chooses_nothing(say, tmp_path):
    options = ("--steps", 4, *SMALL, "--quiet", "--json")
    document = say("train", "gan", *options, "--run", tmp_path / "run").document
    scores = Run(tmp_path / "run").scores
    assert {score["protocol"]["seed"] for score in scores} == {0}
    assert document["scores"] == scores == Run(tmp_path / "run").final_scores
    document = say("train", "gan", *options, "--set", "training.evaluate_every=2", "--run", tmp_path / "often").document
    assert document["scores"] == scores  # what the run's own seed measures at the end is the same
    assert {score["protocol"]["seed"] for score in Run(tmp_path / "often").scores} == {0, selection_seed(0)}


def test_a_baseline_says_how_many_rows_it_has(compared):
    rows = {row["label"]: row for row in results_of(compared)["baselines"]}
    samples = {label: rows[label]["scores"][0]["protocol"]["samples"] for label in ("held-out samples", "noise")}
    assert rows["noise"]["scores"][0]["metric"] == "modes/divergence"
    assert samples == {"held-out samples": 2200, "noise": 10_000}


def test_every_score_is_said_to_be_something_in_one_sentence(compared):
    document = results_of(compared)
    names = {score["metric"] for cell in document["cells"] for score in cell["scores"]}
    assert document["about"].keys() == names
    assert all(re.fullmatch(r"[A-Z][^\n]*\.", text) for text in document["about"].values())
    page = html.unescape((compared / "report.html").read_text())
    assert all(text in page for text in document["about"].values())


def test_costs_are_counted_from_the_tables(compared):
    ali = results_of(compared)["rows"][0]
    encoder, decoder = (4 + 128 + 128) * 128 + 128 * 2, (2 + 128 + 128) * 128 + 128 * 2
    critic = (4 + 128 + 128) * 128 + 128
    assert ali["parameters"] == (encoder + 3 * 128 + 2) + (decoder + 3 * 128 + 2) + (critic + 3 * 128 + 1)
    assert ali["macs_per_update"] == 20 * (encoder + decoder + 2 * critic)
    assert (ali["images_seen"], ali["steps"]) == (200, 10)


class Reader(HTMLParser):
    """Collects what a page loads and what it runs."""

    def __init__(self):
        super().__init__()
        self.loaded, self.scripts = [], 0

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.loaded += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]


def test_the_report_needs_no_network_and_no_script(compared):
    page = (compared / "report.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert reader.scripts == 0
    assert all(value.startswith("data:image/png;base64,") for value in reader.loaded)
    assert len(reader.loaded) == 9  # data and samples of three models, prior and codes of two, reconstructions
    assert not re.search(r"@import|url\(\s*['\"]?http", page)


def test_third_party_text_is_escaped(compared, tmp_path):
    evil = "<script>alert(1)</script>$x_{"
    stored = Results.read(compared)
    rows = tuple(replace(row, label=row.label + evil) for row in stored.rows)
    of_cells = tuple(replace(cell, label=cell.label + evil) for cell in stored.cells)
    changed = replace(stored, rows=rows, cells=of_cells, command=evil)
    report.write_report(tmp_path, changed, [Section(evil, evil, (ReportPicture(evil, b"png"),))])
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    rows = tuple(replace(row, label=f"a|b\n# {evil}\x1b") for row in stored.rows[:1])
    table = report.ScoreTable(replace(changed, rows=rows, baselines=())).markdown()
    assert "<script" not in table
    assert f"a\\|b # {evil.replace('<', '&lt;')}\ufffd" in table


# The worker, and where it runs


def test_a_worker_that_ends_without_a_word_is_a_failure_with_its_last_words(tmp_path):
    bad = replace(cell("ali", folder=tmp_path), request=replace(request(), model="nonsense", run=tmp_path / "run"))
    with LocalProcesses(1) as executor:
        (outcome,) = train_cells.run_cells([bad], executor, tasks=tmp_path / "tasks")
    assert outcome.code == 2
    assert "nonsense" in outcome.found
    assert not (tmp_path / "cells").exists()
    assert not (tmp_path / "run").exists()


def test_trainings_run_wherever_an_executor_runs_them(compared, tmp_path):
    """The caller's own executor; in its threads, so that no other process is needed."""
    with ThreadPoolExecutor(1) as executor:
        comparison = genzoo.compare(
            ["vae"], steps=10, seeds=2, overrides=SMALL_OVERRIDES, report=tmp_path, device="cpu", executor=executor
        )
    known = next(row for row in Results.read(compared).rows if row.label == "vae")
    (row,) = comparison.rows
    assert replace(row, seconds=0, settings={}) == replace(known, seconds=0, settings={})
    assert [run.record.seed for run in comparison.runs["vae"]] == [0, 1]
    assert not (tmp_path / "tasks").exists()


@here
def test_a_recipe_that_no_plugin_registers_is_compared(tmp_path):
    base = find_recipe(registry(), "mixture25")
    mine = replace(base, name="mine", dataset=replace(base.dataset, rows=60, held_out_rows=2200))
    comparison = genzoo.compare(["gan"], recipe=mine, steps=2, report=tmp_path, device="cpu")
    assert comparison.results.recipe == "mine"
    assert comparison.results.failures == []
    assert comparison.runs["gan"][0].record.settings["dataset"]["rows"] == 60


# As a library call


@here
def test_a_comparison_is_a_value_with_rows_scores_protocols_and_paths(compared, tmp_path):
    heard = []

    class Listener(ComparisonCallback):
        def on_start(self, folder, labels, done):
            heard.append((folder, labels, done))

    comparison = genzoo.compare(
        {"ali": "ali", "hinge": TrainingRequest(model="ali", overrides={"game.objective": "hinge"})},
        steps=4,
        overrides=SMALL_OVERRIDES,
        report=tmp_path,
        device="cpu",
        callback=Listener(),
    )
    assert heard == [(tmp_path, ["ali seed 0", "hinge seed 0"], 0)]
    assert [row.label for row in comparison.rows] == ["ali", "hinge"]
    score = next(score for score in comparison.rows[0].scores if score.metric == "modes")
    assert (score.n, score.better, score.protocol["samples"]) == (1, "higher", 10_000)
    assert comparison.report.is_file()
    assert comparison.table == (tmp_path / "table.md").read_text().rstrip("\n")
    assert str(comparison.report) in comparison._repr_html_()
    assert comparison.runs["hinge"][0].record.settings["game"]["objective"]["name"] == "hinge"
    assert Results.read(tmp_path) == comparison.results


def test_results_return_from_their_file_as_they_were(compared):
    stored = Results.read(compared)
    assert {"schema_version": 1, **to_json(stored)} == results_of(compared)


@here
def test_a_sweep_trains_every_value_and_its_results_say_what_was_swept(say, tmp_path):
    words = ("compare", "gan", *SMALL, "--steps", 2, "--device", "cpu", "--jobs", 1)
    said = say(*words, "--sweep", "training.learning_rate=1e-3,1e-4", "--json")
    swept = {"gan learning_rate=1e-3": "1e-3", "gan learning_rate=1e-4": "1e-4"}
    assert {
        label: point["values"]["training.learning_rate"] for label, point in said.document["sweep"].items()
    } == swept
    rates = {row["label"]: row["settings"]["training"]["learning_rate"] for row in said.document["rows"]}
    assert rates == {label: float(text) for label, text in swept.items()}
    assert said.document["differences"] == []
    folder = tmp_path / "comparisons" / "mixture25" / "gan-learning_rate"
    assert "gan by learning_rate" in (folder / "report.html").read_text()
    assert Results.read(folder).sweep["gan learning_rate=1e-4"].contestant == "gan"
    untrained = [baseline["label"] for baseline in said.document["baselines"] if "untrained" in baseline["label"]]
    assert untrained == ["gan learning_rate=1e-3, untrained"]
    for wrong, says in (("batch_size", "expected PATH=V1,V2"), ("x:training.beta1=1", "no model 'x' is compared")):
        refused = say(*words, "--sweep", wrong)
        assert refused.code == 2
        assert says in refused.err
    assert "is there twice" in say(*words, "--sweep", "training.beta1=0", "--sweep", "training.beta1=1").err


def test_an_exception_of_the_callback_ends_the_comparison_and_saves_what_runs(tmp_path):
    class Stopped(Exception):
        pass

    class Stopping(ComparisonCallback):
        def on_progress(self, steps):
            if steps[0][0] > 0:
                raise Stopped

    overrides = SMALL_OVERRIDES | {"training.log_every": 10, "training.checkpoint_every": 10_000}
    with pytest.raises(Stopped):
        genzoo.compare(["gan"], steps=100_000, overrides=overrides, report=tmp_path, device="cpu", callback=Stopping())
    (folder,) = (tmp_path / "cells").iterdir()
    run = Run(folder)
    assert not run.is_running
    assert run.step == run.read_log()[-1]["step"] > 0


def test_the_untrained_baseline_of_a_conditional_model_has_its_sample_scores(tmp_path):
    splits = job("conditional-gan", recipe="digits").settings.dataset.load(None)
    start = baselines.start_of(cell("conditional-gan", "conditional-gan", recipe="digits"), splits)
    model = baselines.untrained(start, splits)
    assert sum(model.label_frequencies) == pytest.approx(1)
    assert model.sample(4).shape == (4, 1, 8, 8)


# Progress


def test_a_long_comparison_writes_few_lines_each_with_speed_and_time_left(monkeypatch, capsys, tmp_path):
    hours, steps, clock = 10, 36_000, [0.0]
    monkeypatch.setattr("genzoo.cli.progress.time.monotonic", lambda: clock[0])
    with watching() as callback:
        callback.on_start(tmp_path, [f"m{number}" for number in range(12)], 2)
        for second in range(0, hours * 3600, 5):
            clock[0] = float(second)
            taken = {number: (min(second, steps), steps) for number in range(2, 12)}
            callback.on_progress({0: (steps, steps), 1: (steps, steps), **taken})
        for _ in range(5):
            clock[0] += 36_000.0
            callback.on_progress(dict.fromkeys(range(12), (steps, steps)))
        callback.on_training_end(2, Run(tmp_path), SettingsError("too narrow"))
    first, named, *later, measured, failed = capsys.readouterr().err.splitlines()
    assert first == f"12 trainings, 2 done already; report: {tmp_path}"
    assert named.endswith("m9 (36,000 steps), 2 more")
    assert named.startswith("to be trained: m2 (36,000 steps), m3 ")
    assert measured.startswith("2 of 12 done; m2 is measured; m3 is measured; ")
    assert failed == "failed: m2: too narrow"
    assert 50 < len(later) < 150
    assert later[0].startswith("2 of 12 done; m2 15/36,000  1.0 steps/s  9:59:45 left; m3 ")


# Together


def teams(*jobs, together=True, waiting=None):
    listed = [cells.Cell(label="x", job=job, run=Run(Path("none")), request=None) for job in jobs]
    are_together = train_cells._are_together(together, "auto")
    return list(train_cells.teams(listed, range(len(jobs)) if waiting is None else waiting, are_together))


def test_cells_that_differ_in_seed_and_optimizer_share_a_process():
    alike = [
        job(),
        job(seed=1),
        job(**{"training.learning_rate": 1e-5}),
        job(**{"training.beta1": 0.1, "training.beta2": 0.9, "training.epsilon": 1e-4}),
        job(**{"training.players.critic.learning_rate": 1e-5}),
        job(**{"training.averaging": 0.9}),
        job(**{"architecture.init_std": 0.1}),
    ]
    assert teams(*alike) == [(0, 1, 2, 3, 4, 5, 6)]
    assert teams(*alike, together=False) == [(0,), (1,), (2,), (3,), (4,), (5,), (6,)]
    assert teams(*alike, waiting=[1, 4]) == [(1, 4)]


def test_cells_that_differ_in_anything_else_do_not():
    others = [
        job(),
        job("gan"),
        job(steps=5),
        job(precision="bf16"),
        job(recipe="digits"),
        job(**{"game.objective": "hinge"}),
        job(**{"game.schedule": "alternating"}),
        job(**{"training.batch_size": 50}),
        job(**{"dataset.rows": 500}),
        job(**{"architecture.latent": 3}),
    ]
    assert teams(*others) == [(number,) for number in range(len(others))]


@pytest.mark.parametrize(("device", "expected"), [("cuda", [(0, 2), (1,), (3,)]), ("cpu", [(0,), (1,), (2,), (3,)])])
def test_by_default_vectors_on_a_gpu_are_trained_together_and_nothing_else(monkeypatch, device, expected):
    jobs = job(), job(recipe="digits"), job(seed=1), job(recipe="digits", seed=1)
    monkeypatch.setattr(train_cells, "choose_device", lambda name: torch.device(device))
    assert teams(*jobs, together=None) == expected
    assert teams(*jobs, together=True) == [(0, 2), (1, 3)]


def test_teams_stand_in_the_order_of_their_first_cells():
    assert teams(job(), job("gan"), job(seed=1), job("gan", seed=1), job("vae")) == [(0, 2), (1, 3), (4,)]


@here
def test_a_comparison_together_is_of_ordinary_runs_and_goes_on_from_what_is_there(say, tmp_path):
    arguments = ("compare", "ali", "gan", "--seeds", 2, "--steps", 40, *SMALL, "--report", tmp_path / "one", "--json")
    found = say(*arguments, "--together", "--jobs", 2).document
    assert [(cell["label"], cell["seed"], cell["step"], cell["failure"]) for cell in found["cells"]] == [
        (model, seed, 40, "") for seed in range(2) for model in ("ali", "gan")
    ]
    assert [row["seeds"] for row in found["rows"]] == [[0, 1], [0, 1]]
    assert all(score["n"] == 2 for row in found["rows"] for score in row["scores"])
    assert (tmp_path / "one" / "report.html").is_file()
    for cell in found["cells"]:
        run = Run(tmp_path / "one" / cell["run"])
        assert run.record.seed == cell["seed"]
        assert {score["step"] for score in run.scores} == {8, 16, 24, 32, 40}
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "cells").rglob("*.safetensors")}
    assert stamps
    assert say(*arguments, "--together").document["rows"] == found["rows"]
    assert say(*arguments, "--apart").document["rows"] == found["rows"]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.slow
def test_a_study_is_carried_out_together(say, tmp_path):
    chosen = ("--set", "study.runs=2", "--set", "study.steps=30", "--report", tmp_path, "--together", "--jobs", 2)
    found = say("reproduce", "ali/mode-coverage", *chosen, "--json").document
    assert [(row["model"], row["seed"], row["modes"] is not None) for row in found["runs"]] == [
        (model, seed, True) for seed in range(2) for model in ("ali", "gan")
    ]
    assert len(list((tmp_path / "ali" / "mode-coverage" / "cells").glob("*/run.json"))) == 4


@pytest.mark.slow
def test_one_failed_training_of_a_team_is_named_beside_those_that_finished(say, tmp_path):
    arguments = ("compare", "ali", "wild=ali", "--set", "wild:training.learning_rate=1e30", "--steps", 30, *SMALL)
    said = say(*arguments, "--report", tmp_path / "wild", "--together", "--jobs", 1)
    assert said.code == 5
    rows = {row["label"]: row for row in json.loads((tmp_path / "wild" / "results.json").read_text())["rows"]}
    assert rows["ali"]["failed"] == []
    assert rows["ali"]["scores"]
    assert rows["wild"]["failed"][0].startswith("exit 5: ")
    assert "non-finite in step 2" in rows["wild"]["failed"][0]
