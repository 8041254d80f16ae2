"""ImageNet at 64×64: the networks of the paper's table 6, which it calls Tiny ImageNet."""

from dataclasses import dataclass, replace
from typing import ClassVar

from genzoo.nn import Conv, Table, TransposedConv
from genzoo.training import Recipe
from genzoo_data.imagenet64 import ImageNet64
from genzoo_data.tinyimagenet200 import TinyImageNet200
from genzoo_recipes.paper import PaperNetworks, biased, normed, schedule

_SLOPE = 0.01


@dataclass(frozen=True, kw_only=True)
class ImageNet64Networks(PaperNetworks):
    """The paper's networks for 64×64 images of any kind (table 6)."""

    name: ClassVar[str] = "imagenet64"

    def encoder_body(self) -> Table:
        """Return rows 1–8 of the encoder."""
        shapes = (4, 2, 64), (4, 1, 64), (4, 2, 128), (4, 1, 128), (4, 2, 256), (4, 1, 256), (1, 1, 2048), (1, 1, 2048)
        return normed(Conv, _SLOPE, *shapes)

    def decoder_body(self) -> Table:
        """Return rows 1–8 of the decoder."""
        shapes = (4, 1, 256), (4, 2, 128), (4, 1, 128), (4, 2, 64), (4, 1, 64), (4, 2, 64)
        return normed(Conv, _SLOPE, (1, 1, 2048), (1, 1, 256)) + normed(TransposedConv, _SLOPE, *shapes)

    def x_table(self) -> Table:
        """Return D(x)."""
        shapes = (4, 1, 64), (4, 2, 128), (4, 1, 128), (4, 2, 256), (4, 1, 256)
        first = biased(_SLOPE, (4, 2, 64), input_dropout=0.2)
        return first + normed(Conv, _SLOPE, *shapes, input_dropout=0.2)

    def z_table(self) -> Table:
        """Return D(z), which has biases here."""
        return biased(_SLOPE, (1, 1, 2048), (1, 1, 2048), input_dropout=0.2)

    def joint_table(self, outputs: int) -> Table:
        """Return D(x, z)."""
        hidden = biased(_SLOPE, (1, 1, 4096), (1, 1, 4096), input_dropout=0.2)
        return (*hidden, Conv(width=outputs, kernel=1, input_dropout=0.2))


_NOTES = (
    "β2 is 0.999; the paper prints 10^-3, in the convention of its time, which wrote 1 − β2",
    "the critic ends in a logit; the paper prints a sigmoid, which the losses contain",
    "biases, which the paper does not list: none before BN, one per map elsewhere (D(z) has them here), as in the code",
    "the decoder's output bias is untied and starts at the log-odds of the mean of 500 training images, as in the "
    "code; the paper prints Constant(0)",
)

IMAGENET64_RECIPE = Recipe(
    name="imagenet64",
    summary="the paper's “Tiny ImageNet” (table 6): 125 epochs of all of ILSVRC2012 at 64×64",
    dataset=ImageNet64(),
    architecture=ImageNet64Networks(),
    training=schedule(epochs=125, rows=1_281_167, batch_size=128),
    notes=(
        "this is what the paper calls Tiny ImageNet; the 200-class data set of that name is the recipe tinyimagenet64",
        *_NOTES,
        "125 epochs as printed; the script's constant says 1,000",
    ),
)

TINYIMAGENET64_RECIPE = replace(
    IMAGENET64_RECIPE,
    name="tinyimagenet64",
    summary="the networks of table 6 on the 200-class Tiny ImageNet, 125 epochs of 100,000 images",
    dataset=TinyImageNet200(),
    training=schedule(epochs=125, rows=100_000, batch_size=128),
    notes=(
        "not the paper's data: that is all of ILSVRC2012 (1,281,167 images), the recipe imagenet64; these are the "
        "100,000 images of the 200-class Tiny ImageNet, which anyone can download",
        "125 epochs are 97,750 steps here and 1,251,250 there",
        *_NOTES,
    ),
)
