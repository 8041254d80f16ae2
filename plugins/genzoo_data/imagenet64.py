"""ILSVRC2012 at 64×64, from its class folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy

from genzoo import UnreadableError
from genzoo.data import Contents, ImageTransform, PreparedDataset, image_names, in_blocks, listing
from genzoo.types import DataSpec


@dataclass(frozen=True, kw_only=True)
class ImageNet64(PreparedDataset):
    """All of ILSVRC2012, the largest centred square of every image at 64×64: what the paper calls Tiny ImageNet."""

    name: ClassVar[str] = "imagenet64"
    origin: ClassVar[str] = "Russakovsky et al., 2015; https://image-net.org, ILSVRC2012 (tasks 1 and 2)"
    by_hand: ClassVar[tuple[str, ...]] = (
        "sign in at https://image-net.org and download ILSVRC2012's training, validation and test images",
        "unpack them to train/WNID/*.JPEG (a folder per class), val/ (flat, or a folder per class) and test/ (flat)",
        "type: genzoo data prepare imagenet64 --source THAT_FOLDER",
    )
    rows: ClassVar[dict[str, int]] = {"train": 1_281_167, "validation": 50_000, "test": 100_000}

    @property
    def spec(self) -> DataSpec:
        """Three channels of 64×64 in [0, 1]; a thousand classes, numbered in the order of their folders' names."""
        return DataSpec(
            shape=(3, 64, 64), support="unit", levels=256, class_names=tuple(str(number) for number in range(1000))
        )

    @property
    def transform(self) -> ImageTransform:
        """The largest centred square at 64×64; the paper does not give the filter and the order, which are ours."""
        return ImageTransform(size=(64, 64), fit="crop")

    def contents(self, source: Path) -> Contents:
        """Return the images below train, val and test; without a test folder, every other image of val tests."""
        names = {part: image_names(source, part) for part in ("train", "val", "test")}
        for part in ("train", "val"):
            if not names[part]:
                raise UnreadableError(f"no images in {source / part}", "how to get them: genzoo data fetch imagenet64")
        classes = sorted({name.split("/")[1] for name in names["train"] if name.count("/") == 2})
        if not 0 < len(classes) <= 1000:
            raise UnreadableError(
                f"{source / 'train'} has {len(classes)} class folders, expected up to 1,000",
                "how they should be arranged: genzoo data fetch imagenet64",
            )
        number = {name: index for index, name in enumerate(classes)}
        if not names["test"]:
            names["val"], names["test"] = names["val"][::2], names["val"][1::2]
        everything = [*names["train"], *names["val"], *names["test"]]
        folders = [name.split("/")[1] if name.count("/") == 2 else "" for name in everything]
        return Contents(
            blocks=in_blocks(source, everything, self.transform),
            splits={"train": len(names["train"]), "validation": len(names["val"]), "test": len(names["test"])},
            labels=numpy.array([number.get(folder, -1) for folder in folders], dtype=numpy.int64),
            class_names=tuple(classes),
            names=everything,
            identity=listing(source, everything),
        )
