"""Decodings: what a decoder made, as tensors that a notebook shows as pictures."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genzoo.data.dataset import as_input
from genzoo.evaluation import drawing
from genzoo.evaluation.drawing import Panel
from genzoo.storage.run_html import figure_html
from genzoo.types import DataSpec

_SHOWN_IMAGES, _SHOWN_PIXELS, _SHOWN_POINTS = 64, 2**20, 10_000
"""How many images, pixels of images, and points a notebook shows at most; one row of images it always does."""


class Decodings(Tensor):
    """What a decoder made, x (N, *shape) or (N, columns, *shape): a tensor that a notebook shows as a picture.

    Whatever is computed from it, and what is copied or unpickled, is a plain tensor.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as a Parameter's is

    spec: DataSpec
    """The data that x is of."""
    given: tuple[Tensor, ...]
    """What was decoded: () for samples and codes, (x,) for reconstructions of x (N, *shape), (a, b) for
    interpolations between a and b (N, *shape), each as networks read it or as bytes."""

    @classmethod
    def of(cls, x: Tensor, spec: DataSpec, *given: Tensor) -> "Decodings":
        """Return `x`, which shares its memory, as decodings."""
        decodings = x.as_subclass(cls)
        decodings.spec, decodings.given = spec, given
        return decodings

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return copy.deepcopy(self.as_subclass(Tensor), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows: images, or points of vectors; None for what is neither, and for no rows."""
        channels, *rest = self.spec.shape
        can_be_drawn = channels in (1, 3) if self.spec.is_image else not rest
        if not can_be_drawn or not len(self):
            return None
        rows = self._rows_shown()
        x, given = self[:rows].detach(), [as_input(each[:rows]) for each in self.given]
        png = _images(x, given) if self.spec.is_image else drawing.panels_png(_panels(x, given, self.spec))
        text = " × ".join(map(str, self.shape))
        return figure_html(png, text if rows >= len(self) else f"{text}; shown: the first {rows}")

    def _rows_shown(self) -> int:
        columns = math.prod(self.shape[1 : -len(self.spec.shape)])
        if not self.spec.is_image:
            return max(1, _SHOWN_POINTS // columns)
        return max(1, min(_SHOWN_IMAGES, _SHOWN_PIXELS // math.prod(self.spec.shape[1:])) // columns)


def _images(x: Tensor, given: Sequence[Tensor]) -> bytes:
    """Draw images x (N, *shape) or (N, columns, *shape) with those they were made of."""
    if len(given) == 2:
        return drawing.walks_png(given[0], x, given[1])
    if len(given) == 1:
        return drawing.pairs_png(given[0], x)
    if x.ndim == 4:
        return drawing.grid_png(x, columns=drawing.columns_of(len(x)))
    return drawing.grid_png(x.flatten(0, 1), columns=x.shape[1])


def _panels(x: Tensor, given: Sequence[Tensor], spec: DataSpec) -> list[Panel]:
    """Return the plots of vectors x (N, D) or (N, columns, D), and of those they were made of."""
    if len(given) == 2:
        return drawing.walk_panels(given[0], x, given[1], spec)
    titles = ("x", "reconstructions") if given else ("x",)
    points = [each.flatten(0, -2) for each in (*given, x)]
    limit = drawing.data_limit(torch.cat([each.to(x) for each in points]), spec)
    return [Panel(title, each, None, limit) for title, each in zip(titles, points, strict=True)]
