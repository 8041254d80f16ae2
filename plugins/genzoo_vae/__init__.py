"""The variational autoencoder (Kingma & Welling; Rezende et al., 2014)."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return VAE, its conditional form, and VAEs of other posteriors and losses."""
    return [
        lazy("vae", "genzoo_vae.vae:VAE", "variational autoencoder: Gaussian encoder, likelihood, no critic"),
        lazy("conditional-vae", "genzoo_vae.conditional:ConditionalVAE", "a VAE given classes or attributes"),
        lazy("iaf-vae", "genzoo_vae.iaf:IAFVAE", "a VAE whose posterior goes through an inverse autoregressive flow"),
        lazy("tc-vae", "genzoo_vae.tc_vae:TCVAE", "β-TCVAE: a VAE that weighs how the numbers of z depend"),
    ]
