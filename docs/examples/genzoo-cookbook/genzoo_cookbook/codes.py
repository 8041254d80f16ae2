"""A prior whose parts mean something, and a GAN whose critic finds them again (after Chen et al., 2016)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from genzoo import AdversarialGame, Joint, Networks, SettingsError
from genzoo.games import Players, Prior, Setup
from genzoo.nn import Architecture, JointCritic, at_least_float32
from genzoo.types import Batch, DataSpec, Round


@dataclass(frozen=True, kw_only=True)
class Codes(Prior):
    """A category, one-hot, then a tilt that is uniform from −1 to 1, then normal noise."""

    name: ClassVar[str] = "codes"
    categories: int = 10

    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        device, noise = generator.device, latent - self.categories - 1
        if noise < 0:
            raise SettingsError(f"z has {latent} numbers", "take a longer one: --set architecture.latent=…")
        category = torch.randint(self.categories, (rows,), generator=generator, device=device)
        tilt = 2 * torch.rand(rows, 1, generator=generator, device=device) - 1
        normals = torch.randn(rows, noise, generator=generator, device=device)
        return torch.cat([one_hot(category, self.categories).float(), tilt, normals], dim=1)

    def parts(self, latent: int) -> Mapping[str, slice]:
        return {"category": slice(0, self.categories), "tilt": slice(self.categories, self.categories + 1)}


@dataclass(frozen=True, kw_only=True)
class CodedGAN(AdversarialGame):
    """A GAN whose critic says of which category and tilt a sample was made."""

    name: ClassVar[str] = "coded-gan"
    defaults: ClassVar[Mapping[str, Any]] = {"prior": "codes"}
    weight: float = 1.0
    """Of finding the codes again."""

    def needs(self, setup: Setup) -> str | None:
        return None if isinstance(setup.prior, Codes) else "a prior of a category and a tilt: --set prior=codes"

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        return Networks(decoder=architecture.decoder(data), critic=architecture.critic(data, sees="x"))

    def add_heads(self, networks: Networks, setup: Setup) -> None:
        reads = networks.part("critic", JointCritic).feature_size
        if reads is None:
            raise SettingsError(f"the critic of '{setup.architecture.name}' does not say its feature_size")
        writes = setup.prior.parts(setup.latent)["tilt"].stop
        networks.add_module("head", setup.architecture.head("codes", reads=reads, writes=writes))

    def players(self, networks: Networks) -> Players:
        names = {"critic": ("critic", "head"), "generator": ("decoder",)}
        return {
            player: [each for part in parts for each in networks.part(part, Module).parameters()]
            for player, parts in names.items()
        }

    def q(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(x=batch.x)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(x=networks.decode(batch.z))

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        return super().critic_loss(networks, batch, round) + self.missed(networks, batch, round)

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        return super().generator_loss(networks, batch, round) + self.missed(networks, batch, round)

    def watch(self, networks: Networks, batch: Batch, round: Round) -> dict[str, Tensor]:
        return {"missed": self.missed(networks, batch, round).detach()}

    def missed(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return how far the codes of samples are from what the head says of them, ()."""
        answer = at_least_float32(networks.part("head", Module)(round.on_p.features))
        k = answer.shape[1] - 1  # categories
        of_category = cross_entropy(answer[:, :k], batch.z[:, :k])
        return self.weight * (of_category + mse_loss(answer[:, k], batch.z[:, k]))

    def categorise(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        answer: Tensor = networks.part("head", Module)(networks.judge(Joint(x=x)).features)
        return answer[:, :-1]
