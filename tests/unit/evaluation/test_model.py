"""A trained model to look at: what its four functions return, from which draws, and what they leave alone."""

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from models import Doubled, Shifted, WithoutSamples, exact_model, identity_model
from torch import nn
from toy_components import ToyImageNetworks, ToyImages, ToyMixture, ToyNetworks, WithEncoder

import genzoo.evaluation.model
from genzoo import Networks, SettingsError
from genzoo.evaluation.codes import sweep_of
from genzoo.games import Prior
from genzoo.nn import posterior_log_density
from genzoo.types import Code, DataSpec, Split


def real_model(dataset, architecture):
    spec = dataset.spec
    networks = Networks(encoder=architecture.encoder(spec), decoder=architecture.decoder(spec))
    return exact_model(networks=networks.eval(), data=spec, latent=architecture.latent)


MODELS = {
    "vectors": lambda: real_model(ToyMixture(), ToyNetworks()),
    "images": lambda: real_model(ToyImages(), ToyImageNetworks()),
}


@pytest.mark.parametrize("name", MODELS)
def test_answers_have_the_shapes_of_data_and_codes(name):
    model = MODELS[name]()
    shape, latent = model.data.shape, model.latent
    x = torch.rand(5, *shape)
    code = model.encode(x)
    assert model.sample(7).shape == (7, *shape)
    assert model.sample(0).shape == (0, *shape)
    assert code.z.shape == (5, latent)
    assert (code.mean is None) == (name == "vectors")  # implicit there, gaussian here
    assert model.reconstruct(x).shape == (5, *shape)
    assert model.interpolate(x, x.flip(0), steps=4).shape == (5, 5, *shape)
    assert not any(tensor.requires_grad for tensor in (model.sample(2), code.z, model.reconstruct(x)))
    if model.data.support == "unit":
        assert 0 <= model.sample(20).min() <= model.sample(20).max() <= 1


@pytest.mark.parametrize("name", MODELS)
def test_every_draw_depends_on_the_seed_alone(name):
    model = MODELS[name]()
    x = torch.rand(5, *model.data.shape)
    for ask in (
        lambda seed: model.sample(6, seed=seed),
        lambda seed: model.encode(x, seed=seed).z,
        lambda seed: model.reconstruct(x, seed=seed),
        lambda seed: model.interpolate(x, x.flip(0), seed=seed),
    ):
        first = ask(3)
        torch.rand(9)
        assert torch.equal(ask(3), first)
        assert not torch.equal(ask(4), first)


def test_a_sample_is_the_decoded_prior_draw():
    model = exact_model()
    z = model.draw_z(9, seed=2)
    assert torch.equal(model.sample(9, seed=2), 2 * z + 1)
    assert abs(model.draw_z(50_000).mean().item()) < 5 / 100_000**0.5


@dataclass(frozen=True, kw_only=True)
class Constant(Prior):
    """A prior that draws 7."""

    name: ClassVar[str] = "constant"

    def draw(self, rows, latent, generator):
        return torch.full((rows, latent), 7.0)


def test_samples_come_from_the_prior_of_the_run():
    assert torch.equal(exact_model(prior=Constant()).sample(3), torch.full((3, 2), 15.0))


def test_encoding_samples_z_and_reconstruction_decodes_that_sample():
    model, x = exact_model(), torch.rand(2000, 2)
    code = model.encode(x, seed=5)
    noise = code.z - x
    assert torch.equal(code.mean, x)
    # 4,000 normal draws: five standard errors of their mean and of their variance
    assert abs(noise.mean().item()) < 5 / 4000**0.5
    assert abs(noise.var().item() - 1) < 5 * (2 / 4000) ** 0.5
    assert torch.equal(model.reconstruct(x, seed=5), 2 * code.z + 1)


@pytest.mark.parametrize("rows_at_once", [1, 7, 499])
@pytest.mark.parametrize("conditional", [False, True])
def test_how_rows_are_cut_into_parts_makes_no_difference(monkeypatch, rows_at_once, conditional):
    model = exact_model(conditional=conditional)
    x = torch.rand(23, 2)
    y = nn.functional.one_hot(torch.arange(23) % 3, 3).float() if conditional else None

    def answers():
        code = model.encode(x, y=y, seed=1)
        ends = None if y is None else (y, y.flip(0))
        path = model.interpolate(x, x.flip(0), y=ends, steps=3)
        return code.z, code.mean, code.log_std, model.sample(23, seed=1), path

    whole = answers()
    monkeypatch.setattr(genzoo.evaluation.model, "_ROWS_AT_ONCE", rows_at_once)
    assert all(torch.equal(a, b) for a, b in zip(answers(), whole, strict=True))


def test_the_chunks_are_no_larger_than_stated():
    sizes = []
    model = exact_model()
    model.networks.decoder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    model.sample(1100)
    assert sizes == [500, 500, 100]


def test_interpolations_run_straight_from_one_sampled_code_to_the_other():
    model, a, b = exact_model(), torch.rand(4, 2), torch.rand(4, 2)
    path = model.interpolate(a, b, steps=4, seed=9)
    start, end = model.encode(a, seed=9).z, model.encode(b, seed=10).z
    assert path.shape == (4, 5, 2)
    for position in range(5):
        expected = 2 * (start + position / 4 * (end - start)) + 1
        torch.testing.assert_close(path[:, position], expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(path[:, 0], model.reconstruct(a, seed=9))


@pytest.mark.parametrize("name", MODELS)
def test_the_ends_of_an_interpolation_are_the_reconstructions(name):
    model = MODELS[name]()
    a, b = torch.rand(2, 3, *model.data.shape)
    path = model.interpolate(a, b, seed=2)
    assert path.shape == (3, 12, *model.data.shape)
    torch.testing.assert_close(path[:, 0], model.reconstruct(a, seed=2), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(path[:, -1], model.reconstruct(b, seed=3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_looking_changes_neither_mode_nor_weights_nor_statistics(name, training):
    model = MODELS[name]()
    model.networks.train(training)
    before = {key: tensor.clone() for key, tensor in model.networks.state_dict().items()}
    x = torch.rand(6, *model.data.shape)
    model.sample(4)
    model.interpolate(x, x.flip(0))
    assert all(module.training is training for module in model.networks.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.networks.state_dict().items())


def test_a_frozen_part_stays_in_inference_mode_while_the_rest_returns_to_training():
    model = MODELS["images"]()
    model.networks.freeze("decoder", model.networks.decoder)
    model.networks.train()
    model.sample(3)
    assert not any(module.training for module in model.networks.decoder.modules())
    assert all(module.training for module in model.networks.encoder.modules())


def test_a_model_in_training_mode_answers_as_in_inference_mode():
    model = MODELS["images"]()
    x = torch.rand(6, 1, 8, 8)
    still = model.sample(5), model.reconstruct(x)
    model.networks.train()
    assert torch.equal(model.sample(5), still[0])
    assert torch.equal(model.reconstruct(x), still[1])


def test_networks_answer_in_the_arithmetic_of_training(monkeypatch):
    entered, during = [], []

    @contextmanager
    def arithmetic(device):
        entered.append(device)
        yield
        entered.clear()

    monkeypatch.setattr(genzoo.evaluation.model, "arithmetic", arithmetic)
    model = MODELS["images"]()
    for part in (model.networks.encoder, model.networks.decoder):
        part.register_forward_hook(lambda *call: during.append([*entered]))
    x = torch.rand(2, 1, 8, 8)
    model.sample(2)
    model.reconstruct(x)
    assert during == [[model.device]] * 3
    assert entered == []


def test_the_mode_returns_even_if_a_network_fails():
    model = exact_model(conditional=True)
    model.networks.embedder = nn.Linear(5, 3)
    model.networks.train()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model.decode(torch.zeros(2, 2), torch.zeros(2, 3))
    assert model.networks.training


# Conditions


def test_conditions_are_drawn_by_their_frequencies():
    model = exact_model(conditional=True, label_frequencies=[0.7, 0.3, 0.0])
    y = model.draw_y(20_000, seed=1)
    assert y.shape == (20_000, 3)
    assert torch.equal(y.sum(1), torch.ones(20_000))
    assert y[:, 0].mean().item() == pytest.approx(0.7, abs=5 * (0.7 * 0.3 / 20_000) ** 0.5)
    assert not y[:, 2].any()
    assert torch.equal(y, model.draw_y(20_000, seed=1))
    assert not torch.equal(y, model.draw_y(20_000, seed=2))


def test_attributes_are_drawn_independently_each_by_its_own_frequency():
    spec = DataSpec(shape=(2,), support="real", attributes=("hat", "beard", "wings", "nose"))
    model = exact_model(conditional=True, data=spec, label_frequencies=[0.5, 0.2, 0.0, 1.0])
    y = model.draw_y(20_000)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert y[:, 0].mean().item() == pytest.approx(0.5, abs=5 * (0.25 / 20_000) ** 0.5)
    assert y[:, 1].mean().item() == pytest.approx(0.2, abs=5 * (0.16 / 20_000) ** 0.5)
    assert (y[:, 2].sum().item(), y[:, 3].sum().item()) == (0, 20_000)
    both = (y[:, 0] * y[:, 1]).mean().item()
    assert both == pytest.approx(0.1, abs=5 * (0.09 / 20_000) ** 0.5)


def test_a_conditional_model_samples_with_drawn_conditions_unless_told():
    model = exact_model(conditional=True)
    z, y = model.draw_z(40, seed=3), model.draw_y(40, seed=3)
    assert torch.equal(model.sample(40, seed=3), 2 * z + 1 + 10 * y[:, :2])
    told = torch.tensor([[0.0, 1.0, 0.0]]).expand(40, 3)
    assert torch.equal(model.sample(40, seed=3, y=told), 2 * z + 1 + torch.tensor([0.0, 10.0]))
    assert not (z[:, 0] == y[:, 0]).any()


def test_a_conditional_model_without_frequencies_asks_for_conditions():
    with pytest.raises(SettingsError, match="stored no label frequencies"):
        exact_model(conditional=True, label_frequencies=None).sample(3)


def test_a_conditional_reconstruction_uses_the_condition_on_both_ways():
    model = exact_model(conditional=True)
    x, y = torch.rand(4, 2), torch.tensor([[1.0, 0.0, 0.0]]).expand(4, 3)
    z = model.encode(x, y=y, seed=1).z
    assert torch.equal(z, exact_model().encode(x, seed=1).z + torch.tensor([1.0, 0.0]))
    assert torch.equal(model.reconstruct(x, y=y, seed=1), 2 * z + 1 + torch.tensor([10.0, 0.0]))
    with pytest.raises(SettingsError, match="needs labels"):
        model.reconstruct(x)


def test_rows_are_the_first_of_a_split_with_conditions_for_a_conditional_model_alone():
    stored = Split(torch.arange(12.0).view(6, 2), torch.tensor([2, 0, 1, 1, 0, 2]))
    x, y = exact_model(conditional=True).rows(stored, 3)
    assert x.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert y.tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert exact_model().rows(stored)[1] is None
    assert len(exact_model().rows(stored)[0]) == 6


# Refusals


def test_what_a_model_does_not_have_is_refused():
    no_encoder = replace(exact_model(), networks=Networks(decoder=Doubled()))
    no_decoder = replace(exact_model(), networks=Networks(encoder=Shifted()))
    for ask in (no_encoder.encode, no_encoder.reconstruct):
        with pytest.raises(SettingsError, match="no encoder"):
            ask(torch.zeros(2, 2))
    for ask in (no_decoder.reconstruct, lambda x: no_decoder.sample(2), lambda x: no_decoder.interpolate(x, x)):
        with pytest.raises(SettingsError, match="no decoder"):
            ask(torch.zeros(2, 2))


def test_a_game_whose_prior_gives_no_samples_has_reconstructions_alone():
    model, x = replace(exact_model(), game=WithoutSamples()), torch.rand(4, 2)
    assert exact_model().sampling_obstacle is None
    for ask in (
        lambda: model.sample(2),
        lambda: model.sample_grid(torch.zeros(2, 2, 3)),
        lambda: sweep_of(model, "category", rows=2, seed=0),
    ):
        with pytest.raises(SettingsError, match=r"^this model cannot sample: its prior is not learned\n"):
            ask()
    assert torch.equal(model.reconstruct(x, seed=1), exact_model().reconstruct(x, seed=1))
    assert torch.equal(model.decode(x), exact_model().decode(x))


def test_x_of_another_shape_is_refused_with_both_shapes():
    with pytest.raises(SettingsError, match=r"\(4, 3\).*\(N, 2\)"):
        exact_model().encode(torch.zeros(4, 3))


@pytest.mark.parametrize("steps", [0, -3])
def test_an_interpolation_needs_a_step(steps):
    with pytest.raises(SettingsError, match=f"steps is {steps}, expected at least 1"):
        exact_model().interpolate(torch.zeros(1, 2), torch.zeros(1, 2), steps=steps)


# Densities


@dataclass(frozen=True, kw_only=True)
class Weighing(WithEncoder):
    """A game whose log weight is the first number of z plus a hundred times the second of x."""

    name: ClassVar[str] = "weighing"

    def log_weight(self, networks, batch, prior):
        return networks.encode(batch.x, batch.noise, batch.y).z[:, 0] + 100 * batch.x[:, 1]


def test_log_weights_are_the_games_for_as_many_draws_as_asked(monkeypatch):
    model = exact_model(game=Weighing())
    x = torch.randn(7, 2)
    found = model.log_weights(x, draws=3, seed=5)
    assert found.shape == (7, 3)
    noise = found - (x[:, 0] + 100 * x[:, 1])[:, None]  # the encoder adds the noise to x
    assert len(noise.round(decimals=3).unique()) == 21
    assert torch.equal(model.log_weights(x, draws=2, seed=5), found[:, :2])
    assert not torch.equal(model.log_weights(x, draws=3, seed=6), found)
    monkeypatch.setattr(genzoo.evaluation.model, "_ROWS_AT_ONCE", 3)
    assert torch.equal(model.log_weights(x, draws=3, seed=5), found)


def test_the_log_weights_of_a_conditional_model_are_given_its_condition():
    model = exact_model(game=Weighing(), conditional=True)
    x, y = torch.zeros(4, 2), torch.eye(3)[[0, 1, 2, 0]]
    with_y = model.log_weights(x, y=y) - model.log_weights(x, y=torch.zeros(4, 3))
    assert with_y[:, 0].tolist() == pytest.approx([1, 0, 0, 1], abs=1e-6)
    with pytest.raises(SettingsError, match="y is"):
        model.log_weights(x, y=y[:3])


def test_a_game_offers_no_log_weights_unless_it_says_so():
    assert exact_model().log_weights(torch.zeros(3, 2), draws=2) is None
    assert exact_model().game.likelihood(exact_model().data) is None


def test_the_density_of_a_code_is_its_gaussians_or_what_the_encoder_says():
    mean, log_std, noise = torch.randn(3, 5, 4, dtype=torch.double).unbind()
    gaussian = Code(z=mean + log_std.exp() * noise, mean=mean, log_std=log_std)
    expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(gaussian.z).sum(1)
    torch.testing.assert_close(posterior_log_density(gaussian), expected)
    assert torch.equal(posterior_log_density(gaussian._replace(log_density=mean[:, 0])), mean[:, 0])
    assert posterior_log_density(Code(z=mean)) is None
    assert posterior_log_density(Code(z=mean, mean=mean)) is None


def test_encoding_in_parts_keeps_the_density_that_an_encoder_says(monkeypatch):
    class Flow(Shifted):
        def forward(self, x, noise, y=None):
            return Code(z=x + noise, log_density=x[:, 0])

    monkeypatch.setattr(genzoo.evaluation.model, "_ROWS_AT_ONCE", 2)
    x = torch.randn(5, 2)
    code = exact_model(networks=Networks(encoder=Flow())).encode(x)
    assert torch.equal(code.log_density, x[:, 0])
    assert (code.mean, code.log_std) == (None, None)


# The nearest


def test_the_nearest_are_those_of_the_least_distance_between_means_by_sorting_all():
    model = exact_model()  # its means are x, and its draws are not
    x, among = torch.randn(5, 2), torch.randn(40, 2)
    lengths = (x[:, None] - among).double().square().sum(-1).sqrt().sort(dim=1)
    nearest = model.nearest(x, among, count=3)
    assert torch.equal(nearest.rows, lengths.indices[:, :3])
    torch.testing.assert_close(nearest.distances.double(), lengths.values[:, :3], rtol=1e-5, atol=1e-6)


def test_few_rows_are_all_nearest_and_every_side_has_its_conditions():
    spec = DataSpec(shape=(2,), support="real")
    x, among = torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    nearest = identity_model(spec).nearest(x, among)
    assert (nearest.rows.tolist(), nearest.distances.tolist()) == ([[1, 0]], [[1.0, 5.0]])
    with pytest.raises(SettingsError, match="count is 0"):
        identity_model(spec).nearest(x, among, count=0)
    conditional, y = exact_model(conditional=True), torch.eye(3)
    with pytest.raises(SettingsError, match=re.escape("y is (1, 3), expected (2, 3)")):
        conditional.nearest(x, among, y=(y[:1], y[:1]))
    assert conditional.nearest(x, among, count=1, y=(y[:1], y[:2])).rows.tolist() == [[1]]
