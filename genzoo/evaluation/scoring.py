"""Scoring: which installed metrics can measure a model, and storing their scores in a run."""

import math
from collections.abc import Sequence
from typing import Any

from genzoo.components import from_json, to_json
from genzoo.errors import GenzooError, warn
from genzoo.evaluation.metrics import Metric, evaluate_model
from genzoo.evaluation.model import Model
from genzoo.host.discovery import registry
from genzoo.host.isolation import plugin_errors, removal
from genzoo.randomness import preserved
from genzoo.storage.run_folder import Run
from genzoo.types import SplitName, Splits


def measure(
    run: Run,
    model: Model,
    splits: Splits,
    metrics: Sequence[Metric],
    *,
    data: str | None,
    split: SplitName,
    seed: int,
    strict: bool = False,
) -> list[dict[str, Any]]:
    """Return the scores and add them to the run's evaluation.json; a value that is not finite is stored as None.

    `data` is the fingerprint of the splits' data set.
    """
    with preserved():
        scores = evaluate_model(model, splits, metrics, split_name=split, seed=seed, strict=strict)
    stored = [
        {
            "step": model.step,
            **to_json(score),
            "value": score.value if math.isfinite(score.value) else None,
            "data": data,
        }
        for score in scores
    ]
    run.write_scores(stored)
    return stored


def measure_for_selection(
    run: Run,
    model: Model,
    splits: Splits,
    metrics: Sequence[Metric],
    scores: Sequence[dict[str, Any]],
    *,
    data: str | None,
    seed: int,
) -> None:
    """Measure the metric of the first headline among `scores` on the validation split, with draws of its own.

    A run that is evaluated along its way is so chosen from by other rows and samples than its test scores show.
    """
    headline = next((score["metric"] for score in scores if score["headline"]), None)
    chosen = [metric for metric in metrics if headline is not None and metric.name == headline.partition("/")[0]]
    if chosen:
        measure(run, model, splits, chosen, data=data, split="validation", seed=selection_seed(seed))


def selection_seed(seed: int) -> int:
    """Return the seed of the scores by which the best step of a run with this seed is chosen."""
    return seed + 1_000_000


def applicable_metrics(model: Model) -> list[Metric]:
    """Return every installed metric that can measure the model and is measured by default."""
    return [metric for metric, obstacle in metrics_with_obstacles(model) if obstacle is None]


def metrics_with_obstacles(model: Model) -> list[tuple[Metric, str | None]]:
    """Return every metric that is measured by default, with the reason why it cannot measure the model, or None.

    A broken metric is left out with a warning.
    """
    pairs = []
    for entry in registry().of("metrics"):
        try:
            metric = metric_called(entry.qualified)
            if not metric.by_default:
                continue
            with plugin_errors(f"{entry} failed", removal(entry.plugin.distribution)):
                pairs.append((metric, metric.obstacle_here(model)))
        except GenzooError as error:
            warn([error.found])
    return pairs


def metric_called(name: str) -> Metric:
    """Return the metric of that name with its defaults; FILE.py:CLASS and MODULE:CLASS are imported, as models are."""
    metric = from_json(Metric, {"name": registry().named("metrics", name)}, resolve=registry().resolve, path="metric")
    assert isinstance(metric, Metric)
    return metric
