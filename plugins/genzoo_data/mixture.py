"""The paper's toy data: 25 well separated Gaussians on a grid."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import torch

from genzoo.data import Dataset
from genzoo.types import DataSpec, Mixture, Split, Splits

_GRID = (-4.0, -2.0, 0.0, 2.0, 4.0)
_MOST_ROWS = 10_000_000
_MIXTURE = Mixture(means=tuple(product(_GRID, _GRID)), std=0.05)


@dataclass(frozen=True, kw_only=True)
class Mixture25(Dataset):
    """25 equally likely Gaussians with means {−4, −2, 0, 2, 4}² and standard deviation 0.05 (section 4.5).

    Component 5·i + j has mean (grid[i], grid[j]). Train, validation and test come from different seeds (the
    released code draws train and validation from the same one, so that they are identical).
    """

    name: ClassVar[str] = "mixture25"
    rows: int = 100_000
    """Training rows."""
    held_out_rows: int = 10_000
    """Validation rows, and as many test rows."""

    def __post_init__(self) -> None:
        if min(self.rows, self.held_out_rows) < 1:
            raise ValueError("rows and held_out_rows must be at least 1")
        if max(self.rows, self.held_out_rows) > _MOST_ROWS:  # a record may ask for more than memory holds
            raise ValueError(f"rows and held_out_rows must be at most {_MOST_ROWS:,}")

    @property
    def spec(self) -> DataSpec:
        """Two unbounded coordinates; the class of a point is its component."""
        return DataSpec(
            shape=(2,),
            support="real",
            class_names=tuple(f"{x:g},{y:g}" for x, y in product(_GRID, _GRID)),
            mixture=_MIXTURE,
        )

    def load(self, root: Path) -> Splits:
        """Draw the three splits."""
        return Splits(
            train=self._draw(self.rows, seed=1),
            validation=self._draw(self.held_out_rows, seed=2),
            test=self._draw(self.held_out_rows, seed=3),
        )

    def _draw(self, rows: int, *, seed: int) -> Split:
        source = torch.Generator().manual_seed(seed)
        labels = torch.randint(len(_MIXTURE.means), (rows,), generator=source)
        noise = torch.randn(rows, 2, generator=source)
        return Split(torch.tensor(_MIXTURE.means)[labels] + _MIXTURE.std * noise, labels)
