"""SVHN: the networks of the paper's table 4."""

from dataclasses import dataclass
from typing import ClassVar

from genzoo.nn import Conv, Table, TransposedConv
from genzoo.training import Recipe
from genzoo_data.svhn import SVHN
from genzoo_recipes.paper import PaperNetworks, biased, normed, schedule

_SLOPE = 0.01


@dataclass(frozen=True, kw_only=True)
class SVHNNetworks(PaperNetworks):
    """The paper's 32×32 networks with a batch-normalised critic (table 4)."""

    name: ClassVar[str] = "svhn"

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
        shapes = (4, 2, 64), (4, 1, 128), (4, 2, 256), (4, 1, 512)
        first = biased(_SLOPE, (5, 1, 32), input_dropout=0.2)
        return first + normed(Conv, _SLOPE, *shapes, input_dropout=0.2)

    def z_table(self) -> Table:
        """Return D(z)."""
        return biased(_SLOPE, (1, 1, 512), (1, 1, 512), bias="none", input_dropout=0.2)

    def joint_table(self, outputs: int) -> Table:
        """Return D(x, z)."""
        hidden = biased(_SLOPE, (1, 1, 1024), (1, 1, 1024), input_dropout=0.2)
        return (*hidden, Conv(width=outputs, kernel=1, input_dropout=0.2))


SVHN_RECIPE = Recipe(
    name="svhn",
    summary="the paper's SVHN (table 4): 100 epochs of the 531,131 extra images",
    dataset=SVHN(),
    architecture=SVHNNetworks(),
    training=schedule(epochs=100, rows=531_131, batch_size=100),
    notes=(
        "β2 is 0.999; the paper prints 10^-3, in the convention of its time, which wrote 1 − β2",
        "the extra split is trained on and the train split validates, as in the code; the paper says SVHN",
        "decoder row 6 is a 1×1 convolution as printed; the code's 1×1 transposed convolution is the same map",
        "the critic ends in a logit; the paper prints a sigmoid, which the losses contain",
        "biases, which the paper does not list: none before BN, none in D(z), one per map in D(x)'s first row, in "
        "D(x, z) and in the encoder's last row, as in the code",
        "the decoder's output bias is untied and starts at the log-odds of the mean of 500 training images, as in the "
        "code; the paper prints Constant(0)",
    ),
)
