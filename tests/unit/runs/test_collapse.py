"""The collapse monitor: which series of watched values it warns of, at which entry, and how often."""

from itertools import groupby

import pytest
from collapse_warnings import KINDS, kind_of
from hypothesis import example, given
from hypothesis import strategies as st

from genzoo.runs.collapse import CollapseMonitor


def accuracies(data, samples):
    return {"data_accuracy": data, "sample_accuracy": samples}


def spread(value):
    return {"sample_spread": value}


RIGHT, WRONG, EVEN = accuracies(0.995, 0.999), accuracies(0.005, 0.001), accuracies(0.6, 0.55)
NARROW, WIDE = spread(0.01), spread(0.9)


def told(*entries):
    """Return (entry's number, kind) for every warning that these watched values bring."""
    alarms = CollapseMonitor()
    return [(number, kind_of(text)) for number, watch in enumerate(entries, 1) for text in alarms.look(watch)]


# Sequences


@pytest.mark.parametrize(("watch", "kind"), [(RIGHT, "always right"), (WRONG, "always wrong")])
def test_a_pinned_critic_is_told_at_the_third_entry_and_not_again(watch, kind):
    assert told(watch, watch) == []
    assert told(*[watch] * 40) == [(3, kind)]
    assert told(EVEN, *[watch] * 9) == [(4, kind)]


@pytest.mark.parametrize(
    ("data", "samples", "kinds"),
    [
        (0.99, 0.99, ["always right"]),
        (1.0, 1.0, ["always right"]),
        (0.01, 0.01, ["always wrong"]),
        (0.0, 0.0, ["always wrong"]),
        (0.9899, 1.0, []),
        (1.0, 0.9899, []),
        (0.0, 0.0101, []),
        (1.0, 0.5, []),
        (0.5, 0.0, []),
        (1.0, 0.0, []),
        (0.0, 1.0, []),
    ],
)
def test_a_critic_is_pinned_where_both_sides_are_within_a_hundredth(data, samples, kinds):
    assert [kind for _, kind in told(*[accuracies(data, samples)] * 5)] == kinds


def test_one_side_alone_is_no_pinned_critic():
    assert told(*[{"data_accuracy": 1.0}] * 5) == []
    assert told(*[{"sample_accuracy": 0.0}] * 5) == []


def test_two_entries_and_a_recovery_are_no_trouble():
    assert told(*[RIGHT, RIGHT, EVEN] * 10) == []
    assert told(WIDE, *[NARROW, NARROW, WIDE] * 10) == []


def test_trouble_that_passed_and_came_back_is_told_again():
    assert told(*[RIGHT] * 5, EVEN, *[RIGHT] * 5) == [(3, "always right"), (9, "always right")]
    assert told(WIDE, *[NARROW] * 4, WIDE, *[NARROW] * 4) == [(4, "nearly all alike"), (9, "nearly all alike")]


def test_a_critic_that_turns_from_right_to_wrong_is_told_twice():
    assert told(*[RIGHT] * 4, *[WRONG] * 4) == [(3, "always right"), (7, "always wrong")]


def test_samples_that_were_alike_from_the_start_are_told_after_twenty_entries():
    assert told(*[NARROW] * 22) == []
    assert told(*[NARROW] * 50) == [(23, "nearly all alike")]
    assert told(*[NARROW] * 19, WIDE, *[NARROW] * 5) == [(23, "nearly all alike")]


def test_samples_that_become_alike_are_told_at_the_third_entry():
    assert told(NARROW, WIDE, *[NARROW] * 10) == [(5, "nearly all alike")]
    assert told(WIDE, *[spread(0.0499)] * 3) == [(4, "nearly all alike")]
    assert told(WIDE, *[spread(0.05)] * 9) == []
    assert told(WIDE, *[spread(0.0)] * 3) == [(4, "nearly all alike")]


def test_two_troubles_at_once_are_both_told():
    assert told(EVEN | WIDE, *[RIGHT | NARROW] * 5) == [(4, "always right"), (4, "nearly all alike")]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_what_is_not_finite_is_neither_right_nor_wrong_nor_narrow(text):
    assert told(*[accuracies(text, text) | spread(text)] * 40) == []
    assert told(*[accuracies(1.0, text) | spread(text)] * 40) == []
    assert told(RIGHT, RIGHT, accuracies(text, 1.0), RIGHT, RIGHT) == []
    assert told(WIDE, NARROW, NARROW, spread(text), NARROW, NARROW) == []


def test_games_without_a_critic_or_a_decoder_are_told_of_what_they_have():
    assert told(*[{"reconstruction": 0.001, "kl": 0.0}] * 40) == []
    assert told(*[{}] * 40) == []
    assert told(*[{"reconstruction": 0.001} | NARROW] * 40) == [(23, "nearly all alike")]
    assert told(*[RIGHT] * 40) == [(3, "always right")]


def episodes(holds):
    """Return the number of the third entry (from 1) of every uninterrupted series of at least three that hold."""
    found, number = [], 0
    for held, series in groupby(holds):
        length = len(list(series))
        if held and length >= 3:
            found.append(number + 3)
        number += length
    return found


CRITICS = {
    "right": RIGHT,
    "wrong": WRONG,
    "even": EVEN,
    "one side": accuracies(1.0, 0.3),
    "text": accuracies("nan", 1.0),
}
SPREADS = {"narrow": NARROW, "wide": WIDE, "text": spread("nan"), "none": {}}
SERIES = st.tuples(st.sampled_from([*CRITICS]), st.sampled_from([*SPREADS]), st.integers(1, 8))


@given(st.lists(SERIES, max_size=14))
@example([("even", "narrow", 8)] * 4)
@example([("right", "wide", 3), ("right", "narrow", 3), ("even", "narrow", 1)])
def test_every_episode_of_at_least_three_entries_is_told_exactly_once(series):
    entries = [(critic, width) for critic, width, times in series for _ in range(times)]
    critics, widths = [critic for critic, _ in entries], [width for _, width in entries]
    is_odd = [width == "narrow" and ("wide" in widths[:number] or number >= 20) for number, width in enumerate(widths)]
    expected = {
        "always right": episodes([critic == "right" for critic in critics]),
        "always wrong": episodes([critic == "wrong" for critic in critics]),
        "nearly all alike": episodes(is_odd),
    }
    found = told(*[CRITICS[critic] | SPREADS[width] for critic, width in entries])
    assert {kind: [number for number, own in found if own == kind] for kind in KINDS} == expected
