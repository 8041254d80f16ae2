"""A plugin as it was made for genzoo 0.1. It is frozen: later versions must run it, so nothing in it is changed."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    return [lazy("early", "genzoo_early.parts:Early", "pairs of x and z, with a cost of reconstructions")]


@hookimpl
def genzoo_components() -> list[lazy]:
    return [lazy("early-box", "genzoo_early.parts:Box", "uniform in a box")]


@hookimpl
def genzoo_datasets() -> list[lazy]:
    return [lazy("early-ring", "genzoo_early.parts:Ring", "points near a circle, in two classes")]


@hookimpl
def genzoo_architectures() -> list[lazy]:
    return [lazy("early-networks", "genzoo_early.parts:EarlyNetworks", "fully connected networks")]


@hookimpl
def genzoo_recipes() -> list[lazy]:
    return [lazy("early-ring", "genzoo_early.parts:RECIPE", "points near a circle")]


@hookimpl
def genzoo_metrics() -> list[lazy]:
    return [lazy("early-radius", "genzoo_early.parts:Radius", "how far samples are from the circle")]


@hookimpl
def genzoo_commands() -> list[lazy]:
    return [lazy("early-size", "genzoo_early.command:size_command", "the length of a model's z")]


@hookimpl(optionalhook=True)
def genzoo_of_another_version() -> list[lazy]:
    return []
