"""Pairs of x and z, told apart by a critic that also learns classes from few labels."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy

from genzoo import AdversarialGame, Joint, Networks
from genzoo.games import Setup
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec, Round, Verdict


@dataclass(frozen=True, kw_only=True)
class FewLabelsALI(AdversarialGame):
    """ALI with a critic of K classes and a further one, of logit 0, for what is no data (Salimans et al., 2016)."""

    name: ClassVar[str] = "few-labels-ali"
    weight: float = 1.0
    """Of the cross-entropy of labelled rows."""

    def needs(self, setup: Setup) -> str | None:
        return None if setup.data.class_names else "data with classes"

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        critic = architecture.critic(data, outputs=len(data.class_names))
        return Networks(encoder=architecture.encoder(data), decoder=architecture.decoder(data), critic=critic)

    def q(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(x=batch.x, z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(x=networks.decode(batch.z), z=batch.z)

    def evidence(self, verdict: Verdict) -> Tensor:
        return verdict.logits.logsumexp(1)

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        assert batch.y is not None
        of_labels = cross_entropy(round.on_q.logits, batch.y)  # y is 0 in rows without a label, which adds nothing
        return super().critic_loss(networks, batch, round) + self.weight * of_labels

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        return networks.judge(Joint(x=x, z=networks.encode(x, noise).z)).logits
