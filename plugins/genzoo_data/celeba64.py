"""CelebA at 64×64, from its aligned and cropped images."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy

from genzoo import UnreadableError
from genzoo.data import Contents, Download, ImageTransform, PreparedDataset, in_blocks, listing
from genzoo.types import ConditionGrid, DataSpec

ATTRIBUTES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)

_HELD = (("Male", "Attractive", "Young"), ("Male", "Attractive"), ("Attractive", "Young"), ("Attractive",))
_TALKING = ("Black_Hair", "Smiling", "Mouth_Slightly_Open")
_ADDED = (
    (),
    ("Black_Hair",),
    ("Brown_Hair",),
    ("Blond_Hair",),
    ("Black_Hair", "Wavy_Hair"),
    ("Blond_Hair", "Bangs"),
    ("Blond_Hair", "Receding_Hairline"),
    ("Blond_Hair", "Bald"),
    ("Black_Hair", "Smiling"),
    _TALKING,
    (*_TALKING, "Eyeglasses"),
    (*_TALKING, "Eyeglasses", "Wearing_Hat"),
)
FIGURE7 = ConditionGrid(
    name="figure7",
    rows=tuple(tuple(",".join((*held, *added)) for added in _ADDED) for held in _HELD),
)
"""Figure 7 of the paper: rows I–IV hold attributes on, columns (a)–(l) add others; one z for all 48 images."""

_IMAGES, _PARTITION, _ATTRIBUTES = "img_align_celeba.zip", "list_eval_partition.txt", "list_attr_celeba.txt"
_REMEDY = "how to get them: genzoo data fetch celeba64"


@dataclass(frozen=True, kw_only=True)
class CelebA64(PreparedDataset):
    """CelebA's aligned faces at 64×64, with forty attributes and the official split."""

    name: ClassVar[str] = "celeba64"
    origin: ClassVar[str] = "Liu et al., 2015; https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, aligned and cropped"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(file=_IMAGES, md5="00d2c5bc6d35e252742224ab0c1e8fcb"),
        Download(file=_ATTRIBUTES, md5="75e246fa4810816ffd6ee81facbd244c"),
        Download(file=_PARTITION, md5="d32c9cbf5e040fd4025c592c306e6668"),
    )
    by_hand: ClassVar[tuple[str, ...]] = (
        "open https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and read its terms (non-commercial research)",
        f"from its drive, download Img/{_IMAGES}, Anno/{_ATTRIBUTES} and Eval/{_PARTITION} into one folder",
        "type: genzoo data prepare celeba64 --source THAT_FOLDER",
    )
    rows: ClassVar[dict[str, int]] = {"train": 162_770, "validation": 19_867, "test": 19_962}

    @property
    def spec(self) -> DataSpec:
        """Three channels of 64×64 in [0, 1]; forty attributes."""
        return DataSpec(shape=(3, 64, 64), support="unit", levels=256, attributes=ATTRIBUTES, grids=(FIGURE7,))

    @property
    def transform(self) -> ImageTransform:
        """178×218 to 64×78 with an antialiasing filter, of which rows 7…70 are kept."""
        return ImageTransform(size=(64, 64), fit="resize", resized=(64, 78), corner=(0, 7))

    def contents(self, source: Path) -> Contents:
        """Return the images of the archive, or of the folder img_align_celeba, in the order of the official split."""
        place = source / _IMAGES if (source / _IMAGES).is_file() else source / "img_align_celeba"
        if not place.exists():
            raise UnreadableError(f"neither {_IMAGES} nor img_align_celeba is in {source}", _REMEDY)
        partition = dict(_lines(source / _PARTITION))
        header, *attributes = _lines(source / _ATTRIBUTES, skip=1)
        if tuple(header) != ATTRIBUTES:
            raise UnreadableError(
                f"{source / _ATTRIBUTES} does not list CelebA's forty attributes in its second line", _REMEDY
            )
        values = {name: [flag == "1" for flag in flags] for name, *flags in attributes}
        names = [name for part in "012" for name in partition if partition[name] == part]
        missing = next((name for name in names if name not in values), None)
        if missing or not names:
            raise UnreadableError(f"{source / _ATTRIBUTES} says nothing of {missing or 'any image'}", _REMEDY)
        prefix = "img_align_celeba/" if place.suffix == ".zip" else ""
        files = [prefix + name for name in names]
        return Contents(
            blocks=in_blocks(place, files, self.transform),
            splits={
                split: sum(value == part for value in partition.values())
                for split, part in (("train", "0"), ("validation", "1"), ("test", "2"))
            },
            labels=numpy.array([values[name] for name in names], dtype=numpy.uint8),
            names=names,
            identity=hashlib.sha256(f"{listing(place, files)}{sorted(partition.items())}".encode()).hexdigest(),
        )


def _lines(path: Path, *, skip: int = 0) -> list[list[str]]:
    """Return the words of every line that is not empty, after the first `skip` lines."""
    try:
        return [line.split() for line in path.read_text().splitlines()[skip:] if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path} cannot be read: {error}", _REMEDY) from error
