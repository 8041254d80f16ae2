"""CatGAN: the critic is a classifier, sure of data and unsure of samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from genzoo import Networks
from genzoo.types import Batch, Round
from genzoo_few_labels.critic_of_x import CriticOfX
from genzoo_few_labels.k_plus_one import PLAIN
from genzoo_few_labels.labels import class_cost, unlabelled


@dataclass(frozen=True, kw_only=True)
class CatGAN(CriticOfX):
    """Categorical GAN (Springenberg, 2016), whose classes are equally likely; entropies H are in nats.

    Losses:
        D:  −H(mean P(x)) + mean H(P(x)) − mean H(P(x̃)) + λ·CE(y, P(x))
        G:  −H(mean P(x̃)) + mean H(P(x̃))
    """

    name: ClassVar[str] = "catgan"
    defaults: ClassVar[Mapping[str, Any]] = PLAIN
    unused: ClassVar[tuple[str, ...]] = ("objective",)
    label_weight: float = 1.0
    """λ, of the cross-entropy of labels."""

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return −H(mean P(x)) + mean H(P(x)) − mean H(P(x̃)) + λ·cross-entropy of labels."""
        certain, balanced = _entropies(unlabelled(round.on_q.logits, batch))
        doubt, _ = _entropies(unlabelled(round.on_p.logits, batch))
        return certain - balanced - doubt + self.label_weight * class_cost(round.on_q.logits, batch)

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return −H(mean P(x̃)) + mean H(P(x̃))."""
        certain, balanced = _entropies(unlabelled(round.on_p.logits, batch))
        return certain - balanced

    def accuracies(self, round: Round) -> dict[str, Tensor]:
        """Return the mean probability of the most probable class on both sides, for there are no log-odds."""
        sides = {"data_certainty": round.on_q, "sample_certainty": round.on_p}
        return {name: side.logits.detach().softmax(1).amax(1).mean() for name, side in sides.items()}

    def categorise(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return what `classify` does: without labels, its classes are categories of its own."""
        return self.classify(networks, x, noise)


def _entropies(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of H(P) and H of the mean of P, both (), for the classes' logits (M, K)."""
    log_p = logits.log_softmax(1)
    log_mean = log_p.logsumexp(0) - log_p.logsumexp(0).logsumexp(0)  # of the mean over rows, normalised
    return -(log_p.exp() * log_p).sum(1).mean(), -(log_mean.exp() * log_mean).sum()
