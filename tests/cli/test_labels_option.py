"""`--labels`: how many labels a training and a comparison use, and models of few labels side by side."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("trained_here")
TINY = ("--recipe", "digits", "--steps", 3, "--set", "training.batch_size=12")


def training(run):
    return json.loads((run / "run.json").read_text())["settings"]["training"]


def test_a_training_takes_a_third_of_every_batch_from_its_labels(say, tmp_path):
    assert say("train", "classifier", *TINY, "--labels", 20, "--run", tmp_path / "a").code == 0
    assert (training(tmp_path / "a")["labels"], training(tmp_path / "a")["labelled_rows"]) == (20, 4)
    more = ("--labels", 20, "--set", "training.labelled_rows=2")
    assert say("train", "classifier", *TINY, *more, "--run", tmp_path / "b").code == 0
    assert training(tmp_path / "b")["labelled_rows"] == 2
    assert say("train", "classifier", *TINY, "--run", tmp_path / "c").code == 0
    assert (training(tmp_path / "c")["labels"], training(tmp_path / "c")["labelled_rows"]) == (None, 0)


def test_without_a_batch_size_the_recipe_s_counts(say, tmp_path):
    said = say("train", "classifier", "--recipe", "digits", "--steps", 1, "--labels", 50, "--run", tmp_path / "a")
    assert said.code == 0
    assert training(tmp_path / "a")["labelled_rows"] == 33  # of 100


def test_models_of_few_labels_are_compared_by_one_command(say, tmp_path):
    models = ("semi-ali", "feature-matching", "classifier")
    said = say(
        "compare", *models, *TINY, "--labels", 20, "--seeds", 2, "--jobs", 1, "--report", tmp_path / "r", "--json"
    )
    rows = {row["label"]: row for row in said.document["rows"]}
    assert tuple(rows) == models
    for row in rows.values():
        assert row["failed"] == []
        (error,) = (score for score in row["scores"] if score["metric"] == "classification")
        assert error["n"] == 2
        assert error["protocol"]["labels"] == 20
        assert row["settings"]["training"]["labelled_rows"] == 4
    page = (tmp_path / "r" / "report.html").read_text()
    assert page.count("Confusions of classes of") == 3
    assert {gap["subtrahend"] for gap in said.document["differences"] if gap["metric"] == "classification"} == {
        "feature-matching",
        "classifier",
    }


@pytest.mark.parametrize(("labels", "says"), [(0, "labels"), (15, "equally many of each of 10 classes")])
def test_a_number_of_labels_that_cannot_be_had_is_refused(say, labels, says):
    said = say("train", "classifier", *TINY, "--labels", labels)
    assert said.code == 2
    assert says in said.err
