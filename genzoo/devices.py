"""Devices and precisions: from what the user asks for to what there is."""

import torch

from genzoo.errors import SettingsError
from genzoo.trainer import Precision


def choose_device(name: str) -> torch.device:
    """Return the device called `auto`, `cpu`, `cuda` or `cuda:INDEX`; refuse one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()):
        raise SettingsError(f"no device called '{name}'", "devices: auto, cpu, cuda, cuda:0, cuda:1, …")
    if int(index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"--device {name}: torch finds {torch.cuda.device_count()} CUDA devices here",
            "type: --device cpu",
        )
    return torch.device("cuda", int(index or 0))


def choose_precision(name: str) -> Precision:
    """Return the precision called `auto`, `fp32` or `bf16`; `auto` is fp32 until measurements say otherwise."""
    if name not in ("auto", "fp32", "bf16"):
        raise SettingsError(f"no precision called '{name}'", "precisions: auto, fp32, bf16")
    return "bf16" if name == "bf16" else "fp32"
