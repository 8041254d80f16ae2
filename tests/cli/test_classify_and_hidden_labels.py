"""Few labels and class predictions, from the command line: what a run with hidden labels may know, and `classify`."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from toy_components import Classifier, ToyImageNetworks, ToyImages, ToyMixture, toy_registry

import genzoo
from genzoo.comparison import baselines
from genzoo.data.labels import with_few_labels
from genzoo.evaluation.metrics import evaluate_model
from genzoo.host.discovery import registry
from genzoo.runs import TrainingRequest
from genzoo.types import Split

MIXTURE = {
    "dataset.rows": 300,
    "dataset.held_out_rows": 40,
    "training.steps": 6,
    "training.log_every": 2,
    "training.checkpoint_every": 3,
    "training.labels": 18,
    "training.label_seed": 7,
}


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    """Register the toys beside what is installed, as a plugin would."""
    installed = registry()
    toys = [entry for kind in ("models", "datasets", "architectures", "recipes") for entry in toy_registry().of(kind)]
    monkeypatch.setattr(installed, "entries", [*installed.entries, *toys])


def poisoned(split, spec, *, labels, seed):
    """Return the split with as many hidden labels as possible replaced by others, the same rows keeping theirs.

    The choice reads labels: until the last of a class is chosen, no other row of that class may come before it.
    """
    kept = with_few_labels(split, spec, labels=labels, seed=seed).labels
    order = torch.randperm(len(split.x), generator=torch.Generator().manual_seed(0))
    for candidate in order.tolist():
        if kept[candidate] < 0:
            changed = split.labels.clone()
            changed[candidate] = (changed[candidate] + 1 + candidate % 7) % len(spec.class_names)
            if torch.equal(with_few_labels(Split(split.x, changed), spec, labels=labels, seed=seed).labels, kept):
                split = Split(split.x, changed)
    return split


def contents(run):
    """Return the content of every file of a run by its name, without times and hashes that hold times."""
    found = {}
    for path in sorted(run.path.rglob("*")):
        name = str(path.relative_to(run.path))
        if path.suffix == ".jsonl":
            found[name] = [timeless(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.name in ("run.json", "state.json", "evaluation.json"):
            found[name] = timeless(json.loads(path.read_text()))
        elif path.is_file() and path.name not in ("MANIFEST.json", "holder.json"):
            found[name] = path.read_bytes()
    return found


def timeless(document):
    times = ("seconds", "steps_per_second", "wall_seconds", "wall_steps_per_second", "created", "sessions", "sha256")
    times += ("identity", "run")  # of the run itself, drawn when it began
    return {key: value for key, value in document.items() if key not in times}


@pytest.mark.parametrize("labelled_rows", [0, 5])
def test_poisoned_hidden_labels_change_no_weight_no_file_and_no_score(labelled_rows, tmp_path, monkeypatch):
    overrides = MIXTURE | {"training.labelled_rows": labelled_rows}

    def train(name):
        path = tmp_path / name / "run"
        return genzoo.train(Classifier(), recipe="toy", overrides=overrides, run=path, device="cpu")

    clean = contents(train("clean"))
    load, changes = ToyMixture.load, []

    def load_poisoned(dataset, root):
        splits = load(dataset, root)
        train = poisoned(splits.train, dataset.spec, labels=18, seed=7)
        changes.append((train.labels != splits.train.labels).sum().item())
        return splits._replace(train=train)

    monkeypatch.setattr(ToyMixture, "load", load_poisoned)
    run = train("poisoned")
    assert min(changes) > 200
    assert contents(run) == clean
    assert {"checkpoints/step-0000006/networks.safetensors", "run.json", "evaluation.json", "metrics.jsonl"} <= set(
        clean
    )
    assert clean["run.json"]["label_frequencies"] == pytest.approx([1 / 9] * 9)
    assert {score["metric"] for score in clean["evaluation.json"]["scores"]} >= {"classification", "nearest-neighbour"}
    hidden = genzoo.api.load_data(run)
    assert (hidden.train.labels >= 0).sum() == 18
    assert (hidden.test.labels >= 0).all()
    with monkeypatch.context() as patch:
        patch.setattr("genzoo.training.settings.with_few_labels", lambda split, spec, labels, seed: split)
        assert contents(train("unhidden")) != clean


def test_the_score_says_labels_and_draw_and_resuming_ends_as_if_never_stopped(tmp_path):
    def train(name, steps):
        return genzoo.train(
            Classifier(), recipe="toy", steps=steps, overrides=MIXTURE, run=tmp_path / name, device="cpu"
        )

    whole, stopped = train("whole", 6), train("stopped", 3)
    genzoo.resume(stopped, steps=6, device="cpu")
    name = "checkpoints/step-0000006/networks.safetensors"
    assert contents(whole)[name] == contents(stopped)[name]
    score = next(score for score in whole.scores if score["metric"] == "classification")
    assert score["protocol"]["labels"] == 18
    assert score["protocol"]["label_seed"] == 7
    assert score["protocol"]["split"] == "test"


def test_a_comparison_gives_a_metric_the_labels_of_the_contestant_it_measures(tmp_path, monkeypatch):
    seen = []

    def measured(model, splits, metrics, **settings):
        seen.append((splits.train.labels >= 0).sum().item())
        return evaluate_model(model, splits, metrics, **settings)

    monkeypatch.setattr(baselines, "evaluate_model", measured)
    few = TrainingRequest(model="gan", overrides={"training.labels": 25})
    with ThreadPoolExecutor(1) as executor:
        compared = genzoo.compare(
            {"few": few, "all": "gan"},
            recipe="mixture25",
            steps=1,
            overrides={"dataset.rows": 500, "dataset.held_out_rows": 2000},
            report=tmp_path / "compared",
            device="cpu",
            executor=executor,
        )
    labels = [baseline.label for baseline in compared.results.baselines]
    assert dict(zip(labels, seen, strict=True)) == {
        "held-out samples": 25,
        "noise": 25,
        "Gaussian": 25,
        "few, untrained": 25,
        "all, untrained": 500,
    }


@pytest.fixture
def run(tmp_path):
    return genzoo.train(Classifier(), recipe="toy", overrides=MIXTURE, run=tmp_path / "mixture", device="cpu")


def test_classify_prints_class_probability_and_label_of_some_rows_and_the_error_of_all(run, say):
    said = say("classify", run.path, "-n", 3)
    assert (said.code, said.err) == (0, "3 of 40 rows; show more with -n\n")
    lines = said.out.splitlines()
    assert lines[0].split() == ["row", "class", "probability", "label"]
    assert [line.split()[0] for line in lines[1:4]] == ["0", "1", "2"]
    assert max(map(len, lines)) <= 80
    document = say("classify", run.path, "--json").document
    wrong = [row["class"] != row["label"] for row in document["predictions"]]
    assert (document["rows"], document["labelled"], document["split"]) == (40, 40, "test")
    assert document["error"] == pytest.approx(sum(wrong) / 40)
    assert lines[-1] == f"error: {sum(wrong) / 40:.2%} of 40 rows"
    stored = next(score["value"] for score in run.scores if score["metric"] == "classification")
    assert document["error"] == stored
    assert len(say("classify", run.path).out.splitlines()) == 1 + 20 + 1


def test_classify_shows_hidden_labels_of_the_training_split_as_hidden(run, say):
    document = say("classify", run.path, "--split", "train", "--json").document
    assert (document["rows"], document["labelled"]) == (300, 18)
    assert sum(row["label"] is None for row in document["predictions"]) == 282
    assert "hidden" in say("classify", run.path, "--split", "train").out


def test_classify_reads_image_files_as_it_reads_rows(tmp_path, say):
    overrides = {"training.steps": 2, "architecture.dropout": 0}
    images = genzoo.train(Classifier(), recipe="toy-images", overrides=overrides, run=tmp_path / "i", device="cpu")
    assert (ToyImages.name, ToyImageNetworks.name) == ("toy-images", "toy-image-networks")
    x = genzoo.api.load_data(images).test.x
    from PIL import Image

    names = []
    for number in range(3):
        names.append(f"digit-{number}.png")
        Image.fromarray(x[number, 0].numpy()).save(names[-1])
    of_files = say("classify", images.path, *names, "--json").document
    of_rows = say("classify", images.path, "--json", "-n", 3).document
    assert [row["file"] for row in of_files["predictions"]] == names
    for left, right in zip(of_files["predictions"], of_rows["predictions"], strict=True):
        assert left["class"] == right["class"]
        assert left["probability"] == pytest.approx(right["probability"], abs=1e-6)
    assert (of_files["split"], of_files["error"], of_files["labelled"]) == (None, None, 0)
    assert say("classify", images.path, *names).out.splitlines()[0].split() == ["file", "class", "probability"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("picture.png",), 2, "is of vectors, and images are given"),
        (("picture.png", "--split", "test"), 2, "leave out one of them"),
        (("-n", "0"), 2, "-n"),
    ],
    ids=["vectors", "both", "none"],
)
def test_what_classify_cannot_do_is_refused(arguments, code, says, run, say):
    said = say("classify", run.path, *arguments)
    assert said.code == code
    assert says in said.err
    assert 1 <= len(said.err.splitlines()) <= 3


def test_a_file_that_is_no_image_or_missing_is_named(tmp_path, say):
    images = genzoo.train(
        Classifier(), recipe="toy-images", overrides={"training.steps": 1}, run=tmp_path / "i", device="cpu"
    )
    (tmp_path / "text.png").write_text("no image")
    for name, cause in (("text.png", "not an image"), ("gone.png", "No such file")):
        said = say("classify", images.path, name)
        assert said.code == 3
        assert name in said.err
        assert cause in said.err
        assert len(said.err.splitlines()) <= 3


def test_a_model_that_predicts_no_classes_is_refused(say):
    assert say("train", "gan", "--steps", "1", "--set", "dataset.rows=30", "--run", "gan").code == 0
    said = say("classify", "gan")
    remedy = "train one that learns classes; models are listed by: genzoo list models"
    assert (said.code, said.err) == (2, f"error: this model predicts no classes\n{remedy}\n")
    assert say("evaluate", "gan", "--metric", "classification").err.startswith("error: metric 'classification' cannot")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("training.labels=10",), "training.labels is 10, which cannot be equally many of each of 25 classes"),
        (("training.labels=1000",), "40 of each of 25 classes, and class"),
        (("training.labelled_rows=5",), "training.labelled_rows is 5, and training.labels is none"),
        (("training.labels=25", "training.labelled_rows=100"), "expected fewer than training.batch_size, 100"),
        (("training.labels=-1",), "labels is -1, expected at least 1"),
    ],
    ids=["no multiple", "too many", "no labels", "whole batch", "negative"],
)
def test_settings_that_cannot_be_had_are_refused_before_a_run_folder_is_made(settings, says, say, tmp_path):
    options = [part for setting in ("dataset.rows=500", *settings) for part in ("--set", setting)]
    said = say("train", "gan", *options, "--set", "training.batch_size=100")
    assert said.code == 2
    assert says in said.err
    assert 1 <= len(said.err.splitlines()) <= 3
    assert not (tmp_path / "runs").exists()


def test_a_conditional_model_refuses_few_labels_in_one_to_three_lines(say, tmp_path):
    said = say("train", "conditional-gan", "--recipe", "digits", "--set", "training.labels=100")
    assert said.code == 2
    assert said.err.startswith("error: conditional-gan is given y in every row, and training.labels hides some\n")
    assert len(said.err.splitlines()) == 2
    assert not (tmp_path / "runs").exists()
