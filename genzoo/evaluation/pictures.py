"""Pictures: a model's samples, reconstructions and interpolations as PNG files."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from genzoo.evaluation import drawing
from genzoo.evaluation.drawing import Panel, data_limit, latent_limit
from genzoo.evaluation.model import Model
from genzoo.storage import files
from genzoo.types import DataSpec, Split


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
