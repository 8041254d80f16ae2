"""The rows that a command is about: image files, or a part of the run's data."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from click.core import ParameterSource

from genzoo import api
from genzoo.cli import options
from genzoo.errors import SettingsError
from genzoo.types import Split, SplitName

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo.evaluation.model import Model

condition_option = click.option(
    "--condition", metavar="TEXT", help="Of all files, for a conditional model: class=3, or A,B."
)


class ChosenRows(NamedTuple):
    """Rows as a split, and where they are from."""

    split: Split
    names: list[str]
    """Of the files; empty for rows of the run's data."""


def files_argument(function: options.CommandFunction) -> options.CommandFunction:
    """Return the argument that names image files, and folders of such."""
    argument: Callable[[options.CommandFunction], options.CommandFunction] = click.argument(
        "files", nargs=-1, metavar="[FILE|FOLDER]...", type=click.Path(path_type=Path)
    )
    return argument(function)


def choose_rows(
    run: str,
    model: "Model",
    files: Sequence[Path],
    *,
    split: SplitName,
    data: str | None,
    condition: str | None = None,
) -> ChosenRows:
    """Return the images in `files`, all with the condition of that text, or without files a split of the run's data."""
    if not files:
        if condition is not None:
            raise SettingsError("--condition is for files: rows of the data have their own labels", "leave it out")
        return ChosenRows(getattr(api.load_data(run, data=data), split), [])
    for option in ("split", "pairs"):
        if click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE:
            raise SettingsError(f"--{option} names rows of the data, and files are given", "leave out one of them")
    from genzoo.data.decoding import image_files

    paths = image_files(files)
    x = model.inputs(paths)
    return ChosenRows(Split(x, _labels_of_condition(model, condition, len(x))), list(map(str, paths)))


def parse_y(model: "Model", condition: str | None, rows: int) -> "Tensor | None":
    """Return y (rows, condition_size) of a condition's text; None for None."""
    refuse_condition(model, condition)
    if condition is None:
        return None
    from genzoo.data.condition_text import parse_condition

    return parse_condition(condition, model.data).expand(rows, -1)


def refuse_condition(model: "Model", text: str | None) -> None:
    """Raise `SettingsError` if a text names conditions and the model takes none."""
    if text is not None and not model.networks.is_conditional:
        raise SettingsError(
            "this model takes no condition: it was trained without labels",
            "train a conditional one; models are listed by: genzoo list models",
        )


def _labels_of_condition(model: "Model", condition: str | None, rows: int) -> "Tensor | None":
    """Return the labels, (rows,) or (rows, attributes), that make a condition."""
    takes_condition = "condition" in click.get_current_context().params
    if condition is None and model.networks.is_conditional and takes_condition:
        raise SettingsError("this model is conditional, and files have no labels", "name theirs: --condition TEXT")
    y = parse_y(model, condition, rows)
    if y is None:
        return None
    return y.argmax(1) if model.data.class_names else y.byte()
