"""Reconstruction error, and the error of shuffled pairs for comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split
from genzoo_metrics import classifier
from genzoo_metrics.latent import missing

_DEVIATIONS = 2
"""How many standard errors the ratio must be below 1, so that reconstructions are held to be of their originals."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction(Metric):
    """Mean squared error per number between x and its reconstruction from a sampled code.

    `reconstruction/shuffled` compares every reconstruction with the next row instead, the error of a model that
    ignores its input, and `reconstruction/ratio` is the quotient: below 1, the code carries information about x. A
    training has failed if the ratio is not two of its standard errors below 1.
    `reconstruction/same-class`, for small labelled images, is the share of reconstructions that a small classifier of
    the data puts into the class of x, as labelled.
    """

    name: ClassVar[str] = "reconstruction"
    about: ClassVar[Mapping[str, str]] = {
        "reconstruction": "Mean squared error per number between x and its reconstruction from a sampled code.",
        "reconstruction/shuffled": "The same for another row than x: the error of a model that ignores x.",
        "reconstruction/ratio": "The error over that of shuffled pairs: 0 at best, 1 if reconstructions ignore x.",
        "reconstruction/same-class": "Share of reconstructions that a small classifier puts into the class of x.",
    }

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without an encoder or a decoder."""
        return missing(model, "encoder", "decoder")

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Reconstruct the whole split."""
        x, y = model.rows(split)
        reconstructions = model.reconstruct(x, y=y, seed=seed)
        error = (x - reconstructions).double().square().mean().item()
        shuffled = (x.roll(1, dims=0) - reconstructions).double().square().mean().item()
        protocol = {"rows": len(x), "code": "sampled", "range": model.data.support}
        values = {"reconstruction": error, "reconstruction/shuffled": shuffled}
        errors = [
            Score(metric=name, value=value, protocol=protocol, better=None if "shuffled" in name else "lower")
            for name, value in values.items()
        ]
        if shuffled > 0:
            failure = _failure(x, reconstructions, error=error, shuffled=shuffled)
            errors.append(
                Score(
                    metric="reconstruction/ratio",
                    value=error / shuffled,
                    protocol=protocol,
                    better="lower",
                    headline=True,
                    failure=failure,
                )
            )
        return errors + self._same_class(model, reconstructions, split, train)

    def _same_class(self, model: Model, reconstructions: Tensor, split: Split, train: Split) -> list[Score]:
        """Return the share of reconstructions that a classifier puts into x's class, or nothing without one."""
        if classifier.obstacle(model) or split.labels is None or train.labels is None:
            return []
        fitted = classifier.classifier_of(train, model.data)
        labelled = split.labels >= 0  # the label of a row is −1 where it is hidden
        right = (fitted.predict(reconstructions) == split.labels)[labelled]
        share = right.double().mean().item()
        protocol = {"rows": len(right), "code": "sampled", "class": "the label of x"} | fitted.protocol(split)
        name = "reconstruction/same-class"
        return [Score(metric=name, value=share, protocol=protocol, better="higher", headline=True)]


def _standard_error(x: Tensor, reconstructions: Tensor) -> float:
    """Return the standard error, over rows, of the error of reconstructions less that of shuffled pairs.

    That difference is −2 times the mean of (r − mean r)·(x − next x), because the squares of x and r occur in both
    errors. Rows of these products vary less than rows of the errors do.
    """
    centred, steps = reconstructions - reconstructions.mean(0), x - x.roll(1, dims=0)
    products = (centred * steps).flatten(1).mean(1, dtype=torch.float64)
    return 2 * products.std().item() / sqrt(len(x))


def _failure(x: Tensor, reconstructions: Tensor, *, error: float, shuffled: float) -> str | None:
    """Return what is wrong with a model whose ratio is not clearly below 1; None also for a single row."""
    if len(x) < 2:
        return None
    ratio, uncertainty = error / shuffled, _standard_error(x, reconstructions) / shuffled
    text = "reconstructions are no nearer to their originals than to other rows, so the code says nothing of x"
    is_failure = ratio + _DEVIATIONS * uncertainty >= 1
    return f"{text} (reconstruction/ratio {ratio:.4g} ± {uncertainty:.2g})" if is_failure else None
