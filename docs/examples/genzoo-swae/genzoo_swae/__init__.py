"""The sliced-Wasserstein autoencoder (Kolouri et al., 2018)."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return SWAE, lazily, so that listing it does not import torch."""
    return [lazy("swae", "genzoo_swae.swae:SWAE", "autoencoder whose codes match the prior along random directions")]
