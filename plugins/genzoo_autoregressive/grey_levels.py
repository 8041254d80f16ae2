"""Encoder and decoder of an autoregressive model of grey levels: by its distribution functions, pixel after pixel."""

from math import prod

import torch
from torch import Tensor, nn

from genzoo.nn import Decoder, Encoder, at_least_float32
from genzoo.types import Code, DataSpec
from genzoo_autoregressive.quantiles import code_of, index_of


def levels_of(data: DataSpec) -> int:
    """Return the number of grey levels of images, which are stored as bytes where the data set does not say."""
    return data.levels or 256


def as_levels(x: Tensor, levels: int) -> Tensor:
    """Return the grey levels (N, numbers), from 0 to `levels` − 1, of images `x` (N, *shape) in [0, 1]."""
    return (x.flatten(1) * (levels - 1)).round().long()


def log_probabilities(network: nn.Module, x: Tensor) -> Tensor:
    """Return ln P (N, numbers, levels) of all grey levels of every pixel given those before it in `x` (N, *shape)."""
    logits: Tensor = network(2 * x.flatten(1) - 1)
    return at_least_float32(logits).log_softmax(-1)


class GreyLevelEncoder(Encoder):
    """Takes every pixel to a point of the interval that its grey level has under the distribution function.

    So z of x is what the decoder takes to x, and if the model is right, z is standard normal over all x.
    """

    def __init__(self, network: nn.Module, data: DataSpec) -> None:
        super().__init__()
        self.network, self._levels = network, levels_of(data)

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the code of `x` (N, *shape), whose place in each interval `noise` (N, numbers) decides."""
        return Code(z=code_of(log_probabilities(self.network, x), as_levels(x, self._levels), noise))


class GreyLevelDecoder(Decoder):
    """Draws pixel after pixel by the inverse distribution function at uniform numbers, in place of which z is given."""

    def __init__(self, network: nn.Module, data: DataSpec) -> None:
        super().__init__(support=data.support)
        self.network, self._shape, self._levels = network, data.shape, levels_of(data)
        self.evaluations = prod(data.shape)

    @torch.no_grad()
    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape) in [0, 1] itself, of z (N, numbers), which grey levels have no slope by."""
        x = torch.zeros_like(z)
        for number in range(z.shape[1]):
            level = index_of(log_probabilities(self.network, x)[:, number], z[:, number])
            x[:, number] = level / (self._levels - 1)
        return x.view(-1, *self._shape)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape) of z (N, numbers)."""
        return self.logits(z, y)
