"""Pictures: images as grids, vectors as scatter plots."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genzoo.evaluation.model import Model
from genzoo.storage import files
from genzoo.types import DataSpec, Split

_LEAST_TILE = 64
"""Pixels to which the width of a small image is magnified, by whole factors."""
_GAP, _SEAM = 12, 2
"""Pixels between groups of images, and between the images of a group."""
_HEADING = 22
"""Pixels that the headings of columns take."""
_GREY = 0.5
"""The value between images, into which neither a black nor a white image runs."""

_COUNTED_CLASSES = 12
"""The largest number of classes whose confusions are written as numbers."""
_POINT = 8
"""The area of a point of a scatter plot, in square points."""


class Panel(NamedTuple):
    """One scatter plot."""

    title: str
    points: Tensor
    """(N, D), of which the first two columns are drawn."""
    labels: Tensor | None
    """(N,) classes for the colours, of which −1 draws grey; None draws black."""
    limit: float
    """Both axes run from −limit to limit."""


def save_samples(path: Path, model: Model, *, count: int, seed: int, y: Tensor | None = None) -> None:
    """Draw samples given `y`: a grid of images, or for vectors the prior draws z beside their samples."""
    x, z = model.sample(count, seed=seed, y=y), model.draw_z(count, seed=seed)
    save_decodings(path, model.data, z, x, titles=("prior z", "samples x"))


def save_decodings(
    path: Path, data: DataSpec, z: Tensor, x: Tensor, *, titles: tuple[str, str] = ("codes z", "decodings x")
) -> None:
    """Draw decodings x (N, *shape): a grid of images, or for vectors the codes z (N, latent) beside them."""
    if data.is_image:
        save_grid(path, x, columns=_columns(len(x)))
        return
    save_panels(path, [Panel(titles[0], z, None, latent_limit(z)), Panel(titles[1], x, None, data_limit(x, data))])


def save_reconstructions(path: Path, model: Model, split: Split, *, count: int, seed: int) -> None:
    """Draw reconstructions of the split's first rows.

    Images: pairs of an original, on the left, and its reconstruction. Vectors: data, codes, reconstructions and
    samples, the first three coloured by class.
    """
    x, y = model.rows(split, count)
    labels = None if split.labels is None else split.labels[:count]
    codes = model.encode(x, y=y, seed=seed).z
    reconstructions = model.decode(codes, y)
    if model.data.is_image:
        save_grid(path, torch.stack([x, reconstructions], dim=1).flatten(0, 1), columns=8, group=2)
        return
    limit = data_limit(x, model.data)
    samples = model.sample(len(x), seed=seed)
    save_panels(
        path,
        [
            Panel("data x", x, labels, limit),
            Panel("codes z of x", codes, labels, latent_limit(model.draw_z(len(x), seed=seed))),
            Panel("reconstructions of x", reconstructions, labels, limit),
            Panel("samples", samples, None, limit),
        ],
    )


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
        rows = torch.cat([a[:, None].to(between), between, b[:, None].to(between)], dim=1)
        save_grid(path, rows.flatten(0, 1), columns=steps + 3, group=(1, steps + 1, 1))
        return
    limit = data_limit(torch.cat([a, b]), model.data)
    row = torch.arange(len(a))
    paths = row.repeat_interleave(steps + 1)
    save_panels(
        path,
        [
            Panel("ends", torch.cat([a, b]), torch.cat([row, row]), limit),
            Panel("decodings between them", between.flatten(0, 1), paths, limit),
        ],
    )


def save_grid(
    path: Path, images: Tensor, *, columns: int, group: int | Sequence[int] = 1, headings: Sequence[str] = ()
) -> None:
    """Write images (N, 1 or 3, H, W) in [0, 1] as one PNG of rows of `columns`, small ones magnified.

    `group` is how many images of a row lie close together, or the size of every group of a row. `headings` stand above
    the columns, shortened to their width.
    """
    factor = max(1, -(-_LEAST_TILE // images.shape[-1]))
    tiles = images.float().cpu().repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    used = min(columns, len(tiles))
    groups = [group] * max(1, used // group) if isinstance(group, int) else list(group)
    starts = _starts(groups, tiles.shape[-1])
    rows, height = -(-len(tiles) // columns), tiles.shape[2]
    top = _HEADING if headings else 0
    grid = torch.full((tiles.shape[1], top + _GAP + rows * (height + _GAP), starts[-1] + tiles.shape[-1] + _GAP), _GREY)
    for number, tile in enumerate(tiles):
        down, across = top + _GAP + number // columns * (height + _GAP), starts[number % columns]
        grid[:, down : down + height, across : across + tile.shape[-1]] = tile
    pixels = grid.mul(255).add(0.5).clamp(0, 255).to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels)
    for text, across in zip(headings, starts, strict=False):
        _write_heading(picture, text, across, tiles.shape[-1])
    _save_png(path, picture)


def _starts(groups: Sequence[int], width: int) -> list[int]:
    """Return where every image of a row begins, given the sizes of its groups."""
    starts, across = [], _GAP
    for size in groups:
        starts += [across + number * (width + _SEAM) for number in range(size)]
        across = starts[-1] + width + _GAP
    return starts


def _write_heading(picture: Image.Image, text: str, across: int, width: int) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_HEADING * 0.6)
    while text and draw.textlength(text, font=font) > width:
        text = f"{text.rstrip('…')[:-1]}…" if len(text.rstrip("…")) > 1 else ""
    draw.text((across + width / 2, _GAP), text, fill="white", font=font, anchor="ma")


def save_panels(path: Path, panels: Sequence[Panel]) -> None:
    """Write scatter plots of the first two coordinates side by side as one PNG, coloured blue to red by class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(panels), 4.3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        points = panel.points.float().cpu()
        across, up = points[:, 0], points[:, min(1, points.shape[1] - 1)]
        for rows, colours in _coloured(panel):
            axes.scatter(across[rows], up[rows], s=_POINT, linewidths=0, alpha=0.7, rasterized=True, **colours)
        outside = (panel.points[:, :2].abs() > panel.limit).any(1).float().mean().item()
        title = f"{panel.title} ({outside:.0%} outside)" if outside >= 0.005 else panel.title
        axes.set(title=title, xlim=(-panel.limit, panel.limit), ylim=(-panel.limit, panel.limit))
        axes.set_aspect("equal")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    files.write(path, content.getvalue())


def save_confusion(path: Path, labels: Tensor, predicted: Tensor, *, names: Sequence[str]) -> None:
    """Write how many rows of every class (down) are predicted as each class (across), coloured by share of the class.

    `labels` and `predicted` are (N,) class indices.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = len(names)
    counts = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    for down, across in counts.nonzero().tolist() if classes <= _COUNTED_CLASSES else []:
        colour = "white" if shares[down, across] > 0.5 else "black"
        axes.text(across, down, f"{counts[down, across]:,}", color=colour, ha="center", va="center", fontsize="small")
    wrong = (labels != predicted).double().mean().item() if len(labels) else 0.0
    turned = 0 if max(map(len, names)) <= 2 else 90
    axes.set_xticks(range(classes), names, rotation=turned)
    axes.set_yticks(range(classes), names)
    axes.set(title=f"{wrong:.1%} of {len(labels):,} rows wrong", xlabel="predicted", ylabel="class")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    files.write(path, content.getvalue())


def _coloured(panel: Panel) -> list[tuple[Tensor | slice, dict[str, Any]]]:
    """Return rows of the panel with how they are coloured, those to be drawn first in front."""
    if panel.labels is None:
        return [(slice(None), {"color": "black"})]
    labels = panel.labels.cpu()
    unlabelled = labels < 0
    if not unlabelled.any():
        return [(slice(None), {"c": labels, "cmap": "jet"})]
    return [(unlabelled, {"color": "lightgrey"}), (~unlabelled, {"c": labels[~unlabelled], "cmap": "jet"})]


def _save_png(path: Path, image: Image.Image) -> None:
    content = io.BytesIO()
    image.save(content, format="png")
    files.write(path, content.getvalue())


def _columns(count: int) -> int:
    return max(1, math.isqrt(count))


def latent_limit(z: Tensor) -> float:
    """Return an axis limit that shows all prior draws z (N, latent): at least 4."""
    return max(4.0, float(z[:, :2].abs().max()))


def data_limit(x: Tensor, data: DataSpec) -> float:
    """Return an axis limit that shows all of x, or all of the mixture: 6 for the paper's grid."""
    if data.mixture is not None:
        return max(abs(value) for mean in data.mixture.means for value in mean) * 1.5
    return float(x.abs().max()) * 1.1
