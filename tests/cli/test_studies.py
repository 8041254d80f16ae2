"""Studies: the paper's toy study in small, resumed, and set beside the published numbers."""

import json

import pytest
import torch
from PIL import Image

from genzoo import Run
from genzoo.comparison import Lab, cells
from genzoo.comparison.worker import Outcome
from genzoo.components import to_json
from genzoo.errors import BusyError, GenzooError, ResourceError, UnreadableError
from genzoo.host.discovery import registry
from genzoo.runs import TrainingRequest, opening
from genzoo.runs.job import resolve_job
from genzoo.training.settings import differences
from genzoo_studies import coverage, figure8, stabilisers

pytestmark = pytest.mark.usefixtures("trained_here", "undrawn")
TINY = ("--set", "study.runs=2", "--set", "study.steps=6")


@pytest.fixture(autouse=True)
def few_metrics(monkeypatch):
    """Measure only what the studies of the toy task report: all metrics take longer than so short a training."""
    everything = opening.applicable_metrics

    def reported(model):
        return [metric for metric in everything(model) if metric.name in ("modes", "reconstruction")]

    monkeypatch.setattr(opening, "applicable_metrics", reported)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


def test_studies_are_listed_with_what_was_published_and_what_they_cost(say):
    said = say("reproduce")
    assert said.code == 0
    assert "13.4 ± 5.8" in said.out
    found = {one["name"]: one for one in say("reproduce", "--json").document["studies"]}
    of_images = {"ali/svhn-semi": "svhn", "ali/svhn-svm": "svhn", "ali/cifar10-semi": "cifar10"}
    here = {"ali/mode-coverage", "ali/figure8", "ali/digits-semi", "ali/digits-svm", "stabilisers"}
    assert set(found) == here | set(of_images)
    assert all(one["cost"] and one["published"] for one in found.values())
    assert all(found[name]["missing_data"] == [] for name in here)
    assert all(found[name]["missing_data"] == [data] for name, data in of_images.items())


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


def test_the_papers_budget_is_trained_as_populations_and_drawn_and_measured_once(say, tmp_path):
    chosen = (*TINY, "--budget", "paper", "--together", "--jobs", 2, "--report", tmp_path)
    document = say("reproduce", "ali/mode-coverage", *chosen, "--json").document
    assert (document["budget"], document["steps"], len(document["runs"])) == ("paper", 6, 4)
    for row in document["runs"]:
        run = Run(tmp_path / "ali/mode-coverage/cells" / row["run"])
        assert [entry["step"] for entry in run.read_log()] == [6]
        assert [path.name for path in (run.path / "samples").iterdir()] == ["0000006.png"]
        assert [path.name for path in run.checkpoints.iterdir()] == ["step-0000006"]
        assert {score["step"] for score in run.scores} == {6}
        assert run.record.settings["training"]["checkpoint_minutes"] == 10
        assert 1e-5 <= row["training.learning_rate"] <= 1e-3
    assert "in place of 200,000" not in (tmp_path / "ali/mode-coverage/table.md").read_text()


def test_what_a_study_draws_and_saves_is_no_part_of_its_trainings_identity():
    def identity_with(**overrides):
        return cells.identity(
            resolve_job(registry(), TrainingRequest(model="ali", recipe=coverage.RECIPE, overrides=overrides)), None
        )

    plain = identity_with()
    assert (
        plain
        == identity_with(**coverage.intervals("paper", 200_000))
        == identity_with(**coverage.intervals("quick", 3000))
    )
    assert plain != identity_with(**{"training.learning_rate": 1e-5})


def test_figure_8_takes_the_best_of_the_coverage_study_and_draws_twenty_panels(say, place, monkeypatch):
    monkeypatch.setattr(figure8, "_POINTS", 500)
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


def test_the_study_of_stabilisers_trains_the_base_beside_the_parts_that_are_asked_for(say, place):
    tiny = (
        "--set",
        "study.tasks=toy",
        "--set",
        "study.models=ali",
        "--set",
        "study.parts=all",
        "--set",
        "study.steps=2",
    )
    document = say("reproduce", "stabilisers", *tiny, "--set", "study.seeds=7", "--report", place, "--json").document
    assert [(row["model"], row["part"], row["diverged"]) for row in document["rows"]] == [
        ("ali", "base", 0),
        ("ali", "all", 0),
    ]
    for row in document["rows"]:
        (name,) = row["runs"]
        run = Run(place / "stabilisers/cells" / name)
        assert (run.record.seed, run.step) == (7, 2)
        scores = {score["metric"]: score["value"] for score in run.final_scores}
        assert row["values"] == {name: [scores[name]] for name in stabilisers.SCORES["toy"]}
        assert row["milliseconds"] > 0
    assert document["rows"][0]["time_ratio"] == 1
    table = (place / "stabilisers/table.md").read_text()
    assert "ali on mixture25, 2 steps of 200" in table
    assert "over n = 1 seeds (7)" in table
    assert "spectral normalisation" in table


def settings_of(task, part, model="ali"):
    request = stabilisers.Stabilisers()._request(task, model, part, seed=20)
    return resolve_job(registry(), request).settings


def changed_by(part, task):
    """Return the settings that a part changes in the base, as paths of two names."""
    lines = differences(to_json(settings_of(task, "base")), to_json(settings_of(task, part)))
    return {".".join(line.partition(":")[0].split(".")[:2]) for line in lines}


@pytest.mark.parametrize(
    ("task", "part", "expected"),
    [
        ("toy", "averaging", {"training.averaging"}),
        ("toy", "relativistic", {"game.objective"}),
        ("toy", "penalty", {"game.penalty", "training.beta1", "training.beta2"}),
        ("toy", "betas", {"training.beta1", "training.beta2"}),
        ("toy", "falling learning rate", {"training.learning_rate_schedule"}),
        ("digits", "translation", {"game.augment"}),
        ("digits", "relativistic + penalty + diffaugment", {"game.objective", "game.penalty", "game.augment"}),
    ],
)
def test_a_part_is_added_to_the_base_alone(task, part, expected):
    assert changed_by(part, task) == expected


@pytest.mark.parametrize("task", ["toy", "digits"])
def test_the_base_has_no_part(task):
    settings = settings_of(task, "base")
    assert settings.game.objective.name == "non-saturating"
    assert (settings.game.penalty, settings.game.augment, settings.training.decay) == (None, None, None)
    assert settings.training.learning_rate_schedule.name == "constant"


@pytest.mark.parametrize(
    ("task", "part", "lengths"),
    [
        ("toy", "all", {"training.steps"}),
        ("digits", "relativistic + falling penalty + averaging", {"training.steps", "training.batch_size"}),
    ],
)
def test_the_last_row_is_the_recipe_but_for_its_length(task, part, lengths):
    recipe = resolve_job(registry(), TrainingRequest(model="ali", recipe=stabilisers.RECIPES[task])).settings
    lines = differences(to_json(recipe), to_json(settings_of(task, part)))
    assert {line.partition(":")[0] for line in lines} == lengths | {"training.evaluate_every"}


def test_every_row_of_the_study_is_described_by_its_part():
    parts = {part for of_task in stabilisers.ROWS.values() for of_model in of_task.values() for part in of_model}
    assert parts == set(stabilisers.PARTS)
    assert all(of_model[0] == "base" for of_task in stabilisers.ROWS.values() for of_model in of_task.values())


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("study.seeds=",), "seeds is empty"),
        (("study.tasks=toy", "study.models=alice"), "leave nothing to train"),
        (("study.parts=averages",), "parts has 'averages', expected some of: base, averaging"),
    ],
)
def test_a_study_of_nothing_is_refused(say, overrides, reason):
    said = say("reproduce", "stabilisers", *(word for text in overrides for word in ("--set", text)))
    assert said.code == 2
    assert reason in said.err


class Clocked:
    """Takes steps of so many seconds by a clock of the test, and longer ones first, as a cold start does."""

    def __init__(self, clock, seconds):
        self.clock = clock
        self.seconds = seconds
        self.steps = 0

    def take_step(self):
        self.clock[0] += 10 * self.seconds if self.steps < 20 else self.seconds
        self.steps += 1


def test_the_time_of_a_step_is_that_of_blocks_in_turns_without_the_first(monkeypatch):
    clock, threads = [0.0], torch.get_num_threads()
    trainers = {"gan": Clocked(clock, 0.002), "ali": Clocked(clock, 0.005)}
    monkeypatch.setattr(stabilisers, "new_trainer", lambda request: trainers[request.model])
    monkeypatch.setattr(stabilisers.time, "process_time", lambda: clock[0])
    timed = stabilisers._milliseconds({name: TrainingRequest(model=name) for name in trainers})
    assert timed["gan"] == pytest.approx([2.0] * 7)
    assert timed["ali"] == pytest.approx([5.0] * 7)
    row = stabilisers._row(("toy", "ali", "penalty"), [None, None], timed["ali"], timed["gan"])
    assert (row["milliseconds"], row["time_ratio"]) == (pytest.approx(5), pytest.approx(2.5))
    assert torch.get_num_threads() == threads


class Measured:
    """A run with final scores alone."""

    name = "a run"

    def __init__(self, value):
        self.final_scores = [{"metric": "coverage", "value": value}]


def test_a_row_is_the_mean_over_the_trainings_that_did_not_diverge():
    runs = [Measured(0.25), None, Measured(0.75), Measured(None)]
    row = stabilisers._row(("digits", "gan", "averaging"), runs, [3.0], [2.0])
    assert row["diverged"] == 1
    assert row["values"]["coverage"] == [0.25, 0.75]
    assert row["scores"]["coverage"] == {"mean": 0.5, "std": pytest.approx(0.125**0.5), "min": 0.25, "max": 0.75}
    assert row["scores"]["reconstruction/ratio"] is None
    assert "| averaging | 0.5 ± 0.35 | 1 | 1.50 |" in stabilisers._table([row])
