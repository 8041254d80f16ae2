"""Wasserstein autoencoder: an autoencoder whose codes are matched to the prior by their mean discrepancy."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class WAE(Game):
    """Wasserstein autoencoder (Tolstikhin et al., 2018, algorithm 2): codes that are distributed as the prior.

    Losses:
        E, G:  E‖x − x̂‖² + λ·MMD²(ẑ, z)

    The discrepancy is unbiased, between the batch's codes and as many draws of the prior, which may be any. It compares
    rows with each other, so that on several ranks it is that of each rank's rows.
    """

    name: ClassVar[str] = "wae"
    defaults: ClassVar[Mapping[str, Any]] = {"training.beta1": 0.5, "training.beta2": 0.999}
    weight: float = 200.0
    """λ, beside squares summed over the numbers of x; on that scale, the authors' scripts have 200 or 2,000."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return an encoder of points and a decoder."""
        return Networks(encoder=architecture.encoder(data, posterior="point"), decoder=architecture.decoder(data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the squared error, summed over the numbers of x and averaged over rows, and the weighted MMD²."""
        z = at_least_float32(networks.encode(batch.x, batch.noise).z)
        away = batch.x - at_least_float32(networks.decode(z))
        reconstruction = away.square().flatten(1).sum(1).mean()
        mismatch = squared_mmd(z, batch.z, kernel=inverse_multiquadratics(z.shape[1]))
        watch = {"reconstruction": reconstruction.detach(), "mmd": mismatch.detach()}
        return Losses(players={"generator": reconstruction + self.weight * mismatch}, watch=watch)


Kernel = Callable[[Tensor], Tensor]
"""The kernel as a function of squared distances, elementwise."""


def inverse_multiquadratics(latent: int) -> Kernel:
    """Return the sum of C/(C + d²) over C = 2·latent·s, with seven scales s from 0.1 to 10."""
    return lambda squares: sum(
        (c / (c + squares) for c in (2 * latent * s for s in _SCALES)), torch.zeros_like(squares)
    )


def squared_mmd(a: Tensor, b: Tensor, *, kernel: Kernel) -> Tensor:
    """Return the unbiased estimate () of the squared mean discrepancy of rows `a` (N, D) and `b` (M, D)."""
    return _mean_of_pairs(a, kernel) + _mean_of_pairs(b, kernel) - 2 * kernel(_squared_distances(a, b)).mean()


def _mean_of_pairs(rows: Tensor, kernel: Kernel) -> Tensor:
    """Return the mean of the kernel () over pairs of different rows."""
    count, values = len(rows), kernel(_squared_distances(rows, rows))
    return (values.sum() - values.diagonal().sum()) / (count * (count - 1))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return (N, M), for `a` (N, D) and `b` (M, D), without the cancellation that products would bring."""
    return (a[:, None] - b).square().sum(2)
