"""A metric that is fitted to the training rows: samples against data along the data's main directions."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.data import as_input
from genzoo.evaluation import Metric, Model, Score, cached
from genzoo.types import Split


@dataclass(frozen=True, kw_only=True)
class Spread(Metric):
    """The ratio of the spread of samples to that of data, along the direction in which it is furthest from 1."""

    name: ClassVar[str] = "spread"
    measures_held_out: ClassVar[bool] = True
    directions: int = 2
    samples: int = 500

    def obstacle(self, model: Model) -> str | None:
        return model.sampling_obstacle

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        fitted = cached(f"{self.directions} main directions", train, lambda: self._fitted(train))
        made = model.sample(self.samples, seed=seed).flatten(1) @ fitted["directions"]
        ratios = made.std(0) / fitted["spreads"]
        furthest = ratios[ratios.log().abs().argmax()].item()
        return [Score(metric=self.name, value=furthest, protocol={"samples": self.samples})]

    def _fitted(self, train: Split) -> dict[str, Tensor]:
        """Return the directions (numbers of x, directions), and the spread of data along each."""
        x = as_input(train.x).flatten(1)
        directions = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][: self.directions].T
        return {"directions": directions, "spreads": (x @ directions).std(0)}
