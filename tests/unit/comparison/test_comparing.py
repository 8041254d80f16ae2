"""Comparisons: the same batches and z for everyone, statistics, what is not trained twice, and the report."""

import json
import math
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest
import torch

from genzoo.comparison import cells, report
from genzoo.host.registry import registry
from genzoo.runs.job import resolve_job
from genzoo.storage.run_folder import Run
from genzoo.training.trainer import Trainer

SMALL = ("--set", "dataset.rows=200", "--set", "dataset.held_out_rows=2200", "--set", "training.batch_size=20")


def job(model="ali", *, seed=0, steps=4, **overrides):
    return resolve_job(registry(), model, "mixture25", seed, steps, "fp32", overrides, None)


def contestant(label, model="ali", seeds=1, **overrides):
    return cells.Contestant(label=label, jobs=tuple(job(model, seed=seed, **overrides) for seed in range(seeds)))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return a folder in which ALI, GAN and VAE were compared, two seeds each."""
    folder = tmp_path_factory.mktemp("compared")
    command = [sys.executable, "-m", "genzoo", "compare", "ali", "gan", "vae", "--steps", "10", "--seeds", "2", *SMALL]
    subprocess.run([*command, "--report", str(folder), "--jobs", "2"], check=True, capture_output=True)
    return folder


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


# Identity


def test_what_decides_the_numbers_decides_the_folder_and_intervals_do_not():
    same = cells.identity(job(**{"training.log_every": 7, "training.evaluate_every": 3}))
    assert cells.identity(job()) == same
    others = [
        job(seed=1),
        job(steps=5),
        job("gan"),
        job(**{"game.objective": "hinge"}),
        job(**{"architecture.latent": 3}),
    ]
    assert len({cells.identity(other) for other in (job(), *others)}) == len(others) + 1


def test_the_same_model_twice_needs_different_settings(say):
    said = say("compare", "ali", "ali")
    assert said.code == 2
    assert "ali is named twice with the same settings" in said.err
    said = say("compare", "ali", "other=ali")
    assert said.code == 2
    cells.refuse_unlike([contestant("ali"), contestant("hinge", **{"game.objective": "hinge"})])


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
        assert all(record["settings"][name] == records[0]["settings"][name] for record in records)
    assert all(Run(cell).step == 10 for cell in cells)


def test_a_second_comparison_trains_nothing_and_says_the_same(compared, say):
    before = results_of(compared)
    stamps = {path: path.stat().st_mtime_ns for path in (compared / "cells").rglob("*.safetensors")}
    arguments = ("ali", "gan", "vae", "--steps", 10, "--seeds", 2, *SMALL, "--report", compared)
    assert say("compare", *arguments, "--json").document["rows"] == before["rows"]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    after = results_of(compared)
    assert {**after, "command": None} == {**before, "command": None}


def test_existing_runs_are_compared_by_their_paths(compared, say, tmp_path):
    runs = [next((compared / "cells").glob(f"{model}-*-s0-*")) for model in ("ali", "vae")]
    found = say("compare", *runs, "--report", tmp_path / "two", "--json").document
    assert [row["label"] for row in found["rows"]] == [run.name for run in runs]
    known = {row["label"]: row for row in results_of(compared)["rows"]}
    assert found["rows"][0]["parameters"] == known["ali"]["parameters"]


def test_a_comparison_of_one_model_is_a_report_of_one(compared, say, tmp_path):
    found = say("compare", "vae", "--steps", 10, *SMALL, "--report", tmp_path / "one", "--json").document
    assert [row["label"] for row in found["rows"]] == ["vae"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_comparison_goes_on_to_the_same_results(compared, tmp_path, end):
    folder = tmp_path / "interrupted"
    command = [sys.executable, "-m", "genzoo", "compare", "vae", "--steps", "10", "--seeds", "2", *SMALL]
    command += ["--report", str(folder), "--jobs", "1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(folder.glob("cells/*/run.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(end)
    assert process.wait(60) == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[end]
    assert not (folder / "results.json").exists()
    while any(Run(cell).is_running for cell in (folder / "cells").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)  # a training whose comparison was killed is asked to save and end
    subprocess.run(command, check=True, capture_output=True)
    (row,) = results_of(folder)["rows"]
    known = next(row for row in results_of(compared)["rows"] if row["label"] == "vae")
    assert timeless(row) == timeless(known)


def timeless(document):
    """Return a document without what time and place decide."""
    if isinstance(document, dict):
        return {key: timeless(value) for key, value in document.items() if key not in ("seconds", "command")}
    return [timeless(item) for item in document] if isinstance(document, list) else document


def test_a_model_that_diverges_has_its_row_and_the_others_finish(say, tmp_path):
    arguments = ("ali", "wild=ali", "--set", "wild:training.learning_rate=1e30", "--steps", 30, *SMALL)
    said = say("compare", *arguments, "--report", tmp_path / "wild")
    assert said.code == 5
    found = {row["label"]: row for row in results_of(tmp_path / "wild")["rows"]}
    assert found["wild"]["failed"][0].startswith("exit 5: ")
    assert found["ali"]["failed"] == []
    assert found["ali"]["scores"]
    assert "wild failed" in (tmp_path / "wild" / "table.md").read_text()


def test_two_cells_with_the_same_seed_see_the_same_batches_and_z_and_start_from_the_same_decoder():
    trainers = [
        Trainer(one.plan, one.settings.dataset.load(None).train, seed=1, device=torch.device("cpu"))
        for one in (job("ali", seed=1), job("gan", seed=1), job("vae", seed=1))
    ]
    first, *others = trainers
    for other in others:
        assert torch.equal(other.stream.batch(7).x, first.stream.batch(7).x)
        assert torch.equal(other.stream.batch(7).z, first.stream.batch(7).z)
        ours, theirs = first.networks.decoder.state_dict(), other.networks.decoder.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


# What is said of it


def test_statistics_are_over_seeds_at_the_last_step_and_best_is_over_the_way():
    def course(*values):
        return [
            {"metric": "m", "value": value, "step": step, "protocol": {"seed": 1}, "better": "lower"}
            for step, value in enumerate(values, start=1)
        ]

    (found,) = cells._statistics([course(3.0, 1.0, 2.0), course(5.0, 4.0, 6.0)])
    assert found["final"] == {"mean": 4.0, "std": statistics.stdev([2.0, 6.0]), "min": 2.0, "max": 6.0}
    assert found["best"]["mean"] == 2.5
    assert found["values"] == [2.0, 6.0]


def test_scores_of_another_protocol_are_kept_apart_and_not_ranked():
    def score(value, rows):
        return {"metric": "m", "value": value, "step": 1, "protocol": {"rows": rows, "seed": 0}, "better": "lower"}

    found = [cells._statistics([[score(value, rows)]]) for value, rows in ((3.0, 10), (1.0, 20), (2.0, 10))]
    rows = [
        {"label": name, "seeds": [0], "scores": scores, "failed": [], "obstacles": [], "parameters": 1}
        | {"macs_per_update": 1, "steps": 1, "images_seen": 1, "seconds": 1.0}
        for name, scores in zip("abc", found, strict=True)
    ]
    (cells,) = report.Table({"rows": rows, "baselines": []}).rows
    assert [cell["text"] for cell in cells] == ["3", "1 †", "2"]
    assert [cell["best"] for cell in cells] == [False, False, True]


def test_what_a_model_cannot_do_is_a_dash_with_a_reason(compared):
    table = (compared / "table.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| reconstruction ↓"))
    assert row.split("|")[3].strip() == "–"
    assert "gan has no cycle, latent-match, posterior-width, reconstruction: it has no encoder" in table


def test_baselines_are_held_out_samples_and_untrained_networks(compared):
    baselines = {row["label"]: row for row in results_of(compared)["baselines"]}
    assert set(baselines) == {"held-out samples", "ali, untrained", "gan, untrained", "vae, untrained"}
    held_out = {one["metric"]: one["final"]["mean"] for one in baselines["held-out samples"]["scores"]}
    assert held_out["modes"] == held_out["modes/strict"] == 25
    untrained = {one["metric"]: one["final"]["mean"] for one in baselines["ali, untrained"]["scores"]}
    assert untrained["reconstruction/ratio"] == pytest.approx(1, abs=0.01)


def test_costs_are_counted_from_the_tables(compared):
    ali = results_of(compared)["rows"][0]
    assert ali["parameters"] == 164_002 + 484_802 + 407_201
    assert ali["macs_per_update"] == 20 * (162_400 + 481_600 + 2 * 404_200)
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
    assert len(reader.loaded) == 5  # samples of three models, reconstructions of two
    assert not re.search(r"@import|url\(\s*['\"]?http", page)


def test_third_party_text_is_escaped(compared, tmp_path):
    evil = "<script>alert(1)</script>$x_{"
    results = results_of(compared)
    for row in results["rows"]:
        row["label"] += evil
    for cell in results["cells"]:
        cell["label"] += evil
    results["command"] = evil
    picture = report.Picture(evil, b"png")
    report.write_report(tmp_path, results, [report.Section(evil, evil, (picture,))])
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "light"), (1200, "dark")])
def test_a_browser_draws_the_report(compared, tmp_path, width, scheme):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here")
    from PIL import Image

    picture = tmp_path / "page.png"
    dark = "0" if scheme == "dark" else "1"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--blink-settings=preferredColorScheme={dark}", f"--window-size={width},1000"]
    command += [
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--screenshot={picture}",
        (compared / "report.html").as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(picture) as image:
        assert image.size[0] == width
        pixels = image.convert("L")
        corner = pixels.getpixel((3, 3))
        assert corner < 60 if scheme == "dark" else corner > 200
        colours = image.convert("RGB").getcolors(maxcolors=1_000_000)
        assert len(colours) > 50  # text, lines and drawings, not a blank page


def test_nothing_is_left_of_a_failed_start(tmp_path):
    waiting = cells.cells_of([contestant("ali")], tmp_path)
    (outcome,) = cells.train_cells(waiting, lambda some: cells.Command(["nonsense"]), jobs=1)
    assert outcome.code == 2
    assert "nonsense" in outcome.said
    assert list((tmp_path / "cells").iterdir()) == []


def test_the_summary_of_nothing_is_nothing():
    assert cells.summary([]) is None
    assert cells.summary([2.0]) == {"mean": 2.0, "std": 0.0, "min": 2.0, "max": 2.0}
    assert math.isclose(cells.summary([1.0, 3.0])["std"], 2**0.5)
