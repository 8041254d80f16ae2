"""Classifier: the critic's network with an output per class, and nothing but labels to learn from."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.games import Players
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec
from genzoo_few_labels.labels import class_cost, class_logits, classes_of


@dataclass(frozen=True, kw_only=True)
class Classifier(Game):
    """Supervised baseline, which learns nothing from rows without labels.

    Losses:
        C:  CE(y, P(x))
    """

    name: ClassVar[str] = "classifier"

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a critic of x with as many outputs as there are classes."""
        return Networks(classifier=architecture.critic(data, sees="x", outputs=classes_of(data)))

    def players(self, networks: Networks) -> Players:
        """Return all parameters as the classifier's."""
        return {"classifier": list(networks.parameters())}

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the mean cross-entropy over labelled rows."""
        logits = self.classify(networks, batch.x, batch.noise)
        return Losses(players={"classifier": class_cost(logits, batch)}, watch={})

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return the classifier's logits (N, K)."""
        return class_logits(networks, x)
