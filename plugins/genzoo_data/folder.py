"""Any folder of images."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy

from genzoo import UnreadableError
from genzoo.data import Contents, image_names, in_blocks, listing, notes_of_files
from genzoo_data.squares import SquareImages

_LEAST = 10


@dataclass(frozen=True, kw_only=True)
class Folder(SquareImages):
    """A folder of images of any sizes: the largest centred square of each, resized; sub-folders are classes.

    A tenth of the images validates and a tenth tests, chosen by a hash of their names.
    """

    name: ClassVar[str] = "folder"
    origin: ClassVar[str] = "the folder given as --source, with all its sub-folders"

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
