"""Metrics in the features of a small classifier, on digits: their floors and ceilings, and what cannot be measured."""

from dataclasses import dataclass, replace

import pytest
import torch
from models import PETS, Identity, identity_model

from genzoo import Networks, SettingsError
from genzoo.data import as_input
from genzoo.evaluation import Model
from genzoo.evaluation.metrics import evaluate_model
from genzoo.types import DataSpec, Split
from genzoo_data.digits import Digits
from genzoo_metrics import classifier
from genzoo_metrics.classified import ClassifierDistance, ClassifierScore, Coverage
from genzoo_metrics.reconstruction import Reconstruction

DIGITS, SPEC = Digits().load(None), Digits().spec
TRAIN = as_input(DIGITS.train.x)
METRICS = [ClassifierDistance(), ClassifierScore(), Coverage()]


@dataclass(frozen=True, kw_only=True)
class Showing(Model):
    """A model whose samples are given."""

    images: torch.Tensor

    def sample(self, count, *, seed=0, y=None):
        return self.images[:count]


def scores_of(images):
    model = Showing(**vars(identity_model(SPEC)), images=images)
    scores = evaluate_model(model, DIGITS, METRICS, split_name="test", seed=0)
    return {score.metric: score.value for score in scores}


def noise():
    return torch.rand(2000, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def gaussian():
    """Return draws from a Gaussian with the mean and covariance of the training pixels."""
    pixels = TRAIN.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(pixels.T))
    normal = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = pixels.mean(0) + normal * values.clamp(min=0).sqrt() @ vectors.T
    return drawn.view(-1, 1, 8, 8).float().clamp(0, 1)


def test_training_rows_are_their_own_best_samples():
    scores = scores_of(TRAIN)
    assert scores["classifier-distance"] == pytest.approx(0, abs=1e-9)
    assert [value for name, value in scores.items() if name.startswith("coverage")] == [1, 1, 1, 1]
    assert 9 < scores["classifier-score"] <= 10


def test_held_out_digits_are_near_noise_is_far_and_a_gaussian_of_pixels_is_between():
    real, blurred, random = (scores_of(images) for images in (as_input(DIGITS.test.x), gaussian(), noise()))
    assert real["classifier-distance"] < 2  # two halves of the data differ by as much
    assert blurred["classifier-distance"] > 10 * real["classifier-distance"]
    assert random["classifier-distance"] > 3 * blurred["classifier-distance"]
    for name in ("coverage", "coverage/density", "coverage/recall", "classifier-score"):
        assert real[name] > blurred[name], name
    for name in ("coverage", "coverage/recall", "classifier-score"):
        assert blurred[name] > random[name], name
    assert real["coverage"] > 0.9
    assert random["coverage"] < 0.2


def test_one_image_repeated_covers_nothing_and_is_of_one_class():
    scores = scores_of(TRAIN[:1].expand(2000, 1, 8, 8))
    assert scores["classifier-score"] == pytest.approx(1, abs=1e-6)
    assert scores["coverage"] < 0.02
    assert scores["coverage/recall"] == 0
    assert scores["coverage/precision"] == 1


def test_scores_carry_the_classifier_and_its_accuracy_and_how_many_were_measured():
    model = Showing(**vars(identity_model(SPEC)), images=noise())
    distance, score, *coverage = evaluate_model(model, DIGITS, METRICS, split_name="test", seed=0)
    how = {"classifier": "30 epochs on 1257 training rows, seed 0"}
    assert how.items() <= distance.protocol.items()
    assert distance.protocol["classifier accuracy"] > 0.97
    assert (distance.protocol["samples"], distance.protocol["training rows"]) == (2000, 1257)
    assert score.protocol["samples"] == 2000
    for overlap in coverage:
        assert [overlap.protocol[key] for key in ("samples", "training rows", "neighbours")] == [1257, 1257, 5]
    assert [each.metric for each in (distance, score, *coverage) if each.headline] == ["classifier-distance"]


def test_an_identity_keeps_the_class_as_often_as_the_classifier_is_right():
    scores = Reconstruction().measure(identity_model(SPEC), DIGITS.test, train=DIGITS.train, seed=0)
    same = next(score for score in scores if score.metric == "reconstruction/same-class")
    assert round(same.value, 4) == same.protocol["classifier accuracy"]
    assert (same.protocol["rows"], same.protocol["class"]) == (360, "the label of x")
    assert same.headline


def test_a_reconstruction_that_ignores_x_keeps_the_class_of_a_tenth():
    blurred = identity_model(SPEC, blur=1000.0)  # the code is noise; the picture is some class or other
    scores = Reconstruction().measure(blurred, DIGITS.test, train=DIGITS.train, seed=0)
    same = next(score.value for score in scores if score.metric == "reconstruction/same-class")
    assert same == pytest.approx(0.1, abs=5 * (0.1 * 0.9 / 360) ** 0.5)


def test_data_without_classes_or_labels_have_no_same_class():
    for split, train in ((Split(DIGITS.test.x), DIGITS.train), (DIGITS.test, Split(DIGITS.train.x))):
        scores = Reconstruction().measure(identity_model(SPEC), split, train=train, seed=0)
        assert len(scores) == 3


# The classifier


def test_the_classifier_is_fitted_once_and_leaves_the_callers_random_state():
    before = torch.get_rng_state()
    first = classifier.classifier_of(DIGITS.train, SPEC)
    assert classifier.classifier_of(DIGITS.train, SPEC) is first
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_whose_label_is_hidden_do_not_matter():
    labels = DIGITS.train.labels.clone()
    labels[100:] = -1
    first = classifier.classifier_of(Split(DIGITS.train.x, labels), SPEC)
    assert first.rows == 100
    poisoned = DIGITS.train.x.clone()
    poisoned[100:] = 255
    assert classifier.classifier_of(Split(poisoned, labels), SPEC) is first
    assert first.protocol(DIGITS.test)["classifier"] == "30 epochs on 100 training rows, seed 0"


def test_rows_of_the_measured_split_whose_label_is_hidden_do_not_count():
    few = Split(DIGITS.train.x, torch.where(torch.arange(len(DIGITS.train.x)) < 100, DIGITS.train.labels, -1))
    alone = Split(few.x[:100], few.labels[:100])
    scores = [
        Reconstruction().measure(identity_model(SPEC), split, train=DIGITS.train, seed=0)[-1] for split in (few, alone)
    ]
    assert scores[0] == scores[1]
    assert scores[0].protocol["rows"] == 100


def test_a_training_split_without_labels_is_refused():
    with pytest.raises(SettingsError, match="training split has no labels"):
        classifier.classifier_of(Split(DIGITS.train.x), SPEC)


@pytest.mark.parametrize(
    ("spec", "obstacle"),
    [
        (SPEC, None),
        (replace(SPEC, class_names=()), "its data have no classes"),
        (PETS, "its x are no images"),
        (
            DataSpec(shape=(3, 32, 32), support="unit", class_names=("cat", "dog")),
            "its images are too large for a small classifier: 3,072 numbers, at most 784",
        ),
        (DataSpec(shape=(1, 28, 3), support="unit", class_names=("cat", "dog")), "its images are smaller than 4×4"),
    ],
)
def test_what_cannot_be_classified_is_said(spec, obstacle):
    for metric in METRICS:
        assert metric.obstacle(identity_model(spec)) == obstacle


def test_a_model_without_a_decoder_cannot_be_measured():
    model = replace(identity_model(SPEC), networks=Networks(encoder=Identity()))
    assert {metric.obstacle(model) for metric in METRICS} == {"it has no decoder"}


@pytest.mark.parametrize(("metric", "values"), [(ClassifierDistance, {"samples": 1}), (Coverage, {"neighbours": 0})])
def test_fields_out_of_range_are_refused(metric, values):
    with pytest.raises(ValueError, match="expected at least"):
        metric(**values)
