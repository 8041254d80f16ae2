"""Models of the zoo go on exactly, and take steps on vectors, on digits and on images of 64 × 64."""

import math

import pytest
from trainers import goes_on_bitwise, new_trainer

from genzoo.data.dataset import random_split
from genzoo.host.discovery import registry

MODELS = ["aae", "infogan", "joint-latent-regressor"]


def trainer_of(model, recipe="digits"):
    spec = registry().load("recipes", recipe).dataset.spec
    split = random_split(spec, 30)
    return new_trainer(model, recipe=recipe, seed=3, overrides={"training.batch_size": 3}, split=split)


@pytest.mark.parametrize("model", MODELS)
def test_a_restored_training_goes_on_bitwise(model):
    assert goes_on_bitwise(lambda: trainer_of(model), stop=2, steps=4)


@pytest.mark.parametrize("recipe", ["digits", "mixture25", "folder64"])
@pytest.mark.parametrize("model", MODELS)
def test_a_model_takes_steps_on_every_kind_of_data(model, recipe):
    trainer = trainer_of(model, recipe)
    for _ in range(2):
        losses = trainer.take_step()
    assert all(math.isfinite(value.detach()) for part in losses for value in part.values())
    assert trainer.fault() is None
