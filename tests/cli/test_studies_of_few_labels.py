"""Studies of few labels: settings chosen on the validation split, fresh draws, and what stands beside them."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy
import pytest
import sklearn.svm
import torch
from loopback import serving_folder
from PIL import Image
from published import publishing
from scipy.io import savemat
from sklearn.exceptions import ConvergenceWarning

import genzoo
from genzoo import Run
from genzoo.data import downloads, prepared
from genzoo_data.cifar10 import CIFAR10
from genzoo_data.svhn import SVHN
from genzoo_studies import few_labels, few_labels_data, svm
from genzoo_studies.published import PUBLISHED

TINY = {"training.batch_size": 8, "training.labelled_rows": 4}


def carried_out(study, place, **overrides):
    """Return the document of a study that is carried out in this process below `place`."""
    chosen = {f"study.{name}": value for name, value in overrides.items()}
    with ThreadPoolExecutor(1) as executor:
        return genzoo.reproduce(
            study, overrides=chosen, report=place, device="cpu", data=place / "data", executor=executor
        ).document


def cells(place, study):
    return {path.name: Run(path) for path in sorted((place / study / "cells").iterdir())}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    place = tmp_path_factory.mktemp("digits")
    settings = {"steps": 3, "draws": 2, "labels": "20,40", "models": "classifier,ladder"}
    return place, carried_out("ali/digits-semi", place, **settings)


def test_every_model_is_trained_with_the_same_draws_which_its_runs_hold(digits):
    place, document = digits
    runs = cells(place, "ali/digits-semi")
    trained = [row for row in document["rows"] if row["runs"]]
    assert [(row["model"], row["labels"]) for row in trained] == [
        ("classifier", 20), ("classifier", 40), ("ladder", 20), ("ladder", 40),
    ]  # fmt: skip
    for row in trained:
        assert row["draws"] == [few_labels.FIRST_DRAW, few_labels.FIRST_DRAW + 1]
        for draw, name, error in zip(row["draws"], row["runs"], row["errors"], strict=True):
            run = runs[name]
            training = run.record.settings["training"]
            assert (training["labels"], training["label_seed"], run.record.seed) == (row["labels"], draw, draw)
            assert (genzoo.load_data(run).train.labels >= 0).sum() == row["labels"]
            on_test = [score for score in run.scores if score["protocol"]["split"] == "test"]
            assert [(score["metric"], score["step"]) for score in on_test] == [("classification", 3)]
            assert error == 100 * on_test[0]["value"]
        assert row["spread"]["mean"] == pytest.approx(numpy.mean(row["errors"]))
        assert row["spread"]["std"] == pytest.approx(numpy.std(row["errors"], ddof=1))
    assert len(runs) == 8


def test_the_table_has_simple_classifiers_of_pixels_and_the_figure_is_drawn(digits):
    place, document = digits
    of_pixels = [row for row in document["rows"] if not row["runs"]]
    assert [row["model"] for row in of_pixels] == [name for name in few_labels.COLUMNS for _ in range(2)]
    assert all(0 < error < 60 for row in of_pixels for error in row["errors"])
    by_labels = {row["labels"]: row["spread"]["mean"] for row in of_pixels if row["model"] == few_labels.COLUMNS[0]}
    assert by_labels[40] < by_labels[20]
    with Image.open(place / "ali/digits-semi/few-labels.png") as picture:
        assert picture.size == (960, 552)
    table = (place / "ali/digits-semi/table.md").read_text()
    assert "| model | 20 labels | 40 labels |" in table
    assert "less on every draw" in table


def test_a_model_that_needs_another_run_is_trained_from_it(tmp_path):
    document = carried_out("ali/digits-semi", tmp_path, steps=3, draws=1, labels=20, models="classifier,m1+m2")
    (name,) = next(row["runs"] for row in document["rows"] if row["model"] == "m1+m2")
    assert cells(tmp_path, "ali/digits-semi")[name].record.source.run.startswith("vae-")


def row(errors, draws=(1, 2, 3)):
    return few_labels.row_of("model", 10, draws, errors)


def test_differences_are_paired_by_draw_with_the_interval_of_students_t():
    gap = few_labels.paired(row([3.0, 4.0, 5.0]), row([5.0, 5.0, 8.0]))
    assert gap["mean"] == -2
    assert gap["low"] == pytest.approx(-2 - 4.302653 / 3**0.5)  # t of 2 degrees of freedom, and a deviation of 1
    assert gap["high"] == pytest.approx(-2 + 4.302653 / 3**0.5)
    assert gap["below_on_every_draw"]
    assert not few_labels.paired(row([3.0, 5.0, 5.0]), row([5.0, 5.0, 8.0]))["below_on_every_draw"]
    assert few_labels.paired(row([3.0, None, 5.0]), row([5.0, 1.0, None]))["mean"] == -2
    assert few_labels.paired(row([3.0], [1]), row([5.0], [2])) is None
    assert few_labels.paired(row([3.0], [1]), row([5.0], [1]))["low"] is None


def test_every_published_bar_says_apart_from_its_value_what_it_is():
    assert all((entry["bar"] is None) == (entry["bar_is"] == "–") for entry in PUBLISHED)
    (of_svhn,) = (entry for entry in PUBLISHED if entry["data"] == "svhn" and entry["model"] == "ALI, K + 1")
    assert (of_svhn["error"], of_svhn["bar"], of_svhn["bar_is"]) == (7.42, 0.65, "not stated")
    on_cifar10 = [entry for entry in PUBLISHED if entry["data"] == "cifar10" and entry["model"] == "ALI, K + 1"]
    assert [entry["error"] for entry in on_cifar10] == [19.98, 19.09, 17.99, 17.05]
    assert {entry["bar_is"] for entry in on_cifar10} == {"3 × standard deviation"}


# Studies of data from elsewhere, on small files in the published formats


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with small SVHN and CIFAR10 prepared below `data`."""
    place, folder = tmp_path_factory.mktemp("place"), tmp_path_factory.mktemp("server")
    with serving_folder(folder) as address, publishing(folder, address):
        source = numpy.random.default_rng(0)
        for name, rows in (("extra", 60), ("train", 140), ("test", 30)):
            digits = numpy.arange(rows).reshape(-1, 1) % 10 + 1
            images = source.integers(0, 256, (32, 32, 3, rows), dtype=numpy.uint8)
            savemat(folder / f"{name}_32x32.mat", {"X": images, "y": digits.astype(numpy.uint8)})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SVHN, "downloads", tuple(_unhashed(one) for one in SVHN.downloads))
            for dataset in (SVHN(), CIFAR10()):
                downloads.fetch_all(dataset, place / "data")
                prepared.prepare_dataset(dataset, place / "data", jobs=1)
    return place


def _unhashed(download):
    return replace(download, md5=None)


def test_svhn_without_extra_images_trains_on_train_images_but_for_the_last(place):
    whole, plain = (SVHN(extra=extra).load(place / "data") for extra in (True, False))
    assert [len(split.x) for split in whole] == [60, 140, 30]
    assert [len(split.x) for split in plain] == [120, 20, 30]
    assert torch.equal(torch.cat([plain.train.x, plain.validation.x]), whole.validation.x)
    assert SVHN(extra=False).fingerprint(place / "data") == SVHN().fingerprint(place / "data")


def test_settings_are_chosen_on_the_validation_split_and_the_test_split_sees_reported_trainings_alone(
    place, monkeypatch
):
    tried = ({"training.learning_rate": 1e-4}, {"training.learning_rate": 3e-3})
    monkeypatch.setattr(few_labels_data.SVHNSemi, "batches", {"classifier": TINY, "semi-ali": TINY})
    monkeypatch.setattr(few_labels_data.SVHNSemi, "candidates", {"classifier": tried})
    document = carried_out("ali/svhn-semi", place, steps=2, draws=2, labels=20)
    runs = cells(place, "ali/svhn-semi")
    choosing = {name: run for name, run in runs.items() if run.record.seed == few_labels.CHOOSING_DRAW}
    assert len(choosing) == 2
    assert {score["protocol"]["split"] for run in choosing.values() for score in run.scores} == {"validation"}
    errors = {
        run.record.settings["training"]["learning_rate"]: run.final_scores[0]["value"] for run in choosing.values()
    }
    rows = {row["model"]: row for row in document["rows"]}
    chosen = rows["classifier"]["overrides"]["training.learning_rate"]
    assert errors[chosen] == min(errors.values())
    for name in (name for row in rows.values() for name in row["runs"]):
        assert name not in choosing
        training = runs[name].record.settings
        assert training["dataset"] == {"name": "svhn", "extra": False}
        assert training["training"]["label_seed"] >= few_labels.FIRST_DRAW
        assert sum(score["protocol"]["split"] == "test" for score in runs[name].scores) == 1
    assert rows["semi-ali"]["against_classifier"]["mean"] == pytest.approx(
        rows["semi-ali"]["spread"]["mean"] - rows["classifier"]["spread"]["mean"]
    )
    table = (place / "ali/svhn-semi/table.md").read_text()
    assert "| ALI, K + 1 (ALI, table 1) | 1,000 | 7.42 | ± 0.65 | not stated |" in table


def test_the_study_of_cifar10_learns_from_its_train_images_and_stands_beside_the_papers_table(place, monkeypatch):
    monkeypatch.setattr(few_labels_data.CIFAR10Semi, "batches", dict.fromkeys(["classifier", "catgan"], TINY))
    monkeypatch.setattr(few_labels_data.CIFAR10Semi, "candidates", {})
    document = carried_out("ali/cifar10-semi", place, steps=1, draws=1, labels=20)
    assert [(row["model"], row["labels"], len(row["errors"])) for row in document["rows"] if row["runs"]] == [
        ("classifier", 20, 1), ("catgan", 20, 1),
    ]  # fmt: skip
    for run in cells(place, "ali/cifar10-semi").values():
        assert run.record.settings["dataset"]["name"] == "cifar10"
        assert [score["metric"] for score in run.scores if score["protocol"]["split"] == "test"] == ["classification"]
    on_cifar10 = [(entry["model"], entry["labels"]) for entry in document["published"]]
    assert ("ALI, K + 1", 8000) in on_cifar10
    assert ("Ladder network", 4000) in on_cifar10


def test_the_study_of_svms_reads_the_papers_layers_and_stands_beside_pixels_and_untrained_networks(place, monkeypatch):
    monkeypatch.setattr(few_labels_data.SVHNSVM, "rows_of_class", 2)
    monkeypatch.setattr(svm, "ALI", svm.ALI._replace(strengths=(1e-3, 1.0)))
    monkeypatch.setattr(few_labels_data.SVHNSVM, "of_gan", {"dataset.extra": False, "training.batch_size": 4})
    monkeypatch.setattr(svm, "DCGAN", svm.DCGAN._replace(strengths=(1e-3,), choosing_draws=1))
    monkeypatch.setattr(sklearn.svm, "LinearSVC", partial(sklearn.svm.LinearSVC, max_iter=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        document = carried_out("ali/svhn-svm", place, steps=1, draws=2)
    rows = {row["features"]: row for row in document["rows"]}
    assert list(rows) == ["ALI's encoder", "an untrained encoder", "pixels", "GAN's critic", "an untrained critic"]
    assert {rows[name]["numbers"] for name in ("ALI's encoder", "an untrained encoder")} == {5376}
    assert rows["pixels"]["numbers"] == 3 * 32 * 32
    critic = rows["GAN's critic"]
    assert critic["numbers"] == 16 * (32 + 64 + 128 + 256) + 512  # 28, 13, 10, 4 and 1 pixels wide
    assert critic["bar"] == pytest.approx(1.96 * critic["test"]["std"])
    assert rows["pixels"]["bar"] == rows["pixels"]["test"]["std"]
    assert all(60 < row["test"]["mean"] <= 100 for row in rows.values())  # of noise with ten classes
    assert {row["unconverged"] for row in rows.values()} == {2}
    assert [entry["model"] for entry in document["published"]] == ["DCGAN + L2-SVM", "ALI, L2-SVM"]
