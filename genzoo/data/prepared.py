"""Prepared data sets: images read from the memory-mapped file that `genzoo data prepare` wrote."""

import json
from abc import abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genzoo.components import to_json
from genzoo.data import downloads, preparing
from genzoo.data.checked_rows import BlockCheck, CheckedRows
from genzoo.data.contents import Contents
from genzoo.data.dataset import Dataset
from genzoo.data.decoding import ImageTransform
from genzoo.data.downloads import Download
from genzoo.data.prepared_card import AGAIN, CARD, IMAGES, LABELS, NAMES, SPLITS, blocks_of, read_card
from genzoo.errors import UnreadableError
from genzoo.storage import files
from genzoo.types import Split, SplitName, Splits

_NAMES_LIMIT = 2**32
"""The largest file of names, in bytes, that is read."""


@dataclass(frozen=True, kw_only=True)
class PreparedDataset(Dataset):
    """A data set of images that is decoded once, into the folder `place` below the folder of data sets."""

    origin: ClassVar[str]
    """Where the data set is published."""
    downloads: ClassVar[tuple[Download, ...]] = ()
    """The files that `genzoo data fetch` gets, or that a person puts into `downloads/NAME`."""
    by_hand: ClassVar[tuple[str, ...]] = ()
    """The steps a person takes to get what cannot be fetched, one line each."""
    takes_addresses: ClassVar[bool] = False
    """Whether a source may be a name of what lies elsewhere, which `contents` gets; else it is a path."""
    beside: ClassVar[str] = ""
    """How a set from another source is prepared beside the first, in words for a message; empty where it cannot be."""
    rows: ClassVar[dict[str, int]] = {}
    """The number of images in each split of the whole data set, if it is known."""

    @property
    def place(self) -> str:
        """The name of its folder. Fields that change the pixels change this name."""
        return self.name

    @property
    @abstractmethod
    def transform(self) -> ImageTransform:
        """How an image file becomes an x."""

    @abstractmethod
    def contents(self, source: Path) -> Contents:
        """Return what `source` holds, without decoding it; raise `UnreadableError` if something is missing."""

    def about(self) -> dict[str, Any]:
        """Return everything that its pixels depend on, for the card of the prepared data set."""
        return {"dataset": self.name, "fields": to_json(self), "images": str(self.transform)}

    def facts(self) -> dict[str, Any]:
        """Return source, files with their hashes, counts, and how an image becomes an x."""
        return {
            "source": self.origin,
            "files": [
                {
                    "file": download.file,
                    "urls": list(download.urls),
                    "md5": download.md5 or "not published; that of the first download counts",
                }
                for download in self.downloads
            ],
            "by_hand": list(self.by_hand),
            "rows": self.rows,
            "images": str(self.transform),
            "range": "uint8 0…255, read as x/255",
        }

    def card(self, root: Path) -> dict[str, Any]:
        """Return the card of the prepared data set; raise `UnreadableError` with the command that prepares it."""
        place = root / self.place
        if not (place / CARD).is_file():
            raise self.unprepared(root)
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
        """Return the three splits, memory-mapped: rows are read from disk, and checked, when they are first used."""
        card, place = self.card(root), root / self.place
        images = _mapped(place / IMAGES, "images")
        labels = _mapped(place / LABELS, "labels") if LABELS in card["files"] else None
        if labels is not None and files.sha256_of(place / LABELS) != card["files"][LABELS]["sha256"]:
            raise UnreadableError(f"{place / LABELS} is damaged: its SHA-256 is not the one on its card", AGAIN)
        rows = card["splits"][SPLITS[-1]][1]
        if (images.dtype, images.shape) != (torch.uint8, (rows, *self.spec.shape)):
            raise UnreadableError(f"{place / IMAGES} does not hold the images of its card", AGAIN)
        if labels is not None and len(labels) != rows:
            raise UnreadableError(f"{place / LABELS} does not hold a label for each image", AGAIN)
        if not self.spec.condition_size:
            labels = None
        if (blocks := blocks_of(card)) is not None:
            images = CheckedRows.of(images, BlockCheck(place / IMAGES, images, blocks))
        return Splits(*(_split(images, labels, slice(*card["splits"][name])) for name in SPLITS))

    def file_names(self, root: Path, split: SplitName) -> list[str]:
        """Return the name of every row's file at the source; empty where rows were no files, or names were not kept."""
        card, path = self.card(root), root / self.place / NAMES
        if NAMES not in card["files"]:
            return []
        lines = files.read_bytes(path, "names of files", limit=_NAMES_LIMIT, remedy=AGAIN).splitlines()
        try:
            names = [json.loads(line) for line in lines[slice(*card["splits"][split])]]
        except ValueError as error:
            raise UnreadableError(f"{path} is not readable as names of files: {error}", AGAIN) from error
        if len(lines) != card["splits"][SPLITS[-1]][1] or not all(isinstance(name, str) for name in names):
            raise UnreadableError(f"{path} does not hold a name for each image", AGAIN)
        return names

    def unprepared(
        self, root: Path, *, name: str | None = None, base: "PreparedDataset | None" = None
    ) -> UnreadableError:
        """Return the error that it has no card below `root`, with the commands that prepare it, as `remedy` says."""
        return UnreadableError(
            f"the data of '{name or self.name}' are not prepared: {root / self.place} has no card "
            "(--data names another folder)",
            self.remedy(name=name, base=base),
        )

    def remedy(self, *, name: str | None = None, base: "PreparedDataset | None" = None) -> str:
        """Return the commands that fetch and prepare the data set.

        They call it by the `name` of a recipe whose data set is `base`, or else by its own.
        """
        name, base = name or self.name, base or type(self)()
        from_where = "" if self.downloads and not self.by_hand else " --source PATH"
        settings = "".join(
            f" --set dataset.{field.name}={value}"
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), int | float | str) and value != getattr(base, field.name)
        )
        fetch = f"genzoo data fetch {name}, then: " if self.downloads or self.by_hand else ""
        at_once = "; or train with --fetch" if self.downloads and not self.by_hand else ""
        return (
            f"type: {fetch}genzoo data prepare {name}{from_where}{settings}{at_once}\n"
            "data sets that need no files are listed by: genzoo data status"
        )


@dataclass(frozen=True, kw_only=True)
class DatasetChoice:
    """A data set to be fetched or prepared, as the root of the paths of `--set dataset.…`."""

    dataset: Dataset


def _mapped(path: Path, name: str) -> Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            tensor = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise UnreadableError(f"{path} is not readable as safetensors: {error}", AGAIN) from error
    assert isinstance(tensor, Tensor)
    return tensor


def _split(images: Tensor, labels: Tensor | None, rows: slice) -> Split:
    """Return some rows of images (N, C, H, W) and labels (N,) or (N, attributes); labels of −1 are unknown."""
    split_labels = None if labels is None else labels[rows]
    is_labelled = split_labels is not None and (split_labels.ndim > 1 or bool((split_labels >= 0).all()))
    return Split(images[rows], split_labels if is_labelled else None)


def prepare_dataset(
    dataset: PreparedDataset,
    root: Path,
    *,
    source: Path | None = None,
    jobs: int | None = None,
    skip_corrupt: bool = False,
    replace: bool = False,
    remedy: str | None = None,
    report: preparing.ImageProgress = lambda done, total: None,
) -> dict[str, Any]:
    """Decode the files at `source`, by default the fetched ones, into the data set's folder, and return its card.

    Files whose hash is published or recorded are checked first. `remedy` is what to do if there is no `source`.
    """
    place = downloads.folder_of(dataset, root) if source is None else source
    if not place.exists() and not dataset.takes_addresses:
        raise UnreadableError(f"{place} does not exist", remedy or dataset.remedy())
    by_name = {download.file: download for download in dataset.downloads}
    for path in [place] if place.is_file() else [place / name for name in by_name]:
        if path.name in by_name and path.is_file():
            downloads.check(by_name[path.name], path)
    return preparing.prepare(
        dataset.contents(place),
        root / dataset.place,
        shape=dataset.spec.shape,
        about=dataset.about(),
        jobs=jobs,
        skip_corrupt=skip_corrupt,
        replace=replace,
        beside=dataset.beside,
        report=report,
    )
