"""Models that draw x number after number, and models of discrete codes."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return the autoregressive models."""
    return [
        lazy(
            "autoregressive",
            "genzoo_autoregressive.autoregressive:Autoregressive",
            "exact probabilities of grey levels, each given the pixels before; small images",
        )
    ]
