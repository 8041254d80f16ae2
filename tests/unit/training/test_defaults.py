"""The settings that a game chooses: leaves by their paths, or mappings of what is below a path."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from toy_components import RECIPE, WithEncoder, toy_registry

from genzoo import SettingsError
from genzoo.games import LinearSchedule, ZeroCentred
from genzoo.training.settings import resolve_settings


def resolved(defaults, overrides=(), *, of_game=None):
    @dataclass(frozen=True, kw_only=True)
    class Choosing(WithEncoder):
        """A game with defaults."""

        name: ClassVar[str] = "choosing"

    Choosing.defaults = defaults
    return resolve_settings(Choosing(), RECIPE, overrides, of_game=of_game, resolve=toy_registry().resolve)


def test_a_mapping_says_what_its_leaves_say_by_their_paths():
    leaves = {"training.players.critic.beta1": 0.25, "training.players.critic.learning_rate": 2e-4}
    nested = {"training.players": {"critic": {"beta1": 0.25, "learning_rate": 2e-4}}}
    assert resolved(nested).training == resolved(leaves).training
    assert resolved({"training": {"players": nested["training.players"]}}).training == resolved(leaves).training
    assert resolved(nested).training.of("critic").beta1 == 0.25
    assert resolved(nested).training.of("generator").beta1 == RECIPE.training.beta1


def test_a_mapping_may_name_the_component_whose_fields_it_sets():
    schedule = {"start": 0.5, "name": "linear"}
    assert resolved({"training.learning_rate_schedule": schedule}).training.learning_rate_schedule == LinearSchedule(
        start=0.5
    )
    of_game = {"penalty": {"name": "zero-centred", "weight": 3.0}}
    assert resolved({}, of_game=of_game).game.penalty == ZeroCentred(weight=3.0)


def test_what_a_user_sets_comes_after_a_mapping():
    settings = resolved({"training.players": {"critic": {"beta1": 0.25}}}, [("training.players.critic.beta1", "0.75")])
    assert settings.training.of("critic").beta1 == 0.75


def test_a_path_that_is_not_there_is_named_in_full():
    with pytest.raises(SettingsError, match=r"no setting 'training\.players\.critic\.beta'"):
        resolved({"training.players": {"critic": {"beta": 0.25}}})
