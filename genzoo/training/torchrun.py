"""What torchrun tells a process in its environment: its rank, and the number of ranks. Needs no torch."""

import os


def size() -> int:
    """Return the number of processes that were launched together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process among all, from 0."""
    return int(os.environ.get("RANK", "0")) if size() > 1 else 0


def local_rank() -> int:
    """Return the number of this process among those on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if size() > 1 else 0


def command() -> str:
    """Return the command that launches genzoo with as many processes again."""
    if size() == 1:
        return "genzoo"
    here = int(os.environ.get("LOCAL_WORLD_SIZE", size()))
    nodes = "--standalone" if here == size() else f"--nnodes={size() // here} …"
    return f"torchrun {nodes} --nproc-per-node={here} -m -- genzoo"
