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
    return "genzoo" if size() == 1 else f"torchrun --nproc-per-node={size()} -m -- genzoo"
