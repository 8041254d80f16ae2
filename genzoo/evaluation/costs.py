"""What a step costs: multiply-accumulates and memory."""

from collections.abc import Callable
from functools import partial
from math import prod

import torch
from torch import nn

from genzoo.nn.interfaces import Networks
from genzoo.nn.stacks import Stack
from genzoo.randomness import preserved
from genzoo.training.execution import buffers_kept
from genzoo.training.trainer import Trainer


def memory_estimate(networks: Networks, rows: int) -> tuple[int, int | None]:
    """Return the bytes that weights, gradients and Adam's moments take, and about those that a step keeps.

    The latter are the float32 outputs of every row of the layer tables, three for each (linear map, norm,
    nonlinearity), as often as a network sees a row in an update; None without tables.
    """
    stored = 16 * sum(parameter.numel() for parameter in networks.parameters())
    values = sum(
        prod(card.output) * networks.rows_per_update(name.partition(".")[0])
        for name, stack in networks.named_modules()
        if isinstance(stack, Stack)
        for card in stack.cards
    )
    return stored, 12 * values * rows or None


def forward_macs(trainer: Trainer) -> int | None:
    """Return the multiply-accumulates of a step's forward passes by the layer tables; None where some layer is in none.

    The step is rehearsed, and leaves no trace in the trainer.
    """
    networks, batch = trainer.networks, trainer.stream.batch(trainer.step)
    costs = _costs(networks)
    if costs is None:
        return None
    counted: list[int] = []

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counted.append(costs[module](output))

    hooks = [module.register_forward_hook(count) for module in costs]
    try:
        with preserved(), buffers_kept(networks):
            trainer.settings.game.losses(networks, batch, trainer.movers())
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counted)


def _costs(networks: nn.Module) -> dict[nn.Module, Callable[[torch.Tensor], int]] | None:
    """Return what every linear map's output costs; None if some parameter is in no known layer."""
    stacks = [module for module in networks.modules() if isinstance(module, Stack)]
    loose = [module for module in networks.modules() if isinstance(module, nn.Linear)]
    in_layers = {id(parameter) for module in [*stacks, *loose] for parameter in module.parameters()}
    if any(id(parameter) not in in_layers for parameter in networks.parameters()):
        return None
    costs: dict[nn.Module, Callable[[torch.Tensor], int]] = {
        module: partial(_dense, module.in_features) for module in loose
    }
    return costs | {
        module: partial(_rows, card.macs)
        for stack in stacks
        for layer, card in zip(stack.layers, stack.cards, strict=True)
        for module in layer.children()
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
    }


def _dense(inputs: int, output: torch.Tensor) -> int:
    return inputs * output.numel()


def _rows(macs: int, output: torch.Tensor) -> int:
    return macs * len(output)
