"""A task of one's own: two arcs in a plane, networks for them, and both under one name."""

from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import ClassVar

import torch

from genzoo import nn
from genzoo.data import Dataset
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Posterior, Sees, Split, Splits


@dataclass(frozen=True, kw_only=True)
class Moons(Dataset):
    """Two arcs in a plane, a class each."""

    name: ClassVar[str] = "moons"
    rows: int = 2000

    @property
    def spec(self) -> DataSpec:
        return DataSpec(shape=(2,), support="real", class_names=("upper", "lower"))

    def load(self, root: Path) -> Splits:
        return Splits(*(self._drawn(seed) for seed in range(3)))

    def _drawn(self, seed: int) -> Split:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (self.rows,), generator=generator)
        angle = pi * (torch.rand(self.rows, generator=generator) + labels)
        arcs = torch.stack([angle.cos() + labels - 0.5, angle.sin() + labels / 2 - 0.25], dim=1)
        return Split(arcs + 0.05 * torch.randn(self.rows, 2, generator=generator), labels)


@dataclass(frozen=True, kw_only=True)
class Plain(nn.Architecture):
    """Fully connected networks for vectors."""

    name: ClassVar[str] = "plain"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "point")
    latent: int = 2
    width: int = 64

    @property
    def _hidden(self) -> nn.Table:
        return 2 * (nn.Linear(width=self.width, nonlinearity=nn.ReLU()),)

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
        return nn.TableCritic(
            data,
            latent=self.latent,
            x_table=(),
            z_table=(),
            joint_table=(*self._hidden, nn.Linear(width=outputs)),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )


MOONS = Recipe(
    name="moons",
    summary="two arcs in a plane, in seconds",
    dataset=Moons(),
    architecture=Plain(),
    training=Training(steps=1500, batch_size=100, learning_rate=1e-3),
)
