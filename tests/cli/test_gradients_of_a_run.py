"""How a run takes its gradients is decided once, and said in its header, in its record and by `genzoo show`."""

import re

import pytest
from toy import TOY

import genzoo
from genzoo import SettingsError, UnreadableError
from genzoo.cli.progress import describe
from genzoo.runs.engine import Engine
from genzoo.storage import files
from genzoo.storage.run_folder import Run

WAYS = {
    "one backward": ("ali", {}, None),
    "switched off": ("ali", {"training.one_backward": False}, "training.one_backward is false"),
    "no slopes": ("ali", {"game.objective": "hinge"}, "the objective hinge has no slopes"),
    "turns": ("ali", {"game.schedule": "alternating"}, "the players take turns"),
    "penalty": ("wgan-gp", {}, "the game has a penalty"),
    "own loss": ("alice-implicit", {}, "the game has losses, players or gradients of its own"),
    "no critic": ("vae", {}, "the game has no critic"),
}


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch):
    for name in ("_measure", "_draw"):
        monkeypatch.setattr(Engine, name, lambda engine: None)


def train(path, model="ali", **settings):
    return genzoo.train(model, recipe="mixture25-paper", overrides=TOY | settings, run=path, device="cpu")


def rewritten(run, change):
    """Change the content of a run's record as another version of genzoo might have written it."""
    path = run.path / "run.json"
    content = files.read_sealed(path, "a run's record")
    change(content)
    files.write_sealed(path, {key: value for key, value in content.items() if key != "sha256"})


def aged(run):
    """Make the record one from before the gradients of a run were said."""

    def forget(content):
        del content["gradients"], content["per_player_reason"], content["settings"]["training"]["one_backward"]

    rewritten(run, forget)


@pytest.mark.parametrize("way", WAYS)
def test_the_record_and_the_header_say_how_gradients_are_taken_and_why(way, tmp_path):
    model, settings, reason = WAYS[way]
    run = train(tmp_path / "run", model, **settings)
    content = files.read_sealed(run.path / "run.json", "a run's record")
    assert content["gradients"] == ("one-backward" if reason is None else "per-player")
    assert content["per_player_reason"] == reason
    assert content["settings"]["training"]["one_backward"] is settings.get("training.one_backward", True)
    said = "one backward pass" if reason is None else f"a backward pass per player: {reason}"
    assert ("gradients", said) in describe(run)


def test_the_header_is_written_when_training_begins(say, tmp_path):
    chosen = [part for path, value in TOY.items() for part in ("--set", f"{path}={value}")]
    said = say("train", "ali", *chosen, "--set", "training.one_backward=false", "--run", tmp_path / "run")
    assert said.code == 0, said.err
    assert re.search(r"^gradients +a backward pass per player: training.one_backward is false$", said.err, re.MULTILINE)


@pytest.mark.parametrize("way", WAYS)
def test_show_says_how_a_model_on_a_recipe_takes_its_gradients(say, way):
    model, settings, reason = WAYS[way]
    chosen = [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    text = say("show", "recipe:mixture25-paper", "--model", model, *chosen)
    said = "one backward pass" if reason is None else f"a backward pass per player: {reason}"
    assert f"gradients: {said}" in text.out.splitlines()
    card = say("show", "recipe:mixture25-paper", "--model", model, *chosen, "--json").document
    assert (card["gradients"] == "one-backward", card["per_player_reason"]) == (reason is None, reason)


def test_show_has_the_settings_that_a_recipe_makes_for_games_that_leave_them_open(say):
    card = say("show", "recipe:mixture25", "--model", "ali", "--json").document
    assert (card["game"]["objective"]["name"], card["game"]["penalty"]["weight"]) == ("relativistic", 0.1)
    assert card["per_player_reason"] == "the game has a penalty"
    card = say("show", "recipe:mixture25", "--model", "wgan-gp", "--json").document
    assert (card["game"]["objective"]["name"], card["game"]["penalty"]["weight"]) == ("wasserstein", 10)


def test_what_a_model_does_not_take_from_a_recipe_is_said(say, tmp_path):
    assert say("show", "recipe:mixture25", "--model", "ali", "--json").document["not_taken"] == []
    assert say("show", "recipe:mixture25", "--model", "vae", "--json").document["not_taken"] == []
    card = say("show", "recipe:mixture25", "--model", "wgan-gp", "--json").document
    assert card["not_taken"][:2] == ["objective=relativistic", "penalty=zero-centred"]
    left = ", ".join(card["not_taken"])
    assert f"not taken from the recipe: {left}" in say("show", "recipe:mixture25", "--model", "wgan-gp").out
    run = genzoo.train("wgan-gp", recipe="mixture25", overrides=TOY, run=tmp_path / "run", device="cpu")
    assert run.record.not_taken == card["not_taken"]
    assert ("not taken", f"{left} of the recipe mixture25") in describe(run)
    rewritten(run, lambda content: content.pop("not_taken"))
    assert Run(run.path).record.not_taken == []


def test_the_header_names_players_of_a_games_own_and_no_setting_that_its_losses_do_not_read(tmp_path):
    labels = {"training.labels": 25, "dataset.rows": 1000}
    usual, three, without = (
        train(tmp_path / model, model, **settings)
        for model, settings in (("ali", {}), ("vae-gan", {}), ("catgan", labels))
    )
    assert usual.record.players == ["critic", "generator"]
    assert "players" not in dict(describe(usual))
    assert dict(describe(three))["players"] == ", ".join(three.record.players)
    assert {*three.record.players} == {"critic", "encoder", "decoder"}
    assert "objective=non-saturating" in dict(describe(usual))["game"]
    assert without.record.unused == ["objective"]
    assert "objective" not in dict(describe(without))["game"]
    rewritten(without, lambda content: [content.pop(key) for key in ("players", "unused")])
    assert Run(without.path).record.players == Run(without.path).record.unused == []
    rewritten(three, lambda content: content.update(players=["critic", 3]))
    with pytest.raises(UnreadableError, match="players is missing or wrong"):
        describe(three)


def test_show_says_nothing_of_gradients_without_a_model(say):
    assert "gradients" not in say("show", "recipe:mixture25").out
    assert "gradients" not in say("show", "recipe:mixture25", "--json").document


def test_a_run_does_not_go_on_another_way(tmp_path):
    train(tmp_path / "run")
    with pytest.raises(SettingsError, match=r"training\.one_backward: True → False"):
        train(tmp_path / "run", **{"training.steps": 6, "training.one_backward": False})


@pytest.mark.parametrize("going_on", ["resume", "train"])
def test_a_run_from_before_goes_on_to_the_same_numbers(going_on, tmp_path):
    whole, old = train(tmp_path / "whole", **{"training.steps": 6}), train(tmp_path / "old")
    aged(old)
    assert (Run(old.path).record.gradients, Run(old.path).record.per_player_reason) == (None, None)
    if going_on == "resume":
        genzoo.resume(old.path, steps=6, device="cpu")
    else:
        train(tmp_path / "old", **{"training.steps": 6})
    assert old.record.gradients == "one-backward"
    ours, theirs = (run.checkpoints / "step-0000006" / "networks.safetensors" for run in (old, whole))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_run_from_before_does_not_go_on_another_way(tmp_path):
    aged(train(tmp_path / "run"))
    with pytest.raises(SettingsError, match=r"training\.one_backward: True → False"):
        train(tmp_path / "run", **{"training.steps": 6, "training.one_backward": False})


def test_a_record_whose_gradients_are_no_text_is_refused(tmp_path):
    run = train(tmp_path / "run")
    rewritten(run, lambda content: content.update(gradients=7))
    with pytest.raises(UnreadableError, match="gradients is missing or wrong"):
        _ = Run(run.path).record
