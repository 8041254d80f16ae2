"""`genzoo sample`, `reconstruct` and `interpolate`."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genzoo import api
from genzoo.cli import options
from genzoo.cli.output import result, result_json, status
from genzoo.errors import SettingsError
from genzoo.storage import files
from genzoo.storage.run_folder import Run
from genzoo.types import SplitName

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo.evaluation.model import Model

_OUT_ENDINGS = (".png", ".npy", ".safetensors")


def _out(default: str) -> Callable[[options.CommandFunction], options.CommandFunction]:
    return click.option(
        "--out", default=default, show_default=True, metavar="FILE", help="A .png, .npy or .safetensors file."
    )


@click.command("sample", short_help="Draw samples from RUN's model.")
@options.run
@click.option("-n", "count", type=click.IntRange(min=1), metavar="N", help="How many.  [default: 64; vectors 2500]")
@click.option("--condition", metavar="TEXT", help="Given to a conditional model: class=3, or Male,Smiling.")
@click.option("--sweep", metavar="NAMES", help="A column per class or attribute, each row with one z; or: all.")
@click.option("--grid", metavar="NAME", help="A grid that the data define, such as figure7 of CelebA; one z.")
@options.seed
@_out("samples.png")
@options.raw
@options.device
@options.as_json
def sample_command(
    run: str,
    count: int | None,
    condition: str | None,
    sweep: str | None,
    grid: str | None,
    seed: int,
    out: str,
    raw: bool,
    device: str,
    as_json: bool,
) -> None:
    """Draw samples from RUN's model: decoded draws from the prior.

    By default, a conditional model is given labels as frequent as in its training data.
    """
    path = _checked(out)
    model = api.load(run, device=device, raw=raw)
    if not model.networks.is_conditional and any(text is not None for text in (condition, sweep, grid)):
        raise SettingsError(
            "this model takes no condition: it was trained without labels",
            "train a conditional one; models are listed by: genzoo list models",
        )
    if grid is not None and (condition is not None or sweep is not None):
        raise SettingsError("--grid sets all conditions: leave out --condition and --sweep")
    facts: dict[str, object] = {"seed": seed, "step": model.step, "weights": model.weights}
    if sweep is not None or grid is not None:
        facts |= _sample_grid(path, model, count, condition, sweep, grid, seed)
    else:
        count = count or (64 if model.data.is_image else 2500)
        facts |= {"count": count, "condition": condition}
        _sample(path, model, count, condition, seed)
    _show_file(run, path, facts, as_json)


@click.command("reconstruct")
@options.run
@click.option("-n", "count", type=click.IntRange(min=1), metavar="N", help="How many.  [default: 32; vectors 2500]")
@options.seed
@options.split("validation")
@_out("reconstructions.png")
@options.raw
@options.device
@options.data
@options.as_json
def reconstruct_command(
    run: str,
    count: int | None,
    seed: int,
    split: SplitName,
    out: str,
    raw: bool,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Encode rows of RUN's data and decode them again.

    A picture of images has pairs of an original, on the left, and its reconstruction; an array is (N, 2, …), the
    original first.
    """
    path = _checked(out)
    model = api.load(run, device=device, raw=raw)
    model.require("encoder")
    model.require("decoder")
    part = getattr(api.load_data(run, data=data), split)
    asked = count or (32 if model.data.is_image else 2500)
    count = min(asked, len(part.x))
    if count < asked:
        status(f"the {split} split has {count:,} rows: all of them")
    if path.suffix == ".png":
        from genzoo.evaluation import pictures

        pictures.save_reconstructions(path, model, part, count=count, seed=seed)
    else:
        import torch

        x, y = model.rows(part, count)
        pairs = torch.stack([x, model.reconstruct(x, y=y, seed=seed)], dim=1)
        _write_arrays(path, {"pairs": pairs, "z": model.encode(x, y=y, seed=seed).z})
    _show_file(run, path, {"count": count, "seed": seed, "split": split, "step": model.step}, as_json)


@click.command("interpolate", short_help="Walk between the codes of rows of RUN's data.")
@options.run
@click.option("--pairs", default=4, show_default=True, type=click.IntRange(min=1), metavar="N", help="Rows.")
@click.option("--steps", default=11, show_default=True, type=click.IntRange(min=1), metavar="N", help="Steps per row.")
@options.seed
@options.split("validation")
@_out("interpolations.png")
@options.raw
@options.device
@options.data
@options.as_json
def interpolate_command(
    run: str,
    pairs: int,
    steps: int,
    seed: int,
    split: SplitName,
    out: str,
    raw: bool,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Walk in straight lines between the codes of rows of RUN's data.

    Every row of the picture is x1, the steps + 1 decodings from z1 to z2, x2; an array is (pairs, steps + 1, …).
    """
    path = _checked(out)
    model = api.load(run, device=device, raw=raw)
    model.require("encoder")
    model.require("decoder")
    part = getattr(api.load_data(run, data=data), split)
    if 2 * pairs > len(part.x):
        raise SettingsError(f"--pairs {pairs} needs {2 * pairs} rows, the {split} split has {len(part.x)}")
    x, y = model.rows(part, 2 * pairs)
    a, b = x[:pairs], x[pairs:]
    ends = None if y is None else (y[:pairs], y[pairs:])
    if path.suffix == ".png":
        from genzoo.evaluation import pictures

        pictures.save_interpolations(path, model, a, b, steps=steps, seed=seed, y=ends)
    else:
        _write_arrays(path, {"decodings": model.interpolate(a, b, steps=steps, seed=seed, y=ends)})
    _show_file(run, path, {"pairs": pairs, "steps": steps, "seed": seed, "step": model.step}, as_json)


def _sample(path: Path, model: "Model", count: int, condition: str | None, seed: int) -> None:
    from genzoo.data.condition_text import parse_condition

    y = None if condition is None else parse_condition(condition, model.data).expand(count, -1)
    if path.suffix == ".png":
        from genzoo.evaluation import pictures

        pictures.save_samples(path, model, count=count, seed=seed, y=y)
        return
    if model.networks.is_conditional and y is None:
        y = model.draw_y(count, seed=seed)
    arrays = {"samples": model.sample(count, seed=seed, y=y), "z": model.draw_z(count, seed=seed)}
    _write_arrays(path, arrays if y is None else arrays | {"y": y})


def _sample_grid(
    path: Path,
    model: "Model",
    count: int | None,
    condition: str | None,
    sweep: str | None,
    grid: str | None,
    seed: int,
) -> dict[str, object]:
    from genzoo.data import condition_text

    if sweep is not None:
        cells = condition_text.sweep(sweep, model.data, base=condition, rows=count or 8)
    else:
        assert grid is not None
        cells = condition_text.named_grid(grid, model.data)
    if path.suffix == ".png" and not model.data.is_image:
        raise SettingsError("a grid of conditions is a picture of images", "choose another --out: grid.npy")
    x = model.sample_grid(cells.y, seed=seed, one_z=grid is not None)
    if path.suffix == ".png":
        from genzoo.evaluation import pictures

        pictures.save_grid(path, x.flatten(0, 1), columns=x.shape[1], headings=cells.columns)
    else:
        _write_arrays(path, {"samples": x, "y": cells.y})
    return {"rows": x.shape[0], "columns": x.shape[1], "column_names": list(cells.columns)}


def _checked(out: str) -> Path:
    path = Path(out)
    if path.suffix not in _OUT_ENDINGS:
        raise SettingsError(f"--out {out}: expected a name that ends in {', '.join(_OUT_ENDINGS)}")
    return path


def _write_arrays(path: Path, arrays: "dict[str, Tensor]") -> None:
    """Write the first array as .npy, or all of them as .safetensors."""
    import numpy

    from genzoo.storage.tensors import pack

    on_host = {name: tensor.float().cpu().contiguous() for name, tensor in arrays.items()}
    if path.suffix == ".safetensors":
        files.write(path, pack(on_host))
        return
    content = io.BytesIO()
    numpy.save(content, next(iter(on_host.values())).numpy(), allow_pickle=False)
    files.write(path, content.getvalue())


def _show_file(run: str, path: Path, facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        result_json({"run": str(Run(Path(run)).path), "file": str(path), **facts})
    else:
        result(str(path))
