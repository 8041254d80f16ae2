"""ALI: encoder and decoder against one critic of (x, z)."""

from dataclasses import dataclass
from typing import ClassVar

from genzoo import AdversarialGame, Joint, Networks
from genzoo.nn import Architecture, JointCritic
from genzoo.types import Batch, DataSpec, Posterior
from genzoo_ali.unary_scores import WithUnaryScores


@dataclass(frozen=True, kw_only=True)
class ALI(AdversarialGame):
    """Adversarially learned inference (Dumoulin et al., 2017, equation 1): a critic tells (x, ẑ) from (x̃, z).

    Losses:
        min over E and G, max over D:  E ln σ(D(x, ẑ)) + E ln(1 − σ(D(x̃, z)))
    """

    name: ClassVar[str] = "ali"
    posterior: Posterior | None = None
    """None: the architecture's default."""
    unary: bool = False
    """Whether the critic also scores x and z alone, as BigBiGAN's does (Donahue and Simonyan, 2019)."""

    @property
    def scores(self) -> int:
        """Three, where the critic has unary scores."""
        return 3 if self.unary else 1

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return encoder, decoder and a critic of (x, z)."""
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior),
            decoder=architecture.decoder(data),
            critic=self.critic_of(architecture, data),
        )

    def critic_of(self, architecture: Architecture, data: DataSpec) -> JointCritic:
        """Return a critic of (x, z), with unary scores if they are asked for."""
        critic = architecture.critic(data, sees="xz")
        if not self.unary:
            return critic
        return WithUnaryScores(critic, architecture.critic(data, sees="x"), architecture.critic(data, sees="z"))

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw (x, ẑ) with ẑ from the encoder."""
        return Joint(x=batch.x, z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw (x̃, z) with x̃ from the decoder."""
        return Joint(x=networks.decode(batch.z), z=batch.z)
