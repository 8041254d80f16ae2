"""Autoencoders whose codes are matched to a prior, and autoencoders that judge x in learned features."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return the autoencoders."""
    return [
        lazy("aae", "genzoo_autoencoders.aae:AAE", "an autoencoder, and a critic that tells its codes from the prior"),
    ]
