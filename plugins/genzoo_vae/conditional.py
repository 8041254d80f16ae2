"""Conditional VAE: encoder and decoder are both given y."""

from dataclasses import dataclass
from typing import ClassVar

from genzoo import Networks
from genzoo.nn import Architecture
from genzoo.types import DataSpec
from genzoo_vae.vae import VAE


@dataclass(frozen=True, kw_only=True)
class ConditionalVAE(VAE):
    """Conditional variational autoencoder (Sohn et al., 2015), with a prior that does not depend on y.

    Losses:
        E, G:  −E ln p(x|ẑ, y) + β·KL(q(z|x, y) ‖ N(0, I))
    """

    name: ClassVar[str] = "conditional-vae"

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a Gaussian encoder, a decoder, and the embedding that they share."""
        embedder = architecture.embedder(data)
        size = embedder.out_features
        return Networks(
            encoder=architecture.encoder(data, posterior="gaussian", condition=size),
            decoder=architecture.decoder(data, condition=size),
            embedder=embedder,
        )
