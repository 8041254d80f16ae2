"""The variational autoencoder (Kingma & Welling; Rezende et al., 2014)."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return VAE and its conditional form."""
    return [
        lazy("vae", "genzoo_vae.vae:VAE", "variational autoencoder: Gaussian encoder, likelihood, no critic"),
        lazy("conditional-vae", "genzoo_vae.conditional:ConditionalVAE", "a VAE given classes or attributes"),
    ]
