"""A metric that is fitted to the training rows: samples against data along the data's main directions."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from genzoo.data import as_input
from genzoo.evaluation import Metric, Model, Score
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
        x, made = (rows.flatten(1) for rows in (as_input(train.x), model.sample(self.samples, seed=seed)))
        _, _, directions = torch.linalg.svd(x - x.mean(0), full_matrices=False)
        along = directions[: self.directions].T
        ratios = (made @ along).std(0) / (x @ along).std(0)
        furthest = ratios[ratios.log().abs().argmax()].item()
        return [Score(metric=self.name, value=furthest, protocol={"samples": self.samples})]
