"""The VAE: its ELBO in closed form, for exact, spoilt and Bernoulli posteriors, and its one player."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy
import pytest
import torch
from models import exact_model
from torch import nn
from trainers import changed, job_of_request, parameters_of, trainer_of

from genzoo import SettingsError
from genzoo.games import StandardNormal
from genzoo.nn import Architecture, Decoder, Encoder
from genzoo.types import Batch, Code, DataSpec, Split
from genzoo_metrics.density import ELBO, IWAE
from genzoo_vae.vae import VAE


class LinearGaussian(Encoder):
    """z = A x + a + s·noise, every row the same s."""

    def __init__(self, a_map, shift, log_std):
        super().__init__()
        self.a_map, self.shift, self.log_std = (nn.Parameter(torch.tensor(v)) for v in (a_map, shift, log_std))

    def forward(self, x, noise, y=None):
        mean = x @ self.a_map.T + self.shift
        log_std = self.log_std.expand_as(mean)
        return Code(z=mean + log_std.exp() * noise, mean=mean, log_std=log_std)


class Affine(Decoder):
    """x = W z + b, before the sigmoid of unit support."""

    def __init__(self, w_map, shift, support="real"):
        super().__init__(support=support)
        self.w_map, self.shift = nn.Parameter(torch.tensor(w_map)), nn.Parameter(torch.tensor(shift))

    def logits(self, z, y=None):
        return z @ self.w_map.T + self.shift


@dataclass(frozen=True, kw_only=True)
class LinearNetworks(Architecture):
    """Fixed linear networks of x ∈ R³ and z ∈ R²; the posterior is exact for `sigma` unless it is `spoilt`."""

    name: ClassVar[str] = "linear"
    posteriors: ClassVar[tuple[str, ...]] = ("gaussian",)
    sigma: float = 0.5
    spoilt: float = 0.0

    # orthogonal columns, so that the exact posterior has independent coordinates
    w_map: ClassVar = numpy.array([[1.0, 2.0], [2.0, -1.0], [2.0, 0.0]]) * 0.4
    shift: ClassVar = numpy.array([0.3, -0.7, 1.1])

    @property
    def posterior_of(self):
        precision = numpy.eye(2) + self.w_map.T @ self.w_map / self.sigma**2
        covariance = numpy.linalg.inv(precision)
        a_map = covariance @ self.w_map.T / self.sigma**2
        return a_map + self.spoilt, -a_map @ self.shift + self.spoilt, 0.5 * numpy.log(numpy.diag(covariance))

    def encoder(self, data, *, posterior=None, condition=0):
        self.choose(posterior)
        return LinearGaussian(*self.posterior_of)

    def decoder(self, data, *, condition=0):
        return Affine(self.w_map, self.shift, data.support)

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        raise NotImplementedError


R3 = DataSpec(shape=(3,), support="real")
X = numpy.random.default_rng(0).normal(size=(7, 3))
# E over ±√2·e_i is exact for whatever is quadratic in two-dimensional noise
CUBATURE = math.sqrt(2) * numpy.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])


def expected_loss(game, architecture, data, x):
    """Return the game's loss with the expectation over the noise taken exactly."""
    batch = Batch(
        x=torch.tensor(numpy.repeat(x, 4, 0)), z=torch.zeros(1), noise=torch.tensor(numpy.tile(CUBATURE, (len(x), 1)))
    )
    return game.losses(game.build(architecture, data), batch, ("generator",))


def log_likelihood(x):
    """Return ln p(x) (N,) of the linear networks with σ = 0.5: x is N(b, W Wᵀ + σ² I)."""
    w_map = LinearNetworks.w_map
    covariance = w_map @ w_map.T + 0.25 * numpy.eye(3)
    away = x - LinearNetworks.shift
    mahalanobis = numpy.einsum("ni,ij,nj->n", away, numpy.linalg.inv(covariance), away)
    return -0.5 * (mahalanobis + numpy.linalg.slogdet(covariance)[1] + 3 * math.log(2 * math.pi))


def test_with_the_exact_posterior_the_elbo_is_the_log_likelihood():
    architecture = LinearNetworks(latent=2)
    assert numpy.abs(numpy.tril(architecture.w_map.T @ architecture.w_map, -1)).max() < 1e-15
    found = expected_loss(VAE(sigma=0.5), architecture, R3, X).players["generator"].item()
    assert found == pytest.approx(-log_likelihood(X).mean(), rel=1e-12)


@pytest.mark.parametrize("beta", [1.0, 0.25])
def test_with_another_posterior_the_elbo_is_its_closed_form(beta):
    architecture = LinearNetworks(latent=2, spoilt=0.2)
    a_map, shift, log_std = architecture.posterior_of
    mean = X @ a_map.T + shift
    away = X - mean @ architecture.w_map.T - architecture.shift
    trace = numpy.trace(architecture.w_map @ numpy.diag(numpy.exp(2 * log_std)) @ architecture.w_map.T)
    misfit = ((away**2).sum(1) + trace) / (2 * 0.3**2) + 3 * math.log(0.3 * math.sqrt(2 * math.pi))
    kl = 0.5 * (mean**2 + numpy.exp(2 * log_std) - 1 - 2 * log_std).sum(1)
    losses = expected_loss(VAE(sigma=0.3, beta=beta), architecture, R3, X)
    assert losses.watch["reconstruction"].item() == pytest.approx(misfit.mean(), rel=1e-12)
    assert losses.watch["kl"].item() == pytest.approx(kl.mean(), rel=1e-12)
    assert losses.players["generator"].item() == pytest.approx(misfit.mean() + beta * kl.mean(), rel=1e-12)


def test_a_spoilt_posterior_costs_exactly_its_divergence_from_the_exact_one():
    exact, spoilt = LinearNetworks(latent=2), LinearNetworks(latent=2, spoilt=0.2)
    losses = [expected_loss(VAE(sigma=0.5), own, R3, X).players["generator"].item() for own in (exact, spoilt)]
    means = [X @ own.posterior_of[0].T + own.posterior_of[1] for own in (exact, spoilt)]
    variance = numpy.exp(2 * exact.posterior_of[2])  # the same for both
    divergence = (0.5 * (means[1] - means[0]) ** 2 / variance).sum(1).mean()
    assert losses[1] - losses[0] == pytest.approx(divergence, rel=1e-10)


def test_the_elbo_of_unit_data_is_bernoulli_on_the_logits():
    architecture = LinearNetworks(latent=2)
    x = numpy.random.default_rng(1).uniform(size=(6, 3))
    noise = numpy.random.default_rng(2).normal(size=(6, 2))
    a_map, shift, log_std = architecture.posterior_of
    mean = x @ a_map.T + shift
    logits = (mean + numpy.exp(log_std) * noise) @ architecture.w_map.T + architecture.shift
    p = 1 / (1 + numpy.exp(-logits))
    misfit = -(x * numpy.log(p) + (1 - x) * numpy.log(1 - p)).sum(1).mean()
    kl = 0.5 * (mean**2 + numpy.exp(2 * log_std) - 1 - 2 * log_std).sum(1).mean()
    unit = DataSpec(shape=(3,), support="unit")
    batch = Batch(x=torch.tensor(x), z=torch.zeros(1), noise=torch.tensor(noise))
    losses = VAE().losses(VAE().build(architecture, unit), batch, ("generator",))
    assert losses.players["generator"].item() == pytest.approx(misfit + kl, rel=1e-12)


def test_the_elbo_stays_finite_where_a_probability_rounds_to_zero():
    networks = VAE().build(LinearNetworks(latent=2), DataSpec(shape=(3,), support="unit"))
    with torch.no_grad():
        networks.decoder.shift.fill_(-200)
    batch = Batch(x=torch.ones(1, 3, dtype=torch.double), z=torch.zeros(1), noise=torch.zeros(1, 2).double())
    losses = VAE().losses(networks, batch, ("generator",))
    assert losses.watch["reconstruction"].item() == pytest.approx(600, abs=10)


def test_vae_is_one_player_with_everything():
    trainer = trainer_of(VAE())
    assert list(trainer.players) == ["generator"]
    assert len(trainer.players["generator"]) == len(list(trainer.networks.parameters()))
    assert (trainer.networks.critic, trainer.networks.encoder.posterior) == (None, "gaussian")
    before = parameters_of(trainer.networks)
    trainer.take_step()
    assert changed(trainer.networks, before) == {"encoder", "decoder"}


def test_the_divergence_assumes_a_standard_normal_prior_so_that_any_other_is_refused():
    with pytest.raises(SettingsError, match="the loss of vae assumes the prior standard-normal, and prior is uniform"):
        job_of_request("vae", recipe="digits", overrides={"prior": "uniform"})


# The weights p(x, z)/q(z|x)


def linear_model(*, spoilt=0.0, data=R3, **game):
    settings = VAE(sigma=0.5, **game)
    networks = settings.build(LinearNetworks(latent=2, spoilt=spoilt), data).float()
    return exact_model(game=settings, networks=networks, data=data)


def score(metric, model, x, *, seed=0):
    split = Split(torch.tensor(x, dtype=torch.float32))
    (found,) = metric.measure(model, split, train=split, seed=seed)
    return found


def test_with_the_exact_posterior_every_weight_is_the_likelihood():
    networks = VAE(sigma=0.5).build(LinearNetworks(latent=2), R3)
    noise = numpy.random.default_rng(3).normal(size=(7, 2))
    batch = Batch(x=torch.tensor(X), z=torch.zeros(7, 2), noise=torch.tensor(noise))
    found = VAE(sigma=0.5, beta=7.0).log_weight(networks, batch, StandardNormal())
    numpy.testing.assert_allclose(found.detach().numpy(), log_likelihood(X), rtol=1e-12)


@pytest.mark.parametrize("metric", [ELBO(k=1), IWAE(k=1), IWAE(k=20)])
def test_with_the_exact_posterior_every_bound_is_the_likelihood(metric):
    found = score(metric, linear_model(), X)
    assert found.value == pytest.approx(log_likelihood(X).mean(), rel=1e-5)
    assert (found.metric, found.better) == (metric.name, "higher")
    expected = {"rows": 7, "k": metric.k, "unit": "nats per row", "p(x|z)": "Gaussian, standard deviation 0.5"}
    assert found.protocol == expected


def test_the_bound_of_another_posterior_lacks_its_divergence_and_nears_the_likelihood_with_more_draws():
    rows = numpy.tile(X, (150, 1))
    exact, spoilt = LinearNetworks(latent=2), LinearNetworks(latent=2, spoilt=0.2)
    means = [rows @ own.posterior_of[0].T + own.posterior_of[1] for own in (exact, spoilt)]
    divergence = (0.5 * (means[1] - means[0]) ** 2 / numpy.exp(2 * exact.posterior_of[2])).sum(1)
    likelihood = log_likelihood(rows).mean()
    # ln w is linear in the noise with variance 2·divergence, so this is five standard errors of the mean
    error = 5 * math.sqrt(2 * divergence.mean() / (len(rows) * 40))
    elbo = score(ELBO(k=40), linear_model(spoilt=0.2), rows).value
    assert elbo == pytest.approx(likelihood - divergence.mean(), abs=error)
    bounds = [score(IWAE(k=k), linear_model(spoilt=0.2), rows).value for k in (1, 5, 40, 400)]
    assert elbo < bounds[1] < bounds[2] < bounds[3] < likelihood
    assert bounds[0] == pytest.approx(elbo, abs=5 * math.sqrt(2 * divergence.mean() / len(rows)))
    assert likelihood - bounds[3] < 0.1 * divergence.mean()


def test_a_bound_of_unit_data_names_its_likelihood_and_only_the_first_rows_count():
    unit = DataSpec(shape=(3,), support="unit")
    x = numpy.random.default_rng(1).uniform(size=(6, 3))
    found = score(IWAE(rows=4), linear_model(data=unit), x)
    assert (found.protocol["p(x|z)"], found.protocol["rows"], found.protocol["k"]) == ("Bernoulli on [0, 1]", 4, 50)
    assert found.value == score(IWAE(), linear_model(data=unit), x[:4]).value
    assert score(ELBO(), linear_model(data=unit), x).value < score(IWAE(), linear_model(data=unit), x).value


@pytest.mark.parametrize("metric", [ELBO(), IWAE()])
def test_models_without_densities_cannot_be_measured(metric):
    assert metric.obstacle(linear_model()) is None
    assert metric.obstacle(exact_model()) == "no density"


@pytest.mark.parametrize("sizes", [{"k": 0}, {"rows": 0}])
def test_a_bound_needs_a_draw_and_a_row(sizes):
    with pytest.raises(ValueError, match="k and rows must be at least 1"):
        IWAE(**sizes)
