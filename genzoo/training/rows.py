"""Tensors of R replicas in one memory, of which each replica's are slices."""

from collections.abc import Sequence

import torch
from torch import Tensor

_ALIGNMENT = 4
"""Elements: matrix products are fastest on operands that begin at a multiple of 16 bytes."""


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors of one shape stacked as (R, …); they become slices of it."""
    stack = torch.stack([tensor.detach() for tensor in tensors]).contiguous()
    for tensor, part in zip(tensors, stack.unbind(), strict=True):
        tensor.data = part
    return stack


class ReplicaRows:
    """Several tensors of each of R replicas, which become parts of that replica's row in one tensor."""

    def __init__(self, replicas: Sequence[Sequence[Tensor]]) -> None:
        self._shapes = [tensor.shape for tensor in replicas[0]]
        widths = [shape.numel() + -shape.numel() % _ALIGNMENT for shape in self._shapes]
        self.whole = replicas[0][0].detach().new_zeros(len(replicas), sum(widths))
        """(R, P), with zeros in the gaps between parts."""
        self.parts = [
            columns[:, : shape.numel()].view(-1, *shape)
            for columns, shape in zip(torch.split(self.whole, widths, dim=1), self._shapes, strict=True)
        ]
        """(R, *shape) each."""
        self._gaps = [self.whole.new_zeros(len(replicas), width) for width in range(_ALIGNMENT)]
        for part, tensors in zip(self.parts, zip(*replicas, strict=True), strict=True):
            for row, tensor in zip(part.unbind(), tensors, strict=True):
                row.copy_(tensor.detach())
                tensor.data = row

    def joined(self, values: Sequence[Tensor]) -> Tensor:
        """Return other values of the parts, (R, *shape) each, in the layout of `whole`."""
        pieces: list[Tensor] = []
        for value, shape in zip(values, self._shapes, strict=True):
            pieces += [value.reshape(-1, shape.numel()), self._gaps[-shape.numel() % _ALIGNMENT]]
        return torch.cat([piece for piece in pieces if piece.numel()], dim=1)
