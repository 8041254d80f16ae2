"""What a step costs: multiply-accumulates and memory."""

from collections.abc import Callable
from functools import partial
from math import prod

import torch
from torch import nn

from genzoo.nn.interfaces import Networks
from genzoo.nn.table_modules import Stack
from genzoo.randomness import preserved
from genzoo.training.execution import buffers_kept
from genzoo.training.trainer import Trainer


def memory_estimate(networks: Networks, rows: int) -> tuple[int, int | None]:
    """Return the bytes of weights, gradients and Adam's moments, and an estimate of those that a step keeps.

    A step on a batch of `rows` rows keeps the float32 outputs of every row of the layer tables, three for each (linear
    map, norm, nonlinearity), as often as a network sees a row of the batch; None without tables.
    """
    # Four float32 numbers per parameter: the weight, its gradient and Adam's two moments.
    stored = 16 * sum(parameter.numel() for parameter in networks.parameters())
    values = sum(
        prod(card.output) * networks.rows_per_update(name.partition(".")[0])
        for name, stack in networks.named_modules()
        if isinstance(stack, Stack)
        for card in stack.cards
    )
    # Three float32 numbers per output.
    return stored, 12 * values * rows or None


def forward_macs(trainer: Trainer) -> int | None:
    """Return the multiply-accumulates of a step's forward passes; None if some layer is in no layer table.

    They are counted in a rehearsal of the step, which does not change the trainer.
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
    """Return a function from output to multiply-accumulates per linear map or convolution.

    None if some parameter belongs to neither a layer table nor an `nn.Linear`.
    """
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
    """Return the cost of an output (…, outputs) of a linear map with `inputs` inputs."""
    return inputs * output.numel()


def _rows(macs: int, output: torch.Tensor) -> int:
    """Return the cost of an output (N, …) of a layer with `macs` per row."""
    return macs * len(output)
