"""Autoencoders whose codes are matched to a prior, and autoencoders that judge x in learned features."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return the autoencoders."""
    return [
        lazy("aae", "genzoo_autoencoders.aae:AAE", "an autoencoder, and a critic that tells its codes from the prior"),
        lazy(
            "perceptual-autoencoder",
            "genzoo_autoencoders.perceptual:PerceptualAutoencoder",
            "a VAE whose reconstructions look alike to a classifier (--from), or to a critic too",
        ),
        lazy(
            "vae-gan",
            "genzoo_autoencoders.vae_gan:VAEGAN",
            "a VAE whose reconstructions look alike to a GAN's critic; three players",
        ),
        lazy("wae", "genzoo_autoencoders.wae:WAE", "autoencoder whose codes are matched to the prior by MMD"),
    ]
