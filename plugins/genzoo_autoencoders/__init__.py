"""Autoencoders whose codes are matched to a prior, and autoencoders that judge x in learned features."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return the autoencoders."""
    return [
        lazy("wae", "genzoo_autoencoders.wae:WAE", "autoencoder whose codes are matched to the prior by MMD"),
    ]
