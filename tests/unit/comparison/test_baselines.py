"""Baselines that need no training: held-out rows, noise, and a Gaussian."""

import pytest
import torch
from models import identity_model
from toy_components import ToyImages, ToyMixture

from genzoo.comparison.baselines import samplers_of
from genzoo.types import DataSpec, Split, Splits

MIXTURE, IMAGES = ToyMixture(rows=4000), ToyImages(rows=400)


def samples_of(dataset, count=2000):
    splits = dataset.load(None)
    samplers = samplers_of(identity_model(dataset.spec), splits)
    return splits, {label: sampler.sample(count, seed=1) for label, sampler in samplers.items()}


def test_held_out_rows_are_those_of_the_validation_split_each_once():
    splits, samples = samples_of(MIXTURE)
    assert torch.equal(samples["held-out samples"], splits.validation.x)
    splits, samples = samples_of(IMAGES, count=7)
    assert torch.equal(samples["held-out samples"], splits.validation.x[:7].float() / 255)


def test_noise_fills_the_range_of_vectors_and_the_unit_range_of_images():
    splits, samples = samples_of(MIXTURE)
    low, high = splits.train.x.amin(0), splits.train.x.amax(0)
    noise = samples["noise"]
    assert ((noise >= low) & (noise <= high)).all()
    # mean and variance of a uniform distribution, five standard errors
    assert torch.allclose(noise.mean(0), (low + high) / 2, atol=5 * 4.2 / (12 * 2000) ** 0.5)
    assert torch.allclose(noise.var(0), (high - low).square() / 12, rtol=5 * (0.8 / 2000) ** 0.5)
    noise = samples_of(IMAGES)[1]["noise"]
    assert noise.shape == (2000, 1, 8, 8)
    assert (noise.amin().item(), noise.amax().item()) == pytest.approx((0, 1), abs=1e-3)


def test_the_gaussian_has_the_mean_and_covariance_of_the_training_rows():
    splits, samples = samples_of(MIXTURE, count=20_000)
    gaussian, train = samples["Gaussian"].double(), splits.train.x.double()
    assert torch.allclose(gaussian.mean(0), train.mean(0), atol=5 * (2.7 / 20_000) ** 0.5)
    assert torch.allclose(torch.cov(gaussian.T), torch.cov(train.T), atol=5 * 2.7 * (2 / 20_000) ** 0.5)
    images = samples_of(IMAGES)[1]["Gaussian"]
    assert images.shape == (2000, 1, 8, 8)
    assert 0 <= images.min() <= images.max() <= 1


def test_a_seed_gives_the_same_baseline_and_another_seed_another():
    samplers = samplers_of(identity_model(MIXTURE.spec), MIXTURE.load(None))
    for label in ("noise", "Gaussian"):
        assert torch.equal(samplers[label].sample(5, seed=3), samplers[label].sample(5, seed=3))
        assert not torch.equal(samplers[label].sample(5, seed=3), samplers[label].sample(5, seed=4))


def test_large_images_have_no_gaussian():
    spec = DataSpec(shape=(3, 32, 32), support="unit")
    split = Split(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    samplers = samplers_of(identity_model(spec), Splits(split, split, split))
    assert list(samplers) == ["held-out samples", "noise"]
