"""The best step of a run: chosen by the first headline on the validation split, and shown by its test score."""

from pathlib import Path

import pytest
from toy import record
from toy_components import RECIPE, WithEncoder, toy_registry

from genzoo.comparison import results
from genzoo.comparison.cells import Cell
from genzoo.comparison.worker import Outcome
from genzoo.evaluation.scoring import selection_seed
from genzoo.runs.job import resolve_job
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run


def score(step, value, *, seed, metric="quality", better="higher", headline=True):
    protocol = {"seed": seed, "split": "test" if seed == 3 else "validation"}
    return {
        "step": step,
        "metric": metric,
        "value": value,
        "protocol": protocol,
        "better": better,
        "headline": headline,
    }


def cell_result(tmp_path, scores):
    run = Run(tmp_path)
    run.write_record(record())
    run.write_scores(scores)
    job = resolve_job(toy_registry(), TrainingRequest(model=WithEncoder(), recipe=RECIPE, seed=3))
    return results.cell_result(Cell(label="a", job=job, run=run, request=None), Outcome(), tmp_path)


def course(values, **chosen):
    return [score(step, value, **chosen) for step, value in enumerate(values, start=1)]


@pytest.mark.parametrize(("better", "step"), [("higher", 2), ("lower", 3)])
def test_the_best_step_is_that_of_the_validation_split_and_not_of_the_test(tmp_path, better, step):
    test = course([0.9, 0.5, 0.6], seed=3, better=better)
    result = cell_result(tmp_path, test + course([0.5, 0.8, 0.2], seed=selection_seed(3), better=better))
    assert (result.best_step, result.best_by) == (step, "quality")
    assert [stored.value for stored in result.scores] == [0.9, 0.5, 0.6]
    (row,) = results.row_scores([result])
    assert row.best.mean == [0.9, 0.5, 0.6][step - 1]
    assert row.final.mean == 0.6


def test_only_the_first_headline_chooses_and_the_first_of_equal_steps_is_best(tmp_path):
    chosen = {"seed": selection_seed(3)}
    scores = course([9.0, 0.0], headline=False, metric="other", **chosen) + course([0.4, None, 0.4], **chosen)
    result = cell_result(tmp_path, scores + course([0.0, 0.0, 9.0], metric="second", **chosen))
    assert (result.best_step, result.best_by) == (1, "quality")


@pytest.mark.parametrize(
    "scores",
    [
        course([0.1, 0.2], seed=3),
        course([0.1, 0.2], seed=selection_seed(3), headline=False),
        course([None], seed=selection_seed(3)),
        course([0.1], seed=selection_seed(3), better=None),
    ],
    ids=["no validation", "no headline", "not finite", "neither is better"],
)
def test_a_run_without_such_scores_has_no_best_step(tmp_path, scores):
    result = cell_result(tmp_path, scores)
    assert (result.best_step, result.best_by) == (None, None)


def test_the_seed_of_the_choice_is_never_the_runs(tmp_path: Path):
    assert selection_seed(3) != 3


def test_the_losses_of_a_log_are_thinned_and_those_that_are_not_finite_left_out(tmp_path):
    run = Run(tmp_path)
    for step in range(1, 451):
        run.log({"step": step, "seconds": 1.0, "losses": {"critic": "nan" if step == 1 else step / 2}})
    found = cell_result(tmp_path, []).losses["critic"]
    assert found == tuple((step, step / 2) for step in range(4, 451, 3))  # every third of 450; the first has no loss


def test_a_training_that_left_a_folder_and_no_run_has_a_result_without_scores(tmp_path):
    job = resolve_job(toy_registry(), TrainingRequest(model=WithEncoder(), recipe=RECIPE))
    failed = Outcome(code=6, found="no room")
    found = results.cell_result(Cell(label="a", job=job, run=Run(tmp_path), request=None), failed, tmp_path)
    assert (found.failure, found.scores, found.created) == ("exit 6: no room", (), "")
