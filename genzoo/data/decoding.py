"""Decoding: from image files, on disk or inside an archive, to uint8 pixels of one shape. Needs no torch."""

import hashlib
import io
import os
import stat
import warnings
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from genzoo.errors import UnreadableError
from genzoo.storage.files import readable

Pixels = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]
"""Values in 0…255: (C, H, W) for one image, (rows, C, H, W) for several."""

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""The readers that Pillow may use; its others include EPS, which runs Ghostscript on the file."""
_FILE_LIMIT = 2**28
"""Bytes beyond which no image file is opened."""


class ImageFault(NamedTuple):
    """A row that could not be read."""

    row: int
    """Counted within its block."""
    name: str
    """Of the image file."""
    cause: str
    """In one line."""


class Block(ABC):
    """Some neighbouring rows of a data set that one worker reads at a time; it travels between processes."""

    rows: int
    """How many."""

    @abstractmethod
    def read(self, out: Pixels) -> list[ImageFault]:
        """Fill `out` (rows, C, H, W), and return the rows that could not be read."""


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """How an image of any size and mode becomes (C, H, W) pixels; transparency is laid over white."""

    size: tuple[int, int]
    """Width and height of the result."""
    channels: Literal[1, 3] = 3
    """1: grey, 3: RGB."""
    fit: Literal["given", "crop", "resize"] = "given"
    """`given`: it must have that size; `crop`: the largest centred part of that shape, resized; or see `resized`."""
    resized: tuple[int, int] | None = None
    """For `resize`: the size an image is brought to before the part at `corner` is cut out."""
    corner: tuple[int, int] = (0, 0)
    """For `resize`: column and row of the upper left pixel of the part cut out."""
    upright: bool = False
    """Turn photographs as their EXIF orientation says."""

    def __call__(self, content: bytes) -> Pixels:
        """Return the pixels (C, H, W) of an image file's content; raise whatever Pillow does for a damaged one."""
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if self.fit == "crop":
                # JPEG decodes at a fraction of its size cheaply; three times the target keeps what the filter sees.
                image.draft(None, (3 * self.size[0], 3 * self.size[1]))
            if self.fit == "given" and image.size != self.size:
                raise ValueError(f"{_size(image.size)} pixels, expected {_size(self.size)}")
            fitted = self._fit(_in_mode(_upright(image) if self.upright else image, self.channels))
        pixels = numpy.asarray(fitted)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)

    def __str__(self) -> str:
        colour = "grey" if self.channels == 1 else "RGB"
        ways = {
            "given": f"{_size(self.size)} as given",
            "crop": f"largest centred part, resized to {_size(self.size)} (Lanczos; JPEG read at ≥ 3× that size)",
            "resize": f"resized to {_size(self.resized or self.size)} (Lanczos), {_size(self.size)} cut out at "
            f"column {self.corner[0]}, row {self.corner[1]}",
        }
        return f"{ways[self.fit]}, {colour}" + (", upright by EXIF" if self.upright else "")

    def _fit(self, image: Image.Image) -> Image.Image:
        if self.fit == "crop":
            return ImageOps.fit(image, self.size, Image.Resampling.LANCZOS)
        if self.fit == "resize":
            left, top = self.corner
            resized = image.resize(self.resized or self.size, Image.Resampling.LANCZOS)
            return resized.crop((left, top, left + self.size[0], top + self.size[1]))
        return image


@dataclass(frozen=True, kw_only=True)
class ImageFiles(Block):
    """Image files by name, below a folder or inside a ZIP archive."""

    place: Path
    names: tuple[str, ...]
    transform: ImageTransform

    @property
    def rows(self) -> int:  # type: ignore[override]
        """One per name."""
        return len(self.names)

    def read(self, out: Pixels) -> list[ImageFault]:
        """Decode every file."""
        faults = []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # the last one counts first
            for row, name in enumerate(self.names):
                try:
                    out[row] = self.transform(_content(self.place, name))
                except Exception as error:  # Pillow's readers raise anything; the cause is reported with the name
                    faults.append(ImageFault(row, _printable(name), _cause_of(error)))
        return faults


def in_blocks(place: Path, names: list[str], transform: ImageTransform, *, rows: int = 64) -> tuple[Block, ...]:
    """Return image files, by their names below a folder or in a ZIP archive, as blocks of up to `rows` each."""
    return tuple(
        ImageFiles(place=place, names=tuple(names[start : start + rows]), transform=transform)
        for start in range(0, len(names), rows)
    )


def image_names(folder: Path, part: str = "") -> list[str]:
    """Return the names of all image files below `folder`/`part`, relative to `folder`, sorted; hidden ones left out."""
    found = []
    for path, folders, names in os.walk(folder / part, onerror=_cannot_be_listed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(path).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        found += [prefix + name for name in names if name[0] != "." and name.lower().endswith(_ENDINGS)]
    return sorted(found)


def _cannot_be_listed(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise UnreadableError(
            f"{error.filename} cannot be read: {error.strerror}", "give yourself leave to read it, or leave it out"
        ) from error


def listing(place: Path, names: list[str]) -> str:
    """Return a hash of the files' names, sizes and times; of a ZIP archive, its size and time and the names in it."""
    known = hashlib.sha256()
    for path in [place] if place.is_file() else [place / name for name in names]:
        with readable(path):
            found = path.stat()
        known.update(f"{found.st_size} {found.st_mtime_ns}\n".encode())
    known.update("\n".join(names).encode(errors="surrogateescape"))
    return known.hexdigest()


def _content(place: Path, name: str) -> bytes:
    if not place.is_file():
        path = place / name
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("Is a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file")
        if found.st_size > _FILE_LIMIT:
            raise ValueError(f"{found.st_size:,} bytes are too many for an image")
        return path.read_bytes()
    known = place.stat()
    archive = _archive(place, (known.st_ino, known.st_size, known.st_mtime_ns))
    if archive.getinfo(name).file_size > _FILE_LIMIT:
        raise ValueError(f"{archive.getinfo(name).file_size:,} bytes are too many for an image")
    return archive.read(name)


@lru_cache(maxsize=2)
def _archive(path: Path, state: tuple[int, ...]) -> zipfile.ZipFile:
    """Return the open archive, anew when its `state` changed; nothing of it is ever written to disk."""
    return zipfile.ZipFile(path)


def _upright(image: Image.Image) -> Image.Image:
    try:
        image.getexif()
    except Exception:  # what a camera or editor wrote beside the pixels may be anything, and the pixels are whole
        return image
    return ImageOps.exif_transpose(image)


def _in_mode(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits per pixel
        image = Image.fromarray((numpy.asarray(image).astype(numpy.int64) >> 8).clip(0, 255).astype(numpy.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return image.convert("L" if channels == 1 else "RGB")


def _cause_of(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    text = str(error).strip().partition("\n")[0]
    return text or type(error).__name__


def _printable(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
