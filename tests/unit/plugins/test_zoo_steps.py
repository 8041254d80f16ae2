"""Models of the zoo go on exactly, and take steps on vectors, on digits and on images of 64 × 64."""

import math
from dataclasses import replace

import pytest
from trainers import CPU, goes_on_bitwise, job_of_request

from genzoo.data.dataset import random_split
from genzoo.training.trainer import Trainer

MODELS = ["aae", "infogan", "joint-latent-regressor", "perceptual-autoencoder", "vae-gan", "vq-vae", "vq-vae-prior"]
SMALL = {"vq-vae-prior": {"game.width": 2}}  # of 256 indices; at its default it has 350 million parameters
SOURCES = {"perceptual-autoencoder": "classifier", "vq-vae-prior": "vq-vae"}


def trainer_of(model, recipe="digits"):
    """Return a trainer on random rows; what a model inherits is of an untrained one."""
    few = {"training.batch_size": 3}
    settings = job_of_request(model, recipe=recipe, overrides=few | SMALL.get(model, {})).settings
    if model in SOURCES:
        settings = replace(settings, source=job_of_request(SOURCES[model], recipe=recipe).settings)
    return Trainer(settings, random_split(settings.dataset.spec, 30), seed=3, device=CPU)


@pytest.mark.parametrize("model", MODELS)
def test_a_restored_training_goes_on_bitwise(model):
    assert goes_on_bitwise(lambda: trainer_of(model), stop=2, steps=4)


@pytest.mark.parametrize("recipe", ["digits", "mixture25", "tinyimagenet64"])
@pytest.mark.parametrize("model", MODELS)
def test_a_model_takes_steps_on_every_kind_of_data(model, recipe):
    trainer = trainer_of(model, recipe)
    losses = trainer.take_step()
    assert all(math.isfinite(value.detach()) for part in losses for value in part.values())
    assert trainer.fault() is None
