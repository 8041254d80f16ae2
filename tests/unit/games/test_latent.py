"""The length of z is the game's to say, and asked wherever z or noise is drawn."""

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import pytest
import torch
from toy_components import OnePlayer, ToyImageNetworks, ToyImages, WithEncoder, WithoutEncoder
from trainers import CPU, SMALL, settings_of, trainer_of

from genzoo import SettingsError
from genzoo.evaluation import Model
from genzoo.evaluation.cards import recipe_card
from genzoo.training import Recipe


@dataclass(frozen=True, kw_only=True)
class AsLongAsX(WithEncoder):
    """A game whose z has as many numbers as x."""

    name: ClassVar[str] = "as-long-as-x"

    def latent(self, architecture, data):
        return prod(data.shape)

    def build(self, architecture, data):
        return super().build(replace(architecture, latent=self.latent(architecture, data)), data)


@dataclass(frozen=True, kw_only=True)
class Decoding(WithoutEncoder):
    """A game around another run's decoder."""

    name: ClassVar[str] = "decoding"
    inherits: ClassVar[tuple[str, ...]] = ("decoder",)


IMAGES = {"dataset": ToyImages(), "architecture": ToyImageNetworks()}


def test_z_and_noise_are_as_long_as_the_game_says_in_training_and_in_the_trained_model():
    trainer = trainer_of(AsLongAsX(), **IMAGES)
    batch = trainer.stream.batch(0)
    assert batch.z.shape == batch.noise.shape == (16, 64)
    trainer.take_step()
    model = Model.of(trainer.settings, trainer.networks, device=CPU, label_frequencies=None)
    assert model.latent == 64
    assert model.sample(3).shape == (3, 1, 8, 8)
    assert model.encode(torch.zeros(3, 1, 8, 8)).z.shape == (3, 64)


def test_a_game_that_says_nothing_has_the_architectures_length():
    assert trainer_of(WithEncoder(), **IMAGES).stream.batch(0).z.shape == (16, 4)


def test_the_lengths_of_z_that_two_games_say_are_compared_before_one_inherits_from_the_other():
    with pytest.raises(SettingsError, match="latent size is 4 here and 64"):
        trainer_of(Decoding(), source=settings_of(AsLongAsX(), **IMAGES), inherited={}, **IMAGES)


def test_the_card_of_a_recipe_says_the_games_length():
    settings = settings_of(AsLongAsX(), **IMAGES)
    recipe = Recipe(name="toy", summary="", training=settings.training, **IMAGES)
    assert recipe_card(recipe, settings)["latent"] == 64
    assert recipe_card(recipe, None)["latent"] == 4


@dataclass(frozen=True, kw_only=True)
class OfLongCodes(OnePlayer):
    """A game that needs codes of 5 numbers."""

    name: ClassVar[str] = "of-long-codes"

    def needs(self, setup):
        return None if setup.latent >= 5 else f"5 numbers of z, and has {setup.latent}"

    def build(self, architecture, data):
        assert architecture.latent >= 5
        return super().build(architecture, data)


def test_what_a_game_needs_is_asked_before_networks_are_built():
    with pytest.raises(SettingsError, match="of-long-codes needs 5 numbers of z, and has 2"):
        trainer_of(OfLongCodes())
    assert trainer_of(OfLongCodes(), architecture=replace(SMALL, latent=5)).step == 0
