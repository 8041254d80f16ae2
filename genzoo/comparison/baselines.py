"""Baselines: the scores of held-out data, and of networks before their first step, for comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from genzoo.comparison.cells import Cell
from genzoo.comparison.results import Baseline, BaselineScore, summary
from genzoo.data.labels import label_frequencies
from genzoo.evaluation.metrics import Metric, evaluate_model
from genzoo.evaluation.model import Model
from genzoo.evaluation.scoring import applicable_metrics
from genzoo.randomness import preserved
from genzoo.training.settings import Settings
from genzoo.training.trainer import Trainer
from genzoo.types import Splits


def baselines_of(contestants: Mapping[str, Cell], models: Mapping[str, Model], splits: Splits) -> tuple[Baseline, ...]:
    """Return the scores of held-out rows, and of every contestant's networks before their first step.

    `splits` hold all labels; a metric is given those that its contestant may use, or for held-out rows the first one.
    """
    baselines = []
    if models:
        rows = held_out(next(iter(models.values())), splits)
        settings = next(iter(contestants.values())).settings
        metrics = [metric for metric in applicable_metrics(rows) if metric.measures_held_out]
        if metrics:
            baselines.append(_baseline("held-out samples", rows, _usable(settings, splits), metrics))
    for label, cell in contestants.items():
        if cell.request is not None and cell.settings.source is None:
            usable = _usable(cell.settings, splits)
            model = untrained(cell, usable)
            baselines.append(_baseline(f"{label}, untrained", model, usable, applicable_metrics(model)))
    return tuple(baselines)


def untrained(cell: Cell, splits: Splits) -> Model:
    """Return a cell's networks before their first step, on the CPU."""
    settings = cell.settings
    trainer = Trainer(settings, splits.train, seed=cell.job.seed, device=torch.device("cpu"))
    frequencies = label_frequencies(splits.train.labels, settings.dataset.spec)
    return Model.of(settings, trainer.networks, device=trainer.device, label_frequencies=frequencies)


@dataclass(frozen=True, kw_only=True)
class HeldOut(Model):
    """A model whose samples are the rows of the validation split, in their order."""

    splits: Splits

    def sample(self, count: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """Return the first `count` validation rows (count, *shape), repeated from the start if there are fewer."""
        x, _ = self.rows(self.splits.validation)
        return x[torch.arange(count) % len(x)]


def held_out(model: Model, splits: Splits) -> Model:
    """Return the held-out rows as a model for metrics of samples; its networks are those of `model`."""
    return HeldOut(**{field.name: getattr(model, field.name) for field in fields(model)}, splits=splits)


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
            )
            for score in scores
        ),
    )
