"""AAE: an autoencoder, and a critic that compares its codes with the prior."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo import AdversarialGame, Joint, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec, Posterior
from genzoo_vae.likelihood import misfit


@dataclass(frozen=True, kw_only=True)
class AAE(AdversarialGame):
    """Adversarial autoencoder (Makhzani et al., 2015): reconstructs x, and matches q(z) to p(z) by a critic of z.

    Losses:
        D:     E sp(−D(ẑ)) + E sp(D(z))
        E, G:  E sp(D(ẑ)) + E sp(−D(z)) − w·E ln p(x|ẑ)

    The paper takes turns between reconstruction and adversary; here both are one step of one generator.
    """

    name: ClassVar[str] = "aae"
    posterior: Posterior | None = "point"
    """None: the architecture's default."""
    weight: float = 0.25
    """Of −ln p(x|z) in nats per row, beside the objective's loss."""
    sigma: float = 0.1
    """Standard deviation of p(x|z) for data of real support; for unit support, it is Bernoulli."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight < 0 or self.sigma <= 0:
            raise ValueError("expected weight of at least 0, and sigma above 0")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return encoder, decoder and a critic of z."""
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior),
            decoder=architecture.decoder(data),
            critic=architecture.critic(data, sees="z"),
        )

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Encode x."""
        return Joint(z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw z from the prior."""
        return Joint(z=batch.z)

    def generator_cost(self, networks: Networks, batch: Batch, q: Joint, p: Joint) -> Tensor:
        """Return the weighted −ln p(x|z) of codes, summed over the numbers of x."""
        assert q.z is not None
        return self.weight * misfit(networks, batch, q.z, sigma=self.sigma).mean()
