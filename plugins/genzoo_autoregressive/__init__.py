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
            "an autoencoder whose codes are rows of a codebook; its samples need vq-vae-prior",
        ),
        lazy(
            "vq-vae-prior",
            "genzoo_autoregressive.vq_vae_prior:VQVAEPrior",
            "a prior of the codes of a frozen vq-vae (--from), which samples",
        ),
    ]
