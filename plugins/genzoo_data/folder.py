"""Any folder of images."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy

from genzoo import UnreadableError
from genzoo.data import Contents, ImageTransform, PreparedDataset, image_names, in_blocks, listing
from genzoo.types import DataSpec

_LEAST = 10


@dataclass(frozen=True, kw_only=True)
class Folder(PreparedDataset):
    """A folder of images of any sizes: the largest centred square of each, resized; sub-folders are classes.

    A tenth of the images validates and a tenth tests, chosen by a hash of their names.
    """

    name: ClassVar[str] = "folder"
    origin: ClassVar[str] = "the folder given as --source, with all its sub-folders"
    size: int = 64
    """Side of the square, in pixels."""
    channels: Literal[1, 3] = 3
    """1: grey, 3: RGB."""
    classes: tuple[str, ...] = ()
    """The sub-folders that are classes; filled in from the prepared data."""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 1024:
            raise ValueError(f"size is {self.size}, expected 1 ≤ size ≤ 1024")

    @property
    def place(self) -> str:
        """Return a name per size and number of channels."""
        return f"folder-{self.size}-{'grey' if self.channels == 1 else 'rgb'}"

    @property
    def spec(self) -> DataSpec:
        """A square in [0, 1]; classes where all images lie in sub-folders."""
        shape = (self.channels, self.size, self.size)
        return DataSpec(shape=shape, support="unit", levels=256, class_names=self.classes)

    @property
    def transform(self) -> ImageTransform:
        """The largest centred square, upright."""
        return ImageTransform(size=(self.size, self.size), channels=self.channels, fit="crop", upright=True)

    def about(self) -> dict[str, Any]:
        """Return the settings that determine the pixels, which the classes do not."""
        return replace(self, classes=()).about() if self.classes else super().about()

    def with_found_classes(self, root: Path) -> "Folder":
        """Return the data set with the classes of the prepared data."""
        return replace(self, classes=tuple(self.card(root)["class_names"]))

    def contents(self, source: Path) -> Contents:
        """Return the images below `source`, hidden folders left out."""
        names = image_names(source)
        if len(names) < _LEAST:
            raise UnreadableError(
                f"{source} has {len(names)} image{'' if len(names) == 1 else 's'}, expected at least {_LEAST}",
                "type: genzoo data prepare folder --source A_FOLDER_OF_IMAGES",
            )
        names.sort(key=lambda name: hashlib.sha256(name.encode(errors="surrogateescape")).digest())
        tenth = max(1, len(names) // 10)
        classes = sorted({name.split("/")[0] for name in names}) if all("/" in name for name in names) else []
        number = {name: index for index, name in enumerate(classes)}
        return Contents(
            blocks=in_blocks(source, names, self.transform),
            splits={"train": len(names) - 2 * tenth, "validation": tenth, "test": tenth},
            labels=numpy.array([number[name.split("/")[0]] for name in names]) if len(classes) > 1 else None,
            class_names=tuple(classes) if len(classes) > 1 else (),
            identity=listing(source, names),
        )
