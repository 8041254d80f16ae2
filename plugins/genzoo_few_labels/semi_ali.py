"""Semi-supervised ALI: the critic of (x, z) also tells the classes of data."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo import Joint, Networks
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec, Posterior
from genzoo_few_labels.k_plus_one import KPlusOne
from genzoo_few_labels.labels import classes_of


@dataclass(frozen=True, kw_only=True)
class SemiALI(KPlusOne):
    """ALI with a critic of K + 1 classes (Dumoulin et al., 2017, section 4.3), without feature matching.

    Losses:
        s = ln Σ_k exp(D_k), the evidence that a pair is of the data
        D:     CE(y, D(x, ẑ)) + w·[E sp(−s(x, ẑ)) + E sp(s(x̃, z))]
        E, G:  E sp(s(x, ẑ)) + E sp(−s(x̃, z))

    The paper says in words what the critic tells apart; losses and their weights are those of Salimans et al. (2016).
    """

    name: ClassVar[str] = "semi-ali"
    posterior: Posterior | None = None
    """None: the architecture's default."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return encoder, decoder and a critic of (x, z) with a logit per class."""
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior),
            decoder=architecture.decoder(data),
            critic=architecture.critic(data, sees="xz", outputs=classes_of(data)),
        )

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw (x, ẑ) with ẑ from the encoder."""
        return Joint(x=batch.x, z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw (x̃, z) with x̃ from the decoder."""
        return Joint(x=networks.decode(batch.z), z=batch.z)

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return the critic's logits (N, K) at x and the mean of its code; a drawn code where there is no mean."""
        return networks.judge(Joint(x=x, z=networks.encode(x, noise).centre)).logits
