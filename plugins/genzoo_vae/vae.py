"""VAE: a game with one player, which maximises the evidence lower bound."""

from collections.abc import Collection
from dataclasses import dataclass
from math import log, pi
from typing import ClassVar

from torch.nn.functional import binary_cross_entropy_with_logits

from genzoo import Game, Losses, Networks
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec


@dataclass(frozen=True, kw_only=True)
class VAE(Game):
    """Variational autoencoder: minimises −E log p(x|z) + β·KL(q(z|x) ‖ N(0, I)), in nats per row."""

    name: ClassVar[str] = "vae"
    beta: float = 1.0
    sigma: float = 0.1
    """Standard deviation of p(x|z) for data of real support; for unit support, p(x|z) is Bernoulli with the logits."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a Gaussian encoder and a decoder."""
        return Networks(encoder=architecture.encoder(data, posterior="gaussian"), decoder=architecture.decoder(data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the negative ELBO, summed over the numbers of x and averaged over rows."""
        code = networks.encode(batch.x, batch.noise, batch.y)
        assert code.mean is not None
        assert code.log_std is not None
        assert networks.decoder is not None
        logits = at_least_float32(networks.decode_logits(code.z, batch.y))
        mean, log_std = at_least_float32(code.mean), at_least_float32(code.log_std)
        if networks.decoder.support == "unit":
            misfit = binary_cross_entropy_with_logits(logits, batch.x, reduction="none")
        else:
            # −log N(x; logits, σ²) for every number of x; the decoder's logits are its mean.
            misfit = ((batch.x - logits) / self.sigma).square() / 2 + log(self.sigma) + log(2 * pi) / 2
        reconstruction = misfit.flatten(1).sum(1).mean()
        # KL(N(μ, σ²) ‖ N(0, 1)) = (μ² + σ² − 1 − 2 log σ)/2 per number of z.
        kl = (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum(1).mean() / 2
        watch = {"reconstruction": reconstruction.detach(), "kl": kl.detach()}
        return Losses(players={"generator": reconstruction + self.beta * kl}, watch=watch)
