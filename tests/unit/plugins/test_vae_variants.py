"""VAEs of other posteriors and losses: the flow's density, the parts of the divergence, and exact resumes."""

import math

import pytest
import torch
from test_vae import R3, LinearNetworks
from torch import nn
from trainers import goes_on_bitwise, new_trainer

from genzoo.games import StandardNormal
from genzoo.nn import Encoder, posterior_log_density
from genzoo.types import Batch, Code
from genzoo_vae.iaf import IAFVAE, IAFEncoder
from genzoo_vae.tc_vae import TCVAE, parts_of
from genzoo_vae.vae import VAE


class Standard(Encoder):
    """N(mean, std²), whatever x is."""

    def __init__(self, latent, mean=0.2, std=0.8):
        super().__init__()
        self.mean, self.log_std = torch.full((latent,), mean).double(), torch.full((latent,), math.log(std)).double()

    def forward(self, x, noise, y=None):
        mean, log_std = self.mean.expand_as(noise), self.log_std.expand_as(noise)
        return Code(z=mean + log_std.exp() * noise, mean=mean, log_std=log_std)


def flow_of(latent, *, steps):
    torch.manual_seed(0)
    flow = IAFEncoder(Standard(latent), latent=latent, steps=steps, width=4).double()
    for parameter in flow.steps.parameters():
        nn.init.normal_(parameter, std=0.4)
    return flow


# The inverse autoregressive flow


@pytest.mark.parametrize("steps", [1, 3])
def test_the_density_of_a_flow_is_that_of_its_start_over_the_jacobians_determinant(steps):
    flow, noise = flow_of(5, steps=steps), torch.randn(1, 5, dtype=torch.float64)
    code = flow(noise, noise)
    jacobian = torch.autograd.functional.jacobian(lambda noise: flow(noise, noise).z[0], noise)[:, 0]
    of_noise = StandardNormal().log_density(noise).item()
    assert code.log_density.item() == pytest.approx(of_noise - torch.linalg.slogdet(jacobian)[1].item(), abs=1e-9)
    if steps == 1:  # before the order is reversed
        assert torch.equal(jacobian.flip(0).triu(1), torch.zeros(5, 5).double())


def test_the_density_integrates_to_1_over_the_plane():
    points = torch.linspace(-7, 7, 281, dtype=torch.float64)
    noise = torch.cartesian_prod(points, points)
    code = flow_of(2, steps=2)(noise, noise)
    # E of h(z)/q(z|x) over q is the integral of h, which is 1 for a density h
    weights = StandardNormal().log_density(noise).exp() * (points[1] - points[0]) ** 2
    narrow = StandardNormal().log_density(code.z / 0.5) - 2 * math.log(0.5)
    integral = (weights * (narrow - code.log_density).exp()).sum().item()
    assert integral == pytest.approx(1, abs=1e-6)


def test_with_open_gates_the_flow_is_the_identity_up_to_order_and_the_loss_that_of_a_vae():
    networks = IAFVAE(sigma=0.5, steps=2).build(LinearNetworks(latent=2), R3).double()
    for step in networks.encoder.steps:
        nn.init.zeros_(step.last.weight)
        nn.init.constant_(step.last.bias, 60.0)
    torch.manual_seed(0)
    x, noise = torch.randn(6, 3).double(), torch.randn(6, 2).double()
    batch = Batch(x=x, z=noise, noise=noise)
    plain = VAE(sigma=0.5).build(LinearNetworks(latent=2), R3)
    code, ours = plain.encode(x, noise), networks.encode(x, noise)
    torch.testing.assert_close(ours.z, code.z)  # two steps reverse the order twice
    torch.testing.assert_close(ours.log_density, posterior_log_density(code))
    kl = (posterior_log_density(code) - StandardNormal().log_density(code.z)).mean()
    pairs = ((IAFVAE(sigma=0.5), networks), (VAE(sigma=0.5), plain))
    losses = [game.losses(own, batch, ("generator",)) for game, own in pairs]
    torch.testing.assert_close(losses[0].watch["kl"], kl)
    torch.testing.assert_close(losses[0].watch["reconstruction"], losses[1].watch["reconstruction"])
    torch.testing.assert_close(*(game.log_weight(own, batch, StandardNormal()) for game, own in pairs))


def test_a_flow_needs_a_width():
    with pytest.raises(ValueError, match="expected steps"):
        IAFVAE(width=0)


# The parts of the divergence


def codes(rows=7, latent=3):
    torch.manual_seed(1)
    mean, log_std, noise = (torch.randn(rows, latent, dtype=torch.float64) for _ in range(3))
    return Code(z=mean + log_std.exp() * noise, mean=mean, log_std=log_std)


def test_the_parts_sum_to_the_divergence_of_the_z_drawn():
    code = codes()
    sampled = posterior_log_density(code) - StandardNormal().log_density(code.z)
    torch.testing.assert_close(sum(parts_of(code)), sampled, rtol=1e-12, atol=1e-12)


def test_the_parts_are_those_of_the_batchs_mixture():
    code = codes()
    normals = torch.distributions.Normal(code.mean, code.log_std.exp())
    densities = normals.log_prob(code.z[:, None]).exp()  # (rows, mixed rows, latent)
    of_all, of_each = densities.prod(2).mean(1).log(), densities.mean(1).log().sum(1)
    parts = parts_of(code)
    torch.testing.assert_close(parts.mutual_information, posterior_log_density(code) - of_all)
    torch.testing.assert_close(parts.total_correlation, of_all - of_each)


def test_where_the_posterior_says_nothing_of_x_only_the_numbers_divergence_is_left():
    noise = torch.randn(6, 2, dtype=torch.float64)
    parts = parts_of(Standard(2)(noise, noise))
    zeros = torch.zeros(6, dtype=torch.float64)
    torch.testing.assert_close(parts.mutual_information, zeros, rtol=0, atol=1e-12)
    torch.testing.assert_close(parts.total_correlation, zeros, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 6.0, 2.0)])
def test_the_loss_weighs_the_parts_and_with_ones_it_is_the_vaes_with_the_divergence_sampled(weights):
    alpha, beta, gamma = weights
    game = TCVAE(sigma=0.5, alpha=alpha, beta=beta, gamma=gamma)
    networks = game.build(LinearNetworks(latent=2), R3)
    torch.manual_seed(0)
    x, noise = torch.randn(6, 3).double(), torch.randn(6, 2).double()
    batch = Batch(x=x, z=noise, noise=noise)
    losses = game.losses(networks, batch, ("generator",))
    mutual, total, of_numbers = (part.mean() for part in parts_of(networks.encode(x, noise)))
    expected = losses.watch["reconstruction"] + alpha * mutual + beta * total + gamma * of_numbers
    torch.testing.assert_close(losses.players["generator"], expected)
    if weights == (1.0, 1.0, 1.0):
        weight = VAE(sigma=0.5).log_weight(networks, batch, StandardNormal())
        torch.testing.assert_close(losses.players["generator"], -weight.mean())


# Trainings


@pytest.mark.parametrize("model", ["iaf-vae", "tc-vae"])
@pytest.mark.parametrize("recipe", ["digits", "mixture25"])
def test_it_steps_and_goes_on_bitwise(model, recipe):
    overrides = {"training.batch_size": 8}
    assert goes_on_bitwise(lambda: new_trainer(model, recipe=recipe, overrides=overrides), stop=1, steps=2)
