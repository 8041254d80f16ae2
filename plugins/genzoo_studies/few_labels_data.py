"""The studies of few labels: on digits, which anyone can run, and the paper's on SVHN and CIFAR10."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genzoo_studies.few_labels import FewLabels, Overrides

_HALF = {"training.batch_size": 150, "training.labelled_rows": 50}
_SALIMANS = {"training.batch_size": 200, "training.labelled_rows": 100}
_DIGITS: Mapping[str, Overrides] = {
    "classifier": {"training.batch_size": 51, "training.labelled_rows": 50},
    "semi-ali": _HALF,
    "feature-matching": _HALF,
    "catgan": _HALF,
    "m2": {"training.batch_size": 48, "training.labelled_rows": 24},
    "ladder": _SALIMANS,
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
    draws_of: ClassVar[Mapping[str, Mapping[int, int]]] = {
        "quick": {10: 2, 50: 2, 100: 10, 200: 2},
        "paper": {10: 10, 50: 10, 100: 10, 200: 10},
    }
    steps_of: ClassVar[Mapping[str, int]] = {"quick": 2000, "paper": 2000}
    notes: ClassVar[tuple[str, ...]] = (
        "draws of labels have the seeds 20, 21, …, which also seed the trainings; no setting was chosen with them",
        "measured are averaged weights, which the recipe digits keeps, on the 360 rows of the test split",
        "batches begin with labelled rows, and go on with rows of all data; the classifier learns from the first alone",
    )
