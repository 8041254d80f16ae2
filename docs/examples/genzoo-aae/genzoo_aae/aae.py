"""AAE: an autoencoder, and a critic that compares its codes with the prior."""

from dataclasses import dataclass
from typing import ClassVar

from genzoo import AdversarialGame, Joint, Networks
from genzoo.types import Posterior


@dataclass(frozen=True, kw_only=True)
class AAE(AdversarialGame):
    """Adversarial autoencoder: reconstruct x, and make q(z) look like p(z) to a critic of z alone."""

    name: ClassVar[str] = "aae"
    posterior: Posterior | None = None
    weight: float = 1.0
    """Of the squared reconstruction error, summed over the numbers of one x."""

    def __post_init__(self):
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight:g}, expected at least 0")

    def build(self, architecture, data):
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior),
            decoder=architecture.decoder(data),
            critic=architecture.critic(data, sees="z"),
        )

    def q(self, networks, batch):
        return Joint(z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks, batch):
        return Joint(z=batch.z)

    def generator_loss(self, networks, batch, round):
        error = (batch.x - networks.decode(round.q.z)).square().flatten(1).sum(1).mean()
        return super().generator_loss(networks, batch, round) + self.weight * error
