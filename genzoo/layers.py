"""The two layers that torch lacks: maxout, and a bias for every position."""

import torch
from torch import Tensor, nn

from genzoo.networks import row_wise


@row_wise
class MaxoutLayer(nn.Module):
    """The maximum over neighbouring groups of `pieces` channels."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C/pieces, …) for `x` (N, C, …)."""
        return x.reshape(len(x), -1, self.pieces, *x.shape[2:]).amax(2)


@row_wise
class UntiedBias(nn.Module):
    """Adds one value per map and position."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def reset_parameters(self) -> None:
        """Set the bias to 0."""
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (N, *shape) plus the bias."""
        return x + self.bias
