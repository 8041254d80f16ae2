"""What torchrun tells a process in its environment: its rank, and the number of ranks. Needs no torch."""

import os

from genzoo.errors import SettingsError


def size() -> int:
    """Return the number of processes that were launched together; 1 without a launcher."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """Return the number of this process among all, from 0."""
    return _number("RANK") if size() > 1 else 0


def local_rank() -> int:
    """Return the number of this process among those on its machine, from 0."""
    return _number("LOCAL_RANK", 0) if size() > 1 else 0


def command() -> str:
    """Return the command that launches genzoo with as many processes again."""
    if size() == 1:
        return "genzoo"
    here = int(os.environ.get("LOCAL_WORLD_SIZE", size()))
    nodes = "--standalone" if here == size() else f"--nnodes={size() // here} …"
    return f"torchrun {nodes} --nproc-per-node={here} -m -- genzoo"


def _number(variable: str, default: int | None = None) -> int:
    """Return a number from the environment; without one, `default`, or raise `SettingsError` if that is None."""
    text = os.environ.get(variable, "")
    if not text and default is not None:
        return default
    if not text.isdecimal():
        said = f"is '{text}', expected a number" if text else "is not set, and WORLD_SIZE is"
        raise SettingsError(f"{variable} {said}", "start ranks with torchrun, or leave it out: unset WORLD_SIZE")
    return int(text)
