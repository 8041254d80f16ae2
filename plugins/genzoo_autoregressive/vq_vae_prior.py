"""VQ-VAE's second stage: an autoregressive prior of the codes of a trained VQ-VAE."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

from torch.nn.functional import nll_loss

from genzoo import Game, Losses, Networks, SettingsError
from genzoo.games import Prior, Setup, StandardNormal
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec
from genzoo_autoregressive.codebook import QuantisedEncoder
from genzoo_autoregressive.index_networks import CodebookDecoder, CodebookEncoder, IndexNetwork
from genzoo_autoregressive.masked import check_sizes
from genzoo_autoregressive.vq_vae import VQVAE


@dataclass(frozen=True, kw_only=True)
class VQVAEPrior(Game):
    """Second stage of VQ-VAE (van den Oord et al., 2017, section 3.3): the index of every row given those before it.

    Losses:
        all:  −Σᵢ ln P(kᵢ | k₁ … kᵢ₋₁),  k the indices of the rows that the frozen encoder gives x

    z has a number per row of a code; the decoder draws row after row, by the inverse distribution function at Φ(z),
    and decodes them with the frozen decoder. The encoder takes x to such a z.
    """

    name: ClassVar[str] = "vq-vae-prior"
    inherits: ClassVar[tuple[str, ...]] = ("encoder", "decoder")
    inherits_from: ClassVar[type[Game] | None] = VQVAE
    priors: ClassVar[tuple[type[Prior], ...]] = (StandardNormal,)
    # On digits (seed 100, validation split) 300 to 500 steps had 4.8 bits per index and 1,000 had 5.0; with a
    # dropout of 0.3 the best had 5.1.
    defaults: ClassVar[Mapping[str, Any]] = {"training.steps": 400, "training.beta1": 0.9, "training.beta2": 0.999}
    width: int = 32
    """Hidden units per row in each layer, and numbers by which the network reads an index."""
    layers: int = 2
    dropout: float = 0.7
    """Of the hidden units."""

    def __post_init__(self) -> None:
        check_sizes(self.width, self.layers, self.dropout)

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return no networks yet: how many rows there are, the inherited encoder says."""
        return Networks()

    def compose(self, networks: Networks, setup: Setup, source: Setup) -> None:
        """Put a network of indices before the frozen decoder, and after the frozen encoder."""
        encoder, decoder = networks.encoder, networks.decoder
        assert isinstance(encoder, QuantisedEncoder)
        assert decoder is not None
        rows, size = encoder.codebook.weight.shape
        if setup.latent * size != source.latent:
            found = f"a code has {setup.latent} rows here and {source.latent // size} in the run given as --from"
            raise SettingsError(found, f"type: --set architecture.latent={source.latent // size}")
        network = IndexNetwork(setup.latent, rows, width=self.width, layers=self.layers, dropout=self.dropout)
        networks.encoder = CodebookEncoder(network, encoder)
        networks.decoder = CodebookDecoder(network, encoder.codebook, decoder)

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return −ln P of the indices of x in nats, averaged over rows; bits per index are watched."""
        encoder = networks.encoder
        assert isinstance(encoder, CodebookEncoder)
        indices = encoder.indices(batch.x, batch.noise)
        loss = nll_loss(encoder.network(indices).flatten(0, 1), indices.flatten()) * indices.shape[1]
        bits = loss.detach() / (indices.shape[1] * log(2))
        return Losses(players={"generator": loss}, watch={"bits_per_index": bits})
