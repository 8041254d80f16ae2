"""Metrics of samples in the features and answers of a small classifier of the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genzoo.data import as_input
from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split
from genzoo_metrics import classifier
from genzoo_metrics.classifier import classifier_of
from genzoo_metrics.feature_scores import class_score, frechet_distance, neighbourhoods

_TRAINING_ROWS = 10_000
"""The largest number of training rows that samples are compared with."""


@dataclass(frozen=True, kw_only=True)
class OfClassifier(Metric):
    """A metric of samples that needs a classifier of the data."""

    measures_held_out: ClassVar[bool] = True
    samples: int = 2000

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples is {self.samples}, expected at least 2")

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without samples, and for data that are not small labelled images."""
        return model.sampling_obstacle or classifier.obstacle(model)


@dataclass(frozen=True, kw_only=True)
class ClassifierDistance(OfClassifier):
    """Fréchet distance of samples to the training rows in the 64 features of a small classifier.

    It depends on that classifier and is no FID, whose features are those of Inception-v3.
    """

    name: ClassVar[str] = "classifier-distance"
    about: ClassVar[Mapping[str, str]] = {
        "classifier-distance": "Fréchet distance of samples to training rows in a small classifier's features; no FID.",
    }

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Compare samples with the training rows."""
        fitted, real = classifier_of(train, model.data), as_input(train.x[:_TRAINING_ROWS])
        samples = model.sample(self.samples, seed=seed)
        value = frechet_distance(fitted.features(real), fitted.features(samples))
        protocol = {"samples": len(samples), "training rows": len(real)} | fitted.protocol(split)
        return [Score(metric="classifier-distance", value=value, protocol=protocol, better="lower", headline=True)]


@dataclass(frozen=True, kw_only=True)
class ClassifierScore(OfClassifier):
    """exp E KL(p(y | x) ‖ E p(y | x)) over samples under a small classifier: 1 at worst, the number of classes at best.

    It is the inception score's formula. Samples that repeat one image of every class reach the best value.
    """

    name: ClassVar[str] = "classifier-score"
    about: ClassVar[Mapping[str, str]] = {
        "classifier-score": "Whether a small classifier is sure of samples, and these are of all classes: 1 at worst.",
    }

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Classify samples."""
        fitted, samples = classifier_of(train, model.data), model.sample(self.samples, seed=seed)
        value = class_score(fitted.logits(samples))
        protocol = {"samples": len(samples)} | fitted.protocol(split)
        return [Score(metric="classifier-score", value=value, protocol=protocol, better="higher")]


@dataclass(frozen=True, kw_only=True)
class Coverage(OfClassifier):
    """Overlap of the neighbourhoods of samples and training rows, in the 64 features of a small classifier.

    `coverage` is the share of training rows with a sample in their neighbourhood, `coverage/precision` the share of
    samples in the neighbourhood of a training row, `coverage/recall` that of training rows in one of a sample's, and
    `coverage/density` the mean number of training rows' neighbourhoods that a sample lies in, over `neighbours`.
    """

    name: ClassVar[str] = "coverage"
    about: ClassVar[Mapping[str, str]] = {
        "coverage": "Share of training rows with a sample in their neighbourhood, in the small classifier's features.",
        "coverage/density": "Training rows' neighbourhoods that a sample lies in, over 5; high near the data's middle.",
        "coverage/precision": "Share of samples in a training row's neighbourhood; high also if all samples are alike.",
        "coverage/recall": "Share of training rows in the neighbourhood of a sample.",
    }
    neighbours: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.neighbours < self.samples:
            raise ValueError(f"neighbours is {self.neighbours}, expected at least 1 and less than samples")

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Compare as many samples with as many of the first training rows, up to `samples`."""
        fitted = classifier_of(train, model.data)
        samples = model.sample(min(self.samples, len(train.x)), seed=seed)
        real, neighbours = as_input(train.x[: len(samples)]), min(self.neighbours, len(samples) - 1)
        values = neighbourhoods(fitted.features(real), fitted.features(samples), neighbours=neighbours)
        protocol = {"samples": len(samples), "training rows": len(real), "neighbours": neighbours}
        protocol |= fitted.protocol(split)
        return [
            Score(metric=metric, value=value, protocol=protocol, better="higher")
            for metric, value in (
                ("coverage", values.coverage),
                ("coverage/density", values.density),
                ("coverage/precision", values.precision),
                ("coverage/recall", values.recall),
            )
        ]
