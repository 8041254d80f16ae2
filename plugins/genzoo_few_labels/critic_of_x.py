"""Games whose critic of x has a logit per class."""

from dataclasses import dataclass

from torch import Tensor

from genzoo import AdversarialGame, Joint, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec
from genzoo_few_labels.labels import classes_of


@dataclass(frozen=True, kw_only=True)
class CriticOfX(AdversarialGame):
    """A game of a decoder and a critic that is shown x alone, and by which classes are predicted."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a decoder and a critic of x with a logit per class."""
        critic = architecture.critic(data, sees="x", outputs=classes_of(data))
        return Networks(decoder=architecture.decoder(data), critic=critic)

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw x from the data."""
        return Joint(x=batch.x)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw x̃ from the decoder."""
        return Joint(x=networks.decode(batch.z))

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return the critic's logits (N, K)."""
        return networks.judge(Joint(x=x)).logits
