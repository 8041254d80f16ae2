"""Small convolutional networks for 32 × 32 images."""

from dataclasses import dataclass, replace
from typing import ClassVar

from genzoo.nn import (
    BatchNorm,
    Conv,
    LeakyReLU,
    Linear,
    Sigmoid,
    Table,
    TableCritic,
    TableDecoder,
    TableEncoder,
    TransposedConv,
)
from genzoo.types import DataSpec, Posterior, Sees
from genzoo_recipes.images import ImageNetworks
from genzoo_recipes.paper import BN

_LRELU = LeakyReLU(0.2)


@dataclass(frozen=True, kw_only=True)
class Small32Networks(ImageNetworks):
    """Three convolutions and fully connected layers each, for 32 × 32 images.

    Kernels of 4 at stride 2 with padding 1 halve or double a side, and cover all pixels but the outermost evenly.
    """

    name: ClassVar[str] = "small32"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("gaussian", "point")
    latent: int = 64
    init_std: float | None = 0.05
    width: int = 32
    """Maps of the convolution next to the image; further in there are 2 and 4 times, and 8 times as many units."""
    embedding: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError(f"width is {self.width}, expected at least 1")

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> TableEncoder:
        """Return three convolutions, one fully connected layer, and a linear head."""
        chosen = self.choose(posterior)
        hidden = Linear(width=8 * self.width, batch_norm=BN, nonlinearity=_LRELU)
        return TableEncoder(
            data,
            latent=self.latent,
            posterior=chosen,
            body=(*self._halvings(batch_norm=BN), hidden),
            head=(Linear(width=self.head_size(chosen)),),
            condition=condition,
        )

    def decoder(self, data: DataSpec, *, condition: int = 0) -> TableDecoder:
        """Return the convolutions' mirror image, with an untied output bias."""
        first = TransposedConv(width=4 * self.width, kernel=4, batch_norm=BN, nonlinearity=_LRELU)
        double = replace(first, stride=2, padding=1)
        body = first, replace(double, width=2 * self.width), replace(double, width=self.width)
        output = replace(double, width=data.shape[0], batch_norm=None, nonlinearity=Sigmoid(), bias="untied")
        return TableDecoder(data, latent=self.latent, table=(*body, output), condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> TableCritic:
        """Return D(x), D(z) and D(x, z), without batch statistics."""
        hidden = Linear(width=8 * self.width, nonlinearity=_LRELU)
        return TableCritic(
            data,
            latent=self.latent,
            x_table=(*self._halvings(), hidden),
            z_table=(hidden, hidden),
            joint_table=(hidden, hidden, Linear(width=outputs)),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )

    def _halvings(self, *, batch_norm: BatchNorm | None = None) -> Table:
        """Return three convolutions 32 → 16 → 8 → 4."""
        row = Conv(width=self.width, kernel=4, stride=2, padding=1, batch_norm=batch_norm, nonlinearity=_LRELU)
        return row, replace(row, width=2 * self.width), replace(row, width=4 * self.width)
