"""What torchrun tells a process of itself: its rank, and how many there are. Needs no torch."""

import os


def size() -> int:
    """Return the number of processes that were launched together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return this process's number among all."""
    return int(os.environ.get("RANK", "0")) if size() > 1 else 0


def local_rank() -> int:
    """Return this process's number among those on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) if size() > 1 else 0


def command() -> str:
    """Return how genzoo is called so that as many processes are launched again."""
    if size() == 1:
        return "genzoo"
    here = int(os.environ.get("LOCAL_WORLD_SIZE", size()))
    nodes = "--standalone" if here == size() else f"--nnodes={size() // here} …"
    return f"torchrun {nodes} --nproc-per-node={here} -m -- genzoo"
