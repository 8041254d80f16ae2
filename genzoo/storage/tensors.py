"""Tensors as bytes, in the safetensors format and no other."""

from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, load_file, save
from torch import Tensor

from genzoo.errors import SettingsError, UnreadableError
from genzoo.storage.checkpoints import Checkpoint
from genzoo.text import is_text

_OTHER = "it was made by another version of the model: install that one (run.json names it), or train again"


def pack(tensors: dict[str, Tensor], *, notes: dict[str, str] | None = None) -> bytes:
    """Return contiguous host tensors in the safetensors format, with `notes` as metadata.

    Raises `MemoryError` if memory does not suffice.
    """
    # Allocate and free as much as safetensors will: out of memory, safetensors ends the process, and this raises.
    bytes(3 * sum(tensor.nbytes for tensor in tensors.values()) + 2**20)
    return save(tensors, metadata=notes)


def unpack(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raise `UnreadableError` if it is damaged."""
    try:
        if not is_text(str(path)):  # safetensors opens no such path
            return load(path.read_bytes())
        return load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UnreadableError(f"{path} is not readable as safetensors: {error}", "restore it from a copy") from error


def weights_of(checkpoint: Checkpoint, *, raw: bool = False) -> tuple[dict[str, Tensor], str]:
    """Return a checkpoint's weights and their kind: `averaged` if it has these and not `raw`, else `raw`."""
    if "averaged.safetensors" in checkpoint.names and not raw:
        return unpack(checkpoint.file("averaged.safetensors")), "averaged"
    if "networks.safetensors" not in checkpoint.names:
        raise SettingsError(f"{checkpoint.path} holds averaged weights alone", "leave out --raw")
    return unpack(checkpoint.file("networks.safetensors")), "raw"


def fill(targets: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    """Copy stored tensors into `targets`; raise `UnreadableError` unless names, shapes and types are the same."""
    check_fit(targets, stored)
    with torch.no_grad():
        for name, tensor in targets.items():
            tensor.copy_(stored[name])


def check_fit(targets: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    """Raise `UnreadableError` unless names, shapes and types are the same; `targets` may be on the meta device."""
    problem = "the checkpoint does not fit the run's settings"
    for name in sorted(targets.keys() ^ stored.keys()):
        raise UnreadableError(f"{problem}: {name} is {'not expected' if name in stored else 'missing'}", _OTHER)
    for name, tensor in targets.items():
        stored_kind, expected = _kind(stored[name]), _kind(tensor)
        if stored_kind != expected:
            raise UnreadableError(f"{problem}: {name} is {stored_kind}, expected {expected}", _OTHER)
        if not bool(stored[name].isfinite().all()):
            raise UnreadableError(f"{name} in the checkpoint is not finite", "restore it from a copy")


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
