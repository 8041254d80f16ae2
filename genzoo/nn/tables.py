"""Layer tables: rows as frozen values, with their sizes and costs.

Sizes follow the paper's convention: a convolution's output is (in + 2·padding − kernel)/stride + 1 and a
transposed convolution's is (in − 1)·stride + kernel − 2·padding; every division must be exact.
Multiply-accumulates count convolutions, transposed convolutions and linear maps of one input, nothing else.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple

from torch import nn

from genzoo.errors import SettingsError
from genzoo.nn.layers import MaxoutLayer

Shape = tuple[int, ...]
"""The shape of one row of a batch: (C, H, W) or (units,)."""

Bias = Literal["none", "tied", "untied"]
"""`tied`: one bias per map; `untied`: one per map and position."""


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """Batch normalisation over rows (and positions)."""

    eps: float = 1e-5
    """Added to the variance."""
    momentum: float = 0.1
    """The weight of the newest batch in the running statistics."""


class Nonlinearity(ABC):
    """The end of a row: a function of each number, or of neighbouring channels."""

    def check(self, width: int) -> None:
        """Raise `ValueError` unless a row may have this printed `width`: by default, at least 1."""
        if width < 1:
            raise ValueError(f"width is {width}, expected at least 1")

    def map_width(self, width: int) -> int:
        """Return the number of channels after the linear map of a row of this printed `width`."""
        return width

    def output_width(self, width: int) -> int:
        """Return the number of channels after a row of this printed `width`."""
        return width

    @abstractmethod
    def module(self) -> nn.Module:
        """Return the nonlinearity as a module."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Identity(Nonlinearity):
    """No nonlinearity; the paper prints `linear`."""

    def module(self) -> nn.Module:
        """Return the nonlinearity as a module."""
        return nn.Identity()

    def __str__(self) -> str:
        return "linear"


@dataclass(frozen=True)
class ReLU(Nonlinearity):
    """max(0, t)."""

    def module(self) -> nn.Module:
        """Return the nonlinearity as a module."""
        return nn.ReLU()

    def __str__(self) -> str:
        return "ReLU"


@dataclass(frozen=True)
class LeakyReLU(Nonlinearity):
    """max(slope·t, t)."""

    slope: float
    """Of the function for t < 0."""

    def module(self) -> nn.Module:
        """Return the nonlinearity as a module."""
        return nn.LeakyReLU(self.slope)

    def __str__(self) -> str:
        return f"LReLU {self.slope:g}"


@dataclass(frozen=True)
class Sigmoid(Nonlinearity):
    """1/(1 + e^−t)."""

    def module(self) -> nn.Module:
        """Return the nonlinearity as a module."""
        return nn.Sigmoid()

    def __str__(self) -> str:
        return "sigmoid"


@dataclass(frozen=True, kw_only=True)
class Maxout(Nonlinearity):
    """The maximum over `pieces` neighbouring channels.

    `counted` says what the row's width counts: the channels `before` the maximum (the convolutions of the
    paper's CIFAR10 critic) or those `after` it (its toy critic).
    """

    pieces: int
    """The number of channels that each maximum is taken over, at least 1."""
    counted: Literal["before", "after"] = "after"

    def __post_init__(self) -> None:
        if self.pieces < 1:
            raise ValueError(f"pieces is {self.pieces}, expected at least 1")

    def map_width(self, width: int) -> int:
        """Return the number of channels after the linear map of a row of this printed `width`."""
        return width * self.pieces if self.counted == "after" else width

    def output_width(self, width: int) -> int:
        """Return the number of channels after a row of this printed `width`."""
        return width if self.counted == "after" else width // self.pieces

    def check(self, width: int) -> None:
        """Raise `ValueError` unless `pieces` divides the number of channels before the maximum."""
        super().check(width)
        if self.map_width(width) % self.pieces:
            raise ValueError(f"width {width} does not divide into {self.pieces} maxout pieces")

    def module(self) -> nn.Module:
        """Return the nonlinearity as a module."""
        return MaxoutLayer(self.pieces)

    def __str__(self) -> str:
        return f"maxout {self.pieces}"


@dataclass(frozen=True, kw_only=True)
class Row(ABC):
    """One line of a layer table: dropout on the input, a linear map, BN, dropout, a nonlinearity."""

    width: int
    """Maps or units, as the table prints them; with `Maxout`, see its `counted`."""
    batch_norm: BatchNorm | None = None
    input_dropout: float = 0.0
    """Probability of dropping each element of the row's input."""
    dropout: float = 0.0
    """Probability of dropping each element just before the nonlinearity."""
    nonlinearity: Nonlinearity = Identity()
    spectral_norm: bool = False
    """Whether the weight is divided by its largest singular value, which is estimated as training goes on."""
    bias: Bias | None = None
    """`tied`: one per map; `untied`: one per map and position; None: `tied`, or `none` under batch norm."""
    starts_at_zero: bool = False
    """Whether the linear map starts at 0, as the last one of a residual block does, and is not drawn."""

    def __post_init__(self) -> None:
        self.nonlinearity.check(self.width)
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 ≤ {name} < 1")

    @property
    def bias_kind(self) -> Bias:
        """The bias with its default filled in."""
        return self.bias or ("none" if self.batch_norm else "tied")

    @abstractmethod
    def map_shape(self, given: Shape) -> Shape:
        """Return the shape after the linear map; raise `ValueError` naming sizes that fit where `given` does not."""

    @abstractmethod
    def macs(self, given: Shape) -> int:
        """Return the multiply-accumulates of the linear map for one input of shape `given`."""

    @abstractmethod
    def linear_map(self, given: Shape, *, bias: bool) -> nn.Module:
        """Return the linear map for inputs of shape `given` as a module."""

    def parameters(self, given: Shape) -> int:
        """Return the number of parameters of the whole row for an input of shape `given`."""
        mapped = self.map_shape(given)
        weights = self.macs(given) // self._positions(given)
        biases = {"none": 0, "tied": mapped[0], "untied": prod(mapped)}[self.bias_kind]
        return weights + biases + (2 * mapped[0] if self.batch_norm else 0)

    def output_shape(self, given: Shape) -> Shape:
        """Return the shape after the whole row, for an input of shape `given`."""
        return (self.nonlinearity.output_width(self.width), *self.map_shape(given)[1:])

    @property
    def _maps(self) -> int:
        return self.nonlinearity.map_width(self.width)

    def _positions(self, given: Shape) -> int:
        """Return how often every weight of the row is used: the number of positions of its kernel."""
        return prod(self.map_shape(given)[1:])


@dataclass(frozen=True, kw_only=True)
class Linear(Row):
    """A fully connected row; an image at its input is flattened."""

    def map_shape(self, given: Shape) -> Shape:
        """Return (units,)."""
        return (self._maps,)

    def macs(self, given: Shape) -> int:
        """Return inputs × units."""
        return prod(given) * self._maps

    def linear_map(self, given: Shape, *, bias: bool) -> nn.Module:
        """Return `nn.Linear`, after a flattening where the input is an image."""
        linear = nn.Linear(prod(given), self._maps, bias=bias)
        return linear if len(given) == 1 else nn.Sequential(nn.Flatten(), linear)

    def __str__(self) -> str:
        return "linear"


@dataclass(frozen=True, kw_only=True)
class _Convolution(Row):
    kernel: int
    """The side of the square kernel."""
    stride: int = 1
    padding: int = 0
    """Zeros added at each side; a transposed convolution removes as many positions instead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel < 1 or self.stride < 1 or self.padding < 0:
            raise ValueError(
                f"kernel {self.kernel}, stride {self.stride}, padding {self.padding}: expected ≥ 1, ≥ 1, ≥ 0"
            )

    def _image(self, given: Shape) -> tuple[int, int, int]:
        if len(given) != 3:
            raise ValueError("expected maps × height × width")
        return given[0], given[1], given[2]

    def __str__(self) -> str:
        padding = f", padding {self.padding}" if self.padding else ""
        return f"{self._label} {self.kernel}×{self.kernel}, stride {self.stride}{padding}"

    _label = "conv"


@dataclass(frozen=True, kw_only=True)
class Conv(_Convolution):
    """A convolution row; a side becomes (side + 2·padding − kernel)/stride + 1, and the division must be exact."""

    def map_shape(self, given: Shape) -> Shape:
        """Return (maps, height, width) after the convolution."""
        sizes = []
        for size in self._image(given)[1:]:
            steps, rest = divmod(size + 2 * self.padding - self.kernel, self.stride)
            if steps < 0:
                raise ValueError(f"expected a side of at least {self.kernel - 2 * self.padding}")
            if rest:
                raise ValueError(f"expected a side of {size - rest} or {size - rest + self.stride}")
            sizes.append(steps + 1)
        return (self._maps, *sizes)

    def macs(self, given: Shape) -> int:
        """Return output positions × input maps × output maps × kernel²."""
        maps, height, width = self.map_shape(given)
        return height * width * given[0] * maps * self.kernel**2

    def linear_map(self, given: Shape, *, bias: bool) -> nn.Module:
        """Return `nn.Conv2d`."""
        return nn.Conv2d(given[0], self._maps, self.kernel, self.stride, self.padding, bias=bias)


@dataclass(frozen=True, kw_only=True)
class TransposedConv(_Convolution):
    """A transposed convolution row; a side becomes (side − 1)·stride + kernel − 2·padding."""

    _label = "transposed conv"

    def map_shape(self, given: Shape) -> Shape:
        """Return (maps, height, width) after the transposed convolution."""
        sizes = [(size - 1) * self.stride + self.kernel - 2 * self.padding for size in self._image(given)[1:]]
        if min(sizes) < 1:
            raise ValueError(f"padding {self.padding} leaves nothing of a {self.kernel}×{self.kernel} kernel")
        return (self._maps, *sizes)

    def macs(self, given: Shape) -> int:
        """Return input positions × input maps × output maps × kernel²."""
        maps, height, width = self._image(given)
        return height * width * maps * self._maps * self.kernel**2

    def linear_map(self, given: Shape, *, bias: bool) -> nn.Module:
        """Return `nn.ConvTranspose2d`."""
        return nn.ConvTranspose2d(given[0], self._maps, self.kernel, self.stride, self.padding, bias=bias)

    def _positions(self, given: Shape) -> int:
        return prod(given[1:])


@dataclass(frozen=True, kw_only=True)
class _WithoutWeights(Row):
    """A row whose map has no weights and keeps the number of maps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bias or self.spectral_norm or self.starts_at_zero:
            raise ValueError("a row without weights has no bias, no norm of weights and no start of them")

    @property
    def bias_kind(self) -> Bias:
        """`none`."""
        return "none"

    def macs(self, given: Shape) -> int:
        """Return 0."""
        return 0

    def _check_maps(self, given: Shape) -> None:
        if len(given) != 3 or given[0] != self._maps:
            raise ValueError(f"expected {self._maps} maps × height × width")


@dataclass(frozen=True, kw_only=True)
class Pool(_WithoutWeights):
    """The mean over squares of side `kernel`, or their sum; with kernel 1, a norm and nonlinearity alone."""

    kernel: int = 1
    sums: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel < 1:
            raise ValueError(f"kernel is {self.kernel}, expected at least 1")

    def map_shape(self, given: Shape) -> Shape:
        """Return (maps, height, width) over `kernel`, by which the sides must divide."""
        self._check_maps(given)
        if given[1] % self.kernel or given[2] % self.kernel:
            raise ValueError(f"expected sides that divide by {self.kernel}")
        return (given[0], given[1] // self.kernel, given[2] // self.kernel)

    def linear_map(self, given: Shape, *, bias: bool) -> nn.Module:
        """Return `nn.AvgPool2d`."""
        return nn.AvgPool2d(self.kernel, divisor_override=1 if self.sums else None)

    def __str__(self) -> str:
        return f"{'sum' if self.sums else 'mean'} over {self.kernel}×{self.kernel}" if self.kernel > 1 else "same maps"


@dataclass(frozen=True, kw_only=True)
class Upsample(_WithoutWeights):
    """Every number `factor` times in both directions."""

    factor: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor < 1:
            raise ValueError(f"factor is {self.factor}, expected at least 1")

    def map_shape(self, given: Shape) -> Shape:
        """Return (maps, height, width) times `factor`."""
        self._check_maps(given)
        return (given[0], given[1] * self.factor, given[2] * self.factor)

    def linear_map(self, given: Shape, *, bias: bool) -> nn.Module:
        """Return `nn.Upsample` by nearest neighbours."""
        return nn.Upsample(scale_factor=self.factor)

    def __str__(self) -> str:
        return f"upsample {self.factor}×{self.factor}"


Table = tuple[Row, ...]
"""The rows of a network in order, input first."""


class LayerCard(NamedTuple):
    """A row of a table with its sizes and costs for a given input."""

    row: Row
    given: Shape
    """The shape of the row's input."""
    output: Shape
    parameters: int
    macs: int


def lay_out(table: Table, given: Shape) -> tuple[LayerCard, ...]:
    """Return the card of every row for an input of shape `given`; raise `SettingsError` if a row does not fit."""
    cards = []
    for number, row in enumerate(table, start=1):
        try:
            row.map_shape(given)
        except ValueError as error:
            raise SettingsError(
                f"row {number} ({row}, {row.width} maps) does not fit its input {show_shape(given)}: {error}",
                "change that row, those before it, or the shape of the data",
            ) from error
        output = row.output_shape(given)
        cards.append(LayerCard(row, given, output, row.parameters(given), row.macs(given)))
        given = output
    return tuple(cards)


def show_shape(shape: Shape) -> str:
    """Return the shape as the paper prints it, such as 64×13×13."""
    return "×".join(str(size) for size in shape)
