"""Feature matching: a GAN of K + 1 classes whose decoder is told the critic's mean features alone."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from genzoo import Networks
from genzoo.nn import at_least_float32
from genzoo.types import Batch, Round
from genzoo_few_labels.critic_of_x import CriticOfX
from genzoo_few_labels.k_plus_one import KPlusOne
from genzoo_few_labels.labels import unlabelled


@dataclass(frozen=True, kw_only=True)
class FeatureMatching(CriticOfX, KPlusOne):
    """Feature-matching GAN with a critic of K + 1 classes (Salimans et al., 2016, sections 3.1 and 5).

    Losses:
        D:  CE(y, D(x)) + w·[E sp(−s(x)) + E sp(s(x̃))],  s = ln Σ_k exp(D_k)
        G:  ‖E f(x) − E f(x̃)‖² in the features f of the critic's last hidden layer

    The paper prints the squared distance of mean features; its programs for SVHN and CIFAR10 take the absolute one, and
    half the adversarial terms.
    """

    name: ClassVar[str] = "feature-matching"
    weight: float = 0.5
    distance: Literal["squared", "absolute"] = "squared"
    """Of the mean features: summed squares, or the mean of absolute differences."""

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the distance between the mean features of data and samples in the critic's last hidden layer."""
        sides = (unlabelled(at_least_float32(side.features), batch) for side in (round.on_q, round.on_p))
        data, samples = (side.mean(0) for side in sides)
        gap = data.detach() - samples
        return gap.square().sum() if self.distance == "squared" else gap.abs().mean()
