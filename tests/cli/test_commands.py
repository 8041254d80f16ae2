"""The command line, as a user types it: what its results look like, and what they leave behind."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import numpy
import pytest
import torch
from PIL import Image
from processes import WITHOUT_TORCH, python
from safetensors.torch import load_file
from toy import TOY

import genzoo
from genzoo.host.discovery import registry
from genzoo.host.registry import KINDS, SINGULAR
from genzoo.storage import files

COMMANDS = ("train", "resume", "sample", "reconstruct", "interpolate", "evaluate", "list", "show", "runs")
TOY_OPTIONS = [part for path, value in TOY.items() for part in ("--set", f"{path}={value}")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a folder of short trainings: ali and gan on mixture25, ali on digits."""
    root = tmp_path_factory.mktemp("zoo") / "runs"
    for model in ("ali", "gan"):
        genzoo.train(model, overrides=TOY, runs=root)
    genzoo.train("ali", recipe="digits", overrides={"training.steps": 2, "training.batch_size": 16}, runs=root)
    return root


@pytest.fixture(scope="module")
def ali(runs):
    return runs / "0001-ali-mixture25-s0"


@pytest.fixture(scope="module")
def gan(runs):
    return runs / "0002-gan-mixture25-s0"


@pytest.fixture(scope="module")
def digits(runs):
    return runs / "0003-ali-digits-s0"


@pytest.fixture
def own_ali(ali, tmp_path):
    """Return a copy of the run that a test may change."""
    return shutil.copytree(ali, tmp_path / "copies" / ali.name)


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pixels(path):
    return numpy.asarray(Image.open(path).convert("RGB"))


def tiles(path, *, columns, rows, group=1, groups=None, heading=0):
    """Return the pictures of 8 × 8 in a grid, row by row, at the size they had before they were magnified."""
    grid = pixels(path)[heading:, :, 0]
    side, gap, seam = 64, 12, 2
    sizes = groups or [group] * (columns // group)
    group_of = [number for number, size in enumerate(sizes) for _ in range(size)]
    lefts = [gap + column * (side + seam) + number * (gap - seam) for column, number in enumerate(group_of)]
    assert grid.shape == (gap + rows * (side + gap), lefts[-1] + side + gap)
    corners = [(gap + row * (side + gap), left) for row in range(rows) for left in lefts]
    return [grid[top : top + side : 8, left : left + side : 8] for top, left in corners]


def show_the_same(tile, image):
    return numpy.abs(tile - image * 255).max() <= 0.51


def arrays(path):
    return numpy.load(path, allow_pickle=False)


# Help, and no torch


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["list", "--json"],
        ["list", "plugins"],
        ["train", "--help"],
        ["sample", "--help"],
        ["show", "--help"],
        ["runs"],
        ["alli"],
        ["train"],
    ],
    ids=" ".join,
)
def test_what_only_talks_imports_no_torch(arguments):
    found = python(WITHOUT_TORCH, *arguments)
    assert found.returncode == (2 if arguments in (["alli"], ["train"]) else 0)
    assert found.stderr.splitlines()[-1] == "heavy:"


def test_completion_knows_the_models_and_imports_no_torch():
    words = {"_GENZOO_COMPLETE": "bash_complete", "COMP_WORDS": "genzoo train ", "COMP_CWORD": "2"}
    found = python(WITHOUT_TORCH, **words)
    offered = [line.partition(",")[2] for line in found.stdout.splitlines()]
    assert {"ali", "gan", "vae"} <= set(offered)
    assert found.stderr.splitlines()[-1] == "heavy:"


def test_help_names_every_command():
    found = subprocess.run([sys.executable, "-m", "genzoo", "--help"], capture_output=True, text=True, check=True)
    for command in COMMANDS:
        assert f"\n  {command}" in found.stdout
    assert found.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(say, command):
    said = say(command, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: genzoo {command} ")


def test_the_version_is_the_packages(say):
    assert say("--version").out == f"genzoo {genzoo.__version__}\n"


def test_without_a_command_the_help_is_shown_and_no_error(say):
    said = say()
    assert "error" not in said.err
    assert "Commands:" in said.out + said.err


def test_a_reader_that_stops_reading_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "genzoo", "list"]
    found = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (found.returncode, found.stderr) == (0, "")


# list


def test_the_list_has_every_kind_with_name_summary_distribution_and_version(say):
    listing = say("list", "--json").document
    assert set(listing) == {"schema_version", "plugins", *KINDS}
    for kind in ("models", "recipes", "datasets", "architectures", "metrics", "plugins"):
        assert listing[kind] != []
        for item in listing[kind]:
            assert set(item) == {"name", "summary", "distribution", "version"}
            assert all(isinstance(value, str) and value for value in item.values())
    assert {"ali", "gan", "vae"} <= {item["name"] for item in listing["models"]}
    assert {"mixture25", "mixture25-paper", "digits"} <= {item["name"] for item in listing["recipes"]}
    assert {"modes", "reconstruction"} <= {item["name"] for item in listing["metrics"]}


@pytest.mark.parametrize("kind", [*KINDS, "plugins"])
def test_the_list_of_one_kind_is_its_part_of_the_whole(say, kind):
    whole = say("list", "--json").document
    assert say("list", kind, "--json").document == {"schema_version": 1, kind: whole[kind]}
    shown = say("list", kind).out.splitlines()
    assert shown[0] == kind
    assert [line.split()[0] for line in shown[1:]] == [item["name"] for item in whole[kind]]


def test_a_broken_plugin_is_listed_as_such_and_warned_of_once(say, monkeypatch):
    found = registry()
    broken = type(found.plugins[0])(name="bad", distribution="zoo-bad", version="1", cause="ImportError: no")
    more = type(found)(plugins=[*found.plugins, broken], entries=found.entries, warnings=["plugin bad is broken"])
    monkeypatch.setattr("genzoo.cli.registry", lambda: more)
    monkeypatch.setattr("genzoo.cli.list.registry", lambda: more)
    said = say("list", "plugins", "--json")
    assert said.document["plugins"][-1]["summary"] == "broken: ImportError: no"
    assert said.err == "warning: plugin bad is broken\n"


# show


@pytest.mark.parametrize(
    ("model", "parameters", "macs"),
    [
        (
            "ali",
            {"encoder": 164_002, "decoder": 484_802, "critic": 407_201},
            {
                "encoder": 4 * 400 + 400 * 400 + 400 * 2,
                "decoder": 2 * 400 + 3 * 400 * 400 + 400 * 2,
                "critic": 4 * 1000 + 2 * 200 * 1000 + 200,
            },
        ),
        (
            "gan",
            {"decoder": 484_802, "critic": 405_201},
            {"decoder": 2 * 400 + 3 * 400 * 400 + 400 * 2, "critic": 2 * 1000 + 2 * 200 * 1000 + 200},
        ),
    ],
)
def test_a_recipe_is_shown_with_the_papers_toy_networks(say, model, parameters, macs):
    card = say("show", "mixture25-paper", "--model", model, "--json").document
    assert {name: network["parameters"] for name, network in card["networks"].items()} == parameters
    assert {name: network["macs"] for name, network in card["networks"].items()} == macs
    for network in card["networks"].values():
        assert sum(layer["parameters"] for layer in network["layers"]) == network["parameters"]
        assert sum(layer["macs"] for layer in network["layers"]) == network["macs"]
    assert card["data"]["name"] == "mixture25"
    assert card["training"]["batch_size"] == 100


def test_an_override_is_shown(say):
    shown = say("show", "mixture25", "--model", "ali", "--set", "training.batch_size=7", "--json").document
    assert shown["training"]["batch_size"] == 7
    posterior = say("show", "mixture25-paper", "--model", "ali", "--set", "game.posterior=gaussian", "--json").document
    extra = 400 * 2 + 2  # a second half of the head, for log σ; but no noise at the input
    assert posterior["networks"]["encoder"]["parameters"] == 164_002 + extra - 2 * 400


def test_a_recipe_is_shown_with_the_settings_of_games_that_it_chooses(say):
    shown = ("show", "mixture25", "--model", "gan", "--json")
    assert say(*shown).document["game"]["objective"]["name"] == "relativistic"
    assert say(*shown, "--set", "game.objective=hinge").document["game"]["objective"]["name"] == "hinge"


def test_a_recipe_is_shown_as_a_table_that_ends_in_its_totals(say):
    said = say("show", "digits", "--model", "ali")
    assert said.code == 0
    for name in ("encoder", "decoder", "critic"):
        assert f"\n{name}: " in said.out
    assert "1×8×8" in said.out


def test_show_says_what_every_setting_of_a_component_is(say):
    text = "The standard deviation of every component along every axis."
    assert re.search(rf"^  std = 0\.5 +{re.escape(text)}$", say("show", "mixture").out, re.MULTILINE)
    card = say("show", "mixture", "--json").document
    assert card["texts"]["std"] == text
    assert "Fields" not in card["about"]
    assert card["texts"].keys() < card["fields"].keys()


def test_a_name_of_a_recipe_and_of_a_data_set_shows_both_and_a_kind_selects(say):
    assert say("show", "digits").out.count("10 classes") == 2
    assert say("show", "digits", "--json").document["kind"] == "recipe"
    assert say("show", "dataset:digits", "--json").document["kind"] == "dataset"
    assert say("show", "architecture:digits", "--json").document["kind"] == "architecture"


SHOWN = [entry for entry in registry().entries if entry.kind != "commands"]


@pytest.mark.parametrize("entry", SHOWN, ids=lambda entry: f"{SINGULAR[entry.kind]}-{entry.name}")
def test_everything_that_is_listed_can_be_shown(say, entry):
    name = f"{SINGULAR[entry.kind]}:{entry.name}"
    card = say("show", name, "--json").document
    assert (card["kind"], card["name"]) == (SINGULAR[entry.kind], entry.name)
    said = say("show", name)
    assert said.code == 0
    assert entry.name in said.out.splitlines()[0]


@pytest.mark.parametrize("name", ["genzoo_ali", "genzoo"])
def test_a_plugin_or_distribution_is_shown_with_what_it_offers(say, name):
    plugins = {plugin.name for plugin in registry().plugins if name in (plugin.name, plugin.distribution)}
    offers = {entry.name: entry.summary for entry in registry().entries if entry.plugin.name in plugins}
    card = say("show", name, "--json").document
    assert (card["kind"], card["distribution"]) == ("plugin", "genzoo")
    assert {each: text for names in card["offers"].values() for each, text in names.items()} == offers
    shown = say("show", name).out
    assert shown.startswith(f"plugin {name} (genzoo ")
    assert all(f"\n  {each} " in shown for each in offers)


# train and resume


def test_training_answers_with_one_document(say, tmp_path):
    said = say("train", "ali", *TOY_OPTIONS, "--json")
    document = said.document
    assert set(document) == {"schema_version", "run", "step", "seconds", "steps_per_second", "scores", "failures"}
    assert document["run"] == "runs/0001-ali-mixture25-s0"
    assert document["step"] == 4
    assert document["steps_per_second"] == pytest.approx(4 / document["seconds"])
    assert {"modes", "modes/strict", "reconstruction"} <= {score["metric"] for score in document["scores"]}
    assert "step 4/4" in said.err
    kept = json.loads((tmp_path / document["run"] / "evaluation.json").read_text())
    assert kept["scores"] == document["scores"]


def test_training_ends_with_the_scores_and_two_commands_to_try(say):
    said = say("train", "gan", *TOY_OPTIONS, "--run", "mine")
    assert said.code == 0
    assert said.out.splitlines()[0].split() == ["score", "value"]
    assert "mine: 4 steps in" in said.out
    *_, first, second = said.err.splitlines()
    assert first.strip() == "genzoo show mine"
    assert second.strip() == "genzoo sample mine"
    assert say(*second.split()[1:]).code == 0


def test_a_training_tells_that_its_data_are_few_and_about_how_long_it_takes(say, monkeypatch):
    monkeypatch.setattr("genzoo.runs.notes._LEAST_SECONDS", 0.0)
    said = say("train", "gan", *TOY_OPTIONS, "--steps", "30", "--run", "timed")
    notes = [line for line in said.err.splitlines() if "machine" in line or "training rows" in line]
    times = round(30 * TOY["training.batch_size"] / 64)
    assert notes[0] == f"only 64 training rows, each seen about {times} times: the model may learn them by heart"
    assert re.fullmatch(r"the other 5 steps take about \d+ s on this machine", notes[1])
    assert len(notes) == 2
    resumed = say("resume", "timed", "--steps", "60").err
    assert "the other 5 steps take about" in resumed


def test_quiet_training_says_nothing_while_it_trains(say):
    said = say("train", "vae", *TOY_OPTIONS, "--quiet", "--json")
    assert said.document["step"] == 4
    assert said.err == ""


def test_a_finished_run_goes_on_for_more_steps(say, own_ali):
    document = say("resume", own_ali, "--steps", "6", "--json").document
    assert document["step"] == 6
    assert {score["step"] for score in document["scores"]} == {6}
    assert [json.loads(line)["step"] for line in (own_ali / "metrics.jsonl").open()] == [2, 4, 6]


def test_the_same_training_command_on_an_existing_run_continues_it(say, own_ali):
    longer = [option.replace("steps=4", "steps=6") for option in TOY_OPTIONS]
    said = say("train", "ali", *longer, "--run", own_ali, "--json")
    assert said.document["step"] == 6
    assert "going on from step 4" in said.err


def test_more_steps_may_be_asked_for_with_an_option(say, own_ali):
    assert say("train", "ali", *TOY_OPTIONS, "--steps", "6", "--run", own_ali, "--json").document["step"] == 6


def test_training_that_is_done_already_leaves_the_weights(say, own_ali):
    before = contents(own_ali / "checkpoints")
    said = say("train", "ali", *TOY_OPTIONS, "--run", own_ali)
    assert said.code == 0
    assert "all 4 steps are taken already" in said.err
    assert contents(own_ali / "checkpoints") == before


def test_a_beta_of_the_old_convention_draws_a_warning(say):
    said = say("show", "mixture25", "--model", "ali", "--set", "training.beta2=0.001", "--json")
    assert said.document["training"]["beta2"] == 0.001
    assert said.err.startswith("warning: training.beta2 is 0.001: that looks like the old convention")
    assert "would be 0.999" in said.err
    assert said.err.count("\n") == 1


# evaluate


def test_an_evaluation_answers_with_metric_value_and_protocol(say, own_ali):
    document = say("evaluate", own_ali, "--json").document
    assert (document["run"], document["step"]) == (str(own_ali), 4)
    for score in document["scores"]:
        assert {"metric", "value", "protocol"} <= set(score)
        # four steps leave no sample near a mode, whose width is then not known
        assert isinstance(score["value"], float) or (score["metric"], score["value"]) == ("modes/width", None)
        assert {"split", "seed", "weights", "batch_norm"} <= set(score["protocol"])
    assert 0 <= next(score["value"] for score in document["scores"] if score["metric"] == "modes") <= 25


def test_the_same_evaluation_gives_the_same_scores_once(say, own_ali):
    first = say("evaluate", own_ali, "--json").document
    kept = (own_ali / "evaluation.json").read_text()
    assert say("evaluate", own_ali, "--json").document == first
    assert (own_ali / "evaluation.json").read_text() == kept
    other = say("evaluate", own_ali, "--seed", "1", "--json").document
    stored = json.loads((own_ali / "evaluation.json").read_text())["scores"]
    assert len(stored) == len(first["scores"]) + len(other["scores"])


def test_one_metric_can_be_chosen(say, own_ali):
    document = say("evaluate", own_ali, "--metric", "modes", "--json").document
    names = ["modes/divergence", "modes/high-quality", "modes/counted", "modes", "modes/strict", "modes/least"]
    names.append("modes/width")
    assert [score["metric"] for score in document["scores"]] == names
    table = say("evaluate", own_ali, "--metric", "modes").out.splitlines()
    assert [line.split()[0] for line in table] == ["score", *names]


def test_the_rows_of_the_split_are_measured(say, own_ali):
    document = say("evaluate", own_ali, "--metric", "reconstruction", "--split", "train", "--json").document
    protocol = document["scores"][0]["protocol"]
    assert (protocol["split"], protocol["rows"]) == ("train", TOY["dataset.rows"])


def test_a_gan_is_measured_by_what_can_measure_it(say, gan, tmp_path):
    own = shutil.copytree(gan, tmp_path / "gan")
    document = say("evaluate", own, "--json").document
    assert {score["metric"] for score in document["scores"]} == {
        "modes",
        "modes/counted",
        "modes/divergence",
        "modes/high-quality",
        "modes/least",
        "modes/strict",
        "modes/width",
        "nearest-neighbour",
        "nearest-neighbour/held-out",
    }


# sample, reconstruct, interpolate


@pytest.mark.parametrize(("run", "shape"), [("ali", (2,)), ("gan", (2,)), ("digits", (1, 8, 8))])
def test_samples_as_an_array_have_the_shape_of_the_data(say, request, run, shape):
    document = say("sample", request.getfixturevalue(run), "-n", "7", "--out", "a.npy", "--json").document
    assert (document["file"], document["count"], document["seed"]) == ("a.npy", 7, 0)
    found = arrays("a.npy")
    assert found.shape == (7, *shape)
    assert found.dtype == numpy.float32
    assert numpy.isfinite(found).all()


def test_samples_as_safetensors_come_with_their_z(say, ali):
    assert say("sample", ali, "-n", "5", "--out", "a.safetensors").out == "a.safetensors\n"
    say("sample", ali, "-n", "5", "--out", "a.npy")
    found = load_file("a.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {"samples": (5, 2), "z": (5, 2)}
    assert numpy.array_equal(found["samples"].numpy(), arrays("a.npy"))


def test_a_seed_decides_the_samples(say, ali):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        say("sample", ali, "-n", "5", "--seed", seed, "--out", f"{name}.npy")
    assert numpy.array_equal(arrays("a.npy"), arrays("b.npy"))
    assert not numpy.isclose(arrays("a.npy"), arrays("c.npy")).any()


def test_samples_of_images_are_a_grid(say, digits):
    say("sample", digits, "-n", "9", "--out", "a.png")
    say("sample", digits, "-n", "9", "--out", "a.npy")
    shown = tiles("a.png", columns=3, rows=3)
    assert all(show_the_same(tile, sample[0]) for tile, sample in zip(shown, arrays("a.npy"), strict=True))


def test_samples_of_vectors_are_a_scatter_plot(say, ali):
    assert say("sample", ali, "-n", "20", "--out", "a.png").code == 0
    height, width, _ = pixels("a.png").shape
    assert width > 1.5 * height  # two panels side by side


def test_reconstructions_as_an_array_are_pairs_with_the_original_first(say, ali):
    document = say("reconstruct", ali, "-n", "6", "--out", "a.npy", "--json").document
    assert (document["count"], document["split"]) == (6, "validation")
    pairs = arrays("a.npy")
    validation = genzoo.api.load_data(ali).validation
    assert pairs.shape == (6, 2, 2)
    assert numpy.array_equal(pairs[:, 0], validation.x[:6].numpy())
    model = genzoo.load(ali)
    assert numpy.allclose(pairs[:, 1], model.reconstruct(validation.x[:6]).numpy(), atol=1e-5)


def test_reconstructions_as_safetensors_come_with_their_codes(say, digits):
    say("reconstruct", digits, "-n", "3", "--out", "a.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file("a.safetensors").items()}
    assert shapes == {"pairs": (3, 2, 1, 8, 8), "z": (3, genzoo.load(digits).latent)}


def test_reconstructions_of_images_alternate_with_their_originals(say, digits):
    say("reconstruct", digits, "-n", "4", "--split", "test", "--out", "a.png")
    say("reconstruct", digits, "-n", "4", "--split", "test", "--out", "a.npy")
    pairs = arrays("a.npy")
    stored = genzoo.api.load_data(digits).test.x[:4].numpy()
    assert numpy.allclose(pairs[:, 0] * 255, stored, atol=1e-3)
    images = pairs.reshape(8, 8, 8)
    assert all(
        show_the_same(*pair)
        for pair in zip(tiles("a.png", columns=8, rows=1, group=2, heading=22), images, strict=True)
    )


def test_no_more_rows_are_reconstructed_than_there_are(say, ali):
    document = say("reconstruct", ali, "-n", "1000", "--out", "a.npy", "--json").document
    assert document["count"] == len(arrays("a.npy")) == TOY["dataset.held_out_rows"]


@pytest.mark.parametrize(("run", "shape"), [("ali", (2,)), ("digits", (1, 8, 8))])
def test_interpolations_as_an_array_are_pairs_by_steps(say, request, run, shape):
    folder = request.getfixturevalue(run)
    document = say("interpolate", folder, "--pairs", "3", "--steps", "5", "--out", "a.npy", "--json").document
    assert (document["pairs"], document["steps"]) == (3, 5)
    found = arrays("a.npy")
    assert found.shape == (3, 6, *shape)
    model, rows = genzoo.load(folder), genzoo.api.load_data(folder).validation
    start = model.reconstruct(model.rows(rows, 3)[0], seed=0).numpy()
    assert numpy.allclose(found[:, 0], start, atol=1e-5)


def test_interpolations_of_images_are_rows_between_their_ends(say, digits):
    say("interpolate", digits, "--pairs", "2", "--steps", "4", "--out", "a.png")
    shown = tiles("a.png", columns=4 + 3, rows=2, groups=(1, 4 + 1, 1))
    x = genzoo.api.load_data(digits).validation.x[:4, 0].numpy() / 255
    assert [show_the_same(shown[place], x[row]) for place, row in ((0, 0), (7, 1), (6, 2), (13, 3))] == [True] * 4
    assert say("interpolate", digits, "--out", "b.safetensors").code == 0
    assert tuple(load_file("b.safetensors")["decodings"].shape) == (4, 12, 1, 8, 8)


@pytest.mark.parametrize(
    ("command", "name"), [("sample", "samples"), ("reconstruct", "reconstructions"), ("interpolate", "interpolations")]
)
def test_a_picture_lands_in_the_run_if_no_name_is_given(say, own_ali, tmp_path, command, name):
    before = set(tmp_path.iterdir())
    assert say(command, own_ali).out == f"{own_ali / name}.png\n"
    assert (own_ali / f"{name}.png").is_file()
    assert set(tmp_path.iterdir()) == before


def test_looking_and_measuring_leave_checkpoints_and_log_as_they_are(say, own_ali):
    before = contents(own_ali)
    for command in ("sample", "reconstruct", "interpolate", "evaluate"):
        assert say(command, own_ali, *(("--out", "a.png") if command != "evaluate" else ())).code == 0
    assert contents(own_ali) == before  # the scores are those that training ended with


def test_looking_leaves_the_random_state_of_the_caller(say, ali):
    before = torch.get_rng_state()
    say("sample", ali, "-n", "3", "--out", "a.npy")
    say("reconstruct", ali, "-n", "3", "--out", "a.npy")
    assert torch.equal(torch.get_rng_state(), before)


# runs


def test_runs_are_listed_with_progress_and_scores(say, runs):
    listed = say("runs", "--root", runs, "--json").document["runs"]
    assert [(item["model"], item["recipe"], item["step"], item["steps"], item["status"]) for item in listed] == [
        ("ali", "mixture25", 4, 4, "done"),
        ("gan", "mixture25", 4, 4, "done"),
        ("ali", "digits", 2, 2, "done"),
    ]
    assert all(item["scores"] for item in listed)
    table = say("runs", "--root", runs).out.splitlines()
    assert [line.split()[0] for line in table] == ["run", *(item["run"] for item in listed)]


def test_a_run_that_was_stopped_is_listed_as_such(say, own_ali):
    shutil.rmtree(own_ali / "checkpoints" / "step-0000004")
    (item,) = say("runs", "--root", own_ali.parent, "--json").document["runs"]
    assert (item["step"], item["steps"], item["status"]) == (2, 4, "stopped")


def test_a_run_is_listed_with_the_headline_score_of_its_newest_step(say, own_ali):
    assert say("runs", "--root", own_ali.parent).out.splitlines()[1].split()[-2] == "modes/divergence"
    document = json.loads((own_ali / "evaluation.json").read_text())
    headlines = [(score.pop("headline"), score["metric"]) for score in document["scores"]]
    names = ["modes/divergence", "modes/high-quality", "modes/counted", "reconstruction/ratio"]
    assert [name for is_headline, name in headlines if is_headline] == names
    # an evaluation of a genzoo whose scores had no headline yet
    files.write_sealed(own_ali / "evaluation.json", {key: document[key] for key in ("schema_version", "run", "scores")})
    assert say("runs", "--root", own_ali.parent).out.splitlines()[1].split()[-2] == "cycle"


def test_without_runs_the_command_that_begins_one_is_told(say):
    said = say("runs")
    assert (said.code, said.out) == (0, "")
    assert said.err == "no runs below runs; begin one with: genzoo train ali\n"
    assert say("runs", "--json").document["runs"] == []


# The run folder


def test_a_run_folder_holds_what_was_promised_and_nothing_that_names_a_place(ali, digits):
    for run, step in ((ali, 4), (digits, 2)):
        found = set(contents(run))
        assert {"run.json", "metrics.jsonl", "evaluation.json", f"samples/000000{step}.png"} <= found
        assert {f"reconstructions/000000{step}.png"} <= found
        checkpoint = f"checkpoints/step-000000{step}"
        for name in ("networks.safetensors", "optimizers.safetensors", "state.json", "MANIFEST.json"):
            assert f"{checkpoint}/{name}" in found
        for path in run.rglob("*.json*"):
            assert str(run.parent) not in path.read_text()


def test_a_moved_run_gives_the_same_samples(say, ali, tmp_path):
    say("sample", ali, "-n", "4", "--out", "before.npy")
    moved = shutil.copytree(ali, tmp_path / "another name")
    say("sample", moved, "-n", "4", "--out", "after.npy")
    assert numpy.array_equal(arrays("before.npy"), arrays("after.npy"))


def test_averaged_weights_are_shown_unless_raw_ones_are_asked_for(say, tmp_path):
    options = [*TOY_OPTIONS, "--set", "training.averaging=0.9", "--run", "run"]
    assert say("train", "gan", *options, "--quiet").code == 0
    kinds = [
        say("sample", "run", "-n", "3", "--out", f"{name}.npy", "--json", *more).document["weights"]
        for name, more in (("averaged", []), ("raw", ["--raw"]))
    ]
    assert kinds == ["averaged", "raw"]
    assert not numpy.array_equal(arrays("averaged.npy"), arrays("raw.npy"))
