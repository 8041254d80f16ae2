"""Conditions through the commands: samples, sweeps and reconstructions of conditional models, and what is refused."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy
import pytest
import torch
from contents import pixels
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import genzoo
from genzoo import SettingsError
from genzoo.data import Dataset
from genzoo.host.discovery import registry
from genzoo.runs.job import find_recipe
from genzoo.types import Split, Splits
from genzoo_data.digits import Digits

SHORT = {"training.steps": 2, "training.batch_size": 16}
CONDITIONAL = ("conditional-ali", "conditional-gan", "conditional-vae")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a folder with a run of two steps on digits per conditional model, and one of ali, called by model."""
    root = tmp_path_factory.mktemp("zoo")
    for model in (*CONDITIONAL, "ali"):
        genzoo.train(model, recipe="digits", overrides=SHORT, run=root / model)
    return root


@pytest.fixture(scope="module")
def run(runs):
    return runs / "conditional-ali"


def class_of(name, rows):
    return nn.functional.one_hot(torch.tensor(int(name)), 10).float().expand(rows, 10)


TILE, GAP, SEAM, HEADING = 64, 12, 2, 22  # digits are magnified eightfold; a heading stands above columns of classes


def size_of_grid(rows, *groups, heading=0):
    """Return the size in pixels of a grid with gaps around groups of so many digits each, and seams within them."""
    width = sum(group * (TILE + SEAM) - SEAM + GAP for group in groups) + GAP
    return (heading + rows * (TILE + GAP) + GAP, width, 3)


@pytest.mark.parametrize("condition", ["class=3", "3"])
def test_samples_of_a_class_are_those_of_the_model(say, run, condition):
    expected = genzoo.load(run).sample(64, seed=1, y=class_of(3, 64))
    said = say("sample", run, "--condition", condition, "--seed", 1, "--out", "a.npy", "--json").document
    assert (said["count"], said["condition"], said["seed"]) == (64, condition, 1)
    assert numpy.array_equal(numpy.load("a.npy", allow_pickle=False), expected.numpy())
    assert say("sample", run, "--condition", condition, "--seed", 1, "--out", "a.safetensors").code == 0
    stored = load_file("a.safetensors")
    assert set(stored) == {"samples", "z", "y"}
    assert torch.equal(stored["samples"], expected)
    assert torch.equal(stored["y"], class_of(3, 64))
    assert torch.equal(stored["z"], genzoo.load(run).draw_z(64, seed=1))


def test_a_class_decides_what_is_drawn(say, run):
    drawn = []
    for number in (3, 8):
        assert say("sample", run, "-n", 5, "--condition", number, "--out", "a.safetensors").code == 0
        drawn.append(load_file("a.safetensors"))
    assert torch.equal(drawn[0]["z"], drawn[1]["z"])
    assert not torch.equal(drawn[0]["samples"], drawn[1]["samples"])


def test_a_picture_of_samples_of_a_class_shows_them_all(say, run):
    picture = say("sample", run, "--condition", "class=3").out.strip()
    assert pixels(picture).shape == size_of_grid(8, *[1] * 8)


def test_samples_without_a_condition_have_labels_as_frequent_as_the_training_data(say, run):
    assert say("sample", run, "-n", 2000, "--out", "a.safetensors").code == 0
    stored, labels = load_file("a.safetensors"), Digits().load(None).train.labels
    shares = torch.bincount(labels, minlength=10) / len(labels)
    error = (shares * (1 - shares) / 2000).sqrt()
    assert ((stored["y"].mean(0) - shares).abs() < 5 * error).all()
    assert torch.equal(stored["samples"], genzoo.load(run).sample(2000, y=stored["y"]))


def test_a_sweep_of_all_classes_is_a_column_each_with_one_z_per_row(say, run):
    said = say("sample", run, "--sweep", "all", "--out", "a.npy", "--json").document
    assert (said["rows"], said["columns"]) == (8, 10)
    assert said["column_names"] == [str(number) for number in range(10)]
    model, x = genzoo.load(run), torch.from_numpy(numpy.load("a.npy", allow_pickle=False))
    assert x.shape == (8, 10, 1, 8, 8)
    z = model.draw_z(8)
    for number in range(10):
        torch.testing.assert_close(x[:, number], model.decode(z, class_of(number, 8)), rtol=1e-5, atol=1e-6)
    picture = say("sample", run, "--sweep", "all").out.strip()
    assert pixels(picture).shape == size_of_grid(8, *[1] * 10, heading=HEADING)


def test_a_sweep_of_some_classes_has_as_many_columns_and_rows_as_asked_for(say, run):
    said = say("sample", run, "--sweep", "1,2,3", "-n", 2, "--json").document
    assert (said["rows"], said["columns"], said["column_names"]) == (2, 3, ["1", "2", "3"])
    assert pixels(said["file"]).shape == size_of_grid(2, *[1] * 3, heading=HEADING)
    assert say("sample", run, "--sweep", "1,2,3", "-n", 2, "--out", "a.safetensors").code == 0
    y = load_file("a.safetensors")["y"]
    assert torch.equal(y, torch.eye(10)[1:4].expand(2, 3, 10))


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("conditional-ali", ["--condition", "class=33"], "no class '33'; did you mean '3'?"),
        ("conditional-ali", ["--condition", "three"], "known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("conditional-ali", ["--condition", ""], "no class ''"),
        ("conditional-ali", ["--sweep", "1,22"], "no class '22'; did you mean '2'?"),
        ("conditional-ali", ["--sweep", ""], "--sweep '' names nothing"),
        ("conditional-ali", ["--sweep", "all", "--condition", "3"], "cannot both set the class"),
        ("conditional-ali", ["--grid", "figure7"], "no grid 'figure7'"),
        ("conditional-ali", ["--grid", "figure7", "--condition", "3"], "--grid sets all conditions"),
        ("conditional-ali", ["--grid", "figure7", "--sweep", "all"], "--grid sets all conditions"),
        ("ali", ["--condition", "class=3"], "this model takes no condition"),
        ("ali", ["--condition", ""], "this model takes no condition"),
        ("ali", ["--sweep", "all"], "this model takes no condition"),
        ("ali", ["--sweep", ""], "this model takes no condition"),
        ("ali", ["--grid", "figure7"], "this model takes no condition"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_conditions_that_cannot_be_meant_end_with_2_and_write_nothing(say, runs, tmp_path, model, arguments, says):
    said = say("sample", runs / model, *arguments)
    assert said.code == 2
    assert says in said.err
    assert len(said.err.splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


def test_reconstructions_are_given_the_labels_of_their_rows(say, run):
    said = say("reconstruct", run, "-n", 6, "--seed", 3, "--out", "a.npy", "--json").document
    assert (said["count"], said["split"]) == (6, "validation")
    model, stored = genzoo.load(run), Digits().load(None).validation
    x, y = stored.x[:6].float() / 255, torch.eye(10)[stored.labels[:6]]
    pairs = torch.from_numpy(numpy.load("a.npy", allow_pickle=False))
    assert torch.equal(pairs[:, 0], x)
    assert torch.equal(pairs[:, 1], model.reconstruct(x, y=y, seed=3))
    assert not torch.equal(pairs[:, 1], model.reconstruct(x, y=y.roll(1, dims=1), seed=3))
    picture = say("reconstruct", run, "-n", 8).out.strip()
    assert pixels(picture).shape == size_of_grid(2, *[2] * 4, heading=HEADING)


def test_interpolations_walk_between_the_labels_of_their_ends(say, run):
    assert say("interpolate", run, "--pairs", 3, "--steps", 5, "--seed", 4, "--out", "a.npy").code == 0
    model, stored = genzoo.load(run), Digits().load(None).validation
    x, y = stored.x[:6].float() / 255, torch.eye(10)[stored.labels[:6]]
    expected = model.interpolate(x[:3], x[3:], steps=5, seed=4, y=(y[:3], y[3:]))
    found = torch.from_numpy(numpy.load("a.npy", allow_pickle=False))
    assert found.shape == (3, 6, 1, 8, 8)
    assert torch.equal(found, expected)
    picture = say("interpolate", run, "--pairs", 3, "--steps", 5).out.strip()
    assert pixels(picture).shape == size_of_grid(3, 1, 6, 1)


def test_recognition_is_evaluated_by_name_and_after_every_conditional_training(say, run):
    said = say("evaluate", run, "--metric", "recognition", "--json").document
    assert [score["metric"] for score in said["scores"]] == ["recognition", "recognition/real"]
    assert all(0 <= score["value"] <= 1 for score in said["scores"])
    assert [score["protocol"]["split"] for score in said["scores"]] == ["test", "test"]
    trained = {score["metric"]: score for score in genzoo.Run(run).scores}
    assert {score["metric"]: score for score in said["scores"]}.items() <= trained.items()


def test_recognition_of_an_unconditional_model_ends_with_2(say, runs):
    said = say("evaluate", runs / "ali", "--metric", "recognition")
    assert said.code == 2
    assert "metric 'recognition' cannot measure ali: it is not conditional" in said.err


@pytest.mark.parametrize("model", CONDITIONAL)
def test_every_conditional_model_is_trained_sampled_and_measured(say, runs, model):
    run = genzoo.Run(runs / model)
    assert run.step == 2
    assert {"recognition", "recognition/real"} <= {score["metric"] for score in run.scores}
    assert sum(run.record.label_frequencies) == pytest.approx(1)
    assert all(numpy.isfinite(value) for entry in run.read_log() for value in entry["losses"].values())
    assert say("sample", runs / model, "--condition", "7", "-n", 3, "--out", "a.npy").code == 0
    expected = genzoo.load(run).sample(3, y=class_of(7, 3))
    assert numpy.array_equal(numpy.load("a.npy", allow_pickle=False), expected.numpy())
    said = say("reconstruct", runs / model, "-n", 2)
    assert said.code == (2 if model == "conditional-gan" else 0)
    assert ("this model has no encoder" in said.err) == (model == "conditional-gan")


# Data without labels


@dataclass(frozen=True, kw_only=True)
class Unlabelled(Dataset):
    """The digits without their labels."""

    name: ClassVar[str] = "unlabelled"

    @property
    def spec(self):
        return replace(Digits().spec, class_names=())

    def load(self, root):
        return Splits(*(Split(split.x) for split in Digits().load(root)))


@pytest.mark.parametrize("model", CONDITIONAL)
def test_a_conditional_model_of_unlabelled_data_is_refused_before_a_folder_is_made(tmp_path, model):
    recipe = replace(find_recipe(registry(), "digits"), dataset=Unlabelled())
    with pytest.raises(SettingsError, match="a conditional model needs labels, and these data have none"):
        genzoo.train(model, recipe=recipe, overrides=SHORT, runs=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_a_conditional_model_of_a_folder_without_sub_folders_ends_with_2(say, tmp_path):
    source, data = tmp_path / "pictures", tmp_path / "data"
    source.mkdir()
    for number in range(10):
        Image.new("RGB", (32, 32), (25 * number, 0, 0)).save(source / f"{number}.png")
    arguments = ("--source", source, "--data", data, "--set", "dataset.size=32", "--jobs", 1)
    assert say("data", "prepare", "folder", *arguments).code == 0
    said = say("train", "conditional-ali", "--recipe", "folder32", "--data", data, "--steps", 2)
    assert said.code == 2
    assert "a conditional model needs labels, and these data have none" in said.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("size", [0, -3])
@pytest.mark.parametrize("recipe", ["digits", "cifar10"])
def test_an_embedding_of_no_numbers_is_refused(say, recipe, size):
    said = say("show", recipe, "--model", "conditional-ali", "--set", f"architecture.embedding={size}")
    assert said.code == 2
    assert f"embedding is {size}, expected at least 1" in said.err
