"""GAN: a decoder against a critic of x alone."""

from dataclasses import dataclass
from typing import ClassVar

from genzoo import AdversarialGame, Joint, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec


@dataclass(frozen=True, kw_only=True)
class GAN(AdversarialGame):
    """Generative adversarial network (Goodfellow et al., 2014, equation 1), non-saturating by default.

    Losses:
        min over G, max over D:  E ln σ(D(x)) + E ln(1 − σ(D(x̃)))
    """

    name: ClassVar[str] = "gan"

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a decoder and a critic of x."""
        return Networks(decoder=architecture.decoder(data), critic=architecture.critic(data, sees="x"))

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw x from the data."""
        return Joint(x=batch.x)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw x̃ from the decoder."""
        return Joint(x=networks.decode(batch.z))
