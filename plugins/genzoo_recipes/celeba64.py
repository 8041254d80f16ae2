"""CelebA at 64×64: the networks of the paper's table 5, with and without attributes."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from genzoo.nn import Conv, Table, TransposedConv
from genzoo.training import Recipe
from genzoo_data.celeba64 import CelebA64
from genzoo_recipes.paper import PaperNetworks, biased, normed, schedule

_SLOPE = 0.02
_X_SHAPES = (2, 1, 64), (7, 2, 128), (5, 2, 256), (7, 2, 256), (4, 1, 512)


@dataclass(frozen=True, kw_only=True)
class CelebA64Networks(PaperNetworks):
    """The paper's networks for 64×64 faces (table 5)."""

    name: ClassVar[str] = "celeba64"
    x_rows: Literal["code", "printed"] = "code"
    """D(x) with a bias in row 1 and dropout 0.2 (the code), or with BN in row 1 and no dropout (the table)."""

    def encoder_body(self) -> Table:
        """Return rows 1–5 of the encoder."""
        return normed(Conv, _SLOPE, *_X_SHAPES)

    def decoder_body(self) -> Table:
        """Return rows 1–5 of the decoder."""
        shapes = (4, 1, 512), (7, 2, 256), (5, 2, 256), (7, 2, 128), (2, 1, 64)
        return normed(TransposedConv, _SLOPE, *shapes)

    def x_table(self) -> Table:
        """Return D(x)."""
        if self.x_rows == "printed":
            return normed(Conv, _SLOPE, *_X_SHAPES)
        first, *others = _X_SHAPES
        return biased(_SLOPE, first, input_dropout=0.2) + normed(Conv, _SLOPE, *others, input_dropout=0.2)

    def z_table(self) -> Table:
        """Return D(z)."""
        return biased(_SLOPE, (1, 1, 1024), (1, 1, 1024), bias="none", input_dropout=0.2)

    def joint_table(self, outputs: int) -> Table:
        """Return D(x, z)."""
        hidden = biased(_SLOPE, (1, 1, 2048), (1, 1, 2048), input_dropout=0.2)
        return (*hidden, Conv(width=outputs, kernel=1, input_dropout=0.2))


_NOTES = (
    "β2 is 0.999, the library's default of the time; the paper gives none here",
    "the decoder and D(z) read 256 maps, the size of z, and D(x, z) reads 1536 = 512 + 1024; the paper prints 512, 512 "
    "and 1024",
    "D(x) has a bias and no BN in row 1, and dropout 0.2 at every input, as in the code; the paper prints BN and 0: "
    "architecture.x_rows=printed",
    "the critic ends in a logit; the paper prints a sigmoid, which the losses contain",
    "biases, which the paper does not list: none before BN, none in D(z), one per map elsewhere, as in the code",
    "the decoder's output bias is untied and starts at the log-odds of the mean of 500 training images, as in the "
    "code; the paper prints Constant(0)",
)

CELEBA64_RECIPE = Recipe(
    name="celeba64",
    summary="the paper's CelebA (table 5): 123 epochs of 162,770 faces at 64×64",
    dataset=CelebA64(),
    architecture=CelebA64Networks(),
    training=schedule(epochs=123, rows=162_770, batch_size=100),
    notes=_NOTES,
)

CONDITIONAL_RECIPE = replace(
    CELEBA64_RECIPE,
    name="celeba64-conditional",
    summary="the paper's CelebA for conditional models (figure 7): batches of 128",
    training=schedule(epochs=123, rows=162_770, batch_size=128),
    notes=(
        *_NOTES,
        "the paper prints no table; batch size, sizes and places of the embedding are the code's",
        "one linear embedding 40 → 256 serves all three networks, as in the code; the paper reads like three",
        "the embedding is trained through encoder and decoder; the code never trains it: "
        "architecture.train_embedding=frozen",
        "x and y are drawn together and both sides see the same y, as in the code; equation 7 reads as if independent",
    ),
)
