"""Intervals: what is due after which step."""

import pytest

from genzoo.runs.intervals import Due, SaveTimer, due
from genzoo.training import Training

TRAINING = Training(steps=60, log_every=4, picture_every=6, checkpoint_every=10, evaluate_every=15)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1, Due(False, False, False, False)),
        (4, Due(True, False, False, False)),
        (6, Due(False, True, False, False)),
        (10, Due(False, False, True, False)),
        (12, Due(True, True, False, False)),
        (15, Due(False, False, False, True)),
        (30, Due(False, True, True, True)),
    ],
)
def test_every_interval_counts_for_itself(step, expected):
    assert due(TRAINING, step, last=False) == expected


def test_after_the_last_step_all_is_due_but_the_evaluation_that_ends_the_run():
    assert due(TRAINING, 60, last=True) == Due(True, True, True, False)
    assert due(TRAINING, 59, last=True) == Due(True, True, True, False)


def test_a_run_that_is_stopped_is_logged_and_saved_and_one_that_is_asked_to_save_is_saved():
    assert due(TRAINING, 1, last=False, stop=True) == Due(True, False, True, False)
    assert due(TRAINING, 1, last=False, save=True) == Due(False, False, True, False)


def test_without_an_interval_nothing_is_evaluated_or_saved_on_the_way():
    training = Training(steps=60)
    assert not any(due(training, step, last=False)[2:] != (False, False) for step in range(1, 60))


def test_the_minutes_between_checkpoints_are_counted_from_the_last_one():
    now = [0.0]
    timer = SaveTimer(10, clock=lambda: now[0])
    over = []
    for now[0] in range(0, 3000, 100):
        over += [now[0]] if timer.is_over() else []
        if now[0] == 900:
            timer.restart()
    assert over == [600, 700, 800, 900, *range(1500, 3000, 100)]


@pytest.mark.parametrize("minutes", [None, 0, 0.0])
def test_without_minutes_nothing_is_saved_by_time(minutes):
    now = [0.0]
    timer = SaveTimer(minutes, clock=lambda: now[0])
    now[0] = 1e12
    assert not timer.is_over()
