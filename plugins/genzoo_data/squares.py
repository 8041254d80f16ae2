"""Images of strangers as squares: what the data sets of them have in common."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from genzoo.data import ImageTransform, PreparedDataset
from genzoo.types import DataSpec


@dataclass(frozen=True, kw_only=True)
class SquareImages(PreparedDataset):
    """Images of any sizes: the largest centred square of each, resized, with the classes of the prepared data."""

    beside: ClassVar[str] = "to keep both, name the second: --set dataset.set=NAME"
    size: int = 64
    """Side of the square, in pixels."""
    channels: Literal[1, 3] = 3
    """1: grey, 3: RGB."""
    classes: tuple[str, ...] = ()
    """The names of the classes; filled in from the prepared data."""
    set: str = ""
    """A name for one of several data sets that are prepared beside each other."""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 1024:
            raise ValueError(f"size is {self.size}, expected 1 ≤ size ≤ 1024")
        if not re.fullmatch(r"[\w-]*", self.set):
            raise ValueError(f"set is '{self.set}', expected letters, digits, - and _")

    @property
    def place(self) -> str:
        """Return a name per size, number of channels and set."""
        return f"{self.name}-{self.size}-{'grey' if self.channels == 1 else 'rgb'}{'-' if self.set else ''}{self.set}"

    @property
    def spec(self) -> DataSpec:
        """A square in [0, 1], with the classes."""
        shape = (self.channels, self.size, self.size)
        return DataSpec(shape=shape, support="unit", levels=256, class_names=self.classes)

    @property
    def transform(self) -> ImageTransform:
        """The largest centred square, upright."""
        return ImageTransform(size=(self.size, self.size), channels=self.channels, fit="crop", upright=True)

    def about(self) -> dict[str, Any]:
        """Return the settings that determine the pixels, which classes and the name of the set do not."""
        if self.classes:
            return replace(self, classes=()).about()
        about = super().about()
        del about["fields"]["set"]
        return about

    def with_found_classes(self, root: Path) -> Self:
        """Return the data set with the classes of the prepared data."""
        return replace(self, classes=tuple(self.card(root)["class_names"]))
