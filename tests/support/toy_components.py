"""Toy components for tests of the core, which so depend on no first-party plugin; they are a plugin of their own.

Most tests use the classes; one that resolves names asks `toy_registry`, which knows the core and these toys alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from itertools import product
from typing import ClassVar

import torch

from genzoo import AdversarialGame, Game, Joint, Losses, Networks, hookimpl
from genzoo.data import Dataset
from genzoo.host.discovery import GROUP, discover
from genzoo.nn import (
    Architecture,
    BatchNorm,
    Conv,
    Linear,
    LinearEmbedder,
    Maxout,
    ReLU,
    Sigmoid,
    TableCritic,
    TableDecoder,
    TableEncoder,
    TransposedConv,
)
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Draw, Mixture, Posterior, Split, Splits

MEANS = tuple(product((-2.0, 0.0, 2.0), (-2.0, 0.0, 2.0)))


@dataclass(frozen=True, kw_only=True)
class ToyMixture(Dataset):
    """Nine equally likely Gaussians on a grid in the plane, each a class."""

    name: ClassVar[str] = "toy-mixture"
    rows: int = 40
    held_out_rows: int = 16

    def __post_init__(self):
        if min(self.rows, self.held_out_rows) < 1:
            raise ValueError("rows and held_out_rows must be at least 1")

    @property
    def spec(self):
        names = tuple(f"{x:g},{y:g}" for x, y in MEANS)
        return DataSpec(shape=(2,), support="real", class_names=names, mixture=Mixture(means=MEANS, std=0.05))

    def load(self, root):
        counts = (self.rows, self.held_out_rows, self.held_out_rows)
        return Splits(*(self._draw(count, seed=seed) for seed, count in enumerate(counts)))

    def _draw(self, rows, *, seed):
        source = torch.Generator().manual_seed(seed)
        labels = torch.randint(len(MEANS), (rows,), generator=source)
        return Split(torch.tensor(MEANS)[labels] + 0.05 * torch.randn(rows, 2, generator=source), labels)


@dataclass(frozen=True, kw_only=True)
class ToyImages(Dataset):
    """Grey images of 8 × 8 in bytes, noisy and darker or lighter by their class; `labelled` says whether it is told."""

    name: ClassVar[str] = "toy-images"
    rows: int = 60
    labelled: bool = True

    @property
    def spec(self):
        names = tuple("0123456789") if self.labelled else ()
        return DataSpec(shape=(1, 8, 8), support="unit", class_names=names)

    def load(self, root):
        return Splits(*(self._draw(self.rows, seed=seed) for seed in range(3)))

    def _draw(self, rows, *, seed):
        source = torch.Generator().manual_seed(seed)
        labels = torch.randint(10, (rows,), generator=source)
        noise = torch.randint(100, (rows, 1, 8, 8), generator=source)
        return Split((15 * labels.view(-1, 1, 1, 1) + noise).to(torch.uint8), labels if self.labelled else None)


NORM = BatchNorm(eps=1e-4, momentum=0.05)


@dataclass(frozen=True, kw_only=True)
class ToyNetworks(Architecture):
    """Fully connected networks for vectors, with hidden layers of `width` and a condition embedded in 3 numbers."""

    name: ClassVar[str] = "toy-networks"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("implicit", "gaussian", "point")
    latent: int = 2
    init_std: float | None = 0.02
    width: int = 16

    @property
    def _hidden(self):
        return Linear(width=self.width, batch_norm=NORM, nonlinearity=ReLU())

    def encoder(self, data, *, posterior=None, condition=0):
        chosen = self.choose(posterior)
        head = (Linear(width=2 * self.latent if chosen == "gaussian" else self.latent),)
        body = (self._hidden,) * 2
        return TableEncoder(data, latent=self.latent, posterior=chosen, body=body, head=head, condition=condition)

    def decoder(self, data, *, condition=0):
        table = (self._hidden,) * 4 + (Linear(width=data.shape[0]),)
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        maxout = Linear(width=self.width // 2, nonlinearity=Maxout(pieces=5, counted="after"))
        return TableCritic(
            data,
            latent=self.latent,
            x_table=(),
            z_table=(),
            joint_table=(maxout,) * 3 + (Linear(width=outputs),),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )

    def embedder(self, data):
        return LinearEmbedder(data, 3)


@dataclass(frozen=True, kw_only=True)
class ToyImageNetworks(Architecture):
    """Convolutional networks for images of 8 × 8, with dropout in the critic and an untied bias at the output."""

    name: ClassVar[str] = "toy-image-networks"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "point")
    latent: int = 4
    init_std: float | None = 0.05
    dropout: float = 0.1

    def encoder(self, data, *, posterior=None, condition=0):
        chosen = self.choose(posterior)
        head = (Linear(width=2 * self.latent if chosen == "gaussian" else self.latent),)
        convolution = Conv(width=4, kernel=4, stride=2, batch_norm=NORM, nonlinearity=ReLU())
        body = (convolution, Linear(width=8, batch_norm=NORM, nonlinearity=ReLU()))
        return TableEncoder(data, latent=self.latent, posterior=chosen, body=body, head=head, condition=condition)

    def decoder(self, data, *, condition=0):
        table = (
            TransposedConv(width=8, kernel=3, batch_norm=NORM, nonlinearity=ReLU()),
            TransposedConv(width=4, kernel=4, stride=2, batch_norm=NORM, nonlinearity=ReLU()),
            Conv(width=data.shape[0], kernel=1, nonlinearity=Sigmoid(), bias="untied"),
        )
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        dense = Linear(width=8, input_dropout=self.dropout, nonlinearity=ReLU())
        return TableCritic(
            data,
            latent=self.latent,
            x_table=(Conv(width=4, kernel=4, stride=2, input_dropout=self.dropout, nonlinearity=ReLU()),),
            z_table=(dense,),
            joint_table=(dense, Linear(width=outputs)),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )

    def embedder(self, data):
        return LinearEmbedder(data, 3)

    def initialise(self, networks, images):
        networks.decoder.start_at_mean(images)


@dataclass(frozen=True, kw_only=True)
class WithEncoder(AdversarialGame):
    """A critic that tells (x, encoded x) from (decoded z, z)."""

    name: ClassVar[str] = "toy-with-encoder"
    posterior: Posterior | None = None

    def build(self, architecture, data):
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior),
            decoder=architecture.decoder(data),
            critic=architecture.critic(data, sees="xz"),
        )

    def q(self, networks, batch):
        return Joint(x=batch.x, z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z), z=batch.z)


@dataclass(frozen=True, kw_only=True)
class WithoutEncoder(AdversarialGame):
    """A critic that tells x from decoded z."""

    name: ClassVar[str] = "toy-without-encoder"

    def build(self, architecture, data):
        return Networks(decoder=architecture.decoder(data), critic=architecture.critic(data, sees="x"))

    def q(self, networks, batch):
        return Joint(x=batch.x)

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z))


@dataclass(frozen=True, kw_only=True)
class Conditional(AdversarialGame):
    """As `WithEncoder`, with every network given y."""

    name: ClassVar[str] = "toy-conditional"

    def build(self, architecture, data):
        embedder = architecture.embedder(data)
        size = embedder.out_features
        return Networks(
            encoder=architecture.encoder(data, condition=size),
            decoder=architecture.decoder(data, condition=size),
            critic=architecture.critic(data, sees="xz", condition=size),
            embedder=embedder,
        )

    def q(self, networks, batch):
        return Joint(x=batch.x, z=networks.encode(batch.x, batch.noise, batch.y).z, y=networks.embed(batch.y).detach())

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z, batch.y), z=batch.z, y=networks.embed(batch.y).detach())


@dataclass(frozen=True, kw_only=True)
class OnePlayer(Game):
    """A generator alone, which reconstructs x and keeps z near 0."""

    name: ClassVar[str] = "toy-one-player"

    def build(self, architecture, data):
        return Networks(encoder=architecture.encoder(data, posterior="gaussian"), decoder=architecture.decoder(data))

    def losses(self, networks, batch, movers):
        code = networks.encode(batch.x, batch.noise)
        misfit = (batch.x - networks.decode(code.z)).float().square().flatten(1).sum(1).mean()
        size = code.z.float().square().sum(1).mean()
        return Losses(players={"generator": misfit + size}, watch={"misfit": misfit.detach()})


@dataclass(frozen=True, kw_only=True)
class Denoiser(OnePlayer):
    """As `OnePlayer`, of an x with declared noise, and with codes near points that all rows share."""

    name: ClassVar[str] = "toy-denoiser"
    draws: ClassVar[Mapping[str, Draw]] = {
        "t": Draw("uniform"),
        "noise": Draw("normal", shape="x"),
        "points": Draw("normal", shape="latent", rows=3),
    }

    def losses(self, networks, batch, movers):
        t = batch.draws["t"].view(-1, *(1 for _ in batch.x.shape[1:]))
        losses = super().losses(networks, batch._replace(x=batch.x + t * batch.draws["noise"]), movers)
        codes = networks.encode(batch.x, batch.noise).z
        near = (codes[:, None] - batch.draws["points"]).square().mean()
        return losses._replace(players={"generator": losses.players["generator"] + near})


@dataclass(frozen=True, kw_only=True)
class Bank(OnePlayer):
    """As `OnePlayer`, with a code to be remembered for every training row, which draws the new one."""

    name: ClassVar[str] = "toy-bank"

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.register_buffer("bank", torch.zeros(ToyMixture().rows * 4, architecture.latent))
        return networks

    def losses(self, networks, batch, movers):
        places = self.places(batch)
        losses, code = super().losses(networks, batch, movers), networks.encode(batch.x, batch.noise).z
        drift = (code - networks.bank[places]).float().square().sum(1).mean()
        if networks.training:
            networks.bank[places] = code.detach().to(networks.bank.dtype)
        return losses._replace(players={"generator": losses.players["generator"] + drift})

    def places(self, batch):
        return batch.rows


@dataclass(frozen=True, kw_only=True)
class Classifier(Game):
    """A classifier alone, which reads y where rows are labelled, and draws codes towards 0 by a second network."""

    name: ClassVar[str] = "toy-classifier"

    def build(self, architecture, data):
        classes = len(data.class_names)
        return Networks(
            encoder=architecture.encoder(data, posterior="gaussian"),
            decoder=architecture.decoder(data),
            classifier=architecture.critic(data, sees="x", outputs=classes),
        )

    def classify(self, networks, x, noise):
        return networks.get_submodule("classifier")(Joint(x=x)).logits

    def losses(self, networks, batch, movers):
        logits = self.classify(networks, batch.x, batch.noise)
        code = networks.encode(batch.x, batch.noise)
        labelled = torch.ones(len(batch.x)) if batch.labelled is None else batch.labelled.float()
        wrong = torch.nn.functional.cross_entropy(logits, batch.y, reduction="none")
        share = (wrong * labelled).sum() / labelled.sum().clamp(min=1)
        size = code.z.square().mean() + networks.decode(code.z).square().mean()
        return Losses(players={"generator": share + size}, watch={"labelled": labelled.sum()})


GAMES = (WithEncoder(), WithoutEncoder(), OnePlayer())

TRAINING = Training(steps=6, batch_size=16, learning_rate=1e-3, beta1=0.5, beta2=0.999)

RECIPE = Recipe(name="toy", summary="a toy task", dataset=ToyMixture(), architecture=ToyNetworks(), training=TRAINING)
IMAGE_RECIPE = Recipe(
    name="toy-images",
    summary="a toy task of images",
    dataset=ToyImages(),
    architecture=ToyImageNetworks(),
    training=TRAINING,
)


@hookimpl
def genzoo_models():
    return [WithEncoder, WithoutEncoder, Conditional, OnePlayer, Classifier]


@hookimpl
def genzoo_datasets():
    return [ToyMixture, ToyImages]


@hookimpl
def genzoo_architectures():
    return [ToyNetworks, ToyImageNetworks]


@hookimpl
def genzoo_recipes():
    return [RECIPE, IMAGE_RECIPE]


@cache
def toy_registry():
    """Return a registry in which no plugin is installed but this module."""
    return discover([EntryPoint(name="toys", value="toy_components", group=GROUP)])
