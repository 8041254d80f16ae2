"""Tensors as bytes, in the safetensors format and no other."""

from itertools import groupby
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, load_file
from torch import Tensor

from genzoo.errors import SettingsError, UnreadableError
from genzoo.storage.checkpoints import Checkpoint
from genzoo.storage.safetensors_header import TensorEntry, header
from genzoo.text import is_text

_DTYPES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The format's words for types, in the order in which safetensors writes them: larger ones first, to be aligned."""
_ORDER = list(_DTYPES)
_OTHER = "it was made by another version of the model: install that one (run.json names it), or train again"


def pack(tensors: dict[str, Tensor], *, notes: dict[str, str] | None = None) -> memoryview:
    """Return copies of tensors of any device and layout as a safetensors file, with `notes` as its metadata.

    Every tensor is copied once, into its place in the file. `safetensors.torch.save` takes three times the memory,
    holds the interpreter's lock for as long as it copies, and ends the process where memory does not suffice.
    """
    ordered = dict(sorted(tensors.items(), key=lambda item: (_ORDER.index(item[1].dtype), item[0])))
    entries = {
        name: TensorEntry(_DTYPES[tensor.dtype], tuple(tensor.shape), tensor.numel() * tensor.element_size())
        for name, tensor in ordered.items()
    }
    beginning = header(entries, notes=notes)
    size = len(beginning) + sum(entry.size for entry in entries.values())
    devices = {tensor.device for tensor in ordered.values() if tensor.is_cuda}
    content = torch.empty(size, dtype=torch.uint8, pin_memory=bool(devices))
    content[: len(beginning)] = torch.frombuffer(bytearray(beginning), dtype=torch.uint8)
    place = len(beginning)
    for dtype, group in groupby(ordered.values(), key=lambda tensor: tensor.dtype):
        flat = [tensor.detach().reshape(-1) for tensor in group]
        length = sum(tensor.nbytes for tensor in flat)
        _fill_flat(content[place : place + length].view(dtype), flat)
        place += length
    for device in devices:
        torch.cuda.synchronize(device)
    return content.numpy().data


def _fill_flat(target: Tensor, parts: list[Tensor]) -> None:
    """Copy flat tensors, one after another, into the flat `target` of the host, without waiting for a device."""
    if not target.is_pinned():
        torch.cat(parts, out=target)
        return
    for place, part in zip(torch.split(target, [part.numel() for part in parts]), parts, strict=True):
        place.copy_(part, non_blocking=True)


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


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
