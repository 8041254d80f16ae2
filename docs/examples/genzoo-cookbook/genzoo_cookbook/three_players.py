"""Three players: an autoencoder whose reconstructions must look alike to a critic (after Larsen et al., 2016)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import Module

from genzoo import AdversarialGame, Joint, Losses, Networks
from genzoo.games import Players
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec


@dataclass(frozen=True, kw_only=True)
class ThreePlayers(AdversarialGame):
    """VAE/GAN: the critic's features say how alike x and its reconstruction are."""

    name: ClassVar[str] = "three-players"
    beta: float = 1e-3
    """Of the divergence of codes from the prior."""
    gamma: float = 1.0
    """Of the features in the decoder's loss."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        encoder = architecture.encoder(data, posterior="gaussian")
        return Networks(encoder=encoder, decoder=architecture.decoder(data), critic=architecture.critic(data, sees="x"))

    def players(self, networks: Networks) -> Players:
        names = ("encoder", "decoder", "critic")
        return {name: [*networks.part(name, Module).parameters()] for name in names}

    def q(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(x=batch.x)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(x=networks.decode(batch.z))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        round, code = self.play(networks, batch), networks.encode(batch.x, batch.noise)
        assert code.mean is not None
        assert code.log_std is not None
        again = networks.judge(Joint(x=networks.decode(code.z))).features
        unlike = at_least_float32(round.on_q.features - again).square().sum(1).mean()
        mean, log_std = at_least_float32(code.mean), at_least_float32(code.log_std)
        divergence = ((mean.square() + (2 * log_std).exp() - 1) / 2 - log_std).sum(1).mean()
        of_players: dict[str, Tensor] = {
            "encoder": self.beta * divergence + unlike,
            "decoder": self.generator_loss(networks, batch, round) + self.gamma * unlike,
            "critic": self.critic_loss(networks, batch, round),
        }
        return Losses({name: of_players[name] for name in movers}, {"unlike": unlike.detach()})
