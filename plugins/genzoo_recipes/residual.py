"""Networks of residual blocks: those of spectral normalisation (2018), and the training of R3GAN (2024)."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from genzoo.games import CosineSchedule, LinearSchedule
from genzoo.nn import (
    BatchNorm,
    Conv,
    LeakyReLU,
    Linear,
    Pool,
    ReLU,
    Residual,
    Sigmoid,
    Table,
    TableCritic,
    TableDecoder,
    TableEncoder,
    TransposedConv,
    Upsample,
)
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Posterior, Sees
from genzoo_data.celeba64 import CelebA64
from genzoo_data.cifar10 import CIFAR10
from genzoo_recipes.images import ImageNetworks, halvings

_LRELU = LeakyReLU(0.2)


@dataclass(frozen=True, kw_only=True)
class ResidualNetworks(ImageNetworks):
    """Encoder, decoder and critic of residual blocks, given by the tables that read and write images."""

    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "point")
    latent: int = 128
    embedding: int = 64
    width: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError(f"width is {self.width}, expected at least 1")

    @abstractmethod
    def reading(self, data: DataSpec, *, critic: bool) -> Table:
        """Return the rows of the critic, or of the encoder, that read x."""

    @abstractmethod
    def writing(self, data: DataSpec) -> Table:
        """Return the rows of the decoder before its output."""

    @abstractmethod
    def hidden(self) -> Linear:
        """Return a fully connected hidden row of a critic of z."""

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> TableEncoder:
        """Return the rows that read x, one fully connected layer, and a linear head."""
        chosen = self.choose(posterior)
        body = (*self.reading(data, critic=False), Linear(width=4 * self.width, nonlinearity=_LRELU))
        head = (Linear(width=self.head_size(chosen)),)
        return TableEncoder(data, latent=self.latent, posterior=chosen, body=body, head=head, condition=condition)

    def decoder(self, data: DataSpec, *, condition: int = 0) -> TableDecoder:
        """Return the rows that write x, and a convolution with an untied bias."""
        output = Conv(width=data.shape[0], kernel=3, padding=1, nonlinearity=Sigmoid(), bias="untied")
        return TableDecoder(data, latent=self.latent, table=(*self.writing(data), output), condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> TableCritic:
        """Return D(x) with a linear logit, or D(x), D(z) and D(x, z) with hidden layers."""
        hidden = self.hidden()
        logits = Linear(width=outputs, spectral_norm=hidden.spectral_norm)
        return TableCritic(
            data,
            latent=self.latent,
            x_table=self.reading(data, critic=True),
            z_table=(hidden, hidden),
            joint_table=(logits,) if sees == "x" else (hidden, hidden, logits),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )


@dataclass(frozen=True, kw_only=True)
class SNResNetNetworks(ResidualNetworks):
    """The residual networks of spectral normalisation for 32 × 32 images (Miyato et al., 2018).

    The decoder has batch norm, and the critic spectral norm in all its maps; the encoder is the critic without it.
    """

    name: ClassVar[str] = "sn-resnet"
    width: int = 128
    """Maps of the critic; the decoder has twice as many."""

    def reading(self, data: DataSpec, *, critic: bool) -> Table:
        """Return two blocks that halve the sides, two that keep them, and a sum over all positions."""
        side = data.shape[1] // 4
        first, half = self._reading_block(critic, pool=2, first=True), self._reading_block(critic, pool=2)
        same = self._reading_block(critic, pool=1)
        end = Pool(width=self.width, nonlinearity=ReLU()), Pool(width=self.width, kernel=side, sums=True)
        return first, half, same, same, *end

    def writing(self, data: DataSpec) -> Table:
        """Return a map to 4 × 4, blocks that double the sides, and batch norm."""
        maps = 2 * self.width
        same = Pool(width=maps, batch_norm=BatchNorm(), nonlinearity=ReLU())
        convolution = Conv(width=maps, kernel=3, padding=1)
        normed = replace(convolution, batch_norm=BatchNorm(), nonlinearity=ReLU())
        block = Residual(
            width=maps,
            rows=(same, Upsample(width=maps), normed, convolution),
            shortcut=(Upsample(width=maps), Conv(width=maps, kernel=1)),
        )
        return TransposedConv(width=maps, kernel=4), *(block,) * halvings(data), same

    def hidden(self) -> Linear:
        """Return a row with spectral norm."""
        return Linear(width=4 * self.width, nonlinearity=ReLU(), spectral_norm=True)

    def _reading_block(self, critic: bool, *, pool: int, first: bool = False) -> Residual:
        """Return a block: two convolutions, each after a ReLU but for the first of x, and a mean over squares."""
        maps = self.width
        rows: Table = (
            Conv(width=maps, kernel=3, padding=1, spectral_norm=critic, nonlinearity=ReLU()),
            Conv(width=maps, kernel=3, padding=1, spectral_norm=critic),
        )
        rows = rows if first else (Pool(width=maps, nonlinearity=ReLU()), *rows)
        if pool == 1:
            return Residual(width=maps, rows=rows)
        means = Pool(width=maps, kernel=pool)
        projected = Conv(width=maps, kernel=1, spectral_norm=critic)
        return Residual(width=maps, rows=(*rows, means), shortcut=(projected, means))


@dataclass(frozen=True, kw_only=True)
class R3GANNetworks(ResidualNetworks):
    """Residual blocks without any normalisation, whose last convolution starts at 0, as R3GAN has (Huang et al., 2024).

    Sides are halved by means and doubled by repetition down to 4 × 4, with a 1 × 1 convolution to the next width.
    """

    name: ClassVar[str] = "r3gan"
    latent: int = 64
    width: int = 64
    """Maps next to the image; they double with every halving of the sides, up to four times as many."""
    blocks: int = 2
    """Per size of the maps."""

    def reading(self, data: DataSpec, *, critic: bool) -> Table:
        """Return the stages from the image to 4 × 4."""
        first, *others = self._widths(data)
        rows = [Conv(width=first, kernel=3, padding=1, nonlinearity=_LRELU), *self._stage(first)]
        before = first
        for width in others:
            rows += [Pool(width=before, kernel=2), Conv(width=width, kernel=1), *self._stage(width)]
            before = width
        return tuple(rows)

    def writing(self, data: DataSpec) -> Table:
        """Return the stages from 4 × 4 to the image."""
        first, *others = reversed(self._widths(data))
        rows = [TransposedConv(width=first, kernel=4, nonlinearity=_LRELU), *self._stage(first)]
        before = first
        for width in others:
            rows += [Upsample(width=before), Conv(width=width, kernel=1), *self._stage(width)]
            before = width
        return tuple(rows)

    def hidden(self) -> Linear:
        """Return a row without a norm."""
        return Linear(width=4 * self.width, nonlinearity=_LRELU)

    def _widths(self, data: DataSpec) -> list[int]:
        return [self.width * min(4, 2**number) for number in range(halvings(data) + 1)]

    def _stage(self, width: int) -> Table:
        inner = Conv(width=width, kernel=3, padding=1, nonlinearity=_LRELU)
        last = Conv(width=width, kernel=3, padding=1, starts_at_zero=True)
        return (Residual(width=width, rows=(inner, last)),) * self.blocks


SN_RESNET32 = Recipe(
    name="sn-resnet32",
    summary="residual networks of spectral normalisation on CIFAR10: hinge and five critic steps",
    dataset=CIFAR10(),
    architecture=SNResNetNetworks(init_std=None),
    training=Training(
        steps=600_000,
        batch_size=64,
        learning_rate=2e-4,
        learning_rate_schedule=LinearSchedule(last=0.0),
        beta1=0.0,
        beta2=0.9,
        picture_every=6000,
    ),
    game={"objective": "hinge", "schedule": "alternating", "schedule.critic_steps": 5},
    notes=(
        "600,000 steps are 100,000 of the decoder with five of the critic each; both read batches of 64",
        "images and the decoder's sigmoid lie in [0, 1], where others have [−1, 1] and tanh",
        "every shortcut is projected before its mean; in its first block the paper does it after: the same map",
        "initial weights are torch's own",
        "the decoder's output bias is untied and starts at the log-odds of the mean of 500 training images",
        "the encoder, and the critic's layers on z, are not the paper's: it has none",
    ),
)


def _r3gan(weight: float) -> Mapping[str, Any]:
    """Return R3GAN's loss, with a penalty whose weight falls from this to a tenth."""
    return {
        "objective": "relativistic",
        "penalty": "zero-centred",
        "penalty.weight": weight,
        "penalty.schedule": "cosine",
        "penalty.schedule.last": 0.1,
    }


def _schedule(batch_size: int) -> Training:
    """Return R3GAN's optimizer, with schedules over 20 million images."""
    return Training(
        steps=-(-20_000_000 // batch_size),
        batch_size=batch_size,
        learning_rate=2e-4,
        learning_rate_schedule=CosineSchedule(last=0.25),
        beta1=0.0,
        beta2=0.99,
        averaging_half_life=500_000,
        picture_every=1000,
    )


_R3GAN_NOTES = (
    "blocks have two 3×3 convolutions; R3GAN's have a 3×3 one in groups between two 1×1, and are wider",
    "sides are halved by means and doubled by repetition; R3GAN interpolates linearly",
    "training ends after the 20 million images over which R3GAN's schedules run; R3GAN goes on",
    "β2 is 0.99; R3GAN's rises from 0.9",
    "the average's half-life is 500,000 images; R3GAN's rises from 0 to 5 million",
    "nothing is augmented; R3GAN's probability rises to 0.55: --set game.augment=diffaugment",
    "initial weights are torch's own, but for the last convolution of a block, which starts at 0",
    "the encoder, and the critic's layers on z, are not R3GAN's: it has none",
)

R3GAN32 = Recipe(
    name="r3gan32",
    summary="R3GAN's training, and networks like its own, on CIFAR10 (--set dataset=folder)",
    dataset=CIFAR10(),
    architecture=R3GANNetworks(),
    training=_schedule(512),
    game=_r3gan(0.05),
    notes=("the penalty's weight is that for CIFAR10 with classes, which are not read here", *_R3GAN_NOTES),
)

R3GAN64 = Recipe(
    name="r3gan64",
    summary="R3GAN's training, and networks like its own, on CelebA (--set dataset=folder)",
    dataset=CelebA64(),
    architecture=R3GANNetworks(),
    training=_schedule(256),
    game=_r3gan(2.0),
    notes=("the penalty's weight is that for FFHQ at 64×64, which are faces as well", *_R3GAN_NOTES),
)
