"""Preparation against a bare Pillow loop on the same files, and its memory: `python tests/benchmarks/preparing.py`.

Both decode with all cores; the ratio of images per second (genzoo/bare) is the median over alternating rounds. Memory
is the largest of the preparing process and its workers, for two numbers of images.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy
from PIL import Image, ImageOps

from genzoo.data import Contents, preparing
from genzoo.data.decoding import ImageTransform, image_names, in_blocks, listing

CROP = ImageTransform(size=(64, 64), fit="crop")


def bare(folder, name):
    """What one would write: open, reduce, crop, resize."""
    with Image.open(folder / name) as image:
        image.draft(None, (192, 192))
        return numpy.asarray(ImageOps.fit(image.convert("RGB"), (64, 64), Image.Resampling.LANCZOS))


def rate_of_bare(folder, names, jobs):
    began = time.perf_counter()
    with get_context("spawn").Pool(jobs) as pool:
        for _ in pool.imap(partial(bare, folder), names, chunksize=64):
            pass
    return len(names) / (time.perf_counter() - began)


def rate_of_genzoo(folder, names, jobs, place):
    began = time.perf_counter()
    contents = Contents(
        blocks=in_blocks(folder, names, CROP),
        splits={"train": len(names), "validation": 0, "test": 0},
        identity=listing(folder, names),
    )
    preparing.prepare(contents, place, shape=(3, 64, 64), about={"dataset": "benchmark"}, jobs=jobs)
    return len(names) / (time.perf_counter() - began)


def memory(folder, count):
    """Return the largest resident size in MiB of a preparation of `count` images, workers included."""
    script = f"import tests.benchmarks.preparing as b; b.prepare_some({str(folder)!r}, {count})"
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    return int(found.stdout) / 1024


def prepare_some(folder, count):
    """Prepare `count` images and print the largest resident size in KiB."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(folder)
        rate_of_genzoo(folder, image_names(folder)[:count], 2, Path(place) / "prepared")
    own, theirs = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(max(own, theirs))


def write_images(folder, count):
    source = numpy.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(source.integers(0, 256, (24, 32, 3), dtype=numpy.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number:06}.jpg", quality=90)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    jobs = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder, place = Path(temporary) / "images", Path(temporary) / "prepared"
        folder.mkdir()
        write_images(folder, chosen.images)
        names, pairs = image_names(folder), []
        for _ in range(chosen.rounds):
            pairs.append((rate_of_genzoo(folder, names, jobs, place), rate_of_bare(folder, names, jobs)))
            shutil.rmtree(place)
        mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = sorted(left / right for left, right in pairs)
        print(f"{jobs} processes, {chosen.images} JPEGs of 500×375, {chosen.rounds} rounds")
        print(
            f"genzoo {mine:,.0f} images/s, bare {theirs:,.0f} images/s, ratio {statistics.median(ratios):.3f}", end=""
        )
        print(f" ({ratios[0]:.3f}–{ratios[-1]:.3f})")
        few, many = (memory(folder, count) for count in (chosen.images // 4, chosen.images))
        print(f"largest process: {few:.0f} MiB for {chosen.images // 4} images, {many:.0f} MiB for {chosen.images}")


if __name__ == "__main__":
    sys.exit(main())
