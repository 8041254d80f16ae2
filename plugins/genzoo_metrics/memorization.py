"""Memorisation: whether samples are nearer to the training data than held-out data are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.data import as_input
from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split


@dataclass(frozen=True, kw_only=True)
class NearestNeighbour(Metric):
    """Median distance of samples to their nearest training row, over that of held-out rows to theirs.

    A value well below 1 means that the model repeats training rows; `nearest-neighbour/held-out` is the divisor, and
    where it is 0, because most held-out rows are training rows as well, there is no quotient.
    Distances are Euclidean, between the numbers of x.
    """

    name: ClassVar[str] = "nearest-neighbour"
    about: ClassVar[Mapping[str, str]] = {
        "nearest-neighbour": "Distance of samples to the nearest training row, over held-out rows'; memory is below 1.",
        "nearest-neighbour/held-out": "Median distance of held-out rows to the nearest training row, the divisor.",
    }
    measures_held_out: ClassVar[bool] = True
    samples: int = 1000
    training_rows: int = 20_000

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without samples."""
        return model.sampling_obstacle

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Compare samples and held-out rows with the first training rows."""
        training = as_input(train.x[: self.training_rows]).flatten(1).to(model.device)
        held_out = as_input(split.x[: self.samples]).flatten(1).to(model.device)
        samples = model.sample(self.samples, seed=seed).flatten(1)
        of_samples, of_held_out = (_median_distance(rows, training) for rows in (samples, held_out))
        protocol = {"samples": len(samples), "rows": len(held_out), "training rows": len(training)}
        scores = [Score(metric="nearest-neighbour/held-out", value=of_held_out, protocol=protocol)]
        if of_held_out > 0:
            scores.append(Score(metric="nearest-neighbour", value=of_samples / of_held_out, protocol=protocol))
        return scores


def _median_distance(rows: Tensor, training: Tensor) -> float:
    """Return the median over `rows` (N, D) of the distance to the nearest of `training` (M, D).

    In float64, because |a|² + |b|² − 2ab of near points cancels: in float32, distances below 0.003 of a plane's points
    around (4, 4) were rounded to the same few values.
    """
    rows, training = rows.double(), training.double()
    return torch.cat([torch.cdist(part, training).amin(1) for part in torch.split(rows, 100)]).median().item()
