"""Conditions as text: `class=3`, `Male,Smiling`; and grids of them that are decoded from one z."""

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
    """What each column stands for; empty where the cells have names of their own."""


def parse_condition(text: str, data: DataSpec) -> Tensor:
    """Return y (condition_size,) for `class=NAME`, or for attributes `A,B` that are on while all others are off.

    Raises `SettingsError` for what these data do not have, with the nearest name.
    """
    y = torch.zeros(data.condition_size)
    if data.class_names:
        y[_index(_class(text), data.class_names, "class")] = 1
        return y
    if not data.attributes:
        raise SettingsError(f"condition '{text}': these data have neither classes nor attributes")
    for name in _parts(text):
        y[_index(name, data.attributes, "attribute")] = 1
    return y


def sweep(text: str, data: DataSpec, *, base: str | None, rows: int) -> Grid:
    """Return a grid with a column per class or attribute in `text` (`all`: every one), the same in every row.

    Attributes are added to those of `base`, one per column, behind a column of the base alone.
    """
    known = data.class_names or data.attributes
    if not known:
        raise SettingsError("these data have neither classes nor attributes")
    names = known if text == "all" else _parts(text)
    if not names:
        raise SettingsError(f"--sweep '{text}' names nothing", f"known: {_some(known)}")
    if data.class_names:
        if base is not None:
            raise SettingsError("--condition and --sweep cannot both say the class")
        columns = tuple(map(_class, names))
        cells = [parse_condition(name, data) for name in columns]
    else:
        held = _parts(base or "")
        columns = (base or "none", *(name for name in names if name not in held))
        cells = [parse_condition(",".join((*held, name)), data) for name in ("", *columns[1:])]
    return Grid(torch.stack(cells).expand(rows, -1, -1), columns)


def named_grid(name: str, data: DataSpec) -> Grid:
    """Return the grid that these data define under a name."""
    known = {grid.name: grid for grid in data.grids}
    if name not in known:
        listed = f"known: {', '.join(known)}" if known else "these data define none"
        raise SettingsError(f"no grid '{name}'{nearest(name, known)}", listed)
    cells = [[parse_condition(text, data) for text in row] for row in known[name].rows]
    return Grid(torch.stack([torch.stack(row) for row in cells]), ())


def _class(text: str) -> str:
    return text.strip().removeprefix("class=").strip()


def _parts(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _index(name: str, known: tuple[str, ...], what: str) -> int:
    if name not in known:
        raise SettingsError(f"no {what} '{name}'{nearest(name, known)}", f"known: {_some(known)}")
    return known.index(name)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 40 else f"{', '.join(names[:5])} … {names[-1]}"
