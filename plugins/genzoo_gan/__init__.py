"""The plain generative adversarial network (Goodfellow et al., 2014)."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return GAN, its conditional form, InfoGAN, and WGAN-GP."""
    return [
        lazy("gan", "genzoo_gan.gan:GAN", "a decoder against a critic of x; no encoder"),
        lazy("conditional-gan", "genzoo_gan.conditional:ConditionalGAN", "a GAN given classes or attributes"),
        lazy("infogan", "genzoo_gan.infogan:InfoGAN", "a GAN that finds categories, and codes that can be set"),
        lazy("wgan-gp", "genzoo_gan.wgan_gp:WGANGP", "a Wasserstein GAN with gradient penalty"),
    ]
