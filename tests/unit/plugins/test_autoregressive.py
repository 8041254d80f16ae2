"""Autoregressive models: masks, exact probabilities, draws by the inverse distribution function, and exact resumes."""

import math
from itertools import product

import pytest
import torch
from models import exact_model
from torch import nn
from trainers import goes_on_bitwise, new_trainer

from genzoo import SettingsError
from genzoo.evaluation import Model
from genzoo.types import Batch, DataSpec, Split
from genzoo_autoregressive.autoregressive import Autoregressive
from genzoo_autoregressive.masked import MaskedNetwork
from genzoo_metrics.density import BitsPerDimension

BINARY = DataSpec(shape=(1, 2, 2), support="unit", levels=2)


def networks_of(data, *, std=0.5, **game):
    """Return networks in float64 with outputs that depend on their inputs, in inference mode."""
    torch.manual_seed(0)
    networks = Autoregressive(**game).build(None, data).double().eval()
    for parameter in networks.decoder.network.parameters():
        nn.init.normal_(parameter, std=std)
    return networks


def images_of(data, rows):
    levels = torch.randint(data.levels, (rows, *data.shape))
    return levels.double() / (data.levels - 1)


# Masks


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_outputs_for_a_number_have_no_slope_by_it_or_later_ones_and_one_by_each_before(layers):
    torch.manual_seed(0)
    network = MaskedNetwork(5, outputs=3, width=16, layers=layers, context=2).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    context = torch.randn(1, 2, dtype=torch.float64)
    slopes = torch.autograd.functional.jacobian(lambda x: network(x, context)[0], torch.randn(1, 5).double())[:, :, 0]
    for number in range(5):
        assert torch.equal(slopes[number, :, number:], torch.zeros(3, 5 - number).double())
        assert (slopes[number, :, :number] != 0).any(0).all()


# Probabilities


def test_the_probabilities_of_all_binary_images_sum_to_1_and_samples_have_them():
    networks = networks_of(BINARY)
    images = torch.tensor(list(product([0.0, 1.0], repeat=4))).double().view(16, 1, 2, 2)
    probabilities = Autoregressive().log_probability(networks, images).exp()
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-12)
    samples = networks.decode(torch.randn(20_000, 4, dtype=torch.float64))
    places = (samples.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1).long()
    shares = places.bincount(minlength=16) / len(places)
    errors = (probabilities * (1 - probabilities) / len(places)).sqrt()
    assert ((shares - probabilities).abs() < 5 * errors).all()


@pytest.mark.parametrize(("levels", "bits"), [(17, 4.087463), (256, 8.0), (None, 8.0)])
def test_a_network_without_training_guesses(levels, bits):
    data = DataSpec(shape=(1, 3, 3), support="unit", levels=levels)
    networks, x = Autoregressive().build(None, data), torch.rand(4, 1, 3, 3)
    losses = Autoregressive().losses(networks, Batch(x=x, z=x, noise=x), ("generator",))
    assert losses.watch["bits_per_dimension"].item() == pytest.approx(bits, abs=1e-5)
    assert losses.players["generator"].item() == pytest.approx(9 * bits * math.log(2), rel=1e-5)


# Codes


@pytest.mark.parametrize("data", [BINARY, DataSpec(shape=(2, 2, 3), support="unit", levels=17)])
def test_the_code_of_x_is_decoded_to_x_whatever_the_noise(data):
    networks, x = networks_of(data, std=0.2), images_of(data, 50)
    for noise in (torch.randn(50, math.prod(data.shape)).double(), torch.zeros(50, math.prod(data.shape)).double()):
        code = networks.encode(x, noise)
        assert code.mean is None
        torch.testing.assert_close(networks.decode(code.z), x, rtol=0, atol=1e-12)


def test_codes_of_what_the_model_draws_are_standard_normal():
    networks = networks_of(BINARY)
    x = networks.decode(torch.randn(20_000, 4, dtype=torch.float64))
    z = networks.encode(x, torch.randn(20_000, 4, dtype=torch.float64)).z
    error = 5 / math.sqrt(len(z))
    torch.testing.assert_close(z.mean(0), torch.zeros(4).double(), rtol=0, atol=error)
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(4).double(), rtol=0, atol=2 * error)


# Trainings and scores


def test_a_step_goes_on_bitwise_and_every_pixel_of_a_sample_costs_an_evaluation():
    def make():
        return new_trainer("autoregressive", recipe="digits", overrides={"training.batch_size": 8})

    assert goes_on_bitwise(make, stop=1, steps=2)
    trainer, calls = make(), []
    networks = trainer.networks
    assert networks.encoder.network is networks.decoder.network
    networks.decoder.network.register_forward_hook(lambda *_: calls.append(1))
    model = Model.of(trainer.settings, networks, device=torch.device("cpu"), label_frequencies=None)
    assert model.sample(2).shape == (2, 1, 8, 8)
    assert len(calls) == networks.evaluations == 64


@pytest.mark.parametrize("recipe", ["mixture25", "celeba64", "cifar10"])
def test_vectors_and_large_images_are_refused_before_training(recipe):
    with pytest.raises(SettingsError, match="autoregressive needs images of at most 256 numbers"):
        new_trainer("autoregressive", recipe=recipe)


def test_bits_per_dimension_are_the_probabilities_of_the_rows_in_the_protocol():
    networks = networks_of(BINARY).float()
    model = exact_model(game=Autoregressive(), networks=networks, data=BINARY)
    x = images_of(BINARY, 30).float()
    (score,) = BitsPerDimension(rows=20).measure(model, Split(x), train=Split(x), seed=0)
    expected = -Autoregressive().log_probability(networks.eval(), x[:20]).mean().item() / (4 * math.log(2))
    assert score.value == pytest.approx(expected, rel=1e-6)
    assert (score.protocol, score.better) == ({"rows": 20, "levels": 2}, "lower")
    assert BitsPerDimension().obstacle(model) is None
    assert BitsPerDimension().obstacle(exact_model()) == "no probabilities of grey levels"
    with pytest.raises(ValueError, match="at least 1"):
        BitsPerDimension(rows=0)
