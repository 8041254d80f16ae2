"""`genzoo encode`, `decode` and `nearest`."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo import api
from genzoo.cli import options
from genzoo.cli.out_files import out_option, out_path, show_file, write_arrays
from genzoo.cli.output import columns, status
from genzoo.cli.rows import choose_rows, condition_option, files_argument, parse_y
from genzoo.data.root import data_root
from genzoo.errors import SettingsError, UnreadableError
from genzoo.storage import files as storage
from genzoo.storage.run_folder import Run
from genzoo.types import Split, SplitName

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo.evaluation.model import Model

_CODES = (".safetensors", ".npy", ".csv")
_FILE_COLUMN, _CODE_COLUMN = "file", "z{}"
"""The headings of a CSV file of codes."""
_CODES_LIMIT = 2**32
"""The largest file of codes, in bytes, that is read."""


@click.command("encode")
@options.run
@files_argument
@click.option("--draw", is_flag=True, help="Draw the codes, in place of their means.")
@condition_option
@options.seed
@options.split("validation")
@out_option("codes.safetensors", _CODES)
@options.raw
@options.device
@options.data
@options.as_json
def encode_command(
    run: str,
    files: tuple[Path, ...],
    draw: bool,
    condition: str | None,
    seed: int,
    split: SplitName,
    out: str | None,
    raw: bool,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Write the codes z of image files, or without any of rows of RUN's data.

    An image goes through the transform of the data set. A code is the mean that the encoder gives, or where it gives
    none a draw; --seed is that of draws. reconstruct and interpolate decode draws: what --draw writes with that --seed.
    Names of files are a column of .csv and the metadata `files` of .safetensors.
    """
    path = out_path(run, out, "codes.safetensors", _CODES)
    model = api.load(run, device=device, raw=raw)
    model.require("encoder")
    part, names = choose_rows(run, model, files, split=split, data=data, condition=condition)
    z, kind = _codes(model, part, draw=draw, seed=seed)
    y = model.conditions(part.labels)
    if path.suffix == ".csv":
        storage.write(path, _csv(z, names))
    else:
        write_arrays(path, {"z": z} if y is None else {"z": z, "y": y}, notes={"files": json.dumps(names)})
    facts: dict[str, object] = {"rows": len(z), "latent": model.latent, "codes": kind, "seed": seed}
    facts |= {"files": names} if names else {"split": split}
    show_file(run, path, facts | {"step": model.step}, as_json)


@click.command("decode")
@options.run
@click.argument("codes", metavar="CODES", type=click.Path(path_type=Path))
@condition_option
@out_option("decodings.png")
@options.raw
@options.device
@options.as_json
def decode_command(
    run: str, codes: Path, condition: str | None, out: str | None, raw: bool, device: str, as_json: bool
) -> None:
    """Decode CODES: a .safetensors, .npy or .csv file of z, such as encode writes.

    What encode writes are means, unless with --draw, and reconstruct decodes draws: the pictures differ. A conditional
    model takes y from a .safetensors file that holds it, or --condition.
    """
    path = out_path(run, out, "decodings.png")
    model = api.load(run, device=device, raw=raw)
    model.require("decoder")
    z, stored = _read_codes(codes)
    y = stored if condition is None and model.networks.is_conditional else parse_y(model, condition, len(z))
    if y is None and model.networks.is_conditional:
        raise SettingsError(f"this model is conditional, and {codes} holds no y", "name theirs: --condition TEXT")
    x = model.decode(z, y)
    if path.suffix == ".png":
        from genzoo.evaluation import pictures

        pictures.save_decodings(path, model.data, z, x)
    else:
        write_arrays(path, {"decodings": x, "z": z} if y is None else {"decodings": x, "z": z, "y": y})
    show_file(run, path, {"rows": len(x), "step": model.step}, as_json)


@click.command("nearest")
@options.run
@files_argument
@click.option(
    "--among",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Images to look among, in place of RUN's data; repeatable.",
)
@click.option("-n", "count", type=click.IntRange(min=1), default=8, show_default=True, metavar="N", help="How many.")
@condition_option
@options.seed
@options.split("train")
@out_option("nearest.png", (".png",))
@options.raw
@options.device
@options.data
@options.as_json
def nearest_command(
    run: str,
    files: tuple[Path, ...],
    among: tuple[Path, ...],
    count: int,
    condition: str | None,
    seed: int,
    split: SplitName,
    out: str | None,
    raw: bool,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Draw image files beside the rows of RUN's data, or the images --among, whose codes are nearest.

    Every row of the picture is a file and its N nearest, the nearest first, by the Euclidean distance of codes, which
    are those that encode writes. Rows of data that were prepared from files are told by the names of these.
    """
    if not files:
        raise SettingsError("no image is given", "name image files or folders: genzoo nearest RUN FILE")
    import torch

    from genzoo.data.dataset import as_input
    from genzoo.evaluation import pictures

    path = out_path(run, out, "nearest.png", (".png",))
    model = api.load(run, device=device, raw=raw)
    model.require("encoder")
    part, names = choose_rows(run, model, files, split=split, data=data, condition=condition)
    others, other_names = choose_rows(run, model, among, split=split, data=data, condition=condition if among else None)
    if not among and model.dataset is not None:
        other_names = model.dataset.file_names(data_root(data, Run.at(run).data_place), split)
    y, other_y = model.conditions(part.labels), model.conditions(others.labels)
    both = None if y is None or other_y is None else (y, other_y)
    nearest = model.nearest(part.x, others.x, count=count, y=both, seed=seed)
    images = as_input(others.x[nearest.rows.flatten().cpu()]).view(*nearest.rows.shape, *model.data.shape)
    shown = torch.cat([as_input(part.x)[:, None], images], dim=1)
    pictures.save_grid(path, shown.flatten(0, 1), columns=shown.shape[1], group=(1, shown.shape[1] - 1))
    table = [
        {"file": name, "nearest": [_neighbour(other_names, *pair) for pair in zip(rows, lengths, strict=True)]}
        for name, rows, lengths in zip(names, nearest.rows.tolist(), nearest.distances.tolist(), strict=True)
    ]
    if not as_json:
        status(_neighbours_table(table))
    where: dict[str, object] = {"among": other_names} if among else {"split": split}
    show_file(run, path, {"files": table, **where, "step": model.step}, as_json)


def _codes(model: "Model", split: Split, *, draw: bool, seed: int) -> "tuple[Tensor, str]":
    """Return codes (N, latent) of a split, and which they are: means, or draws if `draw` or where there are none."""
    code = model.encode(split.x, y=model.conditions(split.labels), seed=seed)
    return code.z if draw else code.centre, "drawn" if draw or code.mean is None else "mean"


def _csv(z: "Tensor", names: Sequence[str]) -> bytes:
    """Return codes (N, latent) as CSV, a row each, after the name of its file if it has one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [*([_FILE_COLUMN] if names else []), *(_CODE_COLUMN.format(number) for number in range(z.shape[1]))]
    )
    for number, row in enumerate(z.tolist()):
        writer.writerow([*names[number : number + 1], *row])
    return text.getvalue().encode(errors="surrogateescape")


def _read_codes(path: Path) -> "tuple[Tensor, Tensor | None]":
    """Return z (N, latent) of a file of codes, and y (N, condition_size) if it holds one."""
    import numpy
    import torch

    from genzoo.storage.tensors import unpack

    expected = f"codes: a file that ends in {', '.join(_CODES)}"
    if path.suffix not in _CODES:
        raise SettingsError(f"{path} is not named as {expected}", "codes are written by: genzoo encode")
    content = storage.read_bytes(path, expected, limit=_CODES_LIMIT, remedy="codes are written by: genzoo encode")
    if path.suffix == ".safetensors":
        tensors = unpack(path)
        if "z" not in tensors:
            raise UnreadableError(f"{path} holds no z", "codes are written by: genzoo encode")
        return tensors["z"].float(), tensors.get("y")
    try:
        if path.suffix == ".npy":
            return torch.from_numpy(numpy.load(io.BytesIO(content), allow_pickle=False)).float(), None
        rows = list(csv.DictReader(io.StringIO(content.decode(errors="surrogateescape"))))
        return torch.tensor([[float(row[key]) for key in row if key != _FILE_COLUMN] for row in rows]), None
    except (ValueError, TypeError, csv.Error) as error:
        raise UnreadableError(f"{path} is not readable as codes: {error}", "write them with: genzoo encode") from error


def _neighbour(names: Sequence[str], row: int, distance: float) -> dict[str, Any]:
    return {"row": row, **({"file": names[row]} if names else {}), "distance": distance}


def _neighbours_table(found: Sequence[dict[str, Any]]) -> str:
    rows = [
        (entry["file"], str(other.get("file", other.get("row"))), f"{other['distance']:.3f}")
        for entry in found
        for other in entry["nearest"]
    ]
    return columns(rows, header=("image", "nearest", "distance"), right=(2,))
