"""The common part of the paper's image networks: how their tables are connected, conditioned and initialised."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from genzoo.nn import (
    BatchNorm,
    Bias,
    Conv,
    LeakyReLU,
    Sigmoid,
    Table,
    TableCritic,
    TableDecoder,
    TableEncoder,
    TransposedConv,
)
from genzoo.training import Training
from genzoo.types import DataSpec, Posterior, Sees
from genzoo_recipes.images import ImageNetworks

KernelStrideMaps = tuple[int, int, int]
"""A row as the paper's tables print it: kernel size, stride, and maps."""
BN = BatchNorm(eps=1e-4, momentum=0.05)
"""The batch normalisation of the Blocks library: running statistics keep 0.95 of their old value per step."""


def normed(
    row: type[Conv] | type[TransposedConv], slope: float, *shapes: KernelStrideMaps, input_dropout: float = 0.0
) -> Table:
    """Return one row with BN and leaky ReLU, so without bias, per (kernel, stride, maps)."""
    return tuple(
        row(
            width=maps,
            kernel=kernel,
            stride=stride,
            batch_norm=BN,
            nonlinearity=LeakyReLU(slope),
            input_dropout=input_dropout,
        )
        for kernel, stride, maps in shapes
    )


def biased(slope: float, *shapes: KernelStrideMaps, bias: Bias = "tied", input_dropout: float = 0.0) -> Table:
    """Return one convolution with a bias and leaky ReLU, without BN, per (kernel, stride, maps)."""
    return tuple(
        Conv(
            width=maps,
            kernel=kernel,
            stride=stride,
            nonlinearity=LeakyReLU(slope),
            bias=bias,
            input_dropout=input_dropout,
        )
        for kernel, stride, maps in shapes
    )


def schedule(*, epochs: int, rows: int, batch_size: int) -> Training:
    """Return the paper's optimizer for that many epochs, the last partial batch of each included."""
    return Training(
        steps=epochs * -(-rows // batch_size),
        batch_size=batch_size,
        learning_rate=1e-4,
        beta1=0.5,
        beta2=0.999,
        log_every=100,
    )


@dataclass(frozen=True, kw_only=True)
class PaperNetworks(ImageNetworks):
    """Fully convolutional networks without padding, given by their layer tables.

    A condition is embedded linearly and enters the encoder before its last 1×1 layer, the decoder beside z, and the
    critic beside the features of x and z.
    """

    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "point")
    latent: int = 256
    init_std: float | None = 0.01
    embedding: int = 256

    @abstractmethod
    def encoder_body(self) -> Table:
        """Return the encoder's rows up to its last 1×1 layer."""

    @abstractmethod
    def decoder_body(self) -> Table:
        """Return the decoder's rows up to its output layer."""

    @abstractmethod
    def x_table(self) -> Table:
        """Return the critic's rows on x."""

    @abstractmethod
    def z_table(self) -> Table:
        """Return the critic's rows on z."""

    @abstractmethod
    def joint_table(self, outputs: int) -> Table:
        """Return the critic's rows on both."""

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> TableEncoder:
        """Return the encoder; a Gaussian one ends in [μ, log σ]."""
        chosen = self.choose(posterior)
        return TableEncoder(
            data,
            latent=self.latent,
            posterior=chosen,
            body=self.encoder_body(),
            head=(Conv(width=self.head_size(chosen), kernel=1),),
            condition=condition,
        )

    def decoder(self, data: DataSpec, *, condition: int = 0) -> TableDecoder:
        """Return the decoder, with one output bias per channel and pixel."""
        output = Conv(width=data.shape[0], kernel=1, nonlinearity=Sigmoid(), bias="untied")
        return TableDecoder(data, latent=self.latent, table=(*self.decoder_body(), output), condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> TableCritic:
        """Return D(x), D(z) and D(x, z)."""
        return TableCritic(
            data,
            latent=self.latent,
            x_table=self.x_table(),
            z_table=self.z_table(),
            joint_table=self.joint_table(outputs),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )
