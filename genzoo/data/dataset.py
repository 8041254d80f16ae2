"""Data sets: what one is, and how its rows reach the networks."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from genzoo.components import Component
from genzoo.data.decoding import ImageSource, ImageTransform, read_images
from genzoo.errors import SettingsError
from genzoo.randomness import generator
from genzoo.types import DataSpec, Split, SplitName, Splits


@dataclass(frozen=True, kw_only=True)
class Dataset(Component):
    """A data set; its `spec` is known before anything is downloaded."""

    kind: ClassVar[str] = "datasets"

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """What one x and its labels are."""

    @abstractmethod
    def load(self, root: Path) -> Splits:
        """Return the three splits, from files below `root` where there are any.

        Raise `UnreadableError` saying what is missing and the command that gets it.
        """

    def with_found_classes(self, root: Path) -> "Dataset":
        """Return the data set with the facts that only its files hold, such as class names; by default, itself."""
        return self

    @property
    def transform(self) -> ImageTransform:
        """How an image becomes an x; by default, its largest centred part is resized to the shape of the data.

        Raises `SettingsError` for data that are no images.
        """
        if not self.spec.is_image:
            raise SettingsError(
                f"the data set '{self.name}' is of vectors, and images are given", "give rows of numbers in their place"
            )
        channels, height, width = self.spec.shape
        return ImageTransform(size=(width, height), channels=1 if channels == 1 else 3, fit="crop", upright=True)

    def read(self, pictures: Sequence[ImageSource]) -> Tensor:
        """Return images as rows (N, C, H, W) uint8, made as those of the data set are.

        Where those are stored as given, an image of another size is cut and resized. Large JPEG files are decoded at a
        fraction of their size, as in preparing, and images that Pillow has opened are not: the two differ by some grey
        levels. Raises `UnreadableError` for the first image that cannot be read.
        """
        transform = self.transform
        if transform.fit == "given":
            transform = replace(transform, fit="crop", upright=True)
        return torch.from_numpy(read_images(pictures, transform))

    def file_names(self, root: Path, split: SplitName) -> list[str]:
        """Return the name of every row's file, in the order of the rows; empty where rows are no files."""
        return []

    def facts(self) -> dict[str, Any]:
        """Return source, counts and the making of an x as JSON data, for its card; empty by default."""
        return {}

    def fingerprint(self, root: Path) -> str | None:
        """Return a hash of the files it reads, so that a resumed run reads the same data; None without files."""
        return None


def as_input(x: Tensor) -> Tensor:
    """Return stored rows (N, *shape) as networks read them: uint8 as float32 x/255 in [0, 1], others unchanged."""
    return x.float() / 255 if x.dtype == torch.uint8 else x


def random_split(spec: DataSpec, rows: int, *, seed: int = 0) -> Split:
    """Return random rows and labels with the shapes and types of a data set, for tests and measurements."""
    source = generator("cpu", seed, "random rows")
    if spec.support == "unit":
        x = torch.randint(0, 256, (rows, *spec.shape), dtype=torch.uint8, generator=source)
    else:
        x = torch.randn(rows, *spec.shape, generator=source)
    if spec.class_names:
        return Split(x, torch.randint(0, len(spec.class_names), (rows,), generator=source))
    if spec.attributes:
        return Split(x, torch.randint(0, 2, (rows, len(spec.attributes)), dtype=torch.uint8, generator=source))
    return Split(x)
