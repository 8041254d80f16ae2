"""A sampler that is no decoder: samples are the end of a walk along a velocity (after Liu et al., 2023)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.nn import Architecture, Decoder, Field, at_least_float32
from genzoo.types import Batch, DataSpec, Draw


class Walk(Decoder):
    """Walks from z to x in equal steps."""

    def __init__(self, velocity: Field, data: DataSpec, *, steps: int) -> None:
        super().__init__(support=data.support)
        self.velocity, self.shape, self.evaluations = velocity, data.shape, steps

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the end of the walk, (N, *shape)."""
        x, steps = z.view(-1, *self.shape), self.evaluations or 1
        for step in range(steps):
            x = x + self.velocity(x, torch.full_like(z[:, 0], step / steps)) / steps
        return x

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape), in [0, 1] for images; by default, it would be the sigmoid of the logits."""
        x = self.logits(z)
        return x.clamp(0, 1) if self.support == "unit" else x


@dataclass(frozen=True, kw_only=True)
class LineFlow(Game):
    """Learns the velocity along straight lines from draws of the prior to data."""

    name: ClassVar[str] = "line-flow"
    steps: int = 20
    """Of a walk from z to a sample."""

    @property
    def draws(self) -> Mapping[str, Draw]:
        return {"t": Draw("uniform")}

    def latent(self, architecture: Architecture, data: DataSpec) -> int:
        return prod(data.shape)

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        return Networks(decoder=Walk(architecture.field(data), data, steps=self.steps))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        start, t = batch.z.view_as(batch.x), batch.draws["t"]
        share = t.view(-1, *(1 for _ in batch.x.shape[1:]))
        velocity = networks.part("decoder", Walk).velocity((1 - share) * start + share * batch.x, t)
        error = (at_least_float32(velocity) - (batch.x - start)).square().mean()
        return Losses({"generator": error}, {})
