"""Models that draw x number after number, and models of discrete codes."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return the autoregressive models."""
    return []
