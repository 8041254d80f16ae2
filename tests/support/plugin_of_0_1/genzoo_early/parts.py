"""A game, a prior, a data set, an architecture, a recipe and a metric."""

from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from genzoo import AdversarialGame, Joint, Networks, nn
from genzoo.data import Dataset
from genzoo.evaluation import Metric, Model, Score
from genzoo.games import Prior
from genzoo.training import Recipe, Training
from genzoo.types import Batch, DataSpec, Posterior, Round, Sees, Split, Splits


@dataclass(frozen=True, kw_only=True)
class Early(AdversarialGame):
    """Tells pairs of x and z apart, and reconstructs x."""

    name: ClassVar[str] = "early"
    weight: float = 0.5
    """Of the squared error of reconstructions."""

    def build(self, architecture: nn.Architecture, data: DataSpec) -> Networks:
        encoder, critic = architecture.encoder(data), architecture.critic(data)
        return Networks(encoder=encoder, decoder=architecture.decoder(data), critic=critic)

    def q(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(x=batch.x, z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        return Joint(x=networks.decode(batch.z), z=batch.z)

    def generator_cost(self, networks: Networks, batch: Batch, q: Joint, p: Joint) -> Tensor:
        assert q.z is not None
        return self.weight * (batch.x - networks.decode(q.z)).square().mean()

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        return super().critic_loss(networks, batch, round) + 1e-3 * round.on_q.logits.square().mean()


@dataclass(frozen=True, kw_only=True)
class Box(Prior):
    """Independent and uniform between −1 and 1 in every dimension."""

    name: ClassVar[str] = "early-box"

    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        return 2 * torch.rand(rows, latent, generator=generator, device=generator.device) - 1


@dataclass(frozen=True, kw_only=True)
class Ring(Dataset):
    """Points near a circle, in two classes."""

    name: ClassVar[str] = "early-ring"
    rows: int = 64

    @property
    def spec(self) -> DataSpec:
        return DataSpec(shape=(2,), support="real", class_names=("left", "right"))

    def load(self, root: Path) -> Splits:
        return Splits(*(self._draw(seed) for seed in range(3)))

    def _draw(self, seed: int) -> Split:
        angle = 2 * pi * torch.rand(self.rows, generator=torch.Generator().manual_seed(seed))
        return Split(torch.stack([angle.cos(), angle.sin()], dim=1), (angle.cos() > 0).long())


@dataclass(frozen=True, kw_only=True)
class EarlyNetworks(nn.Architecture):
    """Fully connected networks with one hidden layer."""

    name: ClassVar[str] = "early-networks"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "point")
    latent: int = 2
    width: int = 16

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> nn.Encoder:
        chosen = self.choose(posterior)
        head = (nn.Linear(width=2 * self.latent if chosen == "gaussian" else self.latent),)
        return nn.TableEncoder(
            data, latent=self.latent, posterior=chosen, body=self._hidden, head=head, condition=condition
        )

    def decoder(self, data: DataSpec, *, condition: int = 0) -> nn.Decoder:
        table = (*self._hidden, nn.Linear(width=data.shape[0]))
        return nn.TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> nn.JointCritic:
        table = (*self._hidden, nn.Linear(width=outputs))
        return nn.TableCritic(
            data,
            latent=self.latent,
            x_table=(),
            z_table=(),
            joint_table=table,
            sees=sees,
            condition=condition,
            outputs=outputs,
        )

    @property
    def _hidden(self) -> nn.Table:
        return (nn.Linear(width=self.width, nonlinearity=nn.ReLU()),)


@dataclass(frozen=True, kw_only=True)
class Radius(Metric):
    """The mean distance of samples from the circle."""

    name: ClassVar[str] = "early-radius"
    samples: int = 32

    def obstacle(self, model: Model) -> str | None:
        return None if model.networks.decoder is not None else "it has no decoder"

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        away = (model.sample(self.samples, seed=seed).norm(dim=1) - 1).abs().mean().item()
        return [Score(metric=self.name, value=away, protocol={"samples": self.samples}, better="lower")]


RECIPE = Recipe(
    name="early-ring",
    summary="points near a circle",
    dataset=Ring(),
    architecture=EarlyNetworks(),
    prior=Box(),
    training=Training(steps=3, batch_size=8, learning_rate=1e-3),
)
