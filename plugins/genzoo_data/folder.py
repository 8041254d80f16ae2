"""Any folder of images."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy

from genzoo import UnreadableError
from genzoo.data import (
    Contents,
    ImageTransform,
    PreparedDataset,
    image_names,
    in_blocks,
    listing,
    notes_of_files,
)
from genzoo.types import DataSpec

_LEAST = 10


@dataclass(frozen=True, kw_only=True)
class Folder(PreparedDataset):
    """A folder of images of any sizes: the largest centred square of each, resized; sub-folders are classes.

    A tenth of the images validates and a tenth tests, chosen by a hash of their names.
    """

    name: ClassVar[str] = "folder"
    origin: ClassVar[str] = "the folder given as --source, with all its sub-folders"
    beside: ClassVar[str] = "to keep both, name the second: --set dataset.set=NAME"
    size: int = 64
    """Side of the square, in pixels."""
    channels: Literal[1, 3] = 3
    """1: grey, 3: RGB."""
    classes: tuple[str, ...] = ()
    """The sub-folders that are classes; filled in from the prepared data."""
    set: str = ""
    """A name for one of several folders that are prepared beside each other."""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 1024:
            raise ValueError(f"size is {self.size}, expected 1 ≤ size ≤ 1024")
        if not re.fullmatch(r"[\w-]*", self.set):
            raise ValueError(f"set is '{self.set}', expected letters, digits, - and _")

    @property
    def place(self) -> str:
        """Return a name per size, number of channels and set."""
        return f"folder-{self.size}-{'grey' if self.channels == 1 else 'rgb'}{'-' if self.set else ''}{self.set}"

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
        """Return the settings that determine the pixels, which classes and the name of the set do not."""
        if self.classes:
            return replace(self, classes=()).about()
        about = super().about()
        del about["fields"]["set"]
        return about

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
        sizes = Counter(name.partition("/")[0] for name in names if "/" in name)
        classes = sorted(sizes) if sizes.total() == len(names) and len(sizes) > 1 else []
        number = {name: index for index, name in enumerate(classes)}
        return Contents(
            blocks=in_blocks(source, names, self.transform),
            splits={"train": len(names) - 2 * tenth, "validation": tenth, "test": tenth},
            labels=numpy.array([number[name.partition("/")[0]] for name in names]) if classes else None,
            class_names=tuple(classes),
            names=names,
            notes=(_note_of_classes(classes, sizes, names), *notes_of_files(source, names)),
            identity=listing(source, names),
        )


def _note_of_classes(classes: Sequence[str], sizes: Counter[str], names: Sequence[str]) -> str:
    """Return which classes there are, or why there are none; `sizes` counts the images per sub-folder."""
    if classes:
        return f"classes, by sub-folder: {', '.join(f'{name} {sizes[name]:,}' for name in classes)}"
    if not sizes:
        return "no classes: there are no sub-folders"
    if sizes.total() == len(names):
        return f"no classes: all images are in one sub-folder, {next(iter(sizes))}"
    loose = sorted(name for name in names if "/" not in name)
    return f"no classes: {len(loose):,} image{'' if len(loose) == 1 else 's'} in no sub-folder, such as {loose[0]}"
