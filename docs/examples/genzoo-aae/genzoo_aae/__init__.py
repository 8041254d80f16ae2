"""The adversarial autoencoder (Makhzani et al., 2015)."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return AAE, lazily, so that listing it does not import torch."""
    return [lazy("aae", "genzoo_aae.aae:AAE", "autoencoder whose codes are trained adversarially to match the prior")]
