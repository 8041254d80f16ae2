"""Rectified flow: exact fields of Gaussian data, the solvers' errors, the least loss, and steps that go on exactly."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from toy_components import ToyImageNetworks
from trainers import CPU, goes_on_bitwise, new_trainer

from genzoo.evaluation import Model
from genzoo.evaluation.cards import evaluations_text
from genzoo.nn import Field
from genzoo.types import Batch, DataSpec, Split
from genzoo_flow.flow_networks import FlowDecoder, FlowEncoder
from genzoo_flow.rectified_flow import RectifiedFlow, uniform
from genzoo_flow.solvers import Adaptive, Heun

MEAN, STD = 0.7, 0.6
ROWS = torch.linspace(-3, 3, 13, dtype=torch.float64)[:, None] * torch.tensor([1.0, -0.5], dtype=torch.float64)
R2 = DataSpec(shape=(2,), support="real")


class GaussianField(Field):
    """The best field of data N(MEAN, STD²) in every dimension."""

    def forward(self, x, t, y=None):
        t = t.view(-1, *(1 for _ in x.shape[1:]))
        slope = (t * STD**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * STD**2)
        return MEAN + slope * (x - t * MEAN)


@dataclass(frozen=True, kw_only=True)
class GaussianNetworks(ToyImageNetworks):
    """The best field of Gaussian data as an architecture."""

    name: ClassVar[str] = "gaussian-field"

    def field(self, data, *, condition=0):
        return GaussianField()


def networks_of(solver, data=R2):
    return RectifiedFlow(solver=solver).build(GaussianNetworks(), data)


# Solvers


def test_the_best_flow_of_a_gaussian_moves_and_scales_and_heuns_error_falls_with_the_square_of_the_steps():
    expected = MEAN + STD * ROWS
    errors = [(networks_of(Heun(steps=n)).decode(ROWS) - expected).abs().max().item() for n in (80, 160, 320)]
    assert errors[0] < 1e-4
    assert [errors[0] / errors[1], errors[1] / errors[2]] == pytest.approx([4, 4], rel=0.03)


@pytest.mark.parametrize(("solver", "error"), [(Heun(steps=50), 1e-4), (Adaptive(tolerance=1e-6), 1e-5)])
def test_x_is_found_again_from_its_code(solver, error):
    networks = networks_of(solver)
    code = networks.encode(ROWS, ROWS)
    torch.testing.assert_close(code.z, (ROWS - MEAN) / STD, rtol=0, atol=1e-3)
    assert code.z is code.mean
    assert (networks.decode(code.z) - ROWS).abs().max() < error


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_an_adaptive_solver_keeps_its_tolerance_and_asks_more_where_it_is_less(tolerance):
    asked = []

    def velocity(x, t):
        asked.append(len(x))
        return GaussianField()(x, t)

    x = Adaptive(tolerance=tolerance, shortest=1e-6).integrate(velocity, ROWS, start=0.0, end=1.0)
    assert (x - MEAN - STD * ROWS).abs().max() < 10 * tolerance
    assert len(asked) <= {1e-3: 40, 1e-5: 160}[tolerance]


def test_rows_of_an_adaptive_solver_do_not_depend_on_each_other():
    networks = networks_of(Adaptive())
    alone = torch.cat([networks.decode(row[None]) for row in ROWS])
    torch.testing.assert_close(alone, networks.decode(ROWS), rtol=1e-12, atol=1e-12)


def test_an_adaptive_solver_ends_where_the_velocity_is_not_finite():
    x = Adaptive().integrate(lambda x, t: x / 0, ROWS, start=0.0, end=1.0)
    assert x.shape == ROWS.shape


@pytest.mark.parametrize(
    "make", [lambda: Heun(steps=0), lambda: Adaptive(tolerance=0.0), lambda: Adaptive(shortest=0.0)]
)
def test_a_solver_needs_steps_and_a_tolerance(make):
    with pytest.raises(ValueError, match="expected"):
        make()


# What a sample costs


def test_the_decoder_says_how_often_the_field_is_asked():
    calls = []
    networks = networks_of(Heun(steps=7))
    networks.decoder.field.register_forward_hook(lambda *_: calls.append(1))
    networks.decode(ROWS)
    assert len(calls) == networks.evaluations == 14
    assert networks_of(Adaptive()).evaluations is None
    assert [evaluations_text(each) for each in (0, 14, None)] == ["–", "14", "depends on z"]


# The loss


def gaussian_batch(rows, *, seed=0):
    torch.manual_seed(seed)
    x, z, noise = (torch.randn(rows, 2, dtype=torch.float64) for _ in range(3))
    return Batch(x=MEAN + STD * x, z=z, noise=noise)


def test_the_least_loss_of_a_gaussian_is_half_pi_times_its_standard_deviation():
    loss = RectifiedFlow().losses(networks_of(Heun()), gaussian_batch(400_000), ("generator",)).players["generator"]
    assert loss.item() == pytest.approx(math.pi * STD / 2, rel=5e-3)  # five standard errors of the mean


def test_a_trained_field_comes_within_two_percent_of_the_least_loss():
    batch = gaussian_batch(20_000)
    split = Split(batch.x.float())
    overrides = {"training.batch_size": 300, "training.steps": 150, "training.learning_rate": 2e-3}
    trainer = new_trainer("rectified-flow", recipe="mixture25", split=split, overrides=overrides)
    for _ in range(150):
        trainer.take_step()
    game, unseen = trainer.settings.game, gaussian_batch(40_000, seed=1)
    with torch.no_grad(), trainer._ema.shown():
        loss = game.losses(trainer.networks, Batch(*(part.float() for part in unseen[:3])), ("generator",))
    assert loss.players["generator"].item() == pytest.approx(math.pi * STD / 2, rel=0.02)


def test_times_are_uniform_quantiles_of_the_noise():
    torch.testing.assert_close(uniform(torch.tensor([-40.0, 0.0, 1.0, 40.0])), torch.tensor([0, 0.5, 0.8413447, 1]))


def test_images_are_between_minus_one_and_one_on_the_way_and_cut_off_at_the_end():
    data = DataSpec(shape=(1, 2, 2), support="unit")
    networks = networks_of(Heun(steps=80), data)
    z = torch.linspace(-3, 3, 40, dtype=torch.float64).view(10, 4)
    x = networks.decode(z)
    assert x.shape == (10, 1, 2, 2)
    torch.testing.assert_close(x.flatten(1), ((MEAN + STD * z + 1) / 2).clamp(0, 1), rtol=0, atol=1e-3)
    inside = (x.flatten(1) > 0) & (x.flatten(1) < 1)
    assert inside.sum() > 4
    torch.testing.assert_close(networks.encode(x, z).z[inside], z[inside], rtol=0, atol=1e-3)


# Trainings


@pytest.mark.parametrize(("recipe", "rows"), [("digits", 8), ("mixture25", 8), ("celeba64", 2)])
def test_a_flow_steps_and_goes_on_bitwise(recipe, rows):
    overrides = {"training.batch_size": rows}
    assert goes_on_bitwise(lambda: new_trainer("rectified-flow", recipe=recipe, overrides=overrides), stop=1, steps=2)


def test_encoder_and_decoder_share_their_field_and_weights_are_averaged():
    trainer = new_trainer("rectified-flow", recipe="digits", overrides={"training.batch_size": 8})
    networks = trainer.networks
    assert isinstance(networks.encoder, FlowEncoder)
    assert isinstance(networks.decoder, FlowDecoder)
    assert networks.encoder.field is networks.decoder.field
    assert len(trainer.players["generator"]) == len(list(networks.decoder.field.parameters()))
    assert trainer.settings.training.averaging == 0.999
    model = Model.of(trainer.settings, networks, device=CPU, label_frequencies=None)
    assert (model.latent, model.sample(2).shape) == (64, (2, 1, 8, 8))
