"""VAE/GAN: an autoencoder whose reconstructions must look alike to the critic of a GAN."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo import Joint, Losses, Networks, SettingsError
from genzoo.games import Prior, StandardNormal
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec
from genzoo_autoencoders.features import feature_distances
from genzoo_gan.three_players import ThreePlayers
from genzoo_vae.likelihood import divergence


@dataclass(frozen=True, kw_only=True)
class VAEGAN(ThreePlayers):
    """VAE/GAN (Larsen et al., 2016, algorithm 1), of three players, which all move at once.

    Losses:
        F = ½‖f(x) − f(x̂)‖² in a hidden layer f of the critic
        E:  β·KL(q(z|x) ‖ N(0, I)) + F
        G:  E sp(−D(x̃)) + γ·F
        D:  E sp(−D(x)) + E sp(D(x̃))

    The critic never minimises F. In the paper a player stands still where the costs of critic and decoder are far
    apart; here none does.
    """

    name: ClassVar[str] = "vae-gan"
    priors: ClassVar[tuple[type[Prior], ...]] = (StandardNormal,)
    beta: float = 1e-3
    """Of the divergence; the paper's is 1, with which the encoder says nothing where F is small."""
    gamma: float = 1.0
    """Of F in the decoder's loss."""
    layer: str | None = None
    """f, as `JointCritic.layers` names it; None: the middle one."""
    judges_reconstructions: bool = False
    """Whether the critic is shown x̂ as well; it then counts as half of what is not data, and samples as the other."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.beta, self.gamma) < 0:
            raise ValueError("beta and gamma are expected to be at least 0")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a Gaussian encoder, a decoder and a critic of x."""
        return Networks(
            encoder=architecture.encoder(data, posterior="gaussian"),
            decoder=architecture.decoder(data),
            critic=architecture.critic(data, sees="x"),
        )

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the losses of algorithm 1, with F and the divergence summed over numbers and averaged over rows."""
        round, code = self.play(networks, batch), networks.encode(batch.x, batch.noise)
        again = networks.decode(code.z)
        critic, decoder = (rule(networks, batch, round) for rule in (self.critic_loss, self.generator_loss))
        if self.judges_reconstructions:
            on_q, on_again = self.evidence(round.on_q), self.evidence(networks.judge(Joint(x=again)))
            critic = (critic + self.objective.critic(on_q, on_again)) / 2
            decoder = (decoder + self.objective.generator(on_q, on_again)) / 2
        features, kl = self.features(networks, batch.x, again).mean(), divergence(code).mean()
        players = {"critic": critic, "encoder": self.beta * kl + features, "decoder": decoder + self.gamma * features}
        watch = {"features": features.detach(), "kl": kl.detach(), **self.accuracies(round)}
        return Losses({name: players[name] for name in movers}, watch)

    def features(self, networks: Networks, x: Tensor, again: Tensor) -> Tensor:
        """Return F (N,) of x and its reconstructions x̂, (N, *shape) both."""
        assert networks.critic is not None
        distances = feature_distances(networks.critic, x, again)
        layer = self.layer or list(distances)[(len(distances) - 1) // 2]
        if layer not in distances:
            raise SettingsError(f"the critic has no hidden layer '{layer}'", f"it has: {', '.join(distances)}")
        return distances[layer]
