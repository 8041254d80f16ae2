"""Priors: draws that depend on the generator alone, with the moments and densities of their closed forms."""

import math

import pytest
import torch
from toy_components import RECIPE, TRAINING, ToyNetworks, WithEncoder, toy_registry
from trainers import CPU, DATA

from genzoo import SettingsError
from genzoo.games import CategoricalNormal, NormalMixture, Prior, StandardNormal, Uniform
from genzoo.randomness import generator
from genzoo.training.batches import Stream
from genzoo.training.settings import Settings, resolve_settings
from genzoo.training.trainer import Trainer

DENSE = {
    "normal": StandardNormal(),
    "uniform": Uniform(),
    "uniform from 1 to 4": Uniform(low=1.0, high=4.0),
    "circle": NormalMixture(components=3, radius=2.0, std=0.4),
    "drawn": NormalMixture(components=4, radius=1.5, std=0.3, seed=7),
    "two in one place": NormalMixture(components=2, radius=0.0, std=1.0),
}
PRIORS = DENSE | {"categories": CategoricalNormal(categories=2), "categories alone": CategoricalNormal(categories=3)}
ROWS = 40_000


def draws(prior, *, rows=ROWS, latent=3, seed=0):
    return prior.draw(rows, latent, generator("cpu", seed, "test"))


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_draws_are_a_function_of_the_generator_alone(prior):
    first = draws(prior)
    assert (first.shape, first.dtype, first.device) == ((ROWS, 3), torch.float32, CPU)
    torch.rand(5)
    assert torch.equal(draws(prior), first)
    assert not torch.equal(draws(prior, seed=1), first)
    assert draws(prior, rows=0).shape == (0, 3)


@pytest.mark.parametrize("prior", DENSE.values(), ids=DENSE)
def test_a_density_of_the_plane_integrates_to_one(prior):
    step = 0.02
    along = torch.arange(-9, 9, step, dtype=torch.double) + step / 2
    z = torch.cartesian_prod(along, along)
    assert prior.log_density(z).exp().sum().item() * step**2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("prior", [DENSE["normal"], DENSE["uniform"], DENSE["drawn"]])
def test_a_density_of_the_line_integrates_to_one(prior):
    step = 0.001
    along = torch.arange(-9, 9, step, dtype=torch.double) + step / 2
    assert prior.log_density(along[:, None]).exp().sum().item() * step == pytest.approx(1, abs=1e-9)


def test_a_density_of_categories_sums_over_them_to_one():
    step = 0.01
    along = torch.arange(-9, 9, step, dtype=torch.double) + step / 2
    total = 0.0
    for category in torch.eye(3, dtype=torch.double):
        z = torch.cat([category.expand(len(along), 3), along[:, None]], dim=1)
        total += CategoricalNormal(categories=3).log_density(z).exp().sum().item() * step
    assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("prior", DENSE.values(), ids=DENSE)
def test_draws_follow_the_density(prior):
    z = draws(prior, latent=2)
    edges = torch.linspace(-6, 6, 13)
    counts = torch.histogramdd(z, bins=[edges, edges]).hist / len(z)
    step = 0.05
    along = torch.arange(-6, 6, step, dtype=torch.double) + step / 2
    mass = prior.log_density(torch.cartesian_prod(along, along)).exp().view(12, 20, 12, 20).sum((1, 3)) * step**2
    error = (mass * (1 - mass) / len(z)).sqrt() + 1e-5
    assert ((counts - mass).abs() < 6 * error).all()


@pytest.mark.parametrize(
    ("prior", "mean", "variance"),
    [
        (StandardNormal(), 0, 1),
        (Uniform(), 0, 1 / 3),
        (Uniform(low=1.0, high=4.0), 2.5, 9 / 12),
        (CategoricalNormal(categories=3), 1 / 3, 2 / 9),  # each of three categories is 1 in a third of the rows
    ],
)
def test_draws_have_the_moments_of_the_prior(prior, mean, variance):
    z = draws(prior)
    assert (z.mean(0) - mean).abs().max() < 5 * math.sqrt(variance / ROWS)
    assert (z.var(0) / variance - 1).abs().max() < 0.04


def test_the_means_of_a_circle_are_even_and_the_other_numbers_are_normal():
    prior = NormalMixture(components=4, radius=2.0, std=0.1)
    z = draws(prior)
    expected = torch.tensor([[2.0, 0], [0, 2], [-2, 0], [0, -2]])
    distance, nearest = torch.cdist(z[:, :2], expected).min(1)
    assert distance.max() < 0.6
    assert (nearest.bincount() / ROWS - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / ROWS)
    assert z[:, 2].std().item() == pytest.approx(0.1, rel=0.03)
    # E z² in the plane is radius²/2 + std²
    assert z[:, :2].square().mean().item() == pytest.approx(2 + 0.01, rel=0.03)


def test_drawn_means_lie_at_the_radius_and_depend_on_the_seed():
    few = [NormalMixture(components=2, radius=3.0, std=1e-3, seed=seed) for seed in (0, 0, 1)]
    places = [draws(prior, rows=50, latent=6) for prior in few]
    assert (places[0].norm(dim=1) - 3).abs().max() < 0.01
    assert torch.equal(places[0], places[1])
    assert (places[0] - places[2]).norm(dim=1).min() > 0.1


def test_the_density_of_categories_is_that_of_one_and_the_normals():
    prior = CategoricalNormal(categories=3)
    z = draws(prior, rows=20, latent=5).double()
    assert torch.equal(z[:, :3].sum(1), torch.ones(20, dtype=torch.double))
    expected = math.log(1 / 3) + StandardNormal().log_density(z[:, 3:])
    torch.testing.assert_close(prior.log_density(z), expected)
    assert prior.log_density(z.roll(1, dims=1) + 0.5).tolist() == [-math.inf] * 20
    assert prior.log_density(torch.eye(3)).exp().tolist() == pytest.approx([1 / 3] * 3)


def test_outside_a_uniform_prior_there_is_no_density():
    z = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.0, 1.1], [-2.0, 0.0]])
    assert Uniform().log_density(z).tolist() == [pytest.approx(-2 * math.log(2))] * 2 + [-math.inf] * 2


def test_a_prior_offers_no_density_unless_it_says_so():
    class Point(Prior):
        def draw(self, rows, latent, generator):
            return torch.zeros(rows, latent)

    assert Point().log_density(torch.zeros(3, 2)) is None


# What is refused


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Uniform(low=1.0, high=1.0), "low is 1 and high is 1, expected low < high"),
        (lambda: NormalMixture(components=0), "components of at least 1"),
        (lambda: NormalMixture(std=0.0), "std above 0"),
        (lambda: NormalMixture(radius=-1.0), "radius of at least 0"),
        (lambda: CategoricalNormal(categories=1), "categories is 1, expected at least 2"),
    ],
)
def test_a_prior_of_impossible_numbers_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("prior", "latent", "said"),
    [
        (CategoricalNormal(categories=4), 3, "4 categories, more than the 3 numbers of z"),
        (NormalMixture(), 1, "on a circle, and z has 1 number"),
    ],
)
def test_a_size_of_z_that_a_prior_does_not_have_is_refused_before_training(prior, latent, said):
    settings = Settings(
        game=WithEncoder(),
        dataset=DATA,
        architecture=ToyNetworks(latent=latent),
        prior=prior,
        training=TRAINING,
    )
    with pytest.raises(SettingsError, match=said):
        Trainer(settings, DATA.load(None).train, seed=0, device=CPU)


class NormalOnly(WithEncoder):
    """A game whose loss assumes N(0, I)."""

    name = "normal-only"
    priors = (StandardNormal,)


def test_a_game_that_assumes_a_prior_refuses_others():
    def resolved(game, *overrides):
        return resolve_settings(game, RECIPE, list(overrides), resolve=toy_registry().resolve)

    uniform = ("prior", "uniform")
    assert resolved(WithEncoder(), uniform, ("prior.low", "-2")).prior == Uniform(low=-2.0)
    assert resolved(NormalOnly()).prior == StandardNormal()
    with pytest.raises(SettingsError, match="the loss of normal-only assumes the prior standard-normal, and prior is"):
        resolved(NormalOnly(), uniform)


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_a_training_draws_from_its_prior(prior):
    stream = Stream(DATA.load(None).train, DATA.spec, batch_size=16, prior=prior, latent=3, seed=4, device=CPU)
    assert torch.equal(stream.batch(1).z, prior.draw(16, 3, generator("cpu", 4, "prior", 1)))
