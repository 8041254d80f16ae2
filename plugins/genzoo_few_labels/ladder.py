"""Ladder: a classifier of fully connected layers, each of which is also cleaned of noise from above."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec
from genzoo_few_labels.labels import class_cost, classes_of
from genzoo_few_labels.ladder_network import LadderNetwork


@dataclass(frozen=True, kw_only=True)
class Ladder(Game):
    """Ladder network (Rasmus et al., 2015, algorithm 1): cross-entropy of noisy labelled rows, and denoising costs.

    Losses:
        all:  CE(y, noisy P(x)) + Σ_l λ_l·mean (ẑ_l − z_l)² over the layers l, ẑ cleaned from above, z without noise

    Its network is its own, and of the architecture it takes nothing.
    """

    name: ClassVar[str] = "ladder"
    defaults: ClassVar[Mapping[str, Any]] = {
        "training.learning_rate": 5e-3,
        "training.learning_rate_schedule": "linear",
        "training.learning_rate_schedule.start": 0.67,
        "training.beta1": 0.9,
        "training.beta2": 0.999,
    }
    widths: tuple[int, ...] = (250, 100, 50)
    """Of the hidden layers."""
    noise: float = 0.3
    """Standard deviation of the noise on the input and on every layer, all of which are normalised to 1."""
    weights: tuple[float, ...] = (1000.0, 10.0, 0.1)
    """λ of the denoising cost of x and of every layer above it; the last one is that of all further layers."""

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths is {self.widths}, expected at least one number of at least 1")
        if self.noise < 0 or not self.weights or min(self.weights) < 0:
            raise ValueError("noise and weights are expected to be at least 0, and weights not empty")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return the ladder."""
        return Networks(ladder=LadderNetwork((prod(data.shape), *self.widths, classes_of(data))))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the cross-entropy of the noisy path at labelled rows plus the weighted denoising costs."""
        ladder = networks.part("ladder", LadderNetwork)
        logits, costs = ladder.play(batch.x.flatten(1), labelled=batch.labelled_rows, noise=self.noise)
        labels = class_cost(logits, batch)
        weights = [*self.weights, *[self.weights[-1]] * len(costs)]
        denoising = torch.stack([weight * cost for weight, cost in zip(weights, costs, strict=False)]).sum()
        watch = {"labels": labels.detach(), "denoising": denoising.detach()}
        return Losses(players={"generator": labels + denoising}, watch=watch)

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return the logits (N, K) of the clean path."""
        logits: Tensor = networks.part("ladder", LadderNetwork)(x.flatten(1))
        return logits
