"""Schedules of numbers against their formulas, and what they change in a training."""

import math
from dataclasses import replace

import pytest
import torch
from toy_components import TRAINING, WithEncoder
from trainers import trainer_of

from genzoo.games import Constant, CosineSchedule, LinearSchedule, ZeroCentred
from genzoo.training import PlayerTraining


def factors(schedule, *progress):
    return [schedule.factor(torch.tensor(value, dtype=torch.float64)).item() for value in progress]


def test_a_constant_is_1_at_all_times():
    assert factors(Constant(), 0.0, 0.5, 2.0) == [1, 1, 1]


def test_a_line_leaves_1_at_its_start_and_stays_at_its_last_value():
    schedule = LinearSchedule(last=0.2, start=0.5, end=0.9)
    assert factors(schedule, 0.0, 0.5, 0.7, 0.9, 1.5) == pytest.approx([1, 1, 0.6, 0.2, 0.2])


def test_a_cosine_is_half_a_period():
    schedule = CosineSchedule(last=0.05, end=0.7)
    expected = [
        0.05 + 0.95 * (1 + math.cos(math.pi * min(progress / 0.7, 1))) / 2 for progress in (0, 0.1, 0.35, 0.7, 1)
    ]
    assert factors(schedule, 0.0, 0.1, 0.35, 0.7, 1.0) == pytest.approx(expected)


def test_a_warm_up_rises_from_0_along_a_line():
    assert factors(LinearSchedule(last=1.0, warm_up=0.2), 0.0, 0.1, 0.2, 0.6) == pytest.approx([0, 0.5, 1, 1])


@pytest.mark.parametrize(
    "fields", [{"last": -1.0}, {"start": 0.5, "end": 0.5}, {"end": 1.1}, {"start": -0.1}, {"warm_up": 1.0}]
)
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match="expected"):
        CosineSchedule(**fields)


def rates(trainer, steps):
    """Return the learning rates that both players had in each step."""
    seen = []
    for _ in range(steps):
        trainer.take_step()
        seen.append([float(trainer.optimizers[name].param_groups[0]["lr"]) for name in ("critic", "generator")])
    return seen


def test_the_learning_rate_of_each_player_follows_its_schedule():
    line = LinearSchedule(last=0.0)
    trainer = trainer_of(
        WithEncoder(),
        training=_with(steps=4, learning_rate=1e-2, players={"critic": PlayerTraining(learning_rate_schedule=line)}),
    )
    critic, generator = zip(*rates(trainer, 4), strict=True)
    assert critic == pytest.approx([1e-2, 0.75e-2, 0.5e-2, 0.25e-2])
    assert generator == (1e-2,) * 4


def test_a_scheduled_rate_is_the_rate_of_the_update():
    scheduled = trainer_of(WithEncoder(), training=_with(steps=2, learning_rate_schedule=LinearSchedule(last=0.5)))
    plain = trainer_of(WithEncoder(), training=_with(steps=2))
    before = [parameter.detach().clone() for parameter in plain.players["critic"]]
    for trainer in (scheduled, plain):
        trainer.take_step()
    for left, right in zip(scheduled.players["critic"], plain.players["critic"], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-9)  # the first step has the full rate
    scheduled.take_step()
    plain.optimizers["critic"].param_groups[0]["lr"] *= 0.75
    plain.optimizers["generator"].param_groups[0]["lr"] *= 0.75
    plain.take_step()
    moved = zip(scheduled.players["critic"], plain.players["critic"], before, strict=True)
    for left, right, start in moved:
        torch.testing.assert_close(left - start, right - start, rtol=1e-4, atol=1e-8)


def test_the_horizon_is_the_number_of_steps_unless_it_is_set():
    assert _with(steps=10).progress(5) == 0.5
    assert _with(steps=10, horizon=20).progress(5) == 0.25


def test_a_weight_of_a_game_follows_its_schedule_on_the_device():
    penalty = ZeroCentred(weight=2.0, schedule=LinearSchedule(last=0.0))
    slopes = torch.ones(6, 3)
    halfway = penalty.weighted(slopes, torch.tensor(0.5))
    assert halfway.item() == pytest.approx(0.5 * ZeroCentred(weight=2.0).weighted(slopes, torch.tensor(0.5)).item())


def _with(**changes):
    return replace(TRAINING, **changes)
