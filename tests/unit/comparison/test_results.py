"""Results of a comparison: statistics over seeds and on the way, and how the table shows them."""

import math
import statistics
from dataclasses import replace

import pytest

from genzoo.comparison import (
    Baseline,
    BaselineScore,
    CellResult,
    ComparedSettings,
    Difference,
    ResultRow,
    Results,
    StoredScore,
    Summary,
    drawings,
    report,
    results,
)


def cell(*values, seed=0, label="a", best_step=None, failure="", rows=10):
    """Return a training whose score `m` had these values after 1, 2 and more steps."""
    protocol = {"seed": seed, "rows": rows}
    scores = tuple(
        StoredScore(metric="m", value=value, step=step, protocol=protocol, better="lower")
        for step, value in enumerate(values, start=1)
    )
    return CellResult(
        label=label, seed=seed, run="r", step=3, seconds=1.0, failure=failure, scores=scores, best_step=best_step
    )


def test_statistics_are_over_seeds_at_the_last_step_and_at_each_seeds_best_step():
    (score,) = results.row_scores([cell(3.0, 1.0, 2.0, best_step=1), cell(5.0, 4.0, 6.0, seed=1, best_step=2)])
    assert score.final == Summary(mean=4.0, std=statistics.stdev([2.0, 6.0]), min=2.0, max=6.0)
    assert score.best == Summary(mean=3.5, std=statistics.stdev([3.0, 4.0]), min=3.0, max=4.0)
    assert score.values == (2.0, 6.0)


def test_there_is_no_best_score_unless_every_seed_has_a_best_step():
    (score,) = results.row_scores([cell(3.0, 1.0, best_step=1), cell(5.0, 4.0, seed=1)])
    assert score.best is None


def test_differences_are_paired_by_seed_with_students_interval():
    ends = {"a": [1.0, 2.0, 6.0], "b": [0.5, 3.0, 1.0]}
    cells = [cell(9.0, value, seed=seed, label=label) for label in ends for seed, value in enumerate(ends[label])]
    (difference,) = results.differences_of(cells)
    # 0.5, −1 and 5: mean 1.5, variance (1 + 6.25 + 12.25)/2; t with two degrees of freedom is 4.302653 at 97.5 %
    half = 4.302653 * (9.75 / 3) ** 0.5
    assert (difference.metric, difference.n, difference.mean) == ("m", 3, 1.5)
    assert (difference.low, difference.high) == (pytest.approx(1.5 - half), pytest.approx(1.5 + half))
    assert difference.protocol == {"rows": 10}
    assert (difference.minuend, difference.subtrahend) == ("a", "b")


def test_three_contestants_have_the_differences_of_the_first_to_the_others():
    ends = {"a": [1.0, 2.0], "b": [0.5, 3.0], "c": [5.0, 5.0]}
    cells = [cell(value, seed=seed, label=label) for label, values in ends.items() for seed, value in enumerate(values)]
    found = {(each.minuend, each.subtrahend): each.mean for each in results.differences_of(cells)}
    assert found == {("a", "b"): -0.25, ("a", "c"): -3.5}
    (entries,) = report.ScoreTable(ranked(cells)).rows
    assert [entry.text for entry in entries[3:]] == ["-0.25", "-3.5"]


def ranked(cells, *, baselines=()):
    """Return results of these cells."""
    by_label = {}
    for each in cells:
        by_label.setdefault(each.label, []).append(each)
    table = table_of({label: results.row_scores(own) for label, own in by_label.items()}, cells=tuple(cells))
    rows = tuple(replace(row, seeds=tuple(each.seed for each in by_label[row.label])) for row in table.rows)
    differences = results.differences_of(cells)
    return replace(table, rows=rows, differences=differences, baselines=tuple(baselines))


def baseline(label, value):
    final = Summary(mean=value, std=0.0, min=value, max=value)
    score = BaselineScore(metric="m", value=value, protocol={"rows": 10}, better="lower", final=final)
    return Baseline(label=label, scores=(score,))


def course_of(**values):
    return [cell(value, seed=seed, label=label) for label, ends in values.items() for seed, value in enumerate(ends)]


def best_of(table):
    (entries,) = report.ScoreTable(table).rows
    return [column.label for column, entry in zip(report.ScoreTable(table).columns, entries, strict=True) if entry.best]


def test_the_best_is_marked_where_its_differences_to_all_others_are_beyond_chance():
    # a − b is −1, −1.1 and −0.9, and t is 4.3 at two degrees of freedom, so that its interval is −1 ± 0.25
    clear = course_of(a=[1.0, 2.0, 3.0], b=[2.0, 3.1, 3.9])
    assert best_of(ranked(clear)) == ["a"]
    assert best_of(ranked(clear + course_of(c=[1.1, 1.9, 3.2]))) == []  # which is as good as a
    assert best_of(ranked(course_of(a=[1.0, 2.0, 3.0], b=[2.0, 1.9, 3.2]))) == []


def test_a_notebook_shows_the_main_scores_with_the_best_in_bold_and_nothing_unescaped():
    clear = course_of(**{"<i>a": [1.0, 2.0, 3.0], "b": [2.0, 3.1, 3.9]})
    shown = report.ScoreTable(ranked(clear)).html()
    assert "<td>&lt;i&gt;a</td><td><b>2 ± 1</b></td>" in shown
    assert shown.count("<b>") == 1
    assert shown.count("<tr>") == 1 + 2 + 1  # names, two contestants and their difference


def test_the_best_is_not_marked_for_one_seed_or_seeds_that_do_not_pair():
    assert best_of(ranked(course_of(a=[1.0], b=[9.0]))) == []
    unpaired = [cell(1.0, seed=0, label="a"), cell(1.0, seed=1, label="a"), cell(9.0, seed=2, label="b")]
    assert best_of(ranked(unpaired)) == []
    assert "no score is marked as the best" in " ".join(report.ScoreTable(ranked(course_of(a=[1.0], b=[9.0]))).notes)


def test_what_noise_or_untrained_networks_reach_is_not_ranked():
    clear = course_of(a=[1.0, 2.0, 3.0], b=[2.0, 3.1, 3.9])
    held_out = baseline(results.HELD_OUT, 0.0)
    assert best_of(ranked(clear, baselines=[held_out, baseline("noise", 2.1)])) == ["a"]
    won = ranked(clear, baselines=[held_out, baseline("noise", 2.1), baseline("a, untrained", 2.0)])
    assert best_of(won) == []
    assert report.ScoreTable(won).reasons == [
        "no contestant is better than 'a, untrained' by m: nothing is marked there"
    ]


def test_one_pair_has_a_difference_and_no_interval():
    (difference,) = results.differences_of([cell(3.0), cell(1.0, label="b"), cell(8.0, seed=1, label="b")])
    assert (difference.n, difference.mean, difference.low, difference.high) == (1, 2.0, None, None)


@pytest.mark.parametrize(
    "ends",
    [
        {"a": [20.0, 21.0, 22.0], "b": [25.0, 26.0, 27.0]},  # counts
        {"a": [0.1, 0.2, 0.3], "b": [0.2, 0.3, 0.4]},  # the differences of which are equal up to rounding
    ],
)
def test_differences_that_are_all_alike_have_no_interval_and_mark_nothing(ends):
    table = ranked(course_of(**ends))
    (difference,) = table.differences
    assert (difference.n, difference.low, difference.high) == (3, None, None)
    assert difference.mean == pytest.approx(ends["a"][0] - ends["b"][0])
    assert best_of(table) == []
    shown = report.ScoreTable(table)
    assert shown.rows[0][2].detail == "n = 3"
    assert "Differences that are the same for all seeds have no spread, so no interval" in shown.notes[-1]
    ends["b"][0] += 0.01 * ends["b"][0]  # now they have some
    assert best_of(ranked(course_of(**ends))) == ["a"]


def test_what_cannot_be_paired_has_no_difference():
    assert results.differences_of([cell(3.0), cell(1.0, seed=1)]) == ()
    assert results.differences_of([cell(3.0), cell(1.0, label="b", seed=1)]) == ()
    assert results.differences_of([cell(3.0), cell(1.0, label="b", rows=20)]) == ()
    assert results.differences_of([cell(3.0), cell(1.0, label="b", failure="exit 5: diverged")]) == ()
    assert results.differences_of([cell(3.0), cell(None, label="b")]) == ()


def test_scores_of_another_protocol_are_kept_apart_and_not_ranked():
    cells = [
        cell(value, label=label, seed=seed, rows=rows)
        for label, values, rows in (("a", (3.0, 3.1), 10), ("b", (1.0, 1.0), 20), ("c", (2.0, 2.0), 10))
        for seed, value in enumerate(values)
    ]
    assert best_of(ranked(cells)) == ["c"]
    of_rows = [results.row_scores([cell(value, rows=rows)]) for value, rows in ((3.0, 10), (1.0, 20), (2.0, 10))]
    (entries,) = report.ScoreTable(table_of(dict(zip("abc", of_rows, strict=True)))).rows
    assert [entry.text for entry in entries] == ["3", "1 †", "2"]


def table_of(scores_by_label, **changes):
    """Return results with these row scores by label."""
    cost = {"parameters": 1, "macs_per_update": 1, "steps": 1, "images_seen": 1, "seconds": 1.0}
    rows = tuple(
        ResultRow(label=label, model="m", seeds=(0,), scores=scores, failed=(), settings={}, **cost)
        for label, scores in scores_by_label.items()
    )
    rest = {"recipe": "r", "data": "d", "baselines": (), "cells": (), "environment": {}, "command": "", "vectors": True}
    return Results(rows=rows, **rest | changes)


def test_the_table_shows_headlines_first_final_and_best_scores_and_the_difference():
    cells = (
        replace(cell(3.0, 1.0, 2.0, best_step=2), best_by="m"),
        replace(cell(5.0, 4.0, label="b", best_step=1), best_by="m"),
    )
    by_label = {each.label: results.row_scores([each]) for each in cells}
    headline = replace(by_label["a"][0], metric="h", headline=True, best=None)
    by_label["a"] = (*by_label["a"], headline)
    difference = Difference(
        minuend="a", subtrahend="b", metric="m", protocol={"rows": 10}, n=4, mean=-2.0, low=-3.5, high=-0.5
    )
    table = report.ScoreTable(table_of(by_label, cells=cells, differences=(difference,)))
    assert [column.label for column in table.columns] == ["a", "b", "a − b"]
    assert [metric.name for metric in table.metrics] == ["h", "m"]
    assert [(entry.text, entry.detail, entry.best) for entry in table.rows[1]] == [
        ("2", "best 1", False),
        ("4", "best 5", False),
        ("-2", "-3.5 to -0.5, n = 4", False),
    ]
    assert [entry.text for entry in table.rows[0]] == ["2", "–", "–"]
    assert "Best: the test score at the step that was best by m on the validation split." in table.markdown()


def test_a_score_of_fewer_seeds_than_were_trained_says_of_how_many():
    (score,) = results.row_scores([cell(3.0), cell(5.0, seed=1)])
    row = replace(table_of({"a": (score,)}).rows[0], seeds=(0, 1, 2))
    (entries,) = report.ScoreTable(replace(table_of({}), rows=(row,))).rows
    assert entries[0].detail == "3 to 5, n = 2"


def test_the_heading_claims_nothing_of_one_contestant_or_of_results_that_do_not_say_it():
    settings = ComparedSettings(same=("data", "steps"))
    (score,) = results.row_scores([cell(3.0)])
    two, one = table_of({"a": (score,), "b": (score,)}, settings=settings), table_of({"a": (score,)}, settings=settings)
    assert report.ScoreTable(two).notes[0] == "Compared on d: the same data and steps."
    assert report.ScoreTable(one).notes[0] == "Compared on d."
    assert report.ScoreTable(replace(two, settings=None)).notes[0] == "Compared on d."


def test_the_summary_of_nothing_is_nothing():
    assert results.summary([]) is None
    assert results.summary([2.0]) == Summary(mean=2.0, std=0.0, min=2.0, max=2.0)
    assert math.isclose(results.summary([1.0, 3.0]).std, 2**0.5)


# What the page draws of the training


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 2.0, 29.0], "linear"),
        ([1.0, 1.0, 31.0], "log"),
        ([-1.0, 1.0, 31.0], "symlog"),
        ([0.0, 0.0, 0.0, 5.0], "linear"),  # that it is 0 somewhere makes no other scale
        ([-3.0, 0.0, 3.0], "linear"),
        ([], "linear"),
    ],
)
def test_an_axis_is_logarithmic_where_sizes_differ_more_than_30_times(values, scale):
    assert drawings.scale_of(values)["value"] == scale


def test_losses_are_drawn_per_player_and_scores_where_they_were_measured_twice():
    losses = {"critic": ((1, 0.5), (2, 0.25)), "generator": ((1, 0.5),)}
    table = ranked([replace(cell(3.0, 2.0, seed=seed), losses=losses) for seed in range(2)])
    assert [drawing.title for drawing in report.losses_of(table)] == ["loss of the critic"]
    assert [drawing.title for drawing in report.curves_of(table)] == ["m"]
    assert report.curves_of(ranked([cell(3.0)])) == []


def test_a_contestant_that_was_measured_once_is_a_point_beside_the_curves_of_others():
    colour = "#ff7f0e"  # the second of matplotlib's
    for values, is_drawn in (((2.0,), True), ((), False)):
        (curve,) = report.curves_of(ranked([cell(3.0, 2.0), cell(*values, label="b")]))
        assert (colour in curve.drawing) is is_drawn


def test_headlines_stand_together_and_other_scores_by_metric():
    score = results.row_scores([cell(3.0)])[0]
    names = {"m": True, "m/more": False, "n/share": True, "n": False, "n/other": False}
    scores = tuple(replace(score, metric=name, headline=headline) for name, headline in names.items())
    table = report.ScoreTable(table_of({"a": scores}))
    shown = [[table.metrics[number].name for number in group.numbers] for group in table.groups]
    assert shown == [["m", "n/share"], ["m/more"], ["n", "n/other"]]
    assert [group.title for group in table.groups] == ["", "m", "n"]
