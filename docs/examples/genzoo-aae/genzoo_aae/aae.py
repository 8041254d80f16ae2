"""AAE: an autoencoder, and a critic that compares its codes with the prior."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo import AdversarialGame, Joint, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec, Posterior, Round


@dataclass(frozen=True, kw_only=True)
class AAE(AdversarialGame):
    """Adversarial autoencoder: reconstructs x, and matches q(z) to p(z) by a critic of z alone."""

    name: ClassVar[str] = "aae"
    posterior: Posterior | None = None
    weight: float = 1.0
    """The weight of the squared reconstruction error, which is summed over the numbers of one x."""

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight:g}, expected at least 0")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior),
            decoder=architecture.decoder(data),
            critic=architecture.critic(data, sees="z"),
        )

    def q(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(z=batch.z)

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        assert round.q.z is not None
        error = (batch.x - networks.decode(round.q.z)).square().flatten(1).sum(1).mean()
        return super().generator_loss(networks, batch, round) + self.weight * error
