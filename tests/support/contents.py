"""What a run's folder or a folder of images holds."""

from pathlib import Path

import numpy
from PIL import Image

from genzoo.storage import checkpoints


def tensors_of(path):
    """Return the step and the bytes of the tensors of a run's newest checkpoint, none of which may be damaged."""
    found, faults = checkpoints.newest(Path(path) / "checkpoints")
    assert faults == []
    assert found is not None
    return found.step, {file.name: file.read_bytes() for file in found.path.glob("*.safetensors")}


def pixels(path):
    """Return the pixels (height, width, channels) of a picture."""
    return numpy.asarray(Image.open(path))
