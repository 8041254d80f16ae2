"""Categories that a model made out without being told, beside the classes of the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genzoo import SettingsError
from genzoo.data import labelled_part
from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split
from genzoo_metrics import classifier


@dataclass(frozen=True, kw_only=True)
class CategoryMatch(Metric):
    """How well categories that a model made out agree with classes; 1 at best.

    `category-match/purity` is the share of rows of the class that is most frequent in their inferred category, and
    `category-match/accuracy` that of rows of the class which their category is matched to, one class per category, by
    the best of all matchings. `category-match/samples` is the purity of samples asked for each category of the prior in
    turn, by the classes of a small classifier of the data.
    """

    name: ClassVar[str] = "category-match"
    about: ClassVar[Mapping[str, str]] = {
        "category-match/purity": "Share of rows of the class that is most frequent in their inferred category.",
        "category-match/accuracy": "Share of rows of the class that their inferred category is matched to, one to one.",
        "category-match/samples": "Purity of samples asked for one category, by a small classifier's answers.",
    }
    samples: int = 2000

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}, expected at least 1")

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models that make out no categories, and for data without classes."""
        if not model.makes_out_categories:
            return "it makes out no categories"
        return None if model.data.class_names else "its data have no classes"

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Categorise every row of the split that has a label, and ask for samples of every category."""
        rows = labelled_part(split)
        if rows.labels is None:
            raise SettingsError("this split has no labels", "choose another: --split …")
        logits = model.categorise(model.rows(rows)[0], seed=seed)
        counts = _counts(logits.argmax(1).cpu(), rows.labels, logits.shape[1], len(model.data.class_names))
        protocol = {"rows": len(rows.x), "categories": len(counts)}
        values = {"category-match/purity": purity(counts), "category-match/accuracy": matched(counts)}
        scores = [
            Score(
                metric=name, value=value, protocol=protocol, better="higher", headline=name == "category-match/accuracy"
            )
            for name, value in values.items()
        ]
        return scores + self._of_samples(model, split, train, seed)

    def _of_samples(self, model: Model, split: Split, train: Split, seed: int) -> list[Score]:
        """Return the purity of samples, or nothing where the prior has no category or the data no small classifier."""
        place = model.prior.parts(model.latent).get("category")
        if place is None or classifier.obstacle(model) or train.labels is None:
            return []
        z = model.draw_z(self.samples, seed=seed)
        one_hot = torch.eye(z[:, place].shape[1], device=z.device)
        asked = torch.arange(self.samples) % len(one_hot)
        z[:, place] = one_hot[asked]
        fitted = classifier.classifier_of(train, model.data)
        counts = _counts(asked, fitted.predict(model.decode(z)), len(one_hot), len(model.data.class_names))
        protocol = {"samples": self.samples, "categories": len(one_hot)} | fitted.protocol(split)
        return [Score(metric="category-match/samples", value=purity(counts), protocol=protocol, better="higher")]


def purity(counts: Tensor) -> float:
    """Return the share of rows of the most frequent class in their category, for counts (categories, classes)."""
    return (counts.amax(1).sum() / counts.sum()).item()


def matched(counts: Tensor) -> float:
    """Return the largest share of rows whose category's class is theirs, with no class for two categories."""
    from scipy.optimize import linear_sum_assignment  # here, as every training loads this module at its end

    pairs = linear_sum_assignment(counts.numpy(), maximize=True)
    return (counts[pairs].sum() / counts.sum()).item()


def _counts(categories: Tensor, classes: Tensor, k: int, numbers: int) -> Tensor:
    """Return how many rows (k, numbers), float64, are of each category and class, both (N,)."""
    return torch.bincount(categories * numbers + classes, minlength=k * numbers).view(k, numbers).double()
