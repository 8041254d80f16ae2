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
        ),
        lazy(
            "vq-vae",
            "genzoo_autoregressive.vq_vae:VQVAE",
            "an autoencoder whose codes are rows of a codebook; it encodes, and does not sample",
        ),
    ]
