"""The ladder's network: a path up, clean and noisy, and a path down that removes the noise."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from genzoo.nn import keeps_start

_EPS = 1e-5


@keeps_start
class LadderNetwork(nn.Module):
    """Fully connected layers of these `widths`, from the numbers of x to the classes, and their way back."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.up = nn.ModuleList(_map(below, above) for below, above in pairs)
        self.down = nn.ModuleList(_map(above, below) for below, above in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(above, affine=False, eps=_EPS) for _, above in pairs)
        self.shifts = nn.ParameterList(torch.zeros(above) for _, above in pairs)
        self.scale = nn.Parameter(torch.ones(widths[-1]))
        self.combine = nn.ParameterList(torch.tensor(_START)[:, None].repeat(1, width) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits (N, K) of the clean path for x (N, D), whose statistics are kept for inference."""
        h = x
        for number, (up, norm) in enumerate(zip(self.up, self.norms, strict=True)):
            h = self._activated(norm(up(h)), number)
        return h

    def play(self, x: Tensor, *, labelled: int, noise: float) -> tuple[Tensor, list[Tensor]]:
        """Return the noisy path's logits (N, K), and the denoising costs () of x and of every layer above it.

        The first `labelled` rows have batch statistics of their own and no denoising cost.
        """
        logits, noisy = self._noisy(x, labelled=labelled, noise=noise)
        clean, moments = self._clean(x[labelled:])
        noisy = [layer[labelled:] for layer in noisy]
        costs: list[Tensor] = []
        above = logits[labelled:].softmax(1)
        for number in reversed(range(len(noisy))):
            signal = _normalised(above if number == len(self.down) else self.down[number](above))
            above = denoised(noisy[number], signal, self.combine[number])
            mean, std = moments[number]
            costs.append(((above - mean) / std - clean[number]).square().mean())
        return logits, costs[::-1]

    def _noisy(self, x: Tensor, *, labelled: int, noise: float) -> tuple[Tensor, list[Tensor]]:
        """Return logits and all layers z (N, width), with noise, of the noisy path."""
        h = x + noise * torch.randn_like(x)
        layers = [h]
        for number, up in enumerate(self.up):
            lower = up(h)
            parts = [_normalised(part) for part in (lower[:labelled], lower[labelled:]) if len(part)]
            z = torch.cat(parts)
            layers.append(z + noise * torch.randn_like(z))
            h = self._activated(layers[-1], number)
        return h, layers

    def _clean(self, x: Tensor) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Return all layers z (N, width) of the clean path, and mean and std (width,) of each before its norm."""
        h, layers = x, [x]
        moments = [(torch.zeros_like(x[0]), torch.ones_like(x[0]))]  # x itself is not normalised
        for number, (up, norm) in enumerate(zip(self.up, self.norms, strict=True)):
            lower = up(h)
            moments.append((lower.mean(0), (lower.var(0, correction=0) + _EPS).sqrt()))
            layers.append(norm(lower))
            h = self._activated(layers[-1], number)
        return layers, moments

    def _activated(self, z: Tensor, number: int) -> Tensor:
        """Return the layer's output: a ReLU of z + β, and at the top the logits γ·(z + β)."""
        shifted = z + self.shifts[number]
        activated: Tensor = self.scale * shifted if number == len(self.up) - 1 else shifted.relu()
        return activated


_START = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0)
"""a1 … a10, with which μ is 0 and v is 1."""


def denoised(noisy: Tensor, signal: Tensor, combine: Tensor) -> Tensor:
    """Return (z̃ − μ(u))·v(u) + μ(u) for noisy z̃ (N, width), the signal u (N, width), and a1 … a10 (10, width)."""
    a = combine
    mean = a[0] * (a[1] * signal + a[2]).sigmoid() + a[3] * signal + a[4]
    share = a[5] * (a[6] * signal + a[7]).sigmoid() + a[8] * signal + a[9]
    return (noisy - mean) * share + mean


def _normalised(rows: Tensor) -> Tensor:
    """Return rows (N, width) with mean 0 and variance 1 over the batch."""
    return batch_norm(rows, None, None, training=True, eps=_EPS)


def _map(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear map without bias whose weights are N(0, 1/inputs)."""
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(linear.weight, std=inputs**-0.5)
    return linear
