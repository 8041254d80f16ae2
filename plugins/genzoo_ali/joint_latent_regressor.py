"""Joint latent regressor: a GAN, and an encoder that recovers z from its samples."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from genzoo import Losses, Networks
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec, Posterior
from genzoo_gan.three_players import ThreePlayers


@dataclass(frozen=True, kw_only=True)
class JointLatentRegressor(ThreePlayers):
    """GAN whose encoder minimises the mean squared distance of z from E(G(z)), and sees no data (Donahue et al., 2017).

    Losses:
        D:  E sp(−D(x)) + E sp(D(x̃))
        E:  mean (z − E(x̃))²
        G:  E sp(−D(x̃)) + w·mean (z − E(x̃))²

    The decoder minimises the same beside the objective, with a weight; with weight 0 it is that of a GAN.
    """

    name: ClassVar[str] = "joint-latent-regressor"
    posterior: Posterior | None = "point"
    """None: the architecture's default."""
    weight: float = 0.25
    """Of the squared distance in the decoder's loss; with 1, decoder and encoder agree on samples that say z alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight:g}, expected at least 0")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return encoder, decoder and a critic of x."""
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior),
            decoder=architecture.decoder(data),
            critic=architecture.critic(data, sees="x"),
        )

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the objective's losses, and the squared distance, averaged over the numbers of z and over rows."""
        round = self.play(networks, batch)
        assert round.p.x is not None
        recovered = at_least_float32(networks.encode(round.p.x, batch.noise).z)
        distance = (batch.z - recovered).square().mean()
        players = {
            "critic": self.critic_loss(networks, batch, round),
            "encoder": distance,
            "decoder": self.generator_loss(networks, batch, round) + self.weight * distance,
        }
        watch = {"distance": distance.detach(), **self.accuracies(round)}
        return Losses({name: players[name] for name in movers}, watch)
