"""Drawing: images as grids, vectors as scatter plots, both as the bytes of PNG files."""

import colorsys
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genzoo.types import DataSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE_PICTURE, _LARGEST_FACTOR = 128, 8
"""Pixels to which the width of a small image is magnified, by a whole factor that is not larger."""
_GAP, _SEAM = 12, 2
"""Pixels between groups of images, and between the images of a group."""
_HEADING, _LEAST_FONT = 0.2, 13
"""The size of headings over the width of an image, so that they shrink with it on a page; and the least, in pixels."""
_ROOMY, _PAIRED, _PAIRED_LARGE = 32, 8, 6
"""The largest side of an image of which eight make a row of pairs; larger ones are six, for a narrow screen."""
_GREY = 0.5
"""The value between images, into which neither a black nor a white image runs."""

_POINT, _LARGEST_POINT, _INK = 8, 40, 8000
"""The least and the largest area of a point of a scatter plot, and that of all points where they are few, in square
points."""

_PANEL = (4.0, 4.0)
"""Inches that a scatter plot takes across and up."""
_MARGINS = {"left": 0.6, "right": 0.25, "bottom": 0.4, "top": 0.45}
"""Inches around its axes, for numbers and title; measured anew for every picture, they took most of its time."""

_LIGHT_GREY = (0.827, 0.827, 0.827)
"""Of points whose class may not be used."""


_COUNTED_CLASSES = 12
"""The largest number of classes whose confusions are written as numbers."""


class Panel(NamedTuple):
    """One scatter plot."""

    title: str
    points: Tensor
    """(N, D), of which the first two columns are drawn."""
    labels: Tensor | None
    """(N,) classes for the colours, of which −1 draws light grey; None draws black."""
    limit: float
    """Both axes run from −limit to limit."""
    path: int = 0
    """Lines join every so many points that follow each other; 0: none."""


def pairs_png(x: Tensor, reconstructions: Tensor) -> bytes:
    """Draw images x (N, 1 or 3, H, W) in pairs: an original, on the left, and its reconstruction."""
    pairs = torch.stack([x.to(reconstructions), reconstructions], dim=1)
    columns = _PAIRED if x.shape[-1] <= _ROOMY else _PAIRED_LARGE
    return grid_png(pairs.flatten(0, 1), columns=columns, group=2, headings=("original", "decoded") * (columns // 2))


def walks_png(a: Tensor, between: Tensor, b: Tensor) -> bytes:
    """Draw one row per pair of images: of `a` (N, …), then `between` (N, steps + 1, …), then of `b` (N, …)."""
    rows = torch.cat([a[:, None].to(between), between, b[:, None].to(between)], dim=1)
    return grid_png(rows.flatten(0, 1), columns=rows.shape[1], group=(1, between.shape[1], 1))


def walk_panels(a: Tensor, between: Tensor, b: Tensor, data: DataSpec) -> list[Panel]:
    """Return the plots of vectors `a` (N, D) and `b` (N, D), and of `between` (N, steps + 1, D), coloured by pair."""
    ends, pair = torch.stack([a, b], dim=1).to(between), torch.arange(len(a))
    limit = data_limit(ends, data)
    return [
        Panel(title, walks.flatten(0, 1), pair.repeat_interleave(walks.shape[1]), limit, walks.shape[1])
        for title, walks in (("ends", ends), ("decodings between them", between))
    ]


def grid_png(images: Tensor, *, columns: int, group: int | Sequence[int] = 1, headings: Sequence[str] = ()) -> bytes:
    """Draw images (N, 1 or 3, H, W) in [0, 1] in rows of `columns`, small ones magnified.

    `group` is how many images of a row lie close together, or the size of every group of a row. `headings` stand above
    the columns, smaller or shortened where they are wider.
    """
    factor = max(1, min(_LARGEST_FACTOR, -(-_WIDE_PICTURE // images.shape[-1])))
    tiles = images.float().cpu().repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    used = min(columns, len(tiles))
    groups = [group] * max(1, used // group) if isinstance(group, int) else list(group)
    starts = _starts(groups, tiles.shape[-1])
    rows, height = -(-len(tiles) // columns), tiles.shape[2]
    size = _heading_size(headings, tiles.shape[-1])
    top = math.ceil(size / 0.6) if headings else 0
    grid = torch.full((tiles.shape[1], top + _GAP + rows * (height + _GAP), starts[-1] + tiles.shape[-1] + _GAP), _GREY)
    for number, tile in enumerate(tiles):
        down, across = top + _GAP + number // columns * (height + _GAP), starts[number % columns]
        grid[:, down : down + height, across : across + tile.shape[-1]] = tile
    pixels = grid.mul(255).add(0.5).clamp(0, 255).to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels)
    for text, across in zip(headings, starts, strict=False):
        _write_heading(picture, text, across, tiles.shape[-1], size)
    return _png(picture)


def _starts(groups: Sequence[int], width: int) -> list[int]:
    """Return where every image of a row begins, given the sizes of its groups."""
    starts, across = [], _GAP
    for size in groups:
        starts += [across + number * (width + _SEAM) for number in range(size)]
        across = starts[-1] + width + _GAP
    return starts


def _heading_size(headings: Sequence[str], width: int) -> float:
    """Return the font size of headings over images of this width: they fit, unless that is too small to be read."""
    size = _HEADING * width
    longest = max((ImageFont.load_default(size).getlength(text) for text in headings), default=0)
    return max(_LEAST_FONT, size * min(1, width / max(1, longest)))


def _write_heading(picture: Image.Image, text: str, across: int, width: int, size: float) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    while text and draw.textlength(text, font=font) > width:
        text = f"{text.rstrip('…')[:-1]}…" if len(text.rstrip("…")) > 1 else ""
    draw.text((across + width / 2, _GAP), text, fill="white", font=font, anchor="ma")


def panels_png(panels: Sequence[Panel]) -> bytes:
    """Draw scatter plots of the first two coordinates side by side, every class in a colour of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_PANEL[0] * len(panels), _PANEL[1]))
    FigureCanvasAgg(figure)
    for axes, panel in zip(_axes_of(figure, len(panels)), panels, strict=True):
        points = panel.points.float().cpu().numpy()
        across, up = points[:, 0], points[:, min(1, points.shape[1] - 1)]
        area = min(_LARGEST_POINT, max(_POINT, _INK / max(1, len(points))))
        order, colours = (part.numpy() for part in _coloured(panel.labels, len(points)))
        axes.scatter(across[order], up[order], s=area, c=colours[order], linewidths=0, alpha=0.7, rasterized=True)
        for start in range(0, len(points), panel.path) if panel.path else ():
            path = slice(start, start + panel.path)
            axes.plot(across[path], up[path], color=colours[start].tolist(), linewidth=1, alpha=0.5)
        outside = (panel.points[:, :2].abs() > panel.limit).any(1).float().mean().item()
        title = f"{panel.title} ({outside:.0%} outside)" if outside >= 0.005 else panel.title
        axes.set(xlim=(-panel.limit, panel.limit), ylim=(-panel.limit, panel.limit))
        axes.set_title(title, y=1)  # else matplotlib looks for a place, which takes a fifth of the time
        axes.set_aspect("equal")
    return _figure_png(figure)


def _axes_of(figure: "Figure", panels: int) -> "Sequence[Axes]":
    """Return the axes of so many scatter plots, side by side in places of their own."""
    (width, height), total = _PANEL, _PANEL[0] * panels
    across, up = width - _MARGINS["left"] - _MARGINS["right"], height - _MARGINS["bottom"] - _MARGINS["top"]
    return [
        figure.add_axes(
            ((number * width + _MARGINS["left"]) / total, _MARGINS["bottom"] / height, across / total, up / height)
        )
        for number in range(panels)
    ]


def confusion_png(labels: Tensor, predicted: Tensor, *, names: Sequence[str]) -> bytes:
    """Draw how many rows of every class (down) are predicted as each class (across), coloured by share of the class.

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
    return _figure_png(figure)


def _coloured(labels: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
    """Return the order in which `count` points are drawn, those without a class first, and their colours (count, 3).

    Hues are in the order of the classes, and every second one is darker, so that neighbours differ.
    """
    if labels is None:
        return torch.arange(count), torch.zeros(count, 3)
    labels = labels.cpu()
    classes = 1 + max(labels.tolist(), default=0)
    hues = [colorsys.hls_to_rgb(0.9 * each / classes, 0.25 if each % 2 else 0.42, 0.9) for each in range(classes)]
    colours = torch.tensor([*hues, _LIGHT_GREY])  # the last is that of −1
    return (labels >= 0).int().argsort(stable=True), colours[labels]


def _figure_png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, format="png")
    return content.getvalue()


def columns_of(count: int) -> int:
    """Return into how many columns a grid of `count` images is laid out."""
    return max(1, math.isqrt(count))


def latent_limit(z: Tensor) -> float:
    """Return an axis limit that shows all prior draws z (N, latent): at least 4."""
    return max(4.0, float(z[:, :2].abs().max()))


def data_limit(x: Tensor, data: DataSpec) -> float:
    """Return an axis limit that shows all of x, or all of the mixture: 6 for the paper's grid."""
    if data.mixture is not None:
        return max(abs(value) for mean in data.mixture.means for value in mean) * 1.5
    return float(x.abs().max()) * 1.1
