"""Descriptions of what is registered, as JSON data: networks as layer tables, data cards, settings."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import torch
from torch import nn

from genzoo.components import Component, paths, to_json
from genzoo.data.dataset import Dataset
from genzoo.nn.interfaces import Networks
from genzoo.nn.stacks import Stack
from genzoo.nn.tables import LayerCard
from genzoo.randomness import preserved
from genzoo.training.execution import buffers_kept, gradients_record
from genzoo.training.settings import Recipe, Settings
from genzoo.training.trainer import Trainer
from genzoo.types import DataSpec


def recipe_card(recipe: Recipe, settings: Settings | None) -> dict[str, Any]:
    """Return what a recipe is, with the networks of `settings`' game, or of its architecture without a game."""
    shown = recipe if settings is None else settings
    networks = networks_of(shown)
    gradients = {} if settings is None else gradients_record(settings.per_player_reason(networks))
    return {
        "kind": "recipe",
        "name": recipe.name,
        "summary": recipe.summary,
        "model": None if settings is None else settings.game.name,
        "networks": networks_card(networks),
        "data": dataset_card(shown.dataset),
        "game": None if settings is None else to_json(settings.game),
        "architecture": to_json(shown.architecture),
        "prior": to_json(shown.prior),
        "training": to_json(shown.training),
        **gradients,
        "notes": list(recipe.notes),
        "settings": [] if settings is None else list(paths(settings)),
    }


def networks_of(chosen: Recipe | Settings) -> Networks:
    """Return the networks of a game, or of a recipe's architecture, without memory for their weights."""
    architecture, data = chosen.architecture, chosen.dataset.spec
    with torch.device("meta"):
        if isinstance(chosen, Settings):
            return chosen.game.build(architecture, data)
        return Networks(
            encoder=architecture.encoder(data), decoder=architecture.decoder(data), critic=architecture.critic(data)
        )


def networks_card(networks: Networks) -> dict[str, Any]:
    """Return parameters, multiply-accumulates and layers of every network."""
    return {name: network_card(part) for name, part in networks.named_children()}


def network_card(network: nn.Module) -> dict[str, Any]:
    """Return one network's card; `macs` is None where some parameters are in no layer table."""
    stacks = {name: module for name, module in network.named_modules() if isinstance(module, Stack)}
    cards = [(name, card) for name, stack in stacks.items() for card in stack.cards]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    told = sum(card.parameters for _, card in cards) == parameters
    return {
        "parameters": parameters,
        "macs": sum(card.macs for _, card in cards) if told else None,
        "layers": [_layer(name, number, card) for number, (name, card) in enumerate(cards, start=1)],
    }


def memory_estimate(networks: Networks, rows: int) -> tuple[int, int | None]:
    """Return the bytes that weights, gradients and Adam's moments take, and about those that a step keeps.

    The latter are the float32 outputs of every row of the layer tables, three for each (linear map, norm,
    nonlinearity), as often as a network sees a row in an update; None without tables.
    """
    kept = 16 * sum(parameter.numel() for parameter in networks.parameters())
    values = sum(
        prod(card.output) * networks.rows_per_update(name.partition(".")[0])
        for name, stack in networks.named_modules()
        if isinstance(stack, Stack)
        for card in stack.cards
    )
    return kept, 12 * values * rows or None


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
    known = {id(parameter) for module in [*stacks, *loose] for parameter in module.parameters()}
    if any(id(parameter) not in known for parameter in networks.parameters()):
        return None
    found: dict[nn.Module, Callable[[torch.Tensor], int]] = {
        module: partial(_dense, module.in_features) for module in loose
    }
    return found | {
        module: partial(_rows, card.macs)
        for stack in stacks
        for layer, card in zip(stack.layers, stack.cards, strict=True)
        for module in layer.children()
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
    }


def _dense(given: int, output: torch.Tensor) -> int:
    return given * output.numel()


def _rows(macs: int, output: torch.Tensor) -> int:
    return macs * len(output)


def dataset_card(dataset: Dataset) -> dict[str, Any]:
    """Return what is known of a data set before it is read."""
    return {
        "kind": "dataset",
        "name": dataset.name,
        "about": _about(dataset),
        "fields": to_json(dataset),
        **_spec(dataset.spec),
        "facts": dataset.facts(),
    }


def component_card(kind: str, chosen: type[Component]) -> dict[str, Any]:
    """Return a component's documentation and fields with their defaults."""
    try:
        fields = to_json(chosen())
    except TypeError:  # it has fields without defaults
        fields = {"name": chosen.name}
    return {"kind": kind, "name": chosen.name, "about": _about(chosen), "fields": fields}


def _layer(table: str, number: int, card: LayerCard) -> dict[str, Any]:
    row = card.row
    return {
        "number": number,
        "table": table,
        "operation": str(row),
        "input": list(card.given),
        "output": list(card.output),
        "batch_norm": row.batch_norm is not None,
        "input_dropout": row.input_dropout,
        "dropout": row.dropout,
        "nonlinearity": str(row.nonlinearity),
        "bias": row.bias_kind,
        "parameters": card.parameters,
        "macs": card.macs,
    }


def _spec(spec: DataSpec) -> dict[str, Any]:
    return {
        "shape": list(spec.shape),
        "support": spec.support,
        "class_names": list(spec.class_names),
        "attributes": list(spec.attributes),
        "grids": [grid.name for grid in spec.grids],
    }


def _about(thing: object) -> str:
    kind = thing if isinstance(thing, type) else type(thing)
    lines = (kind.__doc__ or "").strip().splitlines()
    return "\n".join(line.removeprefix("    ") for line in lines)
