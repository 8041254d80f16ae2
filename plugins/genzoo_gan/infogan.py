"""InfoGAN: a GAN whose critic also tells which code a sample was made from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log, pi
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from genzoo import Joint, Networks, SettingsError
from genzoo.games import CategoricalNormal, Players, Prior
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec, Picture, Round, Verdict
from genzoo_gan.gan import GAN


@dataclass(frozen=True, kw_only=True)
class InfoGAN(GAN):
    """GAN that minimises −λ·ln Q(c|x̃) with both players, λ by kind of code (Chen et al., 2016, equation 6).

    Losses:
        D, Q:  E sp(−D(x)) + E sp(D(x̃)) − λ·E ln Q(c|x̃)
        G:     E sp(−D(x̃)) − λ·E ln Q(c|x̃)

    z is a category, then continuous codes, then noise. Q reads the critic's features and is trained with the
    critic: a softmax of the category, and a normal of standard deviation 1 for every continuous code. The codes and the
    noise are normal, where the paper's are uniform.
    """

    name: ClassVar[str] = "infogan"
    priors: ClassVar[tuple[type[Prior], ...]] = (CategoricalNormal,)
    defaults: ClassVar[Mapping[str, Any]] = {
        "prior": "categorical-normal",
        "game.objective": "non-saturating",
        "game.penalty": "none",
        "training.beta1": 0.5,
        "training.beta2": 0.999,
        "training.players.critic.learning_rate": 2e-4,
    }
    weight: float = 1.0
    """λ of the category."""
    code_weight: float = 0.1
    """λ of the continuous codes, whose −ln Q is the larger and would leave the category unlearned."""
    categories: int = 10
    """The prior's."""
    codes: int = 2
    """The number of continuous codes."""
    noise: int = 2
    """The numbers of z of which Q says nothing; the more, the less the category has to say."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.weight, self.code_weight, self.codes, self.noise) < 0:
            raise ValueError("weight, code_weight, codes and noise are expected to be at least 0")

    def check_prior(self, prior: Prior, data: DataSpec) -> None:
        """Raise `SettingsError` unless the prior has as many categories as the game."""
        super().check_prior(prior, data)
        assert isinstance(prior, CategoricalNormal)
        if prior.categories != self.categories:
            found = f"prior.categories is {prior.categories}, and game.categories is {self.categories}"
            raise SettingsError(found, f"make them equal: --set prior.categories={self.categories}")

    def latent(self, architecture: Architecture, data: DataSpec) -> int:
        """Return the length of category, codes and noise together."""
        return self.categories + self.codes + self.noise

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a GAN's networks, and Q as `code`."""
        networks = super().build(replace(architecture, latent=self.latent(architecture, data)), data)
        assert networks.critic is not None
        if networks.critic.feature_size is None:
            raise SettingsError(
                f"architecture '{architecture.name}' has a critic that does not say its feature_size",
                "choose another recipe: genzoo list recipes",
            )
        reads, writes = networks.critic.feature_size, self.categories + self.codes
        networks.add_module("code", architecture.head("code", reads=reads, writes=writes))
        return networks

    def players(self, networks: Networks) -> Players:
        """Return critic and Q as one player, and the decoder as the other."""
        parts = {"critic": ("critic", "code"), "generator": ("decoder",)}
        return {
            player: [parameter for name in names for parameter in networks.get_submodule(name).parameters()]
            for player, names in parts.items()
        }

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the GAN's loss plus λ·(−ln Q)."""
        return super().critic_loss(networks, batch, round) + self.surprise(networks, batch, round)

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the GAN's loss plus λ·(−ln Q)."""
        return super().generator_loss(networks, batch, round) + self.surprise(networks, batch, round)

    def watch(self, networks: Networks, batch: Batch, round: Round) -> dict[str, Tensor]:
        """Return a lower bound of the mutual information of category and x̃, in nats: ln K less the mean of −ln Q."""
        logits = _answer(networks, round.on_p)[:, : self.categories]
        return {"information": log(self.categories) - cross_entropy(logits, batch.z[:, : self.categories])}

    def pictures(self, networks: Networks, batch: Batch, prior: Prior) -> dict[str, Picture]:
        """Return `categories`: a column for each, in whose rows codes and noise are the same."""
        k, z = self.categories, batch.z[:8]
        category = torch.eye(k, device=z.device).repeat(len(z), 1)
        x = networks.decode(torch.cat([category, z[:, k:].repeat_interleave(k, 0)], 1))
        headings = tuple(map(str, range(k)))
        return {"categories": Picture(x, columns=k, headings=headings, labels=category.argmax(1).cpu())}

    def surprise(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the mean of −ln Q(c|x̃) (), weighed and summed over category and codes."""
        answer = _answer(networks, round.on_p)
        k, last = self.categories, self.categories + self.codes
        missed = (batch.z[:, k:last] - answer[:, k:]).square() / 2 + log(2 * pi) / 2
        of_category = cross_entropy(answer[:, :k], batch.z[:, :k])
        return self.weight * of_category + self.code_weight * missed.sum(1).mean()

    def categorise(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return Q's logits (N, K) of the category."""
        return _answer(networks, networks.judge(Joint(x=x)))[:, : self.categories]


def _answer(networks: Networks, verdict: Verdict) -> Tensor:
    """Return Q's logits of the category and means of the codes, (N, K + codes), at what the critic has judged."""
    return at_least_float32(networks.get_submodule("code")(verdict.features))
