"""Autoregressive model: the probability of an image as a product over its pixels, each given those before it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import log, prod
from typing import Any, ClassVar

from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.games import Prior, Setup, StandardNormal
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec
from genzoo_autoregressive.grey_levels import (
    GreyLevelDecoder,
    GreyLevelEncoder,
    as_levels,
    levels_of,
    log_probabilities,
)
from genzoo_autoregressive.masked import MaskedNetwork, check_sizes

_MOST_NUMBERS = 256


@dataclass(frozen=True, kw_only=True)
class Autoregressive(Game):
    """Autoregressive model (MADE: Germain et al., 2015, equation 2): every number given those before, in nats per row.

    Losses:
        all:  −Σᵢ ln P(xᵢ | x₁ … xᵢ₋₁)

    x are grey levels, row by row as in PixelRNN (van den Oord et al., 2016). Its network is its own: of the
    architecture it takes nothing. z has as many numbers as x; the decoder draws pixel after pixel, by the inverse
    distribution function at Φ(z), and the encoder takes x back to such a z.
    """

    name: ClassVar[str] = "autoregressive"
    priors: ClassVar[tuple[type[Prior], ...]] = (StandardNormal,)
    # Of 500, 1,000, 1,500 and 2,000 steps on digits, 1,000 were best on the validation split (seed 100).
    defaults: ClassVar[Mapping[str, Any]] = {"training.steps": 1000, "training.beta1": 0.9, "training.beta2": 0.999}
    width: int = 6
    """Hidden units per pixel in each layer."""
    layers: int = 2
    dropout: float = 0.3
    """Of the hidden units."""

    def __post_init__(self) -> None:
        check_sizes(self.width, self.layers, self.dropout)

    def needs(self, setup: Setup) -> str | None:
        """Return that the game needs small images: its network grows with the square of the numbers of x."""
        is_small = setup.data.is_image and prod(setup.data.shape) <= _MOST_NUMBERS
        return None if is_small else f"images of at most {_MOST_NUMBERS} numbers, each of which it draws by itself"

    def latent(self, architecture: Architecture, data: DataSpec) -> int:
        """Return the number of numbers of x."""
        return prod(data.shape)

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return an encoder and a decoder that share a masked network."""
        network = MaskedNetwork(
            prod(data.shape), outputs=levels_of(data), width=self.width, layers=self.layers, dropout=self.dropout
        )
        return Networks(encoder=GreyLevelEncoder(network, data), decoder=GreyLevelDecoder(network, data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return −ln P(x) in nats, averaged over rows; bits per dimension are watched."""
        loss = -self.log_probability(networks, batch.x).mean()
        bits = loss.detach() / (prod(batch.x.shape[1:]) * log(2))
        return Losses(players={"generator": loss}, watch={"bits_per_dimension": bits})

    def log_probability(self, networks: Networks, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return ln P(x) (N,) in nats."""
        of_levels = log_probabilities(networks.part("decoder", GreyLevelDecoder).network, x)
        level = as_levels(x, of_levels.shape[-1]).unsqueeze(-1)
        return of_levels.gather(-1, level).flatten(1).sum(1)
