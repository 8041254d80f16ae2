"""SVHN, from the .mat files of its cropped digits."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy
from numpy.typing import NDArray

from genzoo import UnreadableError
from genzoo.data import Block, Contents, Download, ImageFault, ImageTransform, Pixels, PreparedDataset
from genzoo.types import DataSpec, Split, Splits

_BASE = "http://ufldl.stanford.edu/housenumbers/"
_HELD_OUT = 10_000
"""The train images that validate where the others train."""
_FILES = ("extra_32x32.mat", "train_32x32.mat", "test_32x32.mat")


@dataclass(frozen=True, kw_only=True)
class SVHN(PreparedDataset):
    """SVHN's cropped digits: 32×32, ten classes; the extra images train and the train images validate.

    Without `extra`, the train images train, but for the last 10,000 (of few images, the last seventh), which validate.
    """

    name: ClassVar[str] = "svhn"
    origin: ClassVar[str] = "Netzer et al., 2011; http://ufldl.stanford.edu/housenumbers, format 2 (cropped digits)"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(file=_FILES[0], urls=(_BASE + _FILES[0],), md5="a93ce644f1a588dc4d68dda5feec44a7", size=1_329_278_602),
        Download(file=_FILES[1], urls=(_BASE + _FILES[1],), md5="e26dedcc434d2e4c54c9b2d4a06d8373", size=182_040_794),
        Download(file=_FILES[2], urls=(_BASE + _FILES[2],), md5="eb5a983be6a315427106f1b164d9cef3", size=64_275_384),
    )
    rows: ClassVar[dict[str, int]] = {"train": 531_131, "validation": 73_257, "test": 26_032}
    extra: bool = True
    """Whether the extra images are used."""

    @property
    def spec(self) -> DataSpec:
        """Three channels of 32×32 in [0, 1]; ten classes."""
        return DataSpec(shape=(3, 32, 32), support="unit", levels=256, class_names=tuple("0123456789"))

    def about(self) -> dict[str, Any]:
        """Return everything that its pixels depend on, which `extra` is not part of."""
        about = super().about()
        return about | {"fields": {name: value for name, value in about["fields"].items() if name != "extra"}}

    def load(self, root: Path) -> Splits:
        """Return the three splits."""
        splits = super().load(root)
        return splits if self.extra else self.without_extra(splits)

    @staticmethod
    def without_extra(splits: Splits) -> Splits:
        """Return the train images as training and validation split."""
        (x, labels), place = splits.validation, len(splits.validation.x)
        assert labels is not None
        place -= min(_HELD_OUT, place // 7)
        return Splits(Split(x[:place], labels[:place]), Split(x[place:], labels[place:]), splits.test)

    @property
    def transform(self) -> ImageTransform:
        """Return images unchanged."""
        return ImageTransform(size=(32, 32))

    def contents(self, source: Path) -> Contents:
        """Return the three files; label 10 is the digit 0."""
        paths = [source / name for name in _FILES]
        labels = [_read(path, "y").reshape(-1).astype(numpy.int64) % 10 for path in paths]
        hashes = []
        for path in paths:
            with path.open("rb") as file:
                hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
        return Contents(
            blocks=tuple(_File(path, len(digits)) for path, digits in zip(paths, labels, strict=True)),
            splits=dict(zip(("train", "validation", "test"), map(len, labels), strict=True)),
            labels=numpy.concatenate(labels),
            class_names=self.spec.class_names,
            identity=" ".join(hashes),
        )


class _File(Block):
    """One file, whose X is (32, 32, 3, N)."""

    def __init__(self, path: Path, rows: int) -> None:
        self.path = path
        self.rows = rows

    def read(self, out: Pixels) -> list[ImageFault]:
        """Read X and transpose it to (N, 3, 32, 32)."""
        out[:] = _read(self.path, "X").transpose(3, 2, 0, 1)
        return []


def _read(path: Path, name: str) -> NDArray[numpy.uint8]:
    from scipy.io import loadmat

    try:
        values: NDArray[numpy.uint8] = loadmat(path, variable_names=[name])[name]
    except FileNotFoundError as error:
        raise UnreadableError(f"{path} is missing", "type: genzoo data fetch svhn") from error
    except Exception as error:  # scipy's reader raises anything for a damaged file
        raise UnreadableError(f"{path} is not one of SVHN's .mat files: {error}", f"remove it: rm {path}") from error
    return values
