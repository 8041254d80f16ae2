"""The studies of few labels: on digits, which anyone can run, and the paper's on SVHN and CIFAR10."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genzoo.types import Splits
from genzoo_data.svhn import SVHN
from genzoo_studies.few_labels import FewLabels, Overrides
from genzoo_studies.svm import FeatureSVM, Parts

_HALF = {"training.batch_size": 150, "training.labelled_rows": 50}
_SALIMANS = {"training.batch_size": 200, "training.labelled_rows": 100}
_DIGITS: Mapping[str, Overrides] = {
    "classifier": {"training.batch_size": 51, "training.labelled_rows": 50},
    "semi-ali": _HALF,
    "feature-matching": _HALF,
    "catgan": _HALF,
    "m2": {"training.batch_size": 48, "training.labelled_rows": 24},
    "ladder": _SALIMANS,
    "m1+m2": {"training.batch_size": 48, "training.labelled_rows": 24},
    "semi-aae": _HALF,
}


@dataclass(frozen=True, kw_only=True)
class DigitsSemi(FewLabels):
    """Learn digits from 10 to 200 labels with every model, the paper's protocol on data that come with genzoo."""

    name: ClassVar[str] = "ali/digits-semi"
    published: ClassVar[str] = "nothing to compare with: the paper's tables are of SVHN and CIFAR10"
    cost: ClassVar[str] = "quick: 45 minutes of two idle CPU cores; paper: about three hours"
    needs: ClassVar[tuple[str, ...]] = ("digits",)
    recipe: ClassVar[str] = "digits"
    batches: ClassVar[Mapping[str, Overrides]] = _DIGITS
    sources: ClassVar[Mapping[str, str]] = {"m1+m2": "vae"}
    beyond_quick: ClassVar[tuple[str, ...]] = ("m1+m2", "semi-aae")
    draws_of: ClassVar[Mapping[str, Mapping[int, int]]] = {
        "quick": {10: 2, 50: 2, 100: 10, 200: 2},
        "paper": {10: 10, 50: 10, 100: 10, 200: 10},
    }
    steps_of: ClassVar[Mapping[str, int]] = {"quick": 2000, "paper": 2000}
    notes: ClassVar[tuple[str, ...]] = (
        "draws of labels have the seeds 20, 21, …, which also seed the trainings; no setting was chosen with them, but "
        "the ladder had been looked at with the first four when its learning rate was",
        "measured are averaged weights, which the recipe digits keeps, on the 360 rows of the test split",
        "the quick budget leaves out m1+m2 and semi-aae, which --set study.models=… adds",
        "batches begin with labelled rows, and go on with rows of all data; the classifier learns from the first alone",
    )


_RATE: Overrides = {
    "training.learning_rate": 3e-4,
    "training.learning_rate_schedule": "linear",
    "training.learning_rate_schedule.start": 0.67,
}
_IMAGES: Mapping[str, Overrides] = {
    "classifier": {"training.batch_size": 101, "training.labelled_rows": 100},
    "semi-ali": _SALIMANS,
    "feature-matching": {**_SALIMANS, **_RATE, "game.distance": "absolute"},
    "catgan": _SALIMANS,
}
_RATES: tuple[Overrides, ...] = ({"training.learning_rate": 1e-4}, {"training.learning_rate": 3e-4})
_CANDIDATES: Mapping[str, tuple[Overrides, ...]] = {"semi-ali": _RATES, "catgan": _RATES, "classifier": _RATES}
_NOTES = (
    "learning rates of classifier, semi-ali and catgan are chosen on the validation split; no source says how",
    "feature-matching has the learning rate, its fall and the absolute distance of the authors' programs, and the "
    "recipe's networks in place of theirs",
    "the paper prints neither networks nor schedule of its K + 1 runs: these are the recipe's networks",
    "measured are weights averaged with 0.999 a step",
)


@dataclass(frozen=True, kw_only=True)
class ImagesSemi(FewLabels):
    """What the studies on SVHN and CIFAR10 share."""

    batches: ClassVar[Mapping[str, Overrides]] = _IMAGES
    candidates: ClassVar[Mapping[str, tuple[Overrides, ...]]] = _CANDIDATES
    common: ClassVar[Overrides] = {"training.averaging": 0.999}


@dataclass(frozen=True, kw_only=True)
class SVHNSemi(ImagesSemi):
    """Learn SVHN from 1,000 labels (table 1), with the train images alone as unlabelled rows."""

    name: ClassVar[str] = "ali/svhn-semi"
    published: ClassVar[str] = "ALI 7.42 ± 0.65, GAN with feature matching 8.11 ± 1.3, of 1,000 labels"
    cost: ClassVar[str] = "quick: some hours on two CPU cores; paper: 900 epochs of 46 trainings, on GPUs"
    needs: ClassVar[tuple[str, ...]] = ("svhn",)
    recipe: ClassVar[str] = "svhn"
    common: ClassVar[Overrides] = {**ImagesSemi.common, "dataset.extra": False}
    draws_of: ClassVar[Mapping[str, Mapping[int, int]]] = {"quick": {1000: 2}, "paper": {1000: 10}}
    steps_of: ClassVar[Mapping[str, int]] = {"quick": 2000, "paper": 570_000}
    notes: ClassVar[tuple[str, ...]] = (
        *_NOTES,
        "the last 10,000 of the 73,257 train images validate; Salimans et al. train on all of them",
    )


@dataclass(frozen=True, kw_only=True)
class CIFAR10Semi(ImagesSemi):
    """Learn CIFAR10 from 1,000 to 8,000 labels (table 2)."""

    name: ClassVar[str] = "ali/cifar10-semi"
    published: ClassVar[str] = "ALI 19.98, 19.09, 17.99, 17.05 of 1,000, 2,000, 4,000, 8,000 labels"
    cost: ClassVar[str] = "quick: some hours on two CPU cores; paper: 1,200 epochs of 166 trainings, on GPUs"
    needs: ClassVar[tuple[str, ...]] = ("cifar10",)
    recipe: ClassVar[str] = "cifar10"
    draws_of: ClassVar[Mapping[str, Mapping[int, int]]] = {
        "quick": {1000: 1, 4000: 1},
        "paper": {1000: 10, 2000: 10, 4000: 10, 8000: 10},
    }
    steps_of: ClassVar[Mapping[str, int]] = {"quick": 2000, "paper": 540_000}
    notes: ClassVar[tuple[str, ...]] = (
        *_NOTES,
        "the last 5,000 of the 50,000 training images validate; Salimans et al. train on all of them",
    )


@dataclass(frozen=True, kw_only=True)
class SVHNSVM(FeatureSVM):
    """Fit SVMs of 1,000 labels of SVHN on features (table 1), by ALI's protocol and by DCGAN's."""

    name: ClassVar[str] = "ali/svhn-svm"
    published: ClassVar[str] = "ALI 19.14 ± 0.50 over 100 draws; DCGAN 22.18 ± 1.13, which is 1.96 standard deviations"
    cost: ClassVar[str] = "quick: hours on two CPU cores; paper: 100 epochs of 531,131 images, a day on a GPU"
    needs: ClassVar[tuple[str, ...]] = ("svhn",)
    recipe: ClassVar[str] = "svhn"
    of_gan: ClassVar[Mapping[str, object]] = {"dataset.extra": False}
    rows_of_class: ClassVar[int] = 100
    steps_of: ClassVar[Mapping[str, int]] = {"quick": 2000, "paper": 531_200}

    def parts(self, splits: Splits) -> Parts:
        """Return the train images, of which the last 10,000 validate, and the test images."""
        return Parts(*SVHN.without_extra(splits))


@dataclass(frozen=True, kw_only=True)
class DigitsSVM(FeatureSVM):
    """Fit SVMs of 100 labels of digits on features, with the protocols of SVHN."""

    name: ClassVar[str] = "ali/digits-svm"
    published: ClassVar[str] = "nothing to compare with: the paper's table is of SVHN"
    cost: ClassVar[str] = "quick: five minutes of one CPU core; paper: ten"
    needs: ClassVar[tuple[str, ...]] = ("digits",)
    recipe: ClassVar[str] = "digits"
    rows_of_class: ClassVar[int] = 10
    steps_of: ClassVar[Mapping[str, int]] = {"quick": 2000, "paper": 4500}
    draws_of: ClassVar[Mapping[str, int]] = {"quick": 50, "paper": 100}

    def parts(self, splits: Splits) -> Parts:
        """Return the three splits."""
        return Parts(*splits)
