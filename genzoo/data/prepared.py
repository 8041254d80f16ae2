"""Prepared data sets: read from the memory-mapped file that `genzoo data prepare` made of their images."""

from abc import abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genzoo.components import to_json
from genzoo.data import downloads, preparing
from genzoo.data.contents import Contents
from genzoo.data.dataset import Dataset
from genzoo.data.decoding import ImageTransform
from genzoo.data.downloads import Download
from genzoo.data.prepared_card import AGAIN, CARD, IMAGES, LABELS, SPLITS, read_card
from genzoo.errors import UnreadableError
from genzoo.types import Split, Splits


@dataclass(frozen=True, kw_only=True)
class PreparedDataset(Dataset):
    """A data set of images that is decoded once, into the folder `place` below the folder of data sets."""

    origin: ClassVar[str]
    """Where it comes from."""
    downloads: ClassVar[tuple[Download, ...]] = ()
    """The files that `genzoo data fetch` gets, or that a person puts below `downloads/NAME`."""
    by_hand: ClassVar[tuple[str, ...]] = ()
    """What a person has to do where nothing can be fetched, a line per step."""
    rows: ClassVar[dict[str, int]] = {}
    """How many images the whole data set has, by split, where that is known."""

    @property
    def place(self) -> str:
        """The name of its folder; data sets that are made differently have different ones."""
        return self.name

    @property
    @abstractmethod
    def transform(self) -> ImageTransform:
        """How an image file becomes an x."""

    @abstractmethod
    def contents(self, source: Path) -> Contents:
        """Return what lies at `source`, without decoding it; raise `UnreadableError` where something is missing."""

    def about(self) -> dict[str, Any]:
        """Return what decides its pixels, for the card of what is prepared."""
        return {"dataset": self.name, "fields": to_json(self), "images": str(self.transform)}

    def facts(self) -> dict[str, Any]:
        """Return source, files with their hashes, counts, and how an image becomes an x."""
        return {
            "source": self.origin,
            "files": [
                {
                    "file": one.file,
                    "urls": list(one.urls),
                    "md5": one.md5 or "not published; that of the first download counts",
                }
                for one in self.downloads
            ],
            "by_hand": list(self.by_hand),
            "rows": self.rows,
            "images": str(self.transform),
            "range": "uint8 0…255, read as x/255",
        }

    def card(self, root: Path) -> dict[str, Any]:
        """Return the card of what is prepared below `root`; raise `UnreadableError` saying how to get it."""
        place = root / self.place
        if not (place / CARD).is_file():
            raise UnreadableError(f"data set '{self.name}' is not prepared: {place} has no card", self.remedy())
        card = read_card(place)
        if tuple(card["shape"]) != self.spec.shape:
            raise UnreadableError(
                f"{place} holds images of shape {card['shape']}, expected {list(self.spec.shape)}",
                AGAIN,
            )
        return card

    def fingerprint(self, root: Path) -> str:
        """Return the SHA-256 of the prepared images."""
        return str(self.card(root)["files"][IMAGES]["sha256"])

    def load(self, root: Path) -> Splits:
        """Return the three splits, memory-mapped: pages are read when they are used."""
        card, place = self.card(root), root / self.place
        images = _mapped(place / IMAGES, "images")
        labels = _mapped(place / LABELS, "labels") if LABELS in card["files"] else None
        rows = card["splits"][SPLITS[-1]][1]
        if (images.dtype, images.shape) != (torch.uint8, (rows, *self.spec.shape)):
            raise UnreadableError(f"{place / IMAGES} does not hold the images of its card", AGAIN)
        if labels is not None and len(labels) != rows:
            raise UnreadableError(f"{place / LABELS} does not hold a label for each image", AGAIN)
        if not self.spec.condition_size:
            labels = None
        return Splits(*(_split(images, labels, slice(*card["splits"][name])) for name in SPLITS))

    def remedy(self) -> str:
        """Return what to type to have the data set."""
        from_where = "" if self.downloads and not self.by_hand else " --source PATH"
        settings = "".join(
            f" --set dataset.{field.name}={value}"
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), int | float | str) and value != field.default
        )
        fetch = f"genzoo data fetch {self.name}, then: " if self.downloads or self.by_hand else ""
        return (
            f"type: {fetch}genzoo data prepare {self.name}{from_where}{settings}\n"
            "data sets that need nothing from elsewhere are listed by: genzoo data status"
        )


@dataclass(frozen=True, kw_only=True)
class DatasetChoice:
    """A data set to be fetched or prepared: the root that `--set dataset.…` reaches there."""

    dataset: Dataset


def _mapped(path: Path, name: str) -> Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            found = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise UnreadableError(f"{path} is not readable as safetensors: {error}", AGAIN) from error
    assert isinstance(found, Tensor)
    return found


def _split(images: Tensor, labels: Tensor | None, rows: slice) -> Split:
    own = None if labels is None else labels[rows]
    known = own is not None and (own.ndim > 1 or bool((own >= 0).all()))
    return Split(images[rows], own if known else None)


def fetch_dataset(
    dataset: PreparedDataset,
    root: Path,
    *,
    source: str | None = None,
    offline: bool = False,
    report: downloads.ByteProgress = lambda done, total: None,
) -> list[Path]:
    """Return the checked files of a data set below `root`/downloads/NAME, fetching those that are missing.

    `source` is a folder or an address that has them all under their names, in place of the published mirrors.
    """
    folder = downloaded(dataset, root)
    base = None if source is None else source if "://" in source else Path(source).absolute().as_uri()
    return [
        downloads.fetch(
            one,
            folder,
            mirrors=() if base is None else (f"{base.rstrip('/')}/{one.file}",),
            offline=offline,
            report=report,
        )
        for one in dataset.downloads
    ]


def prepare_dataset(
    dataset: PreparedDataset,
    root: Path,
    *,
    source: Path | None = None,
    jobs: int | None = None,
    skip_corrupt: bool = False,
    replace: bool = False,
    report: preparing.ImageProgress = lambda done, total: None,
) -> dict[str, Any]:
    """Decode what lies at `source`, by default what was fetched, into its place below `root`, and return the card.

    Files with a known hash are checked first.
    """
    place = downloaded(dataset, root) if source is None else source
    if not place.exists():
        raise UnreadableError(f"{place} does not exist", dataset.remedy())
    known = {one.file: one for one in dataset.downloads}
    for path in [place] if place.is_file() else [place / name for name in known]:
        if path.name in known and path.is_file():
            downloads.check(known[path.name], path)
    return preparing.prepare(
        dataset.contents(place),
        root / dataset.place,
        shape=dataset.spec.shape,
        about=dataset.about(),
        jobs=jobs,
        skip_corrupt=skip_corrupt,
        replace=replace,
        report=report,
    )


def downloaded(dataset: PreparedDataset, root: Path) -> Path:
    """Return where the files of a data set are fetched to."""
    return root / "downloads" / dataset.name
