"""CIFAR10: the networks of the paper's table 3."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from genzoo.nn import Bias, Conv, Maxout, Table, TransposedConv
from genzoo.training import Recipe
from genzoo_data.cifar10 import CIFAR10
from genzoo_recipes.paper import PaperNetworks, normed, schedule

_SLOPE = 0.1


@dataclass(frozen=True, kw_only=True)
class CIFAR10Networks(PaperNetworks):
    """The paper's 32×32 networks with a maxout critic (table 3)."""

    name: ClassVar[str] = "cifar10"
    latent: int = 64
    embedding: int = 64
    maxout_width: Literal["pre", "post"] = "pre"
    """Whether the printed maps of the critic are counted before the maximum (as the code built them) or after it."""
    dropout_pattern: Literal["table", "official"] = "table"
    """Dropout in D(x): as printed, or where a slice in the code put it."""
    x_bias: Literal["tied", "untied", "first"] = "tied"
    """Biases of D(x): one per map, one per map and position, or one per map in the first layer alone."""

    def encoder_body(self) -> Table:
        """Return rows 1–6 of the encoder."""
        shapes = (5, 1, 32), (4, 2, 64), (4, 1, 128), (4, 2, 256), (4, 1, 512), (1, 1, 512)
        return normed(Conv, _SLOPE, *shapes)

    def decoder_body(self) -> Table:
        """Return rows 1–6 of the decoder."""
        shapes = (4, 1, 256), (4, 2, 128), (4, 1, 64), (4, 2, 32), (5, 1, 32)
        return normed(TransposedConv, _SLOPE, *shapes) + normed(Conv, _SLOPE, (1, 1, 32))

    def x_table(self) -> Table:
        """Return D(x)."""
        shapes = (5, 1, 32), (4, 2, 64), (4, 1, 128), (4, 2, 256), (4, 1, 512)
        first: Bias = "tied" if self.x_bias == "first" else self.x_bias
        others: Bias = "none" if self.x_bias == "first" else self.x_bias
        rows = [self._maxout(*shape, first if number == 0 else others) for number, shape in enumerate(shapes)]
        if self.dropout_pattern == "table":
            return tuple(replace(row, input_dropout=p) for row, p in zip(rows, (0.2, 0.5, 0.5, 0.5, 0.5), strict=True))
        return (
            replace(rows[0], input_dropout=0.2),
            replace(rows[1], input_dropout=0.5),
            replace(rows[2], dropout=0.5),
            rows[3],
            replace(rows[4], input_dropout=0.5),
        )

    def z_table(self) -> Table:
        """Return D(z)."""
        row = self._maxout(1, 1, 512, "none")
        return replace(row, input_dropout=0.2), replace(row, input_dropout=0.5)

    def joint_table(self, outputs: int) -> Table:
        """Return D(x, z)."""
        row = replace(self._maxout(1, 1, 1024, "tied"), input_dropout=0.5)
        return row, row, Conv(width=outputs, kernel=1, input_dropout=0.5)

    def _maxout(self, kernel: int, stride: int, maps: int, bias: Bias) -> Conv:
        counted: Literal["before", "after"] = "before" if self.maxout_width == "pre" else "after"
        return Conv(width=maps, kernel=kernel, stride=stride, nonlinearity=Maxout(pieces=2, counted=counted), bias=bias)


CIFAR10_RECIPE = Recipe(
    name="cifar10",
    summary="the paper's CIFAR10 (table 3): 6,475 epochs of 45,000 images",
    dataset=CIFAR10(),
    architecture=CIFAR10Networks(),
    training=schedule(epochs=6475, rows=45_000, batch_size=100),
    notes=(
        "β2 is 0.999; the paper prints 10^-3, in the convention of its time, which wrote 1 − β2",
        "the critic's printed maps are counted before the maximum, as the code built them, so D(x, z) reads 512 maps "
        "where the paper prints 1024; architecture.maxout_width=post counts them after it",
        "dropout in D(x) is as printed; a slice in the code put it elsewhere: architecture.dropout_pattern=official",
        "the biases of D(x) are tied; the paper lists none, and the code of that week had untied ones: "
        "architecture.x_bias=untied",
        "D(z) has no biases, and no row before BN has, as in the code; the paper does not list them",
        "decoder row 6 is a 1×1 convolution as printed; the code's 1×1 transposed convolution is the same map",
        "the critic ends in a logit; the paper prints a sigmoid, which the losses contain",
        "the decoder's output bias is untied and starts at the log-odds of the mean of 500 training images, as in the "
        "code; the paper prints Constant(0)",
        "the last 5,000 training images are the validation split, as in the code",
    ),
)
