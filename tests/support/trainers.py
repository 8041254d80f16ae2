"""Trainers in memory on small toy networks, in float32 or float64."""

import math
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar

import torch

from genzoo.games import StandardNormal
from genzoo.nn import BatchNorm, Linear, Maxout, ReLU, TableCritic, TableDecoder, TableEncoder
from genzoo.training import Training
from genzoo.training.ema import EMA
from genzoo.training.initialization import Plan
from genzoo.training.settings import Settings
from genzoo.training.trainer import Trainer
from genzoo.types import Batch
from genzoo_ali.ali import ALI
from genzoo_data.mixture import Mixture25
from genzoo_recipes.mixture25 import Mixture25Networks

CPU = torch.device("cpu")


DATA = Mixture25(rows=40, held_out_rows=16)


TRAINING = Training(steps=6, batch_size=16, learning_rate=1e-3, beta1=0.5, beta2=0.999)


@dataclass(frozen=True, kw_only=True)
class Small(Mixture25Networks):
    """The toy networks with layers of 8."""

    name: ClassVar[str] = "small"

    def encoder(self, data, *, posterior=None, condition=0):
        chosen = self.choose(posterior)
        head = (Linear(width=2 * self.latent if chosen == "gaussian" else self.latent),)
        return TableEncoder(data, latent=self.latent, posterior=chosen, body=(ROW,), head=head, condition=condition)

    def decoder(self, data, *, condition=0):
        table = (ROW, ROW, Linear(width=data.shape[0]))
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        joint = (Linear(width=8, nonlinearity=Maxout(pieces=2)),) * 2 + (Linear(width=outputs),)
        return TableCritic(data, latent=self.latent, x_table=(), z_table=(), joint_table=joint, sees=sees)


ROW = Linear(width=8, batch_norm=BatchNorm(), nonlinearity=ReLU())


SMALL = Small()


def settings_of(game, *, dataset=DATA, architecture=SMALL, training=TRAINING):
    return Settings(game=game, dataset=dataset, architecture=architecture, prior=StandardNormal(), training=training)


def trainer_of(settings, *, precision="fp32", seed=3):
    splits = settings.dataset.load(None)
    return Trainer(Plan(settings=settings), splits.train, seed=seed, device=CPU, precision=precision)


def doubled(trainer):
    """Make a trainer that has not moved yet compute in float64, with the numbers it would have had."""
    trainer.networks.double()
    trainer.optimizers = {name: trainer._optimizer(name) for name in trainer.players}
    if trainer._ema is not None:
        trained = [parameter for group in trainer.players.values() for parameter in group]
        trainer._ema = EMA(trained, decay=trainer.settings.training.averaging)
    single = trainer.stream.batch
    trainer.stream.batch = lambda step: Batch(*(None if part is None else part.double() for part in single(step)))
    return trainer


@dataclass(frozen=True, kw_only=True)
class Poisoned(ALI):
    """ALI in whose step number `at` something becomes NaN or infinite."""

    name: ClassVar[str] = "poisoned"
    what: str
    at: int
    counter: count = field(default_factory=lambda: count(1), compare=False)

    def gradients(self, networks, batch, movers):
        strikes = next(self.counter) == self.at
        if strikes and self.what == "input x":
            batch.x[0, 0] = math.nan
        if strikes and self.what == "input z":
            batch.z[0, 0] = math.inf
        losses, gradients = super().gradients(networks, batch, movers)
        if strikes and self.what == "loss":
            losses.players["critic"].mul_(math.nan)
        if strikes and self.what == "infinite loss":
            losses.players["generator"].add_(math.inf)
        if strikes and self.what == "gradient":
            gradients["generator"][-1].view(-1)[-1] = math.nan
        if strikes and self.what == "infinite gradient":
            gradients["critic"][0].view(-1)[0] = -math.inf
        return losses, gradients


def learned(trainer):
    """Return copies of all parameters and optimizer states."""
    copies = {name: tensor.detach().clone() for name, tensor in trainer.networks.named_parameters()}
    return copies | {name: tensor.clone() for name, tensor in trainer._moments().items()}


def bits(tensor):
    return tensor.contiguous().view(torch.int32)
