"""Tensors as bytes: safetensors in, safetensors out, nothing else ever loaded."""

from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from genzoo.errors import UnreadableError
from genzoo.storage.checkpoints import Checkpoint

_OTHER = "it was made by another version of the model: install that one (run.json names it), or train again"


def pack(tensors: dict[str, Tensor]) -> bytes:
    """Return contiguous host tensors in the safetensors format; raise `MemoryError` where there is no room for that."""
    # What it allocates, asked for here and given back untouched: safetensors itself ends the process where memory ends.
    bytes(3 * sum(tensor.nbytes for tensor in tensors.values()) + 2**20)
    return save(tensors)


def unpack(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raise `UnreadableError` where it is none."""
    try:
        return load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UnreadableError(f"{path} is not readable as safetensors: {error}", "restore it from a copy") from error


def weights_of(checkpoint: Checkpoint, *, raw: bool = False) -> tuple[dict[str, Tensor], str]:
    """Return a checkpoint's weights to show, averaged where there are such unless `raw`, and which they are."""
    if "averaged.safetensors" in checkpoint.names and not raw:
        return unpack(checkpoint.file("averaged.safetensors")), "averaged"
    return unpack(checkpoint.file("networks.safetensors")), "raw"


def fill(own: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    """Copy stored tensors into a module's own; raise `UnreadableError` unless names, shapes and types are the same."""
    for name in sorted(own.keys() ^ stored.keys()):
        where = "not expected" if name in stored else "missing"
        raise UnreadableError(f"the checkpoint does not fit the run's settings: {name} is {where}", _OTHER)
    with torch.no_grad():
        for name, tensor in own.items():
            found, expected = _kind(stored[name]), _kind(tensor)
            if found != expected:
                raise UnreadableError(
                    f"the checkpoint does not fit the run's settings: {name} is {found}, expected {expected}", _OTHER
                )
            tensor.copy_(stored[name])


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
