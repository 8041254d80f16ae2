"""What the drawings of a report share: their axes, scales and labels, and how they become SVG."""

import io
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BESIDE = 22
"""The longest label, in characters, of which two fit into a line of a legend."""
_WIDE = 30
"""The ratio of sizes from which on an axis is logarithmic."""


class Drawing(NamedTuple):
    """A drawing of a number along the training or a setting, for every contestant."""

    title: str
    drawing: Markup
    headline: bool


def new_axes() -> "tuple[Figure, Axes]":
    """Return a figure and its axes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.4), layout="constrained")  # inches
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def svg_of(figure: "Figure", *, legend: bool = True) -> Markup:
    """Return a figure as SVG, with a legend below it, for which it grows."""
    if legend:
        labels = figure.axes[0].get_legend_handles_labels()[1]
        columns = 2 if max(map(len, labels), default=0) <= _BESIDE else 1
        figure.set_figheight(figure.get_figheight() + 0.2 * ceil(len(labels) / columns))  # inches
        figure.legend(loc="outside lower center", ncols=columns, fontsize="small", frameon=False)
    figure.axes[0].spines[["top", "right"]].set_visible(False)
    content = io.StringIO()
    figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    # matplotlib draws text as outlines and escapes metadata, so the SVG needs no further escaping
    return Markup(content.getvalue()[content.getvalue().index("<svg") :])


def scale_of(values: Sequence[float]) -> dict[str, Any]:
    """Return the scale of an axis for these values: logarithmic, around 0 linear, where sizes differ more than 30×.

    The smallest quarter of the sizes is not looked at, so that a course through 0 is not drawn as one.
    """
    sizes = sorted(abs(value) for value in values if value)
    if not sizes or sizes[-1] <= _WIDE * sizes[len(sizes) // 4]:
        return {"value": "linear"}
    if min(values) > 0:
        return {"value": "log"}
    return {"value": "symlog", "linthresh": sizes[len(sizes) // 4]}


def plain(label: str) -> str:
    """Return a label that matplotlib neither hides (`_…`) nor reads as mathematics (`$…$`)."""
    return label.replace("$", r"\$") if not label.startswith("_") else f" {label}"
