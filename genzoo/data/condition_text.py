"""Conditions: parsed from text such as `class=3` or `Male,Smiling`, alone or in grids."""

from typing import NamedTuple

import torch
from torch import Tensor

from genzoo.errors import SettingsError
from genzoo.text import nearest
from genzoo.types import DataSpec


class Grid(NamedTuple):
    """Conditions in rows and columns."""

    y: Tensor
    """(rows, columns, condition_size)."""
    columns: tuple[str, ...]
    """The condition of each column; empty for a named grid, whose rows differ."""


def parse_condition(text: str, data: DataSpec) -> Tensor:
    """Return y (condition_size,) for `class=NAME`, or for attributes `A,B` that are on while all others are off.

    Raises `SettingsError` for a name that these data do not have, and suggests the nearest one.
    """
    y = torch.zeros(data.condition_size)
    if data.class_names:
        y[_index(_class(text), data.class_names, "class")] = 1
        return y
    if not data.attributes:
        raise SettingsError(f"condition '{text}': these data have neither classes nor attributes", "leave it out")
    for name in _parts(text):
        y[_index(name, data.attributes, "attribute")] = 1
    return y


def sweep(text: str, data: DataSpec, *, base: str | None, rows: int) -> Grid:
    """Return a grid with a column per class or attribute in `text` (`all`: all of them); its rows are equal.

    Attributes are added to those of `base`, one per column; the first column is the base alone.
    """
    offered = data.class_names or data.attributes
    if not offered:
        raise SettingsError("these data have neither classes nor attributes", "leave out --sweep and --grid")
    names = offered if text == "all" else _parts(text)
    if not names:
        raise SettingsError(f"--sweep '{text}' names nothing", f"known: {_list(offered)}")
    if data.class_names:
        if base is not None:
            raise SettingsError("--condition and --sweep cannot both set the class", "leave out one of them")
        columns = tuple(map(_class, names))
        cells = [parse_condition(name, data) for name in columns]
    else:
        base_names = _parts(base or "")
        columns = (base or "none", *(name for name in names if name not in base_names))
        cells = [parse_condition(",".join((*base_names, name)), data) for name in ("", *columns[1:])]
    return Grid(torch.stack(cells).expand(rows, -1, -1), columns)


def named_grid(name: str, data: DataSpec) -> Grid:
    """Return the grid that these data define under a name."""
    grids = {grid.name: grid for grid in data.grids}
    if name not in grids:
        remedy = f"known: {', '.join(grids)}" if grids else "these data define none"
        raise SettingsError(f"no grid '{name}'{nearest(name, grids)}", remedy)
    cells = [[parse_condition(text, data) for text in row] for row in grids[name].rows]
    return Grid(torch.stack([torch.stack(row) for row in cells]), ())


def _class(text: str) -> str:
    return text.strip().removeprefix("class=").strip()


def _parts(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _index(name: str, names: tuple[str, ...], what: str) -> int:
    if name not in names:
        raise SettingsError(f"no {what} '{name}'{nearest(name, names)}", f"known: {_list(names)}")
    return names.index(name)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 40 else f"{', '.join(names[:5])} … {names[-1]}"
