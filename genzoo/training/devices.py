"""Devices: which device, precision and execution the names that a user gives stand for."""

from math import prod

import torch

from genzoo.errors import SettingsError
from genzoo.training import torchrun
from genzoo.training.execution import Execution, Precision
from genzoo.types import DataSpec


def choose_device(name: str) -> torch.device:
    """Return the device called `auto`, `cpu`, `cuda` or `cuda:INDEX`; raise `SettingsError` if it does not exist.

    With several ranks on one machine, each takes the GPU of its local rank.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        raise SettingsError(
            "--device mps: genzoo was never run on Apple's GPUs, which lack float64 and bitwise repetition",
            "type: --device cpu",
        )
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()):
        raise SettingsError(f"no device called '{name}'", "devices: auto, cpu, cuda, cuda:0, cuda:1, …")
    number = int(index) if index else torchrun.local_rank()
    if number >= torch.cuda.device_count():
        raise SettingsError(
            f"--device {name}: torch finds {torch.cuda.device_count()} CUDA devices here",
            "type: --device cpu",
        )
    return torch.device("cuda", number)


def choose_precision(name: str, device: str, spec: DataSpec) -> Precision:
    """Return the precision called `auto`, `fp32`, `tf32` or `bf16`.

    `auto` is bf16 for images of 32×32 pixels or more on a device that multiplies bf16 natively, and fp32 otherwise:
    smaller networks were not faster in bf16 (docs/benchmarks.md).
    """
    if name == "auto":
        is_large = spec.is_image and prod(spec.shape[1:]) >= _PIXELS
        return "bf16" if is_large and _multiplies_bf16(choose_device(device)) else "fp32"
    return precision_called(name)


def precision_called(name: str) -> Precision:
    """Return the precision called `fp32`, `tf32` or `bf16`."""
    for precision in _PRECISIONS:
        if name == precision:
            return precision
    raise SettingsError(f"no precision called '{name}'", f"precisions: {', '.join(('auto', *_PRECISIONS))}")


def choose_execution(name: str, device: torch.device) -> Execution:
    """Return how steps are run; `auto` is `captured` on CUDA and `eager` elsewhere."""
    if name == "auto":
        return "captured" if device.type == "cuda" else "eager"
    if name == "captured" and device.type != "cuda":
        raise SettingsError("--execution captured: a CUDA graph needs a CUDA device", "type: --execution auto")
    for execution in _EXECUTIONS:
        if name == execution:
            return execution
    raise SettingsError(f"no execution called '{name}'", "executions: auto, eager, captured, compiled")


_PIXELS = 32 * 32
"""The smallest image for which `auto` takes bf16."""
_PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")
_EXECUTIONS: tuple[Execution, ...] = ("eager", "captured", "compiled")


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
