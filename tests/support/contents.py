"""What a run's folder or a folder of images holds."""

from pathlib import Path

from genzoo.storage import checkpoints


def tensors_of(path):
    """Return the step and the bytes of the tensors of a run's newest checkpoint, none of which may be damaged."""
    found, faults = checkpoints.newest(Path(path) / "checkpoints")
    assert faults == []
    assert found is not None
    return found.step, {file.name: file.read_bytes() for file in found.path.glob("*.safetensors")}
