"""Images of random pixels."""

import numpy
from PIL import Image

RANDOM = numpy.random.default_rng(0)


def write_pngs(folder, rows=10, *, size=(5, 4), channels=3):
    """Write images of random pixels; return their names and pixels (rows, C, H, W)."""
    folder.mkdir(exist_ok=True, parents=True)
    pixels = RANDOM.integers(0, 256, (rows, size[1], size[0], channels), dtype=numpy.uint8)
    wanted = [f"{number:04}.png" for number in range(rows)]
    for name, picture in zip(wanted, pixels, strict=True):
        Image.fromarray(picture if channels == 3 else picture[..., 0]).save(folder / name)
    return wanted, pixels.transpose(0, 3, 1, 2)
