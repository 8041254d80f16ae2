"""Games whose critic tells K classes of data, and samples as one more class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from genzoo import AdversarialGame, Networks
from genzoo.types import Batch, Round, Verdict
from genzoo_few_labels.labels import class_cost, log_odds

PLAIN: Mapping[str, Any] = {
    "game.objective": "non-saturating",
    "game.penalty": "none",
    "training.beta1": 0.5,
    "training.beta2": 0.999,
}
"""How these games were published: log-odds for the objective, and no penalty."""


@dataclass(frozen=True, kw_only=True)
class KPlusOne(AdversarialGame):
    """An adversarial game whose critic has a logit per class, and a further class of logit 0 for samples.

    The log-odds of data are logsumexp of the K logits. Rows that were drawn for their labels enter the cost of labels
    alone; where rows are as they fall, labelled ones count in both (Salimans et al., 2016, section 5).
    """

    defaults: ClassVar[Mapping[str, Any]] = PLAIN
    weight: float = 1.0
    """Of the adversarial terms of the critic's loss, beside the cross-entropy of labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight:g}, expected at least 0")

    def evidence(self, verdict: Verdict) -> Tensor:
        """Return the log-odds (N,) of the K classes together against the class of samples."""
        return verdict.logits.logsumexp(1)

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the cross-entropy of labels plus the weighted adversarial loss of the other rows."""
        adversarial = self.objective.critic(*log_odds(self, batch, round))
        return class_cost(round.on_q.logits, batch) + self.weight * adversarial

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the objective's loss, for which labels are not used."""
        return self.objective.generator(*log_odds(self, batch, round))
