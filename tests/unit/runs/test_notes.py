"""Notes on a training: how long it takes, from its first steps, and whether its data are few."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from toy_components import OnePlayer, ToyImages, ToyMixture, WithEncoder

from genzoo.runs.notes import FirstSteps, note_of_few_rows
from genzoo.text import duration


def notes(seconds_of_step, *, steps, start=0, on_cpu=False):
    """Return every note by its step, and the steps after which the device was waited for."""
    first_steps = FirstSteps(step=start, steps=steps, on_cpu=on_cpu)
    clock, said, waited = [0.0], {}, []
    for step in range(start + 1, steps + 1):
        clock[0] += seconds_of_step(step)
        text = first_steps.look(step, lambda: clock[0], lambda step=step: waited.append(step))
        if text is not None:
            said[step] = text
    return said, waited


def test_the_time_left_is_told_once_from_steps_after_the_warm_up():
    # the five steps that warm up would say 50 h; the twenty after them take 0.1 s each
    said, waited = notes(lambda step: 100.0 if step <= 5 else 0.1, steps=2025)
    assert said == {25: "the other 2,000 steps take about 3 min on this machine"}
    assert waited == [5, 25]


def test_quick_steps_are_timed_for_a_second_and_slow_ones_for_ten():
    assert list(notes(lambda step: 0.0078125, steps=5000)[0]) == [5 + 128]
    assert notes(lambda step: 4.0, steps=1008)[0] == {8: "the other 1,000 steps take about 67 min on this machine"}


def test_more_than_an_hour_on_a_cpu_is_warned_of_with_what_to_do():
    (text,) = notes(lambda step: 4.0, steps=1008, on_cpu=True)[0].values()
    assert text.startswith("warning: the other 1,000 steps take about 67 min on this machine; without a GPU, try fewer")
    assert "--steps N" in text
    assert notes(lambda step: 3.5, steps=1008, on_cpu=True)[0] == {
        8: "the other 1,000 steps take about 58 min on this machine"
    }


def test_a_resumed_session_is_timed_from_where_it_goes_on():
    said, waited = notes(lambda step: 1.0, steps=3000, start=1000)
    assert said == {1015: "the other 1,985 steps take about 33 min on this machine"}
    assert waited == [1005, 1015]


@pytest.mark.parametrize("steps", [1, 5, 24, 25])
def test_nothing_is_told_when_nothing_is_left(steps):
    assert notes(lambda step: 0.1, steps=steps)[0] == {}


def test_neither_clock_nor_device_is_asked_while_steps_warm_up():
    first_steps = FirstSteps(step=0, steps=100)
    asked = []

    def ask():
        asked.append(1)

    assert [first_steps.look(step, ask, ask) for step in range(1, 5)] == [None] * 4
    assert asked == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1, "1 s"),
        (18.4, "18 s"),
        (89, "89 s"),
        (95, "2 min"),
        (7000, "117 min"),
        (3600 * 12.34, "12.3 h"),
        (86_400 * 4.06, "4.1 days"),
    ],
)
def test_a_duration_is_rough_and_in_a_unit_that_fits(seconds, text):
    assert duration(seconds) == text


# Few data


@dataclass(frozen=True, kw_only=True)
class Augmenting(WithEncoder):
    """A game that can show the critic augmented images."""

    name: ClassVar[str] = "augmenting"
    augment: str | None = None


def test_few_rows_are_told_with_how_often_each_is_seen_and_what_the_game_offers():
    images, vectors = ToyImages().spec, ToyMixture().spec
    warned = "only 312 training images, each seen about 10 times: the model may learn them by heart"
    assert note_of_few_rows(312, images, OnePlayer(), shown=3120) == warned
    advised = f"{warned}; consider: --set game.augment=diffaugment"
    assert note_of_few_rows(312, images, Augmenting(), shown=3120) == advised
    assert note_of_few_rows(312, images, Augmenting(augment="diffaugment"), shown=3120) == warned
    assert note_of_few_rows(312, vectors, Augmenting(), shown=3120) == warned.replace("images", "rows")


@pytest.mark.parametrize(
    ("rows", "times", "are_few"),
    [(999, 1, True), (1000, 499, False), (1000, 500, True), (9999, 500, True), (10_000, 9999, False)],
)
def test_a_long_training_needs_more_rows(rows, times, are_few):
    note = note_of_few_rows(rows, ToyImages().spec, OnePlayer(), shown=rows * times)
    assert (note is not None) == are_few
