"""VAE: a game with one player, which maximises the evidence lower bound."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.games import Prior, StandardNormal
from genzoo.nn import Architecture, posterior_log_density
from genzoo.types import Batch, DataSpec
from genzoo_vae.likelihood import divergence, misfit, name_of_likelihood


@dataclass(frozen=True, kw_only=True)
class VAE(Game):
    """Variational autoencoder (Kingma and Welling, 2014, equation 3): a bound of ln p(x), in nats per row.

    Losses:
        E, G:  −E ln p(x|ẑ) + β·KL(q(z|x) ‖ N(0, I))

    Any β but 1 makes it a β-VAE (Higgins et al., 2017), and the loss no bound.
    """

    name: ClassVar[str] = "vae"
    priors: ClassVar[tuple[type[Prior], ...]] = (StandardNormal,)
    beta: float = 1.0
    sigma: float = 0.1
    """Standard deviation of p(x|z) for data of real support; for unit support, p(x|z) is Bernoulli with the logits."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a Gaussian encoder and a decoder."""
        return Networks(encoder=architecture.encoder(data, posterior="gaussian"), decoder=architecture.decoder(data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the negative ELBO, summed over the numbers of x and averaged over rows."""
        code = networks.encode(batch.x, batch.noise, batch.y)
        reconstruction = misfit(networks, batch, code.z, sigma=self.sigma).mean()
        kl = divergence(code).mean()
        watch = {"reconstruction": reconstruction.detach(), "kl": kl.detach()}
        return Losses(players={"generator": reconstruction + self.beta * kl}, watch=watch)

    def log_weight(self, networks: Networks, batch: Batch, prior: Prior) -> Tensor | None:
        """Return ln p(x|z) + ln p(z) − ln q(z|x) (N,), whatever β."""
        code = networks.encode(batch.x, batch.noise, batch.y)
        prior_log, posterior_log = prior.log_density(code.z), posterior_log_density(code)
        if prior_log is None or posterior_log is None:
            return None
        return prior_log - posterior_log - misfit(networks, batch, code.z, sigma=self.sigma)

    def likelihood(self, data: DataSpec) -> str:
        """Return `Bernoulli on [0, 1]`, or the Gaussian with its σ."""
        return name_of_likelihood(data, sigma=self.sigma)
