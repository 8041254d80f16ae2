"""WAE: the mean discrepancy in closed form, which network it moves, and trainings that go on exactly."""

import math

import pytest
import torch
from trainers import goes_on_bitwise, new_trainer

from genzoo_autoencoders.wae import inverse_multiquadratics, squared_mmd

DIM, LENGTH, ROWS = 3, 1.3, 800


def gaussian_kernel(squares):
    return (-squares / (2 * LENGTH**2)).exp()


def normal(seed, *, mean=0.0):
    return mean + torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_discrepancy_of_two_gaussians_is_its_closed_form():
    shift = torch.tensor([0.8, -0.4, 0.3], dtype=torch.float64)
    estimates = [squared_mmd(normal(2 * n), normal(2 * n + 1) + shift, kernel=gaussian_kernel) for n in range(4)]
    square = LENGTH**2
    closed = 2 * (square / (square + 2)) ** (DIM / 2) * (1 - math.exp(-shift.square().sum() / (2 * (square + 2))))
    assert torch.stack(estimates).mean().item() == pytest.approx(closed, abs=0.015)
    assert squared_mmd(normal(0), normal(1), kernel=gaussian_kernel).item() == pytest.approx(0, abs=0.005)


def test_the_discrepancy_of_a_gaussian_and_a_point_is_its_closed_form():
    point = torch.zeros(2, DIM, dtype=torch.float64)
    square = LENGTH**2
    closed = (square / (square + 2)) ** (DIM / 2) + 1 - 2 * (square / (square + 1)) ** (DIM / 2)
    assert squared_mmd(normal(0), point, kernel=gaussian_kernel).item() == pytest.approx(closed, abs=0.02)


def test_the_kernel_is_the_sum_of_seven_inverse_multiquadratics():
    kernel = inverse_multiquadratics(8)
    squares = torch.tensor([0.0, 16.0], dtype=torch.float64)
    expected = [7, sum(scale / (scale + 1) for scale in (0.1, 0.2, 0.5, 1, 2, 5, 10))]
    torch.testing.assert_close(kernel(squares), torch.tensor(expected, dtype=torch.float64))


def test_the_discrepancy_moves_the_encoder_alone():
    trainer = new_trainer("wae", recipe="digits", overrides={"training.batch_size": 8})
    losses = trainer.settings.game.losses(trainer.networks, trainer.batch(), ("generator",))
    code = trainer.networks.encode(trainer.batch().x, trainer.batch().noise).z
    mismatch = squared_mmd(code, trainer.batch().z, kernel=inverse_multiquadratics(code.shape[1]))
    parameters = list(trainer.networks.parameters())
    slopes = torch.autograd.grad(mismatch, parameters, allow_unused=True)
    moved = {
        name.partition(".")[0]
        for (name, _), slope in zip(trainer.networks.named_parameters(), slopes, strict=True)
        if slope is not None and slope.any()
    }
    assert moved == {"encoder"}
    weighted = losses.watch["reconstruction"] + 200 * losses.watch["mmd"]
    assert losses.players["generator"].item() == pytest.approx(weighted.item(), rel=1e-6)


@pytest.mark.parametrize("recipe", ["digits", "mixture25"])
def test_it_steps_and_goes_on_bitwise(recipe):
    overrides = {"training.batch_size": 8}
    assert goes_on_bitwise(lambda: new_trainer("wae", recipe=recipe, overrides=overrides), stop=1, steps=2)
