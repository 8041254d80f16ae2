"""Masked networks: what they say of a number depends on the numbers before it alone."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from genzoo.nn import keeps_start, row_wise


@row_wise
class MaskedLinear(nn.Linear):
    """A linear map from groups of units to groups, one per number: a group reads those of earlier numbers.

    Unless it is `strict`, it reads that of its own number as well.
    """

    def __init__(self, numbers: int, inputs: int, outputs: int, *, strict: bool = False) -> None:
        """Take `inputs` units per number and give `outputs`."""
        super().__init__(numbers * inputs, numbers * outputs)
        self._groups = (numbers, outputs, numbers, inputs)
        self._nearest = -1 if strict else 0

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, numbers·outputs) for `x` (N, numbers·inputs)."""
        numbers = self._groups[0]
        mask = torch.ones(numbers, numbers, device=x.device, dtype=self.weight.dtype).tril(self._nearest)
        weight = self.weight.view(self._groups) * mask[:, None, :, None]
        return linear(x, weight.view_as(self.weight), self.bias)


@keeps_start
@row_wise
class MaskedNetwork(nn.Module):
    """A masked autoencoder (Germain et al., 2015, MADE) of residual layers, whose outputs start at 0.

    The outputs for a number read the numbers before it, and all of a context.
    """

    def __init__(
        self,
        numbers: int,
        *,
        outputs: int,
        width: int,
        layers: int,
        inputs: int = 1,
        context: int = 0,
        dropout: float = 0.0,
    ) -> None:
        """Take `inputs` and `width` hidden units per number and give `outputs`; a context, if any, has its numbers."""
        super().__init__()
        self._outputs = (numbers, outputs)
        self.first = MaskedLinear(numbers, inputs, width, strict=True)
        self.context = nn.Linear(context, numbers * width) if context else None
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Dropout(dropout), MaskedLinear(numbers, width, width)) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.last = MaskedLinear(numbers, width, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return (N, numbers, outputs) for `x` (N, numbers·inputs) and a `context` (N, its numbers)."""
        h = self.first(x)
        if self.context is not None:
            h = h + self.context(context)
        for layer in self.hidden:
            h = h + layer(h)
        out: Tensor = self.last(self.dropout(h.relu())).unflatten(1, self._outputs)
        return out


def check_sizes(width: int, layers: int, dropout: float) -> None:
    """Raise `ValueError` for sizes of which there is no masked network."""
    if width < 1 or layers < 0 or not 0 <= dropout < 1:
        raise ValueError("expected a width of at least 1, layers of at least 0, and 0 ≤ dropout < 1")
