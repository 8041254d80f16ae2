"""SWAE: an autoencoder whose codes are matched to the prior along random directions."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import mse_loss, normalize

from genzoo import Game, Losses, Networks
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec


@dataclass(frozen=True, kw_only=True)
class SWAE(Game):
    """Sliced-Wasserstein autoencoder: reconstructs x, and sorts codes like draws of the prior along directions."""

    name: ClassVar[str] = "swae"
    weight: float = 10.0
    """Of the squared distance of sorted codes from sorted draws."""
    directions: int = 50

    def __post_init__(self) -> None:
        if self.weight < 0 or self.directions < 1:
            raise ValueError("expected weight of at least 0, and directions of at least 1")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        return Networks(encoder=architecture.encoder(data, posterior="point"), decoder=architecture.decoder(data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        z = at_least_float32(networks.encode(batch.x, batch.noise).z)
        error = (batch.x - networks.decode(z)).square().flatten(1).sum(1).mean()
        along = normalize(torch.randn(z.shape[1], self.directions, device=z.device), dim=0)
        distance = mse_loss((z @ along).sort(dim=0).values, (batch.z @ along).sort(dim=0).values)
        watch = {"reconstruction": error.detach(), "distance": distance.detach()}
        return Losses(players={"generator": error + self.weight * distance}, watch=watch)
