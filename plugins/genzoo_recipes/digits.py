"""Digits: small convolutional tables in the style of the paper's image networks."""

from dataclasses import dataclass, replace
from typing import ClassVar

from genzoo.nn import (
    BatchNorm,
    Conv,
    DenseField,
    LeakyReLU,
    Linear,
    Sigmoid,
    Table,
    TableCritic,
    TableDecoder,
    TableEncoder,
    TransposedConv,
)
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Posterior, Sees
from genzoo_data.digits import Digits
from genzoo_recipes.images import ImageNetworks
from genzoo_recipes.steady import STEADY

_BN = BatchNorm(eps=1e-4, momentum=0.05)
_LRELU = LeakyReLU(0.1)


def _rows(
    row: type[Conv] | type[TransposedConv],
    *shapes: tuple[int, int, int],
    batch_norm: BatchNorm | None = None,
    input_dropout: float = 0.0,
) -> Table:
    """Return one row of the given class per (width, kernel, stride)."""
    return tuple(
        row(
            width=width,
            kernel=kernel,
            stride=stride,
            batch_norm=batch_norm,
            nonlinearity=_LRELU,
            input_dropout=input_dropout,
        )
        for width, kernel, stride in shapes
    )


@dataclass(frozen=True, kw_only=True)
class DigitsNetworks(ImageNetworks):
    """Small convolutional networks for 8 × 8 images, without padding, as the paper builds its larger ones."""

    name: ClassVar[str] = "digits"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "point")
    latent: int = 32
    init_std: float | None = 0.05
    dropout: float = 0.1
    """On the input of every row of the critic."""
    embedding: int = 32

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> TableEncoder:
        """Return two convolutions, one fully connected layer, and a linear head."""
        chosen = self.choose(posterior)
        hidden = Linear(width=128, batch_norm=_BN, nonlinearity=_LRELU)
        return TableEncoder(
            data,
            latent=self.latent,
            posterior=chosen,
            body=(*_rows(Conv, (32, 4, 2), (128, 3, 1), batch_norm=_BN), hidden),
            head=(Linear(width=self.head_size(chosen)),),
            condition=condition,
        )

    def decoder(self, data: DataSpec, *, condition: int = 0) -> TableDecoder:
        """Return the convolutions' mirror image, with an untied output bias."""
        output = Conv(width=data.shape[0], kernel=1, nonlinearity=Sigmoid(), bias="untied")
        table = _rows(TransposedConv, (128, 3, 1), (32, 4, 2), batch_norm=_BN)
        return TableDecoder(data, latent=self.latent, table=(*table, output), condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> TableCritic:
        """Return D(x), D(z) and D(x, z), with dropout on every input and no batch statistics."""
        dense = Linear(width=256, input_dropout=self.dropout, nonlinearity=_LRELU)
        return TableCritic(
            data,
            latent=self.latent,
            x_table=_rows(Conv, (32, 4, 2), (128, 3, 1), input_dropout=self.dropout),
            z_table=(replace(dense, width=128), replace(dense, width=128)),
            joint_table=(dense, dense, Linear(width=outputs, input_dropout=self.dropout)),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )

    def field(self, data: DataSpec, *, condition: int = 0) -> DenseField:
        """Return a fully connected field: on so few pixels it costs a third of a U-Net."""
        return DenseField(data, condition=condition)


DIGITS = Recipe(
    name="digits",
    summary="8 × 8 handwritten digits, some minutes on a CPU",
    dataset=Digits(),
    architecture=DigitsNetworks(latent=16),
    training=Training(
        steps=4500,
        batch_size=100,
        learning_rate=1e-3,
        beta1=0.0,
        beta2=0.99,
        averaging=0.999,
        log_every=250,
        picture_every=1500,
        checkpoint_every=1000,
    ),
    game=STEADY,
    notes=(
        "objective, penalty, averaged weights and the size of z were chosen on the validation split with seeds 10–12",
    ),
)
