"""Stacks: modules built from layer tables."""

from dataclasses import dataclass
from itertools import islice

from torch import Tensor, nn

from genzoo.errors import SettingsError
from genzoo.nn.interfaces import keeps_start, row_wise
from genzoo.nn.layers import UncountedBatchNorm1d, UncountedBatchNorm2d, UntiedBias, normalise_spectrally
from genzoo.nn.tables import Bias, LayerCard, Row, Shape, Table, lay_out, show_shape


def build(table: Table, given: Shape, *, gives: Shape | None = None) -> "Stack":
    """Return the table as a module for inputs (N, *given).

    Raises `SettingsError` for a table that does not fit its input, or whose output is not (N, *gives).
    """
    cards, output = lay_out(table, given), _output(table, given)
    if gives is not None and output != gives:
        row = f"row {len(table)} ({table[-1]})" if table else "an empty table"
        raise SettingsError(
            f"{row} gives {show_shape(output)}, expected {show_shape(gives)}",
            "change the maps or the kernel of that row",
        )
    return Stack(cards, given)


@dataclass(frozen=True, kw_only=True)
class Residual(Row):
    """A block of rows as one row: the sum of what `rows` and `shortcut` give for the same input.

    An empty shortcut is the input itself. The block's own dropout, batch norm and nonlinearity come after the sum.
    """

    rows: Table
    shortcut: Table = ()

    @property
    def bias_kind(self) -> Bias:
        """`none`: the rows have theirs."""
        return "none"

    def map_shape(self, given: Shape) -> Shape:
        """Return the shape of the sum; raise `ValueError` unless both ways give it."""
        try:
            outputs = [_output(table, given) for table in (self.rows, self.shortcut)]
        except SettingsError as error:
            raise ValueError(error.found) from error
        if outputs[0] != outputs[1] or outputs[0][0] != self._maps:
            shapes = " and ".join(map(show_shape, outputs))
            raise ValueError(f"its rows and shortcut give {shapes}, expected {self._maps} maps of both, in one size")
        return outputs[0]

    def macs(self, given: Shape) -> int:
        """Return those of all rows."""
        return sum(card.macs for card in self.cards(given))

    def parameters(self, given: Shape) -> int:
        """Return those of all rows, and of the block's batch norm."""
        return sum(card.parameters for card in self.cards(given)) + (2 * self._maps if self.batch_norm else 0)

    def cards(self, given: Shape) -> tuple[LayerCard, ...]:
        """Return the cards of the rows, then those of the shortcut."""
        return lay_out(self.rows, given) + lay_out(self.shortcut, given)

    def linear_map(self, given: Shape, *, bias: bool) -> nn.Module:
        """Return the block."""
        return ResidualBlock(lay_out(self.rows, given), lay_out(self.shortcut, given))

    def __str__(self) -> str:
        rows = "; ".join(map(str, self.rows))
        return f"residual [{rows}]" + (f" + [{'; '.join(map(str, self.shortcut))}]" if self.shortcut else "")


def _output(table: Table, given: Shape) -> Shape:
    cards = lay_out(table, given)
    return cards[-1].output if cards else given


@row_wise
class ResidualBlock(nn.Module):
    """The sum of two ways through rows."""

    def __init__(self, rows: tuple[LayerCard, ...], shortcut: tuple[LayerCard, ...]) -> None:
        super().__init__()
        self.rows = nn.Sequential(*map(Layer, rows))
        self.shortcut = nn.Sequential(*map(Layer, shortcut))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, *output) for `x` (N, *given)."""
        return self.shortcut(x) + self.rows(x)  # type: ignore[no-any-return]


@keeps_start
@row_wise
class ZeroStart(nn.Sequential):
    """A linear map whose weights and biases start at 0."""

    def __init__(self, linear_map: nn.Module) -> None:
        for parameter in linear_map.parameters():
            nn.init.zeros_(parameter)
        super().__init__(linear_map)


@row_wise
class Layer(nn.Sequential):
    """A row of a table as a module: its steps in order, the nonlinearity last."""

    def __init__(self, card: LayerCard) -> None:
        row, mapped = card.row, card.row.map_shape(card.given)  # mapped: the shape after the linear map
        steps: list[nn.Module] = []
        if row.input_dropout:
            steps.append(nn.Dropout(row.input_dropout))
        linear_map = row.linear_map(card.given, bias=row.bias_kind == "tied")
        if row.spectral_norm:
            normalise_spectrally(linear_map)
        steps.append(ZeroStart(linear_map) if row.starts_at_zero else linear_map)
        if row.bias_kind == "untied":
            steps.append(UntiedBias(mapped))
        if row.batch_norm:
            norm = UncountedBatchNorm1d if len(mapped) == 1 else UncountedBatchNorm2d
            steps.append(norm(mapped[0], eps=row.batch_norm.eps, momentum=row.batch_norm.momentum))
        if row.dropout:
            steps.append(nn.Dropout(row.dropout))
        super().__init__(*steps, row.nonlinearity.module())

    def preactivation(self, x: Tensor) -> Tensor:
        """Return the row's values before its nonlinearity, (N, maps, …), for `x` (N, *given)."""
        for step in islice(self, len(self) - 1):
            x = step(x)
        return x

    def activation(self, x: Tensor) -> Tensor:
        """Return the row's output (N, *output) for its preactivation `x`."""
        return self[-1](x)  # type: ignore[no-any-return]


@row_wise
class Stack(nn.Module):
    """A table as a module; `cards` holds the sizes and costs of its rows."""

    def __init__(self, cards: tuple[LayerCard, ...], given: Shape) -> None:
        super().__init__()
        self.cards = cards
        self.given = given
        self.output = cards[-1].output if cards else given
        self.layers = nn.ModuleList(Layer(card) for card in cards)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, *output) for `x` (N, *given), or (N, …) with as many numbers per row."""
        return self.until(x, len(self.layers))

    def until(self, x: Tensor, count: int) -> Tensor:
        """Return the output of the first `count` rows of the table for `x`, as `forward` takes it."""
        x = self._as_given(x)
        for layer in islice(self.layers, count):
            x = layer(x)
        return x

    def outputs(self, x: Tensor, count: int) -> list[Tensor]:
        """Return the outputs (N, *output) of each of the first `count` rows of the table for `x`."""
        x, values = self._as_given(x), []
        for layer in islice(self.layers, count):
            x = layer(x)
            values.append(x)
        return values

    def logits(self, x: Tensor) -> Tensor:
        """Return the output for `x` before the last row's nonlinearity."""
        last = self.layers[-1]
        assert isinstance(last, Layer)
        return last.preactivation(self.until(x, len(self.layers) - 1))

    def preactivations(self, x: Tensor) -> list[Tensor]:
        """Return the preactivation (N, maps, …) of every row, and last the stack's output (N, *output)."""
        x, values = self._as_given(x), []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            values.append(layer.preactivation(x))
            x = layer.activation(values[-1])
        return [*values, x]

    def _as_given(self, x: Tensor) -> Tensor:
        # len(x) would be a constant in an exported program, which takes any number of rows
        return x if x.shape[1:] == self.given else x.reshape(x.shape[0], *self.given)
