"""What a report says of the settings of its contestants: what they share, and in what they differ."""

from types import SimpleNamespace

import pytest
from toy_components import RECIPE, WithEncoder, toy_registry

from genzoo.comparison.cells import Cell, decisive_settings
from genzoo.comparison.settings import ComparedSettings, compared_settings
from genzoo.components import flat
from genzoo.runs.job import resolve_job
from genzoo.runs.request import TrainingRequest

COMMON = {"data": "toy", "recipe": "toy", "steps": 100, "batch size": 64, "seeds": [0, 1], "precision": "fp32"}


def test_what_is_equal_is_said_to_be_the_same_and_nothing_else():
    found = compared_settings({"a": COMMON, "b": COMMON | {"steps": 2000}})
    assert found.same == ("data", "recipe", "batch size", "seeds", "precision")
    assert found.different == {"steps": {"a": 100, "b": 2000}}
    assert found.sentence() == (
        "the same data, recipe, batch size, seeds and precision; different steps: a 100, b 2,000"
    )
    assert [found.of(label) for label in "ab"] == ["steps 100", "steps 2,000"]


def test_one_contestant_differs_from_nobody():
    found = compared_settings({"a": COMMON})
    assert found.different == {}
    assert found.of("a") == ""


def test_further_settings_are_counted_in_the_sentence_and_listed_after_the_main_ones():
    others = {"training.learning_rate": 0.1, "architecture": "dense", "architecture.width": 8}
    changed = {"training.learning_rate": 0.2, "architecture": "dense", "architecture.width": 9, "seeds": [2]}
    found = compared_settings({"a": COMMON | others, "b": COMMON | changed})
    assert list(found.different) == ["seeds", "architecture.width", "training.learning_rate"]
    assert "architecture" not in found.same
    assert found.sentence().endswith(
        "different seeds: a 0 1, b 2; different in architecture.width and training.learning_rate"
    )
    assert found.lines()[-1] == "training.learning_rate differs: a 0.1, b 0.2"


@pytest.mark.parametrize(("path", "differs"), [("training.players.critic.beta1", True), ("game.weight", False)])
def test_a_setting_that_only_some_have_differs_unless_it_belongs_to_the_game(path, differs):
    found = compared_settings({"a": COMMON | {path: 0.5}, "b": COMMON})
    assert (path in found.different) is differs
    if differs:
        assert found.text(path, "b") == "–"


def test_a_components_name_is_the_value_at_its_own_path():
    stored = {"penalty": {"name": "zero-centred", "weight": 10.0}, "schedule": None, "players": {}}
    assert dict(flat(stored, "game")) == {
        "game.penalty": "zero-centred",
        "game.penalty.weight": 10.0,
        "game.schedule": None,
    }


def test_runs_on_other_files_of_a_data_set_have_other_data():
    job = resolve_job(toy_registry(), TrainingRequest(model=WithEncoder(), recipe=RECIPE, seed=3))

    def settings(fingerprint):
        run = SimpleNamespace(exists=True, record=SimpleNamespace(data=fingerprint))
        return decisive_settings([Cell(label="a", job=job, run=run, request=None)])

    of_two = compared_settings({"a": settings("0123456789"), "b": settings("9876543210")})
    assert list(of_two.different) == ["data"]
    assert compared_settings({"a": settings("0123456789"), "b": settings("0123456789")}).different == {}
    assert settings("0123456789")["data"] == settings(None)["data"] + " 01234567"
    assert {"steps", "batch size", "latent size", "recipe", "seeds", "precision"} <= settings(None).keys()


def test_nothing_is_claimed_of_nothing():
    assert ComparedSettings().sentence() == ""
