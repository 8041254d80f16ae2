"""Decoding: image files, in a folder or an archive, as uint8 pixels of one shape. Needs no torch."""

import hashlib
import io
import os
import stat
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from genzoo.errors import UnreadableError, warn
from genzoo.storage.files import readable
from genzoo.text import counted, escaped, in_a_line

Pixels = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]
"""Values in 0…255: (C, H, W) for one image, (rows, C, H, W) for several."""

ImageSource = str | Path | Image.Image
"""The path of an image file, or an image of Pillow's."""

_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_HEIC_ENDINGS = (".heic", ".heif", ".hif")
"""Photographs of telephones, which are images where pillow-heif is installed."""
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""The formats that Pillow may read. Others are left out: EPS, for one, runs Ghostscript on the file."""
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
    """Consecutive rows of a data set that one worker reads at a time. Blocks are pickled for worker processes."""

    rows: int
    """The number of rows."""

    @abstractmethod
    def read(self, out: Pixels) -> list[ImageFault]:
        """Fill `out` (rows, C, H, W) and return a fault for each row that could not be read."""


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """How an image of any size and mode becomes pixels (C, H, W). Transparent images are drawn on white."""

    size: tuple[int, int]
    """Width and height of the result."""
    channels: Literal[1, 3] = 3
    """1: grey, 3: RGB."""
    fit: Literal["given", "crop", "resize"] = "given"
    """`given`: the image must have that size; `crop`: its largest centred part of that shape is resized;
    `resize`: it is resized to `resized`, and the part at `corner` is cut out."""
    resized: tuple[int, int] | None = None
    """For `resize`: width and height before the part at `corner` is cut out."""
    corner: tuple[int, int] = (0, 0)
    """For `resize`: column and row of the upper left pixel of the part cut out."""
    upright: bool = False
    """Turn photographs as their EXIF orientation says."""

    def __call__(self, content: bytes) -> Pixels:
        """Return the pixels (C, H, W) of an image file's content; for a damaged one, raise the error of Pillow."""
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            if self.fit == "crop":
                # JPEG decodes at a fraction of its size cheaply; three times the target keeps what the filter sees.
                image.draft(None, (3 * self.size[0], 3 * self.size[1]))
            return self.pixels(image)

    def pixels(self, image: Image.Image) -> Pixels:
        """Return the pixels (C, H, W) of an image of Pillow's."""
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
        return decode_into(out, self.names, self.transform, lambda row: _content(self.place, self.names[row]))


def decode_into(
    out: Pixels, names: Sequence[str], transform: ImageTransform, content: Callable[[int], bytes]
) -> list[ImageFault]:
    """Fill `out` (rows, C, H, W) with images, of which `content` returns a row's file; return faults by `names`."""
    faults = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # the filter added last is tried first
        for row, name in enumerate(names):
            try:
                out[row] = transform(content(row))
            except Exception as error:  # Pillow's readers raise errors of any type
                faults.append(ImageFault(row, escaped(name), _fault_of(error, name)))
    return faults


def in_blocks(place: Path, names: list[str], transform: ImageTransform, *, rows: int = 64) -> tuple[Block, ...]:
    """Return image files, by their names below a folder or in a ZIP archive, as blocks of up to `rows` each."""
    return tuple(
        ImageFiles(place=place, names=tuple(names[start : start + rows]), transform=transform)
        for start in range(0, len(names), rows)
    )


def read_images(pictures: Sequence[ImageSource], transform: ImageTransform) -> Pixels:
    """Return the pixels (N, C, H, W) of images; raise `UnreadableError` for the first that cannot be read."""
    width, height = transform.size
    pixels = numpy.empty((len(pictures), transform.channels, height, width), dtype=numpy.uint8)
    for row, picture in enumerate(pictures):
        fault = _read_picture(picture, transform, pixels[row : row + 1])
        if fault is not None:
            raise UnreadableError(f"{fault.name} cannot be read: {fault.cause}", "name image files")
    return pixels


def _read_picture(picture: ImageSource, transform: ImageTransform, out: Pixels) -> ImageFault | None:
    """Fill `out` (1, C, H, W), and return the fault of a picture that cannot be read."""
    if isinstance(picture, Image.Image):
        try:
            out[0] = transform.pixels(picture)
        except Exception as error:  # Pillow's readers raise errors of any type
            return ImageFault(0, "the image", _fault_of(error, ""))
        return None
    with readable(Path(picture)):
        os.stat(picture)
    return next(iter(ImageFiles(place=Path(), names=(str(picture),), transform=transform).read(out)), None)


def image_names(folder: Path, part: str = "") -> list[str]:
    """Return the names of all image files below `folder`/`part`, relative to `folder`, sorted, without hidden ones."""
    return [name for name in _file_names(folder, part) if _is_image(name)]


def left_out(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names below `folder` of photographs that pillow-heif would read, and of other files than images."""
    others = [name for name in _file_names(folder, "") if not _is_image(name)]
    heic = [name for name in others if name.lower().endswith(_HEIC_ENDINGS)]
    return heic, [name for name in others if name not in set(heic)]


def animations(folder: Path, names: Sequence[str]) -> list[str]:
    """Return those of the image files among `names` below `folder` that hold several pictures, as pages or in time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        return [name for name in names if _is_animated(folder / name)]


def notes_of_files(folder: Path, names: Sequence[str]) -> list[str]:
    """Return lines that say what is left out below `folder`, of which the image files `names` are read."""
    heic, others = left_out(folder)
    several = animations(folder, names)
    notes = [f"left out: {_counted(heic, 'HEIC file')}; to read them: pip install 'genzoo[heic]'"] if heic else []
    notes += [f"left out: {_counted(others, 'file')}, no image by name"] if others else []
    return notes + ([f"left out: all but the first picture of {_counted(several, 'file')}"] if several else [])


def _counted(names: Sequence[str], what: str) -> str:
    """Return the number of files and the first three names, such as `2 files (a, b)`."""
    shown = ", ".join([*sorted(names)[:3], *(["…"] if len(names) > 3 else [])])
    return f"{counted(len(names), what)} ({shown})"


def _is_image(name: str) -> bool:
    endings = _IMAGE_ENDINGS if _formats() == _FORMATS else (*_IMAGE_ENDINGS, *_HEIC_ENDINGS)
    return name.lower().endswith(endings)


def _is_animated(path: Path) -> bool:
    """Return whether a file holds several pictures, of which Pillow reads no more than it must to say so.

    A JPEG of several (MPO) does not count: a camera's previews and views for a second eye are no pictures of their own.
    """
    try:
        if not path.is_file():  # opening a pipe would wait
            return False
        with Image.open(path, formats=_formats()) as image:
            return image.format in _formats() and bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow's readers raise errors of any type; the file is a fault where it is decoded
        return False


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that Pillow may read, with HEIF where pillow-heif is installed."""
    if find_spec("pillow_heif") is None:
        return _FORMATS
    import pillow_heif

    pillow_heif.register_heif_opener()
    return (*_FORMATS, "HEIF")


def _file_names(folder: Path, part: str) -> list[str]:
    """Return the names of all files below `folder`/`part`, relative to `folder`, sorted, without hidden ones."""
    files = []
    for path, folders, names in os.walk(folder / part, onerror=_cannot_be_listed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(path).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        files += [prefix + name for name in names if name[0] != "."]
    return sorted(files)


def image_files(pictures: Sequence[ImageSource]) -> list[ImageSource]:
    """Return pictures as given, and in place of a folder's path the image files below it, sorted.

    Warn of what is left out of folders; raise `UnreadableError` for one without images.
    """
    images: list[ImageSource] = []
    for picture in pictures:
        if isinstance(picture, Image.Image) or not Path(picture).is_dir():
            images.append(picture)
            continue
        folder = Path(picture)
        names = image_names(folder)
        warn(f"{folder}: {note}" for note in notes_of_files(folder, names))
        if not names:
            raise UnreadableError(
                f"{folder} has no images", f"name a folder with files that end in {', '.join(_IMAGE_ENDINGS)}"
            )
        images += [folder / name for name in names]
    return images


def _cannot_be_listed(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise UnreadableError(
            f"{error.filename} cannot be read: {error.strerror}", "make it readable, or move it away"
        ) from error


def listing(place: Path, names: list[str]) -> str:
    """Return a hash of the files' names, sizes and times; for a ZIP archive, of the names in it, its size and time."""
    digest = hashlib.sha256()
    for path in [place] if place.is_file() else [place / name for name in names]:
        try:
            status = path.stat()
        except OSError:  # a dangling link among images; it is a fault where it is decoded
            continue
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    digest.update("\n".join(names).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _content(place: Path, name: str) -> bytes:
    if not place.is_file():
        path = place / name
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("Is a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file")
        if status.st_size > _FILE_LIMIT:
            raise ValueError(f"{status.st_size:,} bytes are too many for an image")
        return path.read_bytes()
    status = place.stat()
    archive = _archive(place, (status.st_ino, status.st_size, status.st_mtime_ns))
    if archive.getinfo(name).file_size > _FILE_LIMIT:
        raise ValueError(f"{archive.getinfo(name).file_size:,} bytes are too many for an image")
    return archive.read(name)


@lru_cache(maxsize=2)
def _archive(path: Path, state: tuple[int, ...]) -> zipfile.ZipFile:
    """Return the open archive; a changed `state` opens it again. Nothing in it is ever written to disk."""
    return zipfile.ZipFile(path)


def _upright(image: Image.Image) -> Image.Image:
    try:
        image.getexif()
    except Exception:  # EXIF data may be damaged in any way, and the pixels still be whole
        return image
    return ImageOps.exif_transpose(image)


def _in_mode(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits per pixel
        image = Image.fromarray((numpy.asarray(image).astype(numpy.int64) >> 8).clip(0, 255).astype(numpy.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return image.convert("L" if channels == 1 else "RGB")


def _fault_of(error: Exception, name: str) -> str:
    if isinstance(error, UnidentifiedImageError) and name.lower().endswith(_HEIC_ENDINGS) and _formats() == _FORMATS:
        return "HEIC is read where pillow-heif is installed: pip install 'genzoo[heic]'"
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    return in_a_line(str(error)) or type(error).__name__


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
