"""Writes 800 crops of the two photographs that scikit-learn ships: `python docs/make_photo_crops.py FOLDER`."""

import sys
from pathlib import Path

import numpy
from PIL import Image
from sklearn.datasets import load_sample_images

CROPS = 400
"""Of each photograph."""


def write_crops(folder):
    """Write square crops of 96 to 160 pixels at random places, always the same, into a sub-folder per photograph."""
    random = numpy.random.default_rng(0)
    photographs = load_sample_images()
    for filename, pixels in zip(photographs.filenames, photographs.images, strict=True):
        name = Path(filename).stem
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(CROPS):
            side = random.integers(96, 161)
            top, left = (random.integers(0, length - side + 1) for length in pixels.shape[:2])
            crop = Image.fromarray(pixels[top : top + side, left : left + side])
            crop.save(folder / name / f"{number:03}.png")


if __name__ == "__main__":
    write_crops(Path(sys.argv[1]))
