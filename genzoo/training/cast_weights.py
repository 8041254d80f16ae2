"""Weights in half precision for one step, cast all at once where autocast would cast each by itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from genzoo.games.game import Players

_CAST_BY_AUTOCAST = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
"""The modules, of these very classes, whose weights and biases autocast casts whenever they are used."""


class CastWeights:
    """The weights of linear maps and convolutions, which a step reads in the precision of its autocast.

    A step's numbers are those of autocast to the bit, and its gradients are of the weights themselves; but it casts
    them by two operations per player, there and back, in place of two per weight.
    """

    def __init__(self, networks: nn.Module, players: Players, *, dtype: torch.dtype) -> None:
        owners = {id(parameter): player for player, part in players.items() for parameter in part}
        self._dtype = dtype
        self._places: dict[str, dict[int, list[tuple[nn.Module, str]]]] = {}
        """Where a weight is looked for, by player and weight; several modules may share one."""
        for module in networks.modules():
            if type(module) in _CAST_BY_AUTOCAST:
                for name, parameter in module.named_parameters(recurse=False):
                    of_player = self._places.setdefault(owners.get(id(parameter), ""), {})
                    of_player.setdefault(id(parameter), []).append((module, name))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the modules compute with their cast weights inside the `with` block."""
        # A node for each player, because autograd computes the gradients of all that a node was given.
        for part in self._places.values():
            weights = [getattr(*places[0]) for places in part.values()]
            for places, weight in zip(part.values(), _Cast.apply(self._dtype, *weights), strict=True):
                for module, name in places:
                    vars(module)[name] = weight  # is found before the parameter, which stays where it is
        try:
            yield
        finally:
            for part in self._places.values():
                for module, name in (place for places in part.values() for place in places):
                    del vars(module)[name]


class _Cast(torch.autograd.Function):
    """Tensors in another precision, and their gradients in their own, by one operation each way."""

    @staticmethod
    def forward(context: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        context.set_materialize_grads(False)
        context.dtype = tensors[0].dtype
        return tuple(_cast(tensors, dtype))

    @staticmethod
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [gradient for gradient in gradients if gradient is not None]
        if torch.is_grad_enabled():  # a penalty takes derivatives of these gradients
            cast = iter([gradient.to(context.dtype) for gradient in given])
        else:
            cast = iter(_cast(given, context.dtype))
        return None, *(None if gradient is None else next(cast) for gradient in gradients)


def _cast(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(copies, list(tensors))
    return copies
