"""DCGAN's networks and training (Radford et al., 2016), for 32 × 32 and 64 × 64 images."""

from dataclasses import dataclass, replace
from typing import ClassVar

from genzoo.nn import (
    BatchNorm,
    Conv,
    LeakyReLU,
    Linear,
    ReLU,
    Sigmoid,
    Table,
    TableCritic,
    TableDecoder,
    TableEncoder,
    TransposedConv,
)
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Posterior, Sees
from genzoo_data.celeba64 import CelebA64
from genzoo_data.cifar10 import CIFAR10
from genzoo_recipes.images import ImageNetworks, halvings

_BN = BatchNorm()
_LRELU = LeakyReLU(0.2)
_HALVE = Conv(width=1, kernel=4, stride=2, padding=1, batch_norm=_BN, nonlinearity=_LRELU)
_DOUBLE = TransposedConv(width=1, kernel=4, stride=2, padding=1, batch_norm=_BN, nonlinearity=ReLU())


@dataclass(frozen=True, kw_only=True)
class DCGANNetworks(ImageNetworks):
    """DCGAN's networks (Radford et al., 2016): strided convolutions down to 4 × 4, and no hidden units without place.

    The encoder is the critic's convolutions and a linear head. A critic of z has hidden layers, which theirs has not.
    """

    name: ClassVar[str] = "dcgan"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "point")
    latent: int = 100
    init_std: float | None = 0.02
    embedding: int = 64
    width: int = 64
    """Maps of the critic's first row, which double with every further one; the decoder's are twice as many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError(f"width is {self.width}, expected at least 1")

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> TableEncoder:
        """Return the critic's convolutions with a linear head."""
        chosen = self.choose(posterior)
        hidden = Conv(width=8 * self.width, kernel=4, batch_norm=_BN, nonlinearity=_LRELU)
        return TableEncoder(
            data,
            latent=self.latent,
            posterior=chosen,
            body=(*self._down(data), hidden),
            head=(Conv(width=self.head_size(chosen), kernel=1),),
            condition=condition,
        )

    def decoder(self, data: DataSpec, *, condition: int = 0) -> TableDecoder:
        """Return the transposed convolutions, 1024-512-256-128-3 for 64 × 64 images."""
        widths = [2 * self.width * 2**number for number in range(halvings(data))]
        first = TransposedConv(width=widths[-1], kernel=4, batch_norm=_BN, nonlinearity=ReLU())
        others = [replace(_DOUBLE, width=width) for width in reversed(widths[:-1])]
        output = replace(_DOUBLE, width=data.shape[0], batch_norm=None, nonlinearity=Sigmoid(), bias="untied")
        return TableDecoder(data, latent=self.latent, table=(first, *others, output), condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> TableCritic:
        """Return D(x), which ends in the logit, or D(x), D(z) and D(x, z) with hidden layers."""
        hidden = Linear(width=8 * self.width, nonlinearity=_LRELU)
        return TableCritic(
            data,
            latent=self.latent,
            x_table=self._down(data),
            z_table=(hidden, hidden),
            joint_table=(Linear(width=outputs),) if sees == "x" else (hidden, hidden, Linear(width=outputs)),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )

    def _down(self, data: DataSpec) -> Table:
        """Return convolutions that halve the sides down to 4, without batch norm in the first."""
        first = replace(_HALVE, width=self.width, batch_norm=None)
        return first, *(replace(_HALVE, width=self.width * 2**number) for number in range(1, halvings(data)))


_NOTES = (
    "kernels are of 4 with padding 1, which halve a side exactly; the paper's are of 5",
    "images and the decoder's sigmoid lie in [0, 1]; the paper has [−1, 1] and tanh, which is a sigmoid rescaled",
    "z is normal, so that a VAE is at home as well; the paper's is uniform: --set prior=uniform",
    "the critic's batch norm takes its statistics over data and samples in one batch; the paper's sees them apart",
    "the decoder's output bias is untied and starts at the log-odds of the mean of 500 training images; so it is not "
    "in the paper",
    "the encoder, and the critic's layers on z, are not the paper's: it has none",
    "how long to train is not the paper's",
)
_TRAINING = Training(steps=50_000, batch_size=128, learning_rate=2e-4, beta1=0.5, beta2=0.999, picture_every=1000)

DCGAN32 = Recipe(
    name="dcgan32",
    summary="DCGAN's networks and optimizer on CIFAR10, or any 32×32 images (--set dataset=folder)",
    dataset=CIFAR10(),
    architecture=DCGANNetworks(),
    training=_TRAINING,
    notes=_NOTES,
)

DCGAN64 = Recipe(
    name="dcgan64",
    summary="DCGAN's networks and optimizer on CelebA, or any 64×64 images (--set dataset=folder)",
    dataset=CelebA64(),
    architecture=DCGANNetworks(),
    training=_TRAINING,
    notes=_NOTES,
)
