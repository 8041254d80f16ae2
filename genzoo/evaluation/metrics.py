"""Metrics, and scores with the protocol by which they were measured."""

import json
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from genzoo.components import Component, to_json
from genzoo.data import downloads
from genzoo.data.downloads import Download
from genzoo.data.root import data_root
from genzoo.errors import GenzooError, GenzooWarning, PluginError, UnreadableError, place_of
from genzoo.evaluation.model import Model
from genzoo.host.isolation import plugin_errors
from genzoo.text import in_a_line, short_repr
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
    downloads: ClassVar[tuple[Download, ...]] = ()
    """The files that it needs: `genzoo data fetch NAME` gets them, and `downloaded` returns their paths."""
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

    @final
    def downloaded(self, file: str) -> Path:
        """Return the path of one of its `downloads`, checked; raise `UnreadableError` where it is not here."""
        download = next(each for each in self.downloads if each.file == file)
        path = downloads.folder_of(self, data_root()) / file
        if not path.is_file():
            raise UnreadableError(f"{path} is missing", self._remedy)
        downloads.check(download, path)
        return path

    @final
    def obstacle_here(self, model: Model) -> str | None:
        """Return the `obstacle`, or that its files are not on this machine, or None."""
        folder = downloads.folder_of(self, data_root())
        missing = [each.file for each in self.downloads if not (folder / each.file).is_file()]
        return self.obstacle(model) or (f"{', '.join(missing)} is not here; {self._remedy}" if missing else None)

    @property
    def _remedy(self) -> str:
        return f"type: genzoo data fetch {self.name}"


def evaluate_model(
    model: Model, splits: Splits, metrics: Sequence[Metric], *, split_name: str, seed: int, strict: bool = False
) -> list[Score]:
    """Return the scores of every metric on the split of that name, each with the full protocol.

    A metric that fails, or whose scores cannot be stored, has none and gives a `GenzooWarning`; if `strict`, it raises
    `PluginError`.
    """
    split = getattr(splits, split_name)
    common = {"split": split_name, "seed": seed, "weights": model.weights, "batch_norm": "running"}
    scores: list[Score] = []
    for metric in metrics:
        try:
            with plugin_errors(f"metric '{metric.name}' failed", "name other metrics: --metric M"):
                measured = metric.measure(model, split, train=splits.train, seed=seed)
                _check_scores(metric, measured)
                scores += [replace(score, protocol={**common, **score.protocol}) for score in measured]
        except GenzooError as error:
            if strict:
                raise
            message = (
                error.found if f"'{metric.name}'" in error.found else f"metric '{metric.name}' failed: {error.found}"
            )
            warnings.warn(message, GenzooWarning, stacklevel=2)
    return scores


def _check_scores(metric: Metric, scores: Sequence[Score]) -> None:
    """Raise `PluginError` unless a metric answered a list of values of `Score` that JSON can hold."""
    fault = fault_of_scores(scores)
    if fault is not None:
        found, remedy = fault
        raise PluginError(f"metric '{metric.name}' failed: {place_of(type(metric), 'measure')}: {found}", remedy)


def fault_of_scores(scores: Sequence[Score]) -> tuple[str, str] | None:
    """Return what is wrong with the answer of a metric and what to write instead, or None."""
    if not isinstance(scores, list | tuple):
        return f"it returned {short_repr(scores)}, expected a list of scores", "return [Score(…)]"
    for score in scores:
        if not isinstance(score, Score):
            return f"it returned {short_repr(score)} for a score", "return values of Score"
        if not isinstance(score.value, float | int):
            found = f"the value of '{score.metric}' is a {type(score.value).__name__}, expected a float"
            return found, "return float(…)"
        try:
            json.dumps(to_json(replace(score, value=0.0)), sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            return (
                f"the protocol of '{score.metric}' is no JSON data: {in_a_line(error)}",
                "write numbers and text in it",
            )
    return None
