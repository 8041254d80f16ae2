"""Stacks: modules built from layer tables."""

from itertools import islice

from torch import Tensor, nn

from genzoo.errors import SettingsError
from genzoo.nn.interfaces import row_wise
from genzoo.nn.layers import UncountedBatchNorm1d, UncountedBatchNorm2d, UntiedBias, normalise_spectrally
from genzoo.nn.tables import LayerCard, Shape, Table, lay_out, show_shape


def build(table: Table, given: Shape, *, gives: Shape | None = None) -> "Stack":
    """Return the table as a module for inputs (N, *given).

    Raises `SettingsError` for a table that does not fit its input, or whose output is not (N, *gives).
    """
    cards = lay_out(table, given)
    output = cards[-1].output if cards else given
    if gives is not None and output != gives:
        row = f"row {len(table)} ({table[-1]})" if table else "an empty table"
        raise SettingsError(f"{row} gives {show_shape(output)}, expected {show_shape(gives)}")
    return Stack(cards, given)


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
        steps.append(linear_map)
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
