"""`genzoo sample`, `reconstruct` and `interpolate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from genzoo import api
from genzoo.cli import options
from genzoo.cli.out_files import out_option, out_path, show_file, write_arrays
from genzoo.cli.output import status
from genzoo.cli.rows import choose_rows, condition_option, files_argument, parse_y, refuse_condition
from genzoo.errors import SettingsError
from genzoo.types import SplitName

if TYPE_CHECKING:
    from genzoo.evaluation.model import Model


@click.command("sample")
@options.run
@click.option("-n", "count", type=click.IntRange(min=1), metavar="N", help="How many.  [default: 64; vectors 2500]")
@click.option("--condition", metavar="TEXT", help="Given to a conditional model: class=3, or Male,Smiling.")
@click.option("--sweep", metavar="NAMES", help="A column per class or attribute, each row with one z; or: all.")
@click.option("--sweep-code", metavar="PART", help="A column per value of a part of z that the prior names.")
@click.option("--grid", metavar="NAME", help="A grid that the data define, such as figure7 of CelebA; one z.")
@options.seed
@out_option("samples.png")
@options.raw
@options.device
@options.as_json
def sample_command(
    run: str,
    count: int | None,
    condition: str | None,
    sweep: str | None,
    sweep_code: str | None,
    grid: str | None,
    seed: int,
    out: str | None,
    raw: bool,
    device: str,
    as_json: bool,
) -> None:
    """Draw samples from RUN's model: decoded draws from the prior.

    By default, a conditional model is given labels as frequent as in its training data.
    """
    path = out_path(run, out, "samples.png")
    model = api.load(run, device=device, raw=raw)
    for text in (sweep, grid, condition):
        refuse_condition(model, text)
    if grid is not None and (condition is not None or sweep is not None):
        raise SettingsError("--grid sets all conditions", "leave out --condition and --sweep")
    facts: dict[str, object] = {"seed": seed, "step": model.step, "weights": model.weights}
    if sweep_code is not None:
        if (condition, sweep, grid) != (None, None, None):
            raise SettingsError("--sweep-code sets z", "leave out --condition, --sweep and --grid")
        facts |= _sample_codes(path, model, sweep_code, rows=count or 8, seed=seed)
    elif sweep is not None or grid is not None:
        facts |= _sample_grid(path, model, count, condition, sweep, grid, seed)
    else:
        count = count or (64 if model.data.is_image else 2500)
        facts |= {"count": count, "condition": condition}
        _sample(path, model, count, condition, seed)
    show_file(run, path, facts, as_json)


@click.command("reconstruct")
@options.run
@files_argument
@click.option("-n", "count", type=click.IntRange(min=1), metavar="N", help="How many.  [default: 32; vectors 2500]")
@condition_option
@options.seed
@options.split("validation")
@out_option("reconstructions.png")
@options.raw
@options.device
@options.data
@options.as_json
def reconstruct_command(
    run: str,
    files: tuple[Path, ...],
    count: int | None,
    condition: str | None,
    seed: int,
    split: SplitName,
    out: str | None,
    raw: bool,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Encode image files, or without any rows of RUN's data, and decode them again.

    An image goes through the transform of the data set. Its code is drawn, with --seed; encode writes means. A picture
    of images has pairs of an original, on the left, and its reconstruction; an array is (N, 2, …), the original first.
    """
    path = out_path(run, out, "reconstructions.png")
    model = api.load(run, device=device, raw=raw)
    model.require("encoder")
    model.require("decoder")
    part, names = choose_rows(run, model, files, split=split, data=data, condition=condition)
    asked = count or (len(names) if names else 32 if model.data.is_image else 2500)
    count = min(asked, len(part.x))
    if count < asked and not names:
        status(f"the {split} split has {count:,} rows: all of them")
    if path.suffix == ".png":
        from genzoo.evaluation import pictures

        pictures.save_reconstructions(path, model, part, count=count, seed=seed)
    else:
        import torch

        x, y = model.rows(part, count)
        z = model.encode(x, y=y, seed=seed).z
        write_arrays(path, {"pairs": torch.stack([x, model.decode(z, y)], dim=1), "z": z})
    where: dict[str, object] = {"files": names[:count]} if names else {"split": split}
    show_file(run, path, {"count": count, "seed": seed, **where, "step": model.step}, as_json)


@click.command("interpolate")
@options.run
@files_argument
@click.option("--pairs", default=4, show_default=True, type=click.IntRange(min=1), metavar="N", help="Rows.")
@click.option("--steps", default=11, show_default=True, type=click.IntRange(min=1), metavar="N", help="Steps per row.")
@condition_option
@options.seed
@options.split("validation")
@out_option("interpolations.png")
@options.raw
@options.device
@options.data
@options.as_json
def interpolate_command(
    run: str,
    files: tuple[Path, ...],
    pairs: int,
    steps: int,
    condition: str | None,
    seed: int,
    split: SplitName,
    out: str | None,
    raw: bool,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Walk in straight lines between the codes of image files, two by two, or of rows of RUN's data.

    Codes are drawn, with --seed; encode writes means. Every row of the picture is x1, the steps + 1 decodings from z1
    to z2, x2; an array is (pairs, steps + 1, …).
    """
    path = out_path(run, out, "interpolations.png")
    model = api.load(run, device=device, raw=raw)
    model.require("encoder")
    model.require("decoder")
    part, names = choose_rows(run, model, files, split=split, data=data, condition=condition)
    if len(names) % 2:
        raise SettingsError(f"{len(names)} files are given, which are not pairs", "name two files per pair")
    pairs = len(names) // 2 or pairs
    if 2 * pairs > len(part.x):
        raise SettingsError(
            f"--pairs {pairs} needs {2 * pairs} rows, the {split} split has {len(part.x)}",
            f"ask for fewer: --pairs {len(part.x) // 2}",
        )
    x, y = model.rows(part, 2 * pairs)
    first, second = (slice(0, None, 2), slice(1, None, 2)) if names else (slice(pairs), slice(pairs, None))
    a, b = x[first], x[second]
    ends = None if y is None else (y[first], y[second])
    if path.suffix == ".png":
        from genzoo.evaluation import pictures

        pictures.save_interpolations(path, model, a, b, steps=steps, seed=seed, y=ends)
    else:
        write_arrays(path, {"decodings": model.interpolate(a, b, steps=steps, seed=seed, y=ends)})
    facts: dict[str, object] = {"pairs": pairs, "steps": steps, "seed": seed, "step": model.step}
    show_file(run, path, facts | ({"files": names} if names else {}), as_json)


def _sample(path: Path, model: "Model", count: int, condition: str | None, seed: int) -> None:
    y = parse_y(model, condition, count)
    if path.suffix == ".png":
        from genzoo.evaluation import pictures

        pictures.save_samples(path, model, count=count, seed=seed, y=y)
        return
    if model.networks.is_conditional and y is None:
        y = model.draw_y(count, seed=seed)
    arrays = {"samples": model.sample(count, seed=seed, y=y), "z": model.draw_z(count, seed=seed)}
    write_arrays(path, arrays if y is None else arrays | {"y": y})


def _sample_codes(path: Path, model: "Model", part: str, *, rows: int, seed: int) -> dict[str, object]:
    """Write a grid whose columns differ in one part of z, and whose rows differ in all others."""
    from genzoo.evaluation.codes import sweep_of

    z, headings = sweep_of(model, part, rows=rows, seed=seed)
    x = model.decode(z.flatten(0, 1)).reshape(*z.shape[:2], *model.data.shape)
    if path.suffix != ".png":
        write_arrays(path, {"samples": x, "z": z})
    elif model.data.is_image:
        from genzoo.evaluation import pictures

        pictures.save_grid(path, x.flatten(0, 1), columns=len(headings), headings=headings)
    else:
        raise SettingsError("a grid of codes is a picture of images", "choose another --out: grid.npy")
    return {"rows": rows, "columns": len(headings), "column_names": list(headings)}


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
        write_arrays(path, {"samples": x, "y": cells.y})
    return {"rows": x.shape[0], "columns": x.shape[1], "column_names": list(cells.columns)}
