"""Metrics of codes and of memory, against closed forms and constructed models."""

import math

import pytest
import torch
from models import identity_model

from genzoo.nn import Encoder
from genzoo.types import Code, DataSpec, Split
from genzoo_metrics.latent import Cycle, LatentMatch, PosteriorWidth, squared_mmd
from genzoo_metrics.memorization import NearestNeighbour

PLANE = DataSpec(shape=(2,), support="real")


def normal(rows, *, mean=0.0, std=1.0, seed=0):
    return mean + std * torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed))


def measured(metric, model, split, *, train=None, seed=0):
    return {score.metric: score.value for score in metric.measure(model, split, train=train or split, seed=seed)}


def expected_mmd(distance, *, variance, dimensions=2):
    """Return the squared MMD of N(0, I) and N(m, I), ‖m‖ = distance, for the kernel exp(−‖u − v‖²/(2·variance))."""
    scale = (variance / (variance + 2)) ** (dimensions / 2)
    return 2 * scale * (1 - math.exp(-(distance**2) / (2 * (variance + 2))))


def kernel_mean(spread, *, dimensions=2):
    """Return E exp(−‖u‖²/(2·variance)) for u of N(0, spread·I), where the variance is the number of dimensions."""
    return (1 + spread / dimensions) ** (-dimensions / 2)


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 3.0])
def test_the_discrepancy_of_two_gaussians_is_their_closed_form_and_that_of_a_draw_from_itself_on_average(distance):
    rows, variance = 300, 2.0
    found = torch.tensor(
        [
            squared_mmd(
                normal(rows, seed=2 * trial), normal(rows, seed=2 * trial + 1) + distance / 2**0.5, variance=variance
            )
            for trial in range(30)
        ]
    )
    error = found.std().item() / 30**0.5
    of_itself = 2 / rows * (1 - variance / (variance + 2))  # a row's kernel with itself is 1, not the mean
    assert abs(found.mean().item() - expected_mmd(distance, variance=variance) - of_itself) < 4 * error


def test_the_discrepancy_is_never_negative_and_0_for_the_same_rows():
    found = [squared_mmd(normal(50, seed=trial), normal(50, seed=1000 + trial), variance=2.0) for trial in range(60)]
    assert min(found) > 0
    assert squared_mmd(normal(50), normal(50), variance=2.0) == pytest.approx(0, abs=1e-12)


class Deaf(Encoder):
    """z = noise, whatever x is."""

    def forward(self, x, noise, y=None):
        return Code(z=noise)


def deaf_model():
    model = identity_model(PLANE)
    model.networks.encoder = Deaf()
    return model


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_the_ratio_of_codes_is_the_share_of_noise_in_their_variance(share):
    model = identity_model(PLANE, blur=share**0.5)
    found = measured(LatentMatch(), model, Split(normal(2000, std=(1 - share) ** 0.5, seed=5)))
    assert found["latent-match/ratio"] == pytest.approx(share, rel=0.06)  # 4,000 numbers: five standard errors
    of_point = 1 + kernel_mean(2) - 2 * kernel_mean(1)
    distance = (2 / 2000) * (1 - kernel_mean(2))  # the codes are distributed like the prior
    assert found["latent-match/both"] == pytest.approx(share + distance / of_point, rel=0.06, abs=0.005)


def test_an_encoder_that_ignores_x_matches_the_prior_and_loses():
    split = Split(normal(2000, seed=5))
    deaf, constant = (
        measured(LatentMatch(), deaf_model(), split),
        measured(LatentMatch(), identity_model(PLANE), Split(0 * split.x)),
    )
    informed = measured(LatentMatch(), identity_model(PLANE, blur=0.3), split)
    assert deaf["latent-match"] < informed["latent-match"]
    assert deaf["latent-match/ratio"] == pytest.approx(1, rel=0.06)
    assert constant["latent-match/ratio"] == 1
    assert informed["latent-match/both"] < 0.3 < 0.9 < min(deaf["latent-match/both"], constant["latent-match/both"])


def test_only_the_score_of_both_halves_ranks():
    scores = LatentMatch(rows=20).measure(deaf_model(), Split(normal(20)), train=Split(normal(20)), seed=0)
    assert {score.metric: score.better for score in scores if score.better} == {"latent-match/both": "lower"}
    assert {score.metric for score in scores} == set(LatentMatch.about)


def test_codes_that_are_the_prior_match_it_and_shifted_ones_do_not():
    model = identity_model(PLANE)
    same = measured(LatentMatch(), model, Split(normal(2000, seed=5)))
    shifted = measured(LatentMatch(), model, Split(normal(2000, mean=1.0, std=2.0, seed=5)))
    assert abs(same["latent-match"]) < 0.003
    assert shifted["latent-match"] > 0.05
    assert same["latent-match/mean"] < 0.1
    assert shifted["latent-match/mean"] == pytest.approx(1.0, abs=0.1)
    assert shifted["latent-match/std"] == pytest.approx(1.0, abs=0.1)


def test_the_way_from_z_to_x_and_back_costs_the_noise_of_the_encoder():
    exact = measured(Cycle(), identity_model(PLANE), Split(normal(20)))
    assert exact["cycle"] == 0
    assert exact["cycle/shuffled"] == pytest.approx(2, rel=0.2)  # E(z − z')² of independent normal draws
    noisy = measured(Cycle(), identity_model(PLANE, blur=0.5), Split(normal(20)))
    assert noisy["cycle"] == pytest.approx(0.25, rel=0.15)
    assert noisy["cycle/ratio"] == pytest.approx(noisy["cycle"] / noisy["cycle/shuffled"])


@pytest.mark.parametrize("blur", [0.0, 0.3, 2.0])
def test_the_width_of_a_posterior_is_its_standard_deviation(blur):
    found = measured(PosteriorWidth(draws=40), identity_model(PLANE, blur=blur), Split(normal(400)))
    assert found["posterior-width"] == pytest.approx(blur, rel=0.02)


def test_a_model_that_repeats_its_training_data_is_told_by_its_distances():
    train, held_out = Split(normal(500, seed=1)), Split(normal(500, seed=2))

    def found(points):
        model = identity_model(PLANE)
        object.__setattr__(model, "sample", lambda count, *, seed=0, y=None: points[:count])
        return measured(NearestNeighbour(samples=400), model, held_out, train=train)

    assert found(train.x)["nearest-neighbour"] == 0
    assert found(normal(500, seed=3))["nearest-neighbour"] == pytest.approx(1, rel=0.15)
    assert found(normal(500, seed=3) + 10)["nearest-neighbour"] > 10
    nearest = torch.cdist(held_out.x[:400].double(), train.x.double()).amin(1).median().item()
    assert found(train.x)["nearest-neighbour/held-out"] == pytest.approx(nearest, rel=1e-3)


def test_held_out_rows_that_are_training_rows_give_no_quotient_of_distances():
    rows = Split(normal(50))
    assert measured(NearestNeighbour(samples=40), identity_model(PLANE), rows, train=rows) == {
        "nearest-neighbour/held-out": 0
    }


def test_metrics_of_codes_need_an_encoder():
    model = identity_model(PLANE)
    assert all(metric.obstacle(model) is None for metric in (LatentMatch(), Cycle(), PosteriorWidth()))
    model.networks.encoder = None
    assert all(metric.obstacle(model) == "it has no encoder" for metric in (LatentMatch(), Cycle(), PosteriorWidth()))
    model.networks.decoder = None
    assert NearestNeighbour().obstacle(model) == "it has no decoder"
