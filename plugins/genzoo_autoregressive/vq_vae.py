"""VQ-VAE: an autoencoder whose codes are rows of a codebook."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec
from genzoo_autoregressive.codebook import Codebook, QuantisedEncoder, perplexity, straight_through
from genzoo_vae.likelihood import misfit


@dataclass(frozen=True, kw_only=True)
class VQVAE(Game):
    """VQ-VAE (van den Oord et al., 2017, equation 3): every piece of a code is the nearest row c of a codebook.

    Losses:
        E, G, c:  −ln p(x|c) + ‖sg[e] − c‖² + β·‖e − sg[c]‖²

    e is the code before the codebook, sg has no gradient, and each term is a mean over its numbers. A code has as many
    pieces as the architecture's z has numbers. It learns no prior of the codes: that is `vq-vae-prior`, which samples.
    """

    name: ClassVar[str] = "vq-vae"
    sampling_obstacle: ClassVar[str | None] = (
        "its codes have no prior yet, which is another training: genzoo train vq-vae-prior --from RUN"
    )
    defaults: ClassVar[Mapping[str, Any]] = {"training.beta1": 0.9, "training.beta2": 0.999}
    rows: int = 64
    """Of the codebook; the paper's has 512."""
    size: int = 8
    """Numbers of a row; the paper's have 64."""
    beta: float = 0.25
    """Holds the encoder to the rows."""
    sigma: float = 0.1
    """Standard deviation of p(x|c) for data of real support; for unit support, it is Bernoulli."""

    def __post_init__(self) -> None:
        if min(self.rows, self.size) < 1 or self.beta < 0 or self.sigma <= 0:
            raise ValueError("rows and size are expected to be at least 1, beta at least 0, and sigma more than 0")

    def latent(self, architecture: Architecture, data: DataSpec) -> int:
        """Return the numbers of as many rows as the architecture's z has numbers."""
        return self.size * architecture.latent

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return an encoder that has the codebook, and a decoder of rows."""
        longer = replace(architecture, latent=self.latent(architecture, data))
        encoder = QuantisedEncoder(longer.encoder(data, posterior="point"), Codebook(self.rows, self.size))
        return Networks(encoder=encoder, decoder=longer.decoder(data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the sum of the terms; the perplexity of the batch's rows, of 1 to all that there are, is watched."""
        encoder = networks.part("encoder", QuantisedEncoder)
        pieces = encoder.pieces(batch.x, batch.noise)
        indices = encoder.codebook.nearest(pieces)
        rows = encoder.codebook(indices)
        z = straight_through(pieces, rows).flatten(1)
        reconstruction = misfit(networks, batch, z, sigma=self.sigma).mean() / prod(batch.x.shape[1:])
        loss = reconstruction + self.cost(pieces, rows)
        watch = {"reconstruction": reconstruction.detach(), "perplexity": perplexity(indices, self.rows)}
        return Losses(players={"generator": loss}, watch=watch)

    def cost(self, pieces: Tensor, rows: Tensor) -> Tensor:
        """Return what codes (N, codes, size) and their nearest rows cost for being apart, ()."""
        return (pieces.detach() - rows).square().mean() + self.beta * (pieces - rows.detach()).square().mean()
