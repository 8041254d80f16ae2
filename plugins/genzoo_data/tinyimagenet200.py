"""The 200-class Tiny ImageNet, from its archive."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy

from genzoo import UnreadableError
from genzoo.data import Contents, Download, ImageTransform, PreparedDataset, in_blocks, listing
from genzoo.types import DataSpec

_FILE = "tiny-imagenet-200.zip"
_ROOT = "tiny-imagenet-200"
_LIST_LIMIT = 2**24
"""The largest size of a list in bytes; larger ones cannot be genuine."""


@dataclass(frozen=True, kw_only=True)
class TinyImageNet200(PreparedDataset):
    """Tiny ImageNet: 200 classes at 64×64, 500 training and 50 validation images each; its test labels are secret."""

    name: ClassVar[str] = "tinyimagenet200"
    origin: ClassVar[str] = "Stanford CS231n, 2015; http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            file=_FILE,
            urls=(
                "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
            ),
            md5="90528d7ca1a48142e341f4ef8d21d0de",
            size=248_100_043,
        ),
    )
    rows: ClassVar[dict[str, int]] = {"train": 100_000, "validation": 10_000, "test": 10_000}

    @property
    def spec(self) -> DataSpec:
        """Three channels of 64×64 in [0, 1]; 200 classes, numbered in the order of wnids.txt."""
        return DataSpec(
            shape=(3, 64, 64), support="unit", levels=256, class_names=tuple(str(number) for number in range(200))
        )

    @property
    def transform(self) -> ImageTransform:
        """Return images unchanged, grey ones as RGB."""
        return ImageTransform(size=(64, 64))

    def contents(self, source: Path) -> Contents:
        """Return the images in the archive, which is read without unpacking it."""
        path = source / _FILE if source.is_dir() else source
        try:
            with zipfile.ZipFile(path) as archive:
                names = sorted(archive.namelist())
                classes = _text(archive, "wnids.txt").split()
                annotations = _text(archive, "val/val_annotations.txt").splitlines()
        except FileNotFoundError as error:
            raise UnreadableError(f"{path} is missing", "type: genzoo data fetch tinyimagenet200") from error
        except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise UnreadableError(f"{path} is not Tiny ImageNet's archive: {error}", f"remove it: rm {path}") from error
        number = {name: index for index, name in enumerate(classes)}
        of_image = {line.split("\t")[0]: line.split("\t")[1] for line in annotations if "\t" in line}
        parts: dict[str, list[str]] = {}
        labels: list[int] = []
        for split, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
            parts[split] = [name for name in names if name.startswith(f"{_ROOT}/{folder}/") and name.endswith(".JPEG")]
            for name in parts[split]:
                belongs = name.split("/")[2] if folder == "train" else of_image.get(name.split("/")[-1], "")
                labels.append(number.get(belongs, -1) if folder != "test" else -1)
        everything = [name for part in parts.values() for name in part]
        if not parts["train"]:
            raise UnreadableError(
                f"{path} is not Tiny ImageNet's archive: no images below {_ROOT}/train", f"remove it: rm {path}"
            )
        return Contents(
            blocks=in_blocks(path, everything, self.transform),
            splits={split: len(part) for split, part in parts.items()},
            labels=numpy.array(labels, dtype=numpy.int64),
            class_names=tuple(classes),
            names=everything,
            identity=listing(path, everything),
        )


def _text(archive: zipfile.ZipFile, name: str) -> str:
    entry = archive.getinfo(f"{_ROOT}/{name}")
    if entry.file_size > _LIST_LIMIT:
        raise ValueError(f"{name} has {entry.file_size:,} bytes")
    return archive.read(entry).decode()
