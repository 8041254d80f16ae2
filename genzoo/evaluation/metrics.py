"""Metrics, and scores with the protocol by which they were measured."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from genzoo.components import Component
from genzoo.errors import GenzooError, GenzooWarning
from genzoo.evaluation.model import Model
from genzoo.host.isolation import plugin_errors
from genzoo.types import Split, Splits


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number and how it was measured; scores whose protocols differ must not be ranked together."""

    metric: str
    """The metric's name, followed by `/…` for further scores of the same metric."""
    value: float
    protocol: dict[str, Any] = field(default_factory=dict)
    """How it was measured, as JSON data."""
    better: Literal["higher", "lower"] | None = None
    """Which values are better; None if neither."""
    headline: bool = False
    """Whether it stands first in tables; `genzoo runs` shows a run's first headline."""
    failure: str | None = None
    """What is wrong with the model, in a sentence, where the value says that its training has failed; else None."""


@dataclass(frozen=True, kw_only=True)
class Metric(Component):
    """A way to measure a model."""

    kind: ClassVar[str] = "metrics"
    about: ClassVar[Mapping[str, str]] = {}
    """What each of its scores is, in one sentence, by the score's name."""
    measures_held_out: ClassVar[bool] = False
    """Whether it measures samples only, so that held-out rows can be measured in their place."""
    by_default: ClassVar[bool] = True
    """Whether it is measured wherever no metric is named, as after a training; False for one that takes long."""

    @abstractmethod
    def obstacle(self, model: Model) -> str | None:
        """Return why the model cannot be measured, such as `it has no encoder`, or None if it can."""

    @abstractmethod
    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Return the scores of `model` on `split`, stored data; everything drawn depends on `seed` alone.

        `train` is the training split, for metrics that must be fitted first.
        """


def evaluate_model(
    model: Model, splits: Splits, metrics: Sequence[Metric], *, split_name: str, seed: int, strict: bool = False
) -> list[Score]:
    """Return the scores of every metric on the split of that name, each with the full protocol.

    A metric that fails has no scores and gives a `GenzooWarning`; if `strict`, it raises `PluginError`.
    """
    split = getattr(splits, split_name)
    common = {"split": split_name, "seed": seed, "weights": model.weights, "batch_norm": "running"}
    scores: list[Score] = []
    for metric in metrics:
        try:
            with plugin_errors(f"metric '{metric.name}' failed", "name other metrics: --metric M"):
                measured = metric.measure(model, split, train=splits.train, seed=seed)
                scores += [replace(score, protocol={**common, **score.protocol}) for score in measured]
        except GenzooError as error:
            if strict:
                raise
            message = error.found if metric.name in error.found else f"metric '{metric.name}' failed: {error.found}"
            warnings.warn(message, GenzooWarning, stacklevel=2)
    return scores
