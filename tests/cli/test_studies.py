"""Studies: the paper's toy study in small, resumed, and set beside the published numbers."""

import json

import pytest
from PIL import Image

from genzoo.comparison import Lab
from genzoo.comparison.worker import Outcome
from genzoo.errors import BusyError, GenzooError, ResourceError, UnreadableError
from genzoo.runs import TrainingRequest
from genzoo_studies import coverage

TINY = ("--set", "study.runs=2", "--set", "study.steps=6")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


def test_studies_are_listed_with_what_was_published_and_what_they_cost(say):
    said = say("reproduce")
    assert said.code == 0
    assert "13.4 ± 5.8" in said.out
    found = {one["name"]: one for one in say("reproduce", "--json").document["studies"]}
    assert set(found) == {"ali/mode-coverage", "ali/figure8"}
    assert all(one["cost"] and one["published"] and one["missing_data"] == [] for one in found.values())


def test_an_unknown_study_is_refused_with_the_nearest(say):
    said = say("reproduce", "ali/mode-coverag")
    assert said.code == 2
    assert "did you mean 'ali/mode-coverage'?" in said.err


def test_mode_coverage_trains_both_models_on_the_same_draws_and_prints_its_table_beside_the_papers(say, place):
    document = say("reproduce", "ali/mode-coverage", *TINY, "--report", place, "--json").document
    assert [(row["model"], row["seed"]) for row in document["runs"]] == [("ali", 0), ("gan", 0), ("ali", 1), ("gan", 1)]
    for ali, gan in zip(document["runs"][::2], document["runs"][1::2], strict=True):
        for name in ("training.learning_rate", "training.beta1", "architecture.init_std"):
            assert ali[name] == gan[name]
        record = json.loads((place / "ali/mode-coverage/cells" / ali["run"] / "run.json").read_text())
        assert record["settings"]["training"]["learning_rate"] == ali["training.learning_rate"]
        assert record["settings"]["architecture"]["init_std"] == ali["architecture.init_std"]
    counts = [row["modes"] for row in document["runs"] if row["model"] == "ali"]
    assert document["models"]["ali"]["modes"]["mean"] == sum(counts) / 2
    table = (place / "ali/mode-coverage/table.md").read_text()
    assert "13.4 ± 5.8 (8–25)" in table
    assert "10.4 ± 9.2 (1–22)" in table
    assert "6 steps of 100 in place of 200,000" in table


def test_figure_8_takes_the_best_of_the_coverage_study_and_draws_twenty_panels(say, place):
    if not (place / "ali/mode-coverage/results.json").exists():
        assert say("reproduce", "ali/mode-coverage", *TINY, "--report", place).code == 0
    coverage_found = json.loads((place / "ali/mode-coverage/results.json").read_text())
    document = say("reproduce", "ali/figure8", "--set", "study.steps=6", "--report", place, "--json").document
    assert document["origin"] == "the best ALI and GAN of ali/mode-coverage"
    assert document["runs"]["(a) ALI"] == coverage_found["models"]["ali"]["best"]
    assert document["gan"] == coverage_found["models"]["gan"]["best"]
    with Image.open(place / "ali/figure8/figure8.png") as picture:
        assert picture.size == (1080, 1350)
    stamp = (place / "ali/figure8/cells").stat().st_mtime_ns
    again = say("reproduce", "ali/figure8", "--set", "study.steps=6", "--report", place, "--json").document
    assert again["scores"] == document["scores"]
    assert (place / "ali/figure8/cells").stat().st_mtime_ns == stamp


def test_draws_lie_in_the_stated_ranges_and_differ():
    drawn = [coverage._draw(number, 1e-5, 1e-3) for number in range(200)]
    assert all(1e-5 <= one["training.learning_rate"] <= 1e-3 for one in drawn)
    assert all(0 <= one["training.beta1"] <= 0.9 for one in drawn)
    assert all(0.005 <= one["architecture.init_std"] <= 0.1 for one in drawn)
    assert len({one["training.learning_rate"] for one in drawn}) > 150
    below = sum(one["training.learning_rate"] < 1e-4 for one in drawn)
    assert 70 <= below <= 130  # log-uniform: half of them below the geometric middle


def test_a_diverged_run_is_counted_as_such_and_covers_nothing_known():
    rows = [{"modes": 3.0, "strict": 1.0, "run": "a"}, {"modes": None, "strict": None, "run": None}]
    found = coverage._summary(rows)
    assert (found["runs"], found["diverged"], found["best"]) == (2, 1, "a")
    assert found["modes"] == {"mean": 3.0, "std": 0.0, "min": 3.0, "max": 3.0}


@pytest.mark.parametrize(
    ("code", "raised"), [(7, BusyError), (6, ResourceError), (3, UnreadableError), (1, GenzooError)]
)
def test_a_training_that_fails_otherwise_than_by_diverging_ends_the_study(tmp_path, code, raised):
    """A full disk or a run in use is no finding: it must not count as diverged in the table of a paper's study."""
    outcomes = [Outcome(code=5, found="non-finite"), Outcome(code=code, found="why", remedy="what to type")]
    lab = Lab(tmp_path, "toy", train=lambda cells, folder: outcomes, device="cpu")
    requests = [TrainingRequest(model="gan", seed=seed, steps=2) for seed in range(2)]
    with pytest.raises(raised, match="why") as caught:
        lab.train(requests)
    assert (caught.value.exit_code, caught.value.remedy) == (code, "what to type")


def test_a_training_that_diverged_is_none_among_those_that_ended_well(tmp_path):
    lab = Lab(
        tmp_path, "toy", train=lambda cells, folder: [Outcome(code=5, found="non-finite"), Outcome()], device="cpu"
    )
    diverged, run = lab.train([TrainingRequest(model="gan", seed=seed, steps=2) for seed in range(2)])
    assert diverged is None
    assert run.path.parent == tmp_path / "toy" / "cells"
