"""The smallest recipes, of vectors and of images, that every model can be checked on without files or other plugins."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from genzoo.data.dataset import Dataset, random_split
from genzoo.games.game import Game
from genzoo.nn.architecture import Architecture
from genzoo.nn.interfaces import Decoder, Encoder, JointCritic, Networks
from genzoo.nn.table_networks import TableCritic, TableDecoder, TableEncoder
from genzoo.nn.tables import BatchNorm, Linear, ReLU, Sigmoid, Table, TransposedConv
from genzoo.training.settings import Recipe, Training
from genzoo.types import Batch, DataSpec, Losses, Posterior, Sees, Splits


@dataclass(frozen=True, kw_only=True)
class ToyRows(Dataset):
    """Random rows of a given shape, in three classes."""

    name: ClassVar[str] = "toy-rows"
    shape: tuple[int, ...] = (2,)
    rows: int = 64

    @property
    def spec(self) -> DataSpec:
        """Images in [0, 1] for three numbers of `shape`, else vectors."""
        return DataSpec(
            shape=self.shape, support="unit" if len(self.shape) == 3 else "real", class_names=("a", "b", "c")
        )

    def load(self, root: Path) -> Splits:
        """Return random rows."""
        return Splits(*(random_split(self.spec, self.rows, seed=seed) for seed in range(3)))


@dataclass(frozen=True, kw_only=True)
class ToyTables(Architecture):
    """Fully connected networks with one hidden layer, for vectors and images."""

    name: ClassVar[str] = "toy-tables"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "implicit", "point")
    latent: int = 12
    init_std: float | None = 0.1

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> Encoder:
        """Return an encoder."""
        chosen = self.choose(posterior)
        head = (Linear(width=self.head_size(chosen)),)
        body = (Linear(width=8, batch_norm=BatchNorm(), nonlinearity=ReLU()),)
        return TableEncoder(data, latent=self.latent, posterior=chosen, body=body, head=head, condition=condition)

    def decoder(self, data: DataSpec, *, condition: int = 0) -> Decoder:
        """Return a decoder."""
        table: Table = (Linear(width=8, batch_norm=BatchNorm(), nonlinearity=ReLU()), Linear(width=data.shape[0]))
        if data.is_image:
            first = TransposedConv(width=8, kernel=1, batch_norm=BatchNorm(), nonlinearity=ReLU())
            table = (first, TransposedConv(width=data.shape[0], kernel=data.shape[1], nonlinearity=Sigmoid()))
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> JointCritic:
        """Return a critic."""
        return TableCritic(
            data,
            latent=self.latent,
            x_table=(),
            z_table=(),
            joint_table=(Linear(width=8, nonlinearity=ReLU()), Linear(width=outputs)),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )


_NETWORKS = ("encoder", "decoder", "critic")


@dataclass(frozen=True, kw_only=True)
class ToyGame(Game):
    """A game with some of the networks, whose weights are drawn towards 0: models for metrics, and inherited parts.

    A part of another name than theirs is a critic of x.
    """

    name: ClassVar[str] = "toy-game"
    parts: tuple[str, ...] = _NETWORKS

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return the networks of `parts`."""
        networks = Networks(
            encoder=architecture.encoder(data) if "encoder" in self.parts else None,
            decoder=architecture.decoder(data) if "decoder" in self.parts else None,
            critic=architecture.critic(data) if "critic" in self.parts else None,
        )
        for name in self.parts:
            if name not in _NETWORKS:
                networks.add_module(name, architecture.critic(data, sees="x"))
        return networks

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the squares of all parameters."""
        sizes = [parameter.square().sum() for parameter in networks.parameters() if parameter.requires_grad]
        return Losses(dict.fromkeys(movers, torch.stack(sizes).sum()), {})


_TOY_TRAINING = Training(steps=4, batch_size=16, learning_rate=1e-3)
VECTOR_TOY = Recipe(
    name="vectors", summary="random vectors", dataset=ToyRows(), architecture=ToyTables(), training=_TOY_TRAINING
)
IMAGE_TOY = Recipe(
    name="images",
    summary="random grey images of 8 × 8",
    dataset=ToyRows(shape=(1, 8, 8)),
    architecture=ToyTables(),
    training=_TOY_TRAINING,
)
