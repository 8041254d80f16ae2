"""Every recipe on small data in the published formats: trained with several models, and looked at by commands."""

import json
from dataclasses import replace

import pytest
import torch
from loopback import serving_folder
from PIL import Image
from published import prepare_all, publishing

import genzoo
from genzoo.evaluation.scoring import metric_called
from genzoo.host.discovery import registry
from genzoo.runs import engine, opening
from genzoo.runs.job import find_game, find_recipe
from genzoo.training.devices import choose_device
from genzoo.training.settings import resolve_settings
from genzoo.training.trainer import Trainer

SHORT = ("--steps", 2, "--set", "training.batch_size=4", "--set", "training.picture_every=2", "--quiet")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a folder of data sets in which everything is fetched and prepared."""
    root, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("server")
    with serving_folder(folder) as address, publishing(folder, address) as written:
        prepare_all(root, tmp_path_factory.mktemp("sources"), written)
        yield root


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    """Let a training end in one score and small pictures: thousands of samples of large networks take minutes."""
    monkeypatch.setattr(opening, "applicable_metrics", lambda model: [metric_called("reconstruction")])
    monkeypatch.setattr(engine, "_PICTURED", 4)


@pytest.mark.parametrize(
    "recipe", ["cifar10", "svhn", "celeba64", "imagenet64", "tinyimagenet64", "folder32", "folder32-paper", "folder64"]
)
@pytest.mark.parametrize("model", ["gan", "vae", "conditional-ali"])
def test_every_model_takes_two_steps_on_every_recipe(root, recipe, model):
    overrides = [("training.batch_size", "3")]
    settings = resolve_settings(
        find_game(registry(), model), find_recipe(registry(), recipe), overrides, resolve=registry().resolve
    )
    settings = replace(settings, dataset=settings.dataset.with_found_classes(root))
    trainer = Trainer(settings, settings.dataset.load(root).train, seed=0, device=choose_device("cpu"))
    for _ in range(2):
        losses = trainer.take_step()
    assert all(torch.isfinite(value) for value in losses.players.values())
    assert trainer.fault() is None


@pytest.mark.parametrize(
    "recipe", ["cifar10", "svhn", "celeba64", "imagenet64", "tinyimagenet64", "folder32", "folder32-paper", "folder64"]
)
def test_ali_on_every_recipe_is_trained_and_looked_at_by_commands(say, root, tmp_path, recipe):
    run = tmp_path / "run"
    trained = say("train", "ali", "--recipe", recipe, "--data", root, "--run", run, *SHORT, "--json").document
    assert trained["step"] == 2
    assert say("sample", run, "-n", 4).code == 0
    assert say("reconstruct", run, "-n", 2, "--data", root).code == 0
    assert say("interpolate", run, "--pairs", 1, "--data", root).code == 0
    # Images are magnified to 128 pixels, 12 apart; a pair and what lies between are 2 apart.
    assert Image.open(run / "samples.png").size == (2 * 128 + 3 * 12, 2 * 128 + 3 * 12)
    assert Image.open(run / "interpolations.png").size == (
        14 * 128 + 11 * 2 + 4 * 12,
        128 + 2 * 12,
    )  # the ends are apart
    assert json.loads((run / "run.json").read_text())["data"]


def test_conditional_ali_draws_figure_7_from_one_z(say, root, tmp_path):
    run = tmp_path / "run"
    arguments = ("--recipe", "celeba64-conditional", "--data", root, "--run", run, *SHORT)
    assert say("train", "conditional-ali", *arguments).code == 0
    drawn = say("sample", run, "--grid", "figure7", "--out", "figure7.png", "--json").document
    assert (drawn["rows"], drawn["columns"]) == (4, 12)
    assert Image.open("figure7.png").size == (12 * 128 + 13 * 12, 4 * 128 + 5 * 12)
    said = say("sample", run, "--condition", "Male,Smilling")
    assert said.code == 2
    assert "did you mean 'Smiling'?" in said.err


def test_a_model_needs_its_data_only_to_be_trained(root, tmp_path):
    run = genzoo.train(
        "ali",
        recipe="cifar10",
        overrides={"training.batch_size": 4, "training.picture_every": 5},
        steps=1,
        data=root,
        run=tmp_path / "run",
    )
    assert genzoo.load(run).sample(2).shape == (2, 3, 32, 32)
