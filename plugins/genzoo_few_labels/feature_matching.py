"""Feature matching: a GAN of K + 1 classes whose decoder is told the critic's mean features alone."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from genzoo import Joint, Networks
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec, Round
from genzoo_few_labels.k_plus_one import KPlusOne
from genzoo_few_labels.labels import classes_of, unlabelled


@dataclass(frozen=True, kw_only=True)
class FeatureMatching(KPlusOne):
    """Feature-matching GAN with a critic of K + 1 classes (Salimans et al., 2016, sections 3.1 and 5).

    The paper prints the squared distance of mean features; its programs for SVHN and CIFAR10 take the absolute one, and
    half the adversarial terms.
    """

    name: ClassVar[str] = "feature-matching"
    weight: float = 0.5
    distance: Literal["squared", "absolute"] = "squared"
    """Of the mean features: summed squares, or the mean of absolute differences."""

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

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the distance between the mean features of data and samples in the critic's last hidden layer."""
        sides = (unlabelled(at_least_float32(side.features), batch) for side in (round.on_q, round.on_p))
        data, samples = (side.mean(0) for side in sides)
        gap = data.detach() - samples
        return gap.square().sum() if self.distance == "squared" else gap.abs().mean()

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return the critic's logits (N, K)."""
        return networks.judge(Joint(x=x)).logits
