"""Pictures: a model's samples, reconstructions and interpolations as PNG files."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from genzoo.errors import PluginError, SettingsError, warn
from genzoo.evaluation import drawing
from genzoo.evaluation.drawing import Panel, data_limit, latent_limit
from genzoo.evaluation.model import Model
from genzoo.host.isolation import plugin_errors
from genzoo.storage import files
from genzoo.types import DataSpec, Split

_PICTURE_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""What a picture of a game may be called, as the folder that it lies in is."""


def save_samples(path: Path, model: Model, *, count: int, seed: int, y: Tensor | None = None) -> None:
    """Draw samples given `y`: a grid of images, or for vectors the prior draws z beside their samples."""
    x, z = model.sample(count, seed=seed, y=y), model.draw_z(count, seed=seed)
    save_decodings(path, model.data, z, x, titles=("prior z", "samples x"))


def save_decodings(
    path: Path, data: DataSpec, z: Tensor, x: Tensor, *, titles: tuple[str, str] = ("codes z", "decodings x")
) -> None:
    """Draw decodings x (N, *shape): a grid of images, or for vectors the codes z (N, latent) beside them."""
    if data.is_image:
        save_grid(path, x, columns=drawing.columns_of(len(x)))
        return
    save_panels(path, [Panel(titles[0], z, None, latent_limit(z)), Panel(titles[1], x, None, data_limit(x, data))])


def save_reconstructions(path: Path, model: Model, split: Split, *, count: int, seed: int) -> None:
    """Draw reconstructions of the split's first rows.

    Images: pairs of an original, on the left, and its reconstruction. Vectors: data, codes, reconstructions and, of a
    model that has them, samples, the first three coloured by class.
    """
    x, y = model.rows(split, count)
    labels = None if split.labels is None else split.labels[:count]
    codes = model.encode(x, y=y, seed=seed).z
    reconstructions = model.decode(codes, y)
    if model.data.is_image:
        files.write(path, drawing.pairs_png(x, reconstructions))
        return
    limit = data_limit(x, model.data)
    panels = [
        Panel("data x", x, labels, limit),
        Panel("codes z of x", codes, labels, latent_limit(model.draw_z(len(x), seed=seed))),
        Panel("reconstructions of x", reconstructions, labels, limit),
    ]
    if model.sampling_obstacle is None:
        panels.append(Panel("samples", model.sample(len(x), seed=seed), None, limit))
    save_panels(path, panels)


def save_interpolations(
    path: Path,
    model: Model,
    a: Tensor,
    b: Tensor,
    *,
    steps: int,
    seed: int,
    y: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Draw one row per pair: a, the decodings between the two codes, and b; vectors as paths in a plane.

    `a` and `b` are (N, *shape).
    """
    between = model.interpolate(a, b, steps=steps, seed=seed, y=y)
    if model.data.is_image:
        files.write(path, drawing.walks_png(a, between, b))
        return
    save_panels(path, drawing.walk_panels(a, between, b, model.data))


def save_picture(
    x: Tensor,
    path: str | Path,
    *,
    columns: int | None = None,
    headings: Sequence[str] = (),
    labels: Tensor | None = None,
    joined: bool = False,
    limit: float | None = None,
) -> None:
    """Write x as a PNG: images (N, 1 or 3, H, W) in [0, 1] as a grid, or the first two numbers of vectors (N, D).

    `columns` and what follows is as in `genzoo.types.Picture`. Axes run from −limit to limit; None shows all points.
    """
    if x.ndim == 4:
        save_grid(Path(path), x, columns=columns or drawing.columns_of(len(x)), headings=headings)
        return
    if x.ndim != 2:
        raise SettingsError(
            f"x is {tuple(x.shape)}, expected images (N, 1 or 3, H, W) or vectors (N, D)",
            "give a batch: x[None] for one",
        )
    limit = 1.1 * float(x[:, :2].abs().max()) if limit is None else limit
    path_of = columns or 0 if joined else 0
    save_panels(Path(path), [Panel("x", x, labels, limit, path_of)])


def save_pictures_of_game(folder: Callable[[str], Path], model: Model, split: Split, *, seed: int) -> None:
    """Draw the pictures of a model's game, each at the path that `folder` gives for its name; warn if it cannot."""
    try:
        with plugin_errors(f"the pictures of {model.game.name} failed", "mend its method `pictures`"):
            for name, picture in model.pictures(split, seed=seed).items():
                if not _PICTURE_NAME.fullmatch(name):
                    found = f"a picture of {model.game.name} is called '{name}', expected letters and digits"
                    raise PluginError(found, "mend its method `pictures`")
                limit = None if model.data.is_image else data_limit(picture.x, model.data)
                save_picture(path=folder(name), limit=limit, **picture._asdict())
    except (PluginError, SettingsError) as error:
        warn([error.found])


def save_grid(
    path: Path, images: Tensor, *, columns: int, group: int | Sequence[int] = 1, headings: Sequence[str] = ()
) -> None:
    """Write a grid of images (N, 1 or 3, H, W) in [0, 1]."""
    files.write(path, drawing.grid_png(images, columns=columns, group=group, headings=headings))


def save_panels(path: Path, panels: Sequence[Panel]) -> None:
    """Write scatter plots side by side."""
    files.write(path, drawing.panels_png(panels))


def save_confusion(path: Path, labels: Tensor, predicted: Tensor, *, names: Sequence[str]) -> None:
    """Write how many rows of every class are predicted as each; `labels` and `predicted` are (N,) class indices."""
    files.write(path, drawing.confusion_png(labels, predicted, names=names))
