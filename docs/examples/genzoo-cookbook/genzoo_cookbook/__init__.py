"""The examples of the cookbook."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return four models."""
    return [
        lazy("coded-gan", "genzoo_cookbook.codes:CodedGAN", "a GAN that finds the codes of samples again"),
        lazy("few-labels-ali", "genzoo_cookbook.few_labels:FewLabelsALI", "pairs of x and z, and a few labels"),
        lazy("three-players", "genzoo_cookbook.three_players:ThreePlayers", "an autoencoder judged by a critic"),
        lazy("line-flow", "genzoo_cookbook.flow:LineFlow", "a velocity along lines from prior to data"),
    ]


@hookimpl
def genzoo_components() -> list[lazy]:
    """Return a prior."""
    return [lazy("codes", "genzoo_cookbook.codes:Codes", "a category, a tilt and noise")]


@hookimpl
def genzoo_metrics() -> list[lazy]:
    """Return a metric."""
    return [lazy("spread", "genzoo_cookbook.metric:Spread", "samples against data along the data's main directions")]


@hookimpl
def genzoo_datasets() -> list[lazy]:
    """Return a data set."""
    return [lazy("moons", "genzoo_cookbook.task:Moons", "two arcs in a plane")]


@hookimpl
def genzoo_architectures() -> list[lazy]:
    """Return an architecture."""
    return [lazy("plain", "genzoo_cookbook.task:Plain", "fully connected networks for vectors")]


@hookimpl
def genzoo_recipes() -> list[lazy]:
    """Return a recipe."""
    return [lazy("moons", "genzoo_cookbook.task:MOONS", "two arcs in a plane, in seconds")]


@hookimpl
def genzoo_commands() -> list[lazy]:
    """Return a command."""
    return [lazy("walk", "genzoo_cookbook.command:walk_command", "draw a walk between two samples")]
