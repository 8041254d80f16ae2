"""Descriptions of what is registered, as JSON data: networks as layer tables, data cards, settings."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from genzoo.components import Component, paths, to_json
from genzoo.data.dataset import Dataset
from genzoo.nn.interfaces import Networks
from genzoo.nn.table_modules import Stack
from genzoo.nn.tables import LayerCard
from genzoo.public.fields import docstring, field_texts
from genzoo.training.execution import gradients_record
from genzoo.training.initialization import assemble, built
from genzoo.training.settings import Recipe, Settings
from genzoo.types import DataSpec


def recipe_card(recipe: Recipe, settings: Settings | None) -> dict[str, Any]:
    """Return a recipe's card, with the networks of the game in `settings`, or of its architecture alone for None."""
    described = recipe if settings is None else settings
    networks = networks_of(described)
    gradients = {} if settings is None else gradients_record(settings.per_player_reason(networks))
    return {
        "kind": "recipe",
        "name": recipe.name,
        "summary": recipe.summary,
        "model": None if settings is None else settings.game.name,
        "networks": networks_card(networks),
        "data": dataset_card(described.dataset),
        "game": None if settings is None else to_json(settings.game),
        "architecture": to_json(described.architecture),
        "prior": to_json(described.prior),
        "evaluations": networks.evaluations,
        "latent": described.architecture.latent if settings is None else settings.latent,
        "training": to_json(described.training),
        **gradients,
        "notes": list(recipe.notes),
        "settings": [] if settings is None else list(paths(settings)),
    }


def networks_of(described: Recipe | Settings) -> Networks:
    """Return the networks of a game, or of a recipe's architecture, on the meta device.

    Inherited ones are among them where the settings, or the game, say of which game they are.
    """
    architecture, data = described.architecture, described.dataset.spec
    with torch.device("meta"):
        if isinstance(described, Settings):
            described = _with_source(described)
            return assemble(described) if described.source else built(described)
        return Networks(
            encoder=architecture.encoder(data), decoder=architecture.decoder(data), critic=architecture.critic(data)
        )


def _with_source(settings: Settings) -> Settings:
    """Return the settings, and with them those of the run to inherit from where the game says of which game it is."""
    if settings.source is not None or settings.game.inherits_from is None:
        return settings
    return replace(settings, source=replace(settings, game=settings.game.inherits_from()))


def networks_card(networks: Networks) -> dict[str, Any]:
    """Return the card of every network, by name."""
    return {name: network_card(part) for name, part in networks.named_children()}


def network_card(network: nn.Module) -> dict[str, Any]:
    """Return a network's parameters, multiply-accumulates per row, and layers.

    `macs` is None if some parameters are in no layer table.
    """
    stacks = {name: module for name, module in network.named_modules() if isinstance(module, Stack)}
    cards = [(name, card) for name, stack in stacks.items() for card in stack.cards]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    is_complete = sum(card.parameters for _, card in cards) == parameters
    return {
        "parameters": parameters,
        "macs": sum(card.macs for _, card in cards) if is_complete else None,
        "layers": [_layer(name, number, card) for number, (name, card) in enumerate(cards, start=1)],
    }


def evaluations_text(evaluations: int | None) -> str:
    """Return for people how often a network runs for a sample, from `Networks.evaluations`."""
    return "depends on z" if evaluations is None else f"{evaluations:,}" if evaluations else "–"


def dataset_card(dataset: Dataset) -> dict[str, Any]:
    """Return a data set's card, without reading the data."""
    return {
        "kind": "dataset",
        "name": dataset.name,
        "about": _about(dataset),
        "fields": to_json(dataset),
        "texts": _texts(type(dataset), to_json(dataset)),
        **_spec(dataset.spec),
        "facts": dataset.facts(),
    }


def component_card(kind: str, component: type[Component]) -> dict[str, Any]:
    """Return a component's documentation, and its fields with their defaults and texts."""
    try:
        fields = to_json(component())
    except TypeError:  # it has fields without defaults
        fields = {"name": component.name}
    return {
        "kind": kind,
        "name": component.name,
        "about": _about(component),
        "fields": fields,
        "texts": _texts(component, fields),
    }


def _layer(table: str, number: int, card: LayerCard) -> dict[str, Any]:
    row = card.row
    return {
        "number": number,
        "table": table,
        "operation": f"{row}, spectral norm" if row.spectral_norm else str(row),
        "input": list(card.given),
        "output": list(card.output),
        "batch_norm": row.batch_norm is not None,
        "spectral_norm": row.spectral_norm,
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
        "levels": spec.levels,
        "class_names": list(spec.class_names),
        "attributes": list(spec.attributes),
        "grids": [grid.name for grid in spec.grids],
    }


def _texts(component: type[Component], shown: dict[str, Any]) -> dict[str, str]:
    """Return what is said of the fields that are shown, by name."""
    return {name: text for name, text in field_texts(component).items() if name in shown.keys() - {"name"}}


def _about(documented: object) -> str:
    return docstring(documented if isinstance(documented, type) else type(documented))
