"""Conditional ALI: encoder, decoder and critic are all given y.

The embedding is detached before the critic: gradients through the critic would train it to hide y.
"""

from dataclasses import dataclass
from typing import ClassVar

from genzoo import AdversarialGame, Joint, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec, Posterior


@dataclass(frozen=True, kw_only=True)
class ConditionalALI(AdversarialGame):
    """Conditional ALI (Dumoulin et al., 2017, equation 7), with x and y drawn together and one y for both sides.

    Losses:
        min over E and G, max over D:  E ln σ(D(x, ẑ, y)) + E ln(1 − σ(D(x̃, z, y)))
    """

    name: ClassVar[str] = "conditional-ali"
    posterior: Posterior | None = None
    """None: the architecture's default."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return encoder, decoder, a critic of (x, z, y), and the embedding that they share."""
        embedder = architecture.embedder(data)
        size = embedder.out_features
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior, condition=size),
            decoder=architecture.decoder(data, condition=size),
            critic=architecture.critic(data, sees="xz", condition=size),
            embedder=embedder,
        )

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw (x, ẑ, y) with ẑ from the encoder."""
        z = networks.encode(batch.x, batch.noise, batch.y).z
        return Joint(x=batch.x, z=z, y=networks.embed(batch.y).detach())

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw (x̃, z, y) with x̃ from the decoder."""
        return Joint(x=networks.decode(batch.z, batch.y), z=batch.z, y=networks.embed(batch.y).detach())
