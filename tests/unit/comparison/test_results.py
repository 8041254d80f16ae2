"""Results of a comparison: statistics over seeds and on the way, and how the table shows them."""

import math
import statistics

from genzoo.comparison import (
    ResultRow,
    Results,
    StoredScore,
    Summary,
    report,
    results,
)


def test_statistics_are_over_seeds_at_the_last_step_and_best_is_over_the_way():
    def course(*values):
        return [
            StoredScore(metric="m", value=value, step=step, protocol={"seed": 1}, better="lower")
            for step, value in enumerate(values, start=1)
        ]

    (score,) = results.row_scores([course(3.0, 1.0, 2.0), course(5.0, 4.0, 6.0)])
    assert score.final == Summary(mean=4.0, std=statistics.stdev([2.0, 6.0]), min=2.0, max=6.0)
    assert score.best.mean == 2.5
    assert score.values == (2.0, 6.0)


def test_scores_of_another_protocol_are_kept_apart_and_not_ranked():
    def score(value, rows):
        return StoredScore(metric="m", value=value, step=1, protocol={"rows": rows, "seed": 0}, better="lower")

    of_rows = [results.row_scores([[score(value, rows)]]) for value, rows in ((3.0, 10), (1.0, 20), (2.0, 10))]
    cost = {"parameters": 1, "macs_per_update": 1, "steps": 1, "images_seen": 1, "seconds": 1.0}
    rows = tuple(
        ResultRow(label=name, model="m", seeds=(0,), scores=scores, failed=(), settings={}, **cost)
        for name, scores in zip("abc", of_rows, strict=True)
    )
    known = {
        "recipe": "r",
        "data": "d",
        "baselines": (),
        "cells": (),
        "environment": {},
        "command": "",
        "vectors": True,
    }
    (entries,) = report.ScoreTable(Results(rows=rows, **known)).rows
    assert [entry.text for entry in entries] == ["3", "1 †", "2"]
    assert [entry.best for entry in entries] == [False, False, True]


def test_the_summary_of_nothing_is_nothing():
    assert results.summary([]) is None
    assert results.summary([2.0]) == Summary(mean=2.0, std=0.0, min=2.0, max=2.0)
    assert math.isclose(results.summary([1.0, 3.0]).std, 2**0.5)
