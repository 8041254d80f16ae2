"""Conditional GAN: decoder and critic are both given y.

The embedding is detached before the critic: gradients through the critic would train it to hide y.
"""

from dataclasses import dataclass
from typing import ClassVar

from genzoo import AdversarialGame, Joint, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec


@dataclass(frozen=True, kw_only=True)
class ConditionalGAN(AdversarialGame):
    """Conditional generative adversarial network (Mirza and Osindero, 2014, equation 2).

    Losses:
        min over G, max over D:  E ln σ(D(x, y)) + E ln(1 − σ(D(x̃, y))),  x̃ = G(z, y)
    """

    name: ClassVar[str] = "conditional-gan"

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a decoder, a critic of (x, y), and the embedding that they share."""
        embedder = architecture.embedder(data)
        size = embedder.out_features
        return Networks(
            decoder=architecture.decoder(data, condition=size),
            critic=architecture.critic(data, sees="x", condition=size),
            embedder=embedder,
        )

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw (x, y) from the data."""
        return Joint(x=batch.x, y=networks.embed(batch.y).detach())

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw (x̃, y) with x̃ from the decoder."""
        return Joint(x=networks.decode(batch.z, batch.y), y=networks.embed(batch.y).detach())
