"""Baselines: the scores of held-out data, of noise, and of networks before their first step, for comparison."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import prod

import torch
from torch import Tensor

from genzoo.comparison.cells import Cell
from genzoo.comparison.results import HELD_OUT, Baseline, BaselineScore, summary
from genzoo.data.dataset import as_input
from genzoo.data.labels import label_frequencies
from genzoo.evaluation.decodings import Decodings
from genzoo.evaluation.metrics import Metric, evaluate_model
from genzoo.evaluation.model import Model
from genzoo.evaluation.scoring import applicable_metrics
from genzoo.randomness import generator, preserved
from genzoo.training.settings import Settings
from genzoo.training.trainer import Trainer
from genzoo.types import DataSpec, Splits

_LARGEST = 1024
"""The largest number of values per x for which a covariance matrix is fitted."""


def baselines_of(
    contestants: Mapping[str, Cell], models: Mapping[str, Model], starts: Mapping[str, Trainer], splits: Splits
) -> tuple[Baseline, ...]:
    """Return the scores of held-out rows, of noise, and of every contestant's networks before their first step.

    `starts` are the trainings before their first step. `splits` hold all labels; a metric is given those that its
    contestant may use, or for samplers the first one.
    """
    baselines = []
    if models:
        sampling = (label for label, model in models.items() if model.sampling_obstacle is None)
        label = next(sampling, next(iter(models)))
        model, usable = models[label], _usable(contestants[label].settings, splits)
        metrics = [metric for metric in applicable_metrics(model) if metric.measures_held_out]
        samplers = samplers_of(model, splits) if metrics else {}
        baselines += [_baseline(label, sampler, usable, metrics) for label, sampler in samplers.items()]
    for label, start in starts.items():
        if contestants[label].request is not None and start.settings.source is None:
            usable = _usable(start.settings, splits)
            model = untrained(start, usable)
            baselines.append(_baseline(f"{label}, untrained", model, usable, applicable_metrics(model)))
    return tuple(baselines)


def start_of(cell: Cell, splits: Splits) -> Trainer:
    """Return a cell's training before its first step, on the CPU."""
    return Trainer(cell.settings, splits.train, seed=cell.job.seed, device=torch.device("cpu"))


def untrained(start: Trainer, splits: Splits) -> Model:
    """Return the networks of a training before its first step; an average of weights is then the weights."""
    settings = start.settings
    frequencies = label_frequencies(splits.train.labels, settings.dataset.spec)
    weights = "raw" if settings.training.decay is None else "averaged"
    return Model.of(settings, start.networks, device=start.device, label_frequencies=frequencies, weights=weights)


DrawRows = Callable[[int, torch.Generator], Tensor]
"""Draws (count, *shape) rows of x."""


@dataclass(frozen=True, kw_only=True)
class Sampler(Model):
    """A model whose samples are drawn without its networks, for metrics of samples."""

    draw: DrawRows

    def sample(self, count: int, *, seed: int = 0, y: Tensor | None = None) -> Decodings:
        """Return up to `count` samples (…, *shape)."""
        return Decodings.of(self.draw(count, generator("cpu", seed, "baseline")).to(self.device), self.data)


def samplers_of(model: Model, splits: Splits) -> dict[str, Sampler]:
    """Return by label the baselines that `model` is measured beside, with its networks and data.

    The held-out rows are those of the validation split, each at most once. Noise is uniform over [0, 1] for `unit`
    support, and over the range of the training rows for `real` support. The Gaussian has the mean and covariance of the
    training rows, clipped to [0, 1] for `unit` support; it is left out for large x.
    """
    draws: dict[str, DrawRows] = {
        HELD_OUT: lambda count, source: as_input(splits.validation.x[:count]),
        "noise": _noise(model.data, splits.train.x),
    }
    if prod(model.data.shape) <= _LARGEST:
        draws["Gaussian"] = _gaussian(model.data, splits.train.x)
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    return {label: Sampler(**values, draw=draw) for label, draw in draws.items()}


def _noise(data: DataSpec, x: Tensor) -> DrawRows:
    """Return uniform noise over the range of the rows `x`, as they are stored."""
    low, width = (0.0, 1.0) if data.support == "unit" else (x.amin(0), x.amax(0) - x.amin(0))

    def draw(count: int, source: torch.Generator) -> Tensor:
        noise: Tensor = torch.rand(count, *data.shape, generator=source) * width + low
        return noise

    return draw


def _gaussian(data: DataSpec, x: Tensor) -> DrawRows:
    """Return draws from the Gaussian with the mean and covariance of the rows `x`, as they are stored."""
    rows = as_input(x).flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(rows.T).reshape(rows.shape[1], rows.shape[1]))
    factor = (vectors * values.clamp(min=0).sqrt()).T  # (D, D)

    def draw(count: int, source: torch.Generator) -> Tensor:
        normal = torch.randn(count, len(factor), generator=source, dtype=torch.float64)
        samples: Tensor = (rows.mean(0) + normal @ factor).float().view(count, *data.shape)
        return samples.clamp(0, 1) if data.support == "unit" else samples

    return draw


def _usable(settings: Settings, splits: Splits) -> Splits:
    return splits._replace(train=settings.usable(splits.train))


def _baseline(label: str, model: Model, splits: Splits, metrics: Sequence[Metric]) -> Baseline:
    with preserved():
        scores = evaluate_model(model, splits, metrics, split_name="test", seed=0)
    return Baseline(
        label=label,
        scores=tuple(
            BaselineScore(
                metric=score.metric,
                value=score.value,
                protocol=score.protocol,
                better=score.better,
                final=summary([score.value]),
                headline=score.headline,
            )
            for score in scores
        ),
    )
