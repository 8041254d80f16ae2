"""Rectified flow: a velocity that is learned along straight lines between draws from the prior and data."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.games import Prior
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec, Picture
from genzoo_flow.flow_networks import FlowDecoder, FlowEncoder, as_data, scaled
from genzoo_flow.solvers import Heun, Solver


@dataclass(frozen=True, kw_only=True)
class RectifiedFlow(Game):
    """Rectified flow (Liu et al., 2023, equation 1; Lipman et al., 2023): a velocity from the prior to the data.

    Losses:
        v:  E‖v(xₜ, t) − (x₁ − x₀)‖²,  xₜ = (1 − t)·x₀ + t·x₁

    x₀ is a draw of the prior and x₁ the data, where images are in [−1, 1]. The loss is the mean over the numbers of x.
    z has as many numbers as x: the decoder solves dx/dt = v(x, t) from z on, the encoder back.
    """

    name: ClassVar[str] = "rectified-flow"
    defaults: ClassVar[Mapping[str, Any]] = {
        "training.beta1": 0.9,
        "training.beta2": 0.999,
        "training.averaging_half_life": None,
        "training.averaging": 0.999,
    }
    solver: Solver = Heun()

    def latent(self, architecture: Architecture, data: DataSpec) -> int:
        """Return the number of numbers of x."""
        return prod(data.shape)

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return an encoder and a decoder that share the architecture's field."""
        field = architecture.field(data)
        return Networks(
            encoder=FlowEncoder(field, data, solver=self.solver), decoder=FlowDecoder(field, data, solver=self.solver)
        )

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the mean squared difference from the lines' directions, at times uniform in [0, 1]."""
        decoder = networks.part("decoder", FlowDecoder)
        end = scaled(batch.x, decoder.support)
        start = batch.z.view_as(end)
        t = uniform(batch.noise[:, 0])
        share = t.view(-1, *(1 for _ in end.shape[1:]))
        velocity = decoder.field((1 - share) * start + share * end, t)
        loss = (at_least_float32(velocity) - (end - start)).square().mean()
        return Losses(players={"generator": loss}, watch={})

    def pictures(self, networks: Networks, batch: Batch, prior: Prior) -> dict[str, Picture]:
        """Return `trajectories`: where x is at nine times from prior to data, by 64 steps of Heun's method."""
        decoder = networks.part("decoder", FlowDecoder)
        count = 8 if decoder.support == "unit" else 64
        path = [batch.z[:count].view(-1, *batch.x.shape[1:])]
        for number in range(_PARTS):
            start, end = number / _PARTS, (number + 1) / _PARTS
            path.append(Heun(steps=8).integrate(decoder.field, path[-1], start=start, end=end))
        x = as_data(torch.stack(path, 1).flatten(0, 1), decoder.support)
        headings = tuple(f"t = {number / _PARTS:g}" for number in range(_PARTS + 1))
        return {"trajectories": Picture(x, columns=_PARTS + 1, headings=headings, joined=True)}


_PARTS = 8
"""Into which the time of a trajectory is cut."""


def uniform(noise: Tensor) -> Tensor:
    """Return numbers uniform in [0, 1] in place of standard normal ones, of any shape."""
    numbers: Tensor = torch.special.ndtr(noise)
    return numbers
