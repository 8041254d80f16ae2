"""Contents to prepare whose rows can be told apart, and what a preparation left."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy
from safetensors import safe_open

from genzoo.data import preparing
from genzoo.data.contents import Contents
from genzoo.data.decoding import Block, ImageFault, ImageTransform, in_blocks, listing
from genzoo.data.prepared_card import IMAGES, LABELS

SHAPE = (3, 4, 5)
TRANSFORM = ImageTransform(size=(5, 4))
ABOUT = {"dataset": "toy", "images": "as given"}


@dataclass(frozen=True, kw_only=True)
class Marked(Block):
    """Rows that hold their number in the data set; leaves a file in `marks` whenever it is read."""

    number: int
    first: int
    rows: int
    marks: Path
    faulty: tuple[int, ...] = ()
    seconds: float = 0.0
    deadly: bool = False

    def read(self, out):
        (self.marks / f"{self.number}-{uuid4().hex}").touch()
        if self.deadly and (self.marks / "deadly").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        out[:] = pictures(range(self.first, self.first + self.rows))
        return [ImageFault(row - self.first, f"{row}.png", "broken") for row in self.faulty]


def pictures(rows):
    """Return the images of rows, each of which can be told from all others."""
    numbers = numpy.asarray(list(rows), dtype=numpy.int64).reshape(-1, 1, 1, 1)
    return ((numbers * 31 + 7 * numpy.arange(60).reshape(1, *SHAPE)) % 251).astype(numpy.uint8)


def marked(marks, sizes=(3,) * 10, *, faulty=(), labels=True, identity="one", **more):
    """Return contents of blocks of these sizes, with labels that are the numbers of the rows."""
    marks.mkdir(exist_ok=True)
    blocks, first = [], 0
    for number, rows in enumerate(sizes):
        own = tuple(row for row in faulty if first <= row < first + rows)
        blocks.append(Marked(number=number, first=first, rows=rows, marks=marks, faulty=own, **more))
        first += rows
    validation = test = first // 5
    return Contents(
        blocks=blocks,
        splits={"train": first - validation - test, "validation": validation, "test": test},
        labels=numpy.arange(first) if labels else None,
        class_names=("a", "b"),
        identity=identity,
    )


def make(contents, place, *, jobs=1, shape=SHAPE, about=ABOUT, **more):
    return preparing.prepare(contents, place, shape=shape, about=about, jobs=jobs, **more)


def reads(marks):
    """Return which blocks were read, once per reading, sorted."""
    return sorted(int(path.name.partition("-")[0]) for path in marks.iterdir() if "-" in path.name)


def tensors(place):
    """Return images and labels, read by safetensors itself."""
    found = []
    for name, key in ((IMAGES, "images"), (LABELS, "labels")):
        if (place / name).exists():
            with safe_open(place / name, framework="numpy") as file:
                assert list(file.keys()) == [key]
                found.append(file.get_tensor(key))
        else:
            found.append(None)
    return found


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def image_contents(folder, wanted, *, rows=3, labels=True):
    validation = test = len(wanted) // 5
    return Contents(
        blocks=in_blocks(folder, wanted, TRANSFORM, rows=rows),
        splits={"train": len(wanted) - validation - test, "validation": validation, "test": test},
        labels=numpy.arange(len(wanted)) if labels else None,
        identity=listing(folder, wanted),
    )


def fail(number):
    def failing(*arguments, **more):
        raise OSError(number, os.strerror(number))

    return failing


class Stopped(Exception):
    """Raised where a person would type Ctrl-C."""


def stop_at(rows):
    def report(done, total):
        if done >= rows:
            raise Stopped

    return report


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
