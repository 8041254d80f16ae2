"""Objectives against the formulas of the paper, worked out with numpy in float64, and schedules move by move."""

import math

import numpy
import pytest
import torch
from toy_components import WithEncoder

from genzoo import SettingsError
from genzoo.components import from_json, override
from genzoo.games import (
    Alternating,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Objective,
    Relativistic,
    Simultaneous,
    Wasserstein,
)
from genzoo.host.discovery import registry

RANDOM = numpy.random.default_rng(0)
ON_Q = RANDOM.normal(0.5, 3.0, size=57)
ON_P = RANDOM.normal(-0.5, 3.0, size=57)

OBJECTIVES = [NonSaturating(), Minimax(), LeastSquares(), Hinge(), Wasserstein(), Relativistic()]


def named(objective):
    return objective.name


def sp(t):
    return numpy.log1p(numpy.exp(t))


def sigmoid(t):
    return 1 / (1 + numpy.exp(-t))


def critic_formula(objective, q, p):
    match objective:
        case NonSaturating() | Minimax():
            return numpy.mean(sp(-q)) + numpy.mean(sp(p))
        case LeastSquares():
            return 0.5 * numpy.mean((q - 1) ** 2) + 0.5 * numpy.mean(p**2)
        case Hinge():
            return numpy.mean(numpy.maximum(0, 1 - q)) + numpy.mean(numpy.maximum(0, 1 + p))
        case Wasserstein():
            return -numpy.mean(q) + numpy.mean(p)
        case Relativistic():
            return numpy.mean(sp(p - q))


def generator_formula(objective, q, p):
    match objective:
        case NonSaturating():
            return numpy.mean(sp(q)) + numpy.mean(sp(-p))
        case Minimax():
            return -(numpy.mean(sp(-q)) + numpy.mean(sp(p)))
        case LeastSquares():
            return 0.5 * numpy.mean(q**2) + 0.5 * numpy.mean((p - 1) ** 2)
        case Hinge() | Wasserstein():
            return numpy.mean(q) - numpy.mean(p)
        case Relativistic():
            return numpy.mean(sp(q - p))


def critic_slopes(objective, q, p):
    """Return the derivatives of the critic's loss by every logit on either side, times the number of rows."""
    match objective:
        case NonSaturating() | Minimax():
            return -sigmoid(-q), sigmoid(p)
        case LeastSquares():
            return q - 1, p
        case Hinge():
            return -(q < 1).astype(float), (p > -1).astype(float)
        case Wasserstein():
            return -numpy.ones_like(q), numpy.ones_like(p)
        case Relativistic():
            return -sigmoid(p - q), sigmoid(p - q)


def generator_slopes(objective, q, p):
    match objective:
        case NonSaturating():
            return sigmoid(q), -sigmoid(-p)
        case Minimax():
            return sigmoid(-q), -sigmoid(p)
        case LeastSquares():
            return q, p - 1
        case Hinge() | Wasserstein():
            return numpy.ones_like(q), -numpy.ones_like(p)
        case Relativistic():
            return sigmoid(q - p), -sigmoid(q - p)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=named)
def test_losses_equal_the_formulas(objective):
    q, p = torch.tensor(ON_Q), torch.tensor(ON_P)
    assert objective.critic(q, p).item() == pytest.approx(critic_formula(objective, ON_Q, ON_P), rel=1e-14)
    assert objective.generator(q, p).item() == pytest.approx(generator_formula(objective, ON_Q, ON_P), rel=1e-14)
    assert objective.critic(q, p).shape == objective.generator(q, p).shape == ()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=named)
@pytest.mark.parametrize(("player", "slopes"), [("critic", critic_slopes), ("generator", generator_slopes)])
def test_gradients_by_the_logits_equal_the_derivatives(objective, player, slopes):
    q, p = torch.tensor(ON_Q, requires_grad=True), torch.tensor(ON_P, requires_grad=True)
    found = torch.autograd.grad(getattr(objective, player)(q, p), (q, p))
    for gradient, slope in zip(found, slopes(objective, ON_Q, ON_P), strict=True):
        numpy.testing.assert_allclose(gradient.numpy(), slope / 57, rtol=1e-13, atol=1e-16)


# Slopes: what one backward pass for both players needs

WITH_RATIO = [NonSaturating(), Minimax(), Wasserstein(), Relativistic()]


@pytest.mark.parametrize("objective", WITH_RATIO, ids=named)
def test_slopes_and_their_ratios_equal_the_derivatives(objective):
    slopes = objective.slopes(torch.tensor(ON_Q), torch.tensor(ON_P))
    critic, generator = critic_slopes(objective, ON_Q, ON_P), generator_slopes(objective, ON_Q, ON_P)
    for side in (0, 1):
        numpy.testing.assert_allclose(slopes.critic[side].numpy(), critic[side] / 57, rtol=1e-12)
        found = slopes.critic[side] * slopes.ratio[side]
        numpy.testing.assert_allclose(found.numpy(), generator[side] / 57, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-100.0, -60.0, -31.0, 31.0, 60.0, 100.0])
@pytest.mark.parametrize("objective", WITH_RATIO, ids=named)
def test_saturated_slopes_are_exact_for_the_generator_and_bounded_for_the_critic(objective, logit, dtype):
    logits = numpy.full(4, logit)
    slopes = objective.slopes(torch.tensor(logits, dtype=dtype), torch.tensor(logits, dtype=dtype))
    critic, generator = critic_slopes(objective, logits, logits), generator_slopes(objective, logits, logits)
    precision = 1e-5 if dtype == torch.float32 else 1e-12
    for side in (0, 1):
        numpy.testing.assert_allclose(slopes.critic[side].numpy(), critic[side] / 4, rtol=precision, atol=1e-13 / 4)
        found = slopes.critic[side].double() * slopes.ratio[side].double()
        # 1e-37: below it float32 itself is coarse
        numpy.testing.assert_allclose(found.numpy(), generator[side] / 4, rtol=precision, atol=1e-37)


@pytest.mark.parametrize("objective", [Hinge(), LeastSquares()], ids=named)
def test_an_objective_whose_critic_may_have_no_slope_declares_none(objective):
    assert objective.slopes(torch.tensor(ON_Q), torch.tensor(ON_P)) is None


def test_a_relativistic_critic_ignores_a_constant_added_to_every_logit():
    q, p = torch.tensor(ON_Q), torch.tensor(ON_P)
    shifted = Relativistic().critic(q + 3, p + 3), Relativistic().generator(q + 3, p + 3)
    assert [loss.item() for loss in shifted] == pytest.approx(
        [Relativistic().critic(q, p).item(), Relativistic().generator(q, p).item()], rel=1e-14
    )
    assert Relativistic().accuracies(q, p)["pair_accuracy"].item() == pytest.approx(sigmoid(ON_Q - ON_P).mean())


@pytest.mark.parametrize("objective", [objective for objective in OBJECTIVES if objective != Relativistic()], ids=named)
def test_sides_of_unequal_length_are_averaged_each_by_itself(objective):
    q, p = ON_Q[:10], ON_P[:31]
    found = objective.critic(torch.tensor(q), torch.tensor(p)).item()
    assert found == pytest.approx(critic_formula(objective, q, p), rel=1e-14)
    found = objective.generator(torch.tensor(q), torch.tensor(p)).item()
    assert found == pytest.approx(generator_formula(objective, q, p), rel=1e-14)


@pytest.mark.parametrize("objective", [NonSaturating(), LeastSquares()], ids=named)
def test_swapping_the_sides_swaps_the_losses(objective):
    q, p = torch.tensor(ON_Q), torch.tensor(ON_P)
    assert objective.critic(q, p).item() == pytest.approx(objective.generator(p, q).item(), rel=1e-14)
    assert objective.generator(q, p).item() == pytest.approx(objective.critic(p, q).item(), rel=1e-14)
    assert objective.critic(q, p).item() != pytest.approx(objective.generator(q, p).item(), rel=1e-3)


@pytest.mark.parametrize(
    ("objective", "critic", "generator"),
    [
        (NonSaturating(), 2 * math.log(2), 2 * math.log(2)),
        (Minimax(), 2 * math.log(2), -2 * math.log(2)),
        (LeastSquares(), 0.5, 0.5),
        (Hinge(), 2.0, 0.0),
        (Wasserstein(), 0.0, 0.0),
        (Relativistic(), math.log(2), math.log(2)),
    ],
    ids=lambda value: named(value) if isinstance(value, Objective) else None,
)
def test_losses_of_a_critic_that_knows_nothing(objective, critic, generator):
    zero = torch.zeros(8, dtype=torch.float64)
    assert objective.critic(zero, zero).item() == pytest.approx(critic, abs=1e-15)
    assert objective.generator(zero, zero).item() == pytest.approx(generator, abs=1e-15)


@pytest.mark.parametrize("objective", [NonSaturating(), Minimax()], ids=named)
def test_losses_stay_finite_at_logits_of_any_size(objective):
    far = torch.tensor([1e4], requires_grad=True)
    for q, p in ((far, far), (-far, -far), (far, -far), (-far, far)):
        for loss in (objective.critic(q, p), objective.generator(q, p)):
            (gradient,) = torch.autograd.grad(loss, far)
            assert torch.isfinite(loss)
            assert torch.isfinite(gradient).all()
    assert NonSaturating().critic(-far, far).item() == pytest.approx(2e4)


def test_a_saturated_critic_leaves_no_slope_to_minimax_but_one_to_non_saturating():
    q, p = torch.tensor([30.0]), torch.tensor([-30.0], requires_grad=True)
    (flat,) = torch.autograd.grad(Minimax().generator(q, p), p)
    (steep,) = torch.autograd.grad(NonSaturating().generator(q, p), p)
    assert flat.item() == pytest.approx(-math.exp(-30), rel=1e-5)
    assert steep.item() == pytest.approx(-1.0, rel=1e-6)


def test_simultaneous_moves_everyone_in_every_step():
    players = ("critic", "generator", "head")
    assert [Simultaneous().movers(step, players) for step in range(3)] == [players] * 3


@pytest.mark.parametrize(
    ("critic_steps", "sequence"), [(1, "CGCGCGCG"), (2, "CCGCCGCC"), (5, "CCCCCGCCCCCGC")], ids=["1", "2", "5"]
)
def test_alternating_moves_the_critic_n_times_and_then_the_generator(critic_steps, sequence):
    schedule = Alternating(critic_steps=critic_steps)
    moves = [schedule.movers(step, ("critic", "generator")) for step in range(len(sequence))]
    assert moves == [{"C": ("critic",), "G": ("generator",)}[letter] for letter in sequence]


def test_alternating_moves_all_but_the_critic_together():
    schedule = Alternating(critic_steps=1)
    players = ("encoder", "critic", "decoder")
    assert schedule.movers(0, players) == ("critic",)
    assert schedule.movers(1, players) == ("encoder", "decoder")


@pytest.mark.parametrize("critic_steps", [0, -1])
def test_alternating_refuses_less_than_one_critic_step(critic_steps):
    with pytest.raises(ValueError, match=f"critic_steps is {critic_steps}, expected at least 1"):
        Alternating(critic_steps=critic_steps)


def test_objectives_and_schedules_are_found_by_name_and_keep_their_fields():
    resolve = registry().resolve
    for objective in OBJECTIVES:
        assert from_json(Objective, {"name": objective.name}, resolve=resolve) == objective
    game = override(WithEncoder(), "schedule", "alternating", resolve=resolve)
    game = override(game, "schedule.critic_steps", "3", resolve=resolve)
    game = override(game, "objective", "hinge", resolve=resolve)
    assert game == WithEncoder(schedule=Alternating(critic_steps=3), objective=Hinge())


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("schedule.critic_steps", "0", "critic_steps is 0, expected at least 1"),
        ("schedule.critic_steps", "two", "expected a whole number"),
        ("schedule.critic_step", "2", "did you mean 'schedule.critic_steps'"),
        ("objective", "least-square", "did you mean 'least-squares'"),
        ("objective", "alternating", "no objective named 'alternating'"),
        ("schedule", "hinge", "no schedule named 'hinge'"),
    ],
)
def test_invalid_settings_of_a_game_are_refused(path, text, says):
    with pytest.raises(SettingsError, match=says):
        override(WithEncoder(schedule=Alternating()), path, text, resolve=registry().resolve)
