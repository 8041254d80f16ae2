"""What VAEs share: one player that maximises a bound of ln p(x), from a Gaussian or any other posterior."""

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.games import Prior, StandardNormal
from genzoo.nn import Architecture, posterior_log_density
from genzoo.types import Batch, Code, DataSpec
from genzoo_vae.likelihood import misfit, name_of_likelihood


@dataclass(frozen=True, kw_only=True)
class Variational(Game):
    """A game that minimises −E log p(x|z) plus a cost of the codes, in nats per row."""

    priors: ClassVar[tuple[type[Prior], ...]] = (StandardNormal,)
    sigma: float = 0.1
    """Standard deviation of p(x|z) for data of real support; for unit support, p(x|z) is Bernoulli with the logits."""

    @abstractmethod
    def cost(self, code: Code) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what a batch of codes costs (), averaged over rows, and what to watch of it."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a Gaussian encoder and a decoder."""
        return Networks(encoder=architecture.encoder(data, posterior="gaussian"), decoder=architecture.decoder(data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return −log p(x|z), summed over the numbers of x and averaged over rows, plus the cost of the codes."""
        code = networks.encode(batch.x, batch.noise, batch.y)
        reconstruction = misfit(networks, batch, code.z, sigma=self.sigma).mean()
        cost, watch = self.cost(code)
        watch = {name: value.detach() for name, value in {"reconstruction": reconstruction, **watch}.items()}
        return Losses(players={"generator": reconstruction + cost}, watch=watch)

    def log_weight(self, networks: Networks, batch: Batch, prior: Prior) -> Tensor | None:
        """Return ln p(x|z) + ln p(z) − ln q(z|x) (N,), whatever the codes cost."""
        code = networks.encode(batch.x, batch.noise, batch.y)
        prior_log, posterior_log = prior.log_density(code.z), posterior_log_density(code)
        if prior_log is None or posterior_log is None:
            return None
        return prior_log - posterior_log - misfit(networks, batch, code.z, sigma=self.sigma)

    def likelihood(self, data: DataSpec) -> str:
        """Return `Bernoulli on [0, 1]`, or the Gaussian with its σ."""
        return name_of_likelihood(data, sigma=self.sigma)
