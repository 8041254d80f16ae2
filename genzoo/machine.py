"""The operating system: what Linux and macOS do differently. Needs no torch."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

_ZEROS = bytes(2**20)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if "sched_getaffinity" in dir(os):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS cannot restrict a process to some


def start_of_process(pid: int) -> str | None:
    """Return when a process began, in a form that two processes with one number do not share; None if unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]  # the 22nd field, see proc(5)
    except (OSError, IndexError):
        return None


def open_standard_streams() -> None:
    """Lead the standard streams that are closed to nowhere, so that no other file takes their descriptors."""
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))


def reserve(descriptor: int, size: int) -> None:
    """Make a file at least `size` bytes long, with room for them on the disk; raise `OSError` where it is full."""
    if "posix_fallocate" in dir(os):
        os.posix_fallocate(descriptor, 0, size)
        return
    missing = size - os.lseek(descriptor, 0, os.SEEK_END)
    while missing > 0:
        missing -= os.write(descriptor, _ZEROS[: min(missing, len(_ZEROS))])


def end_with(parent: int) -> None:
    """Have this process receive SIGTERM, once, when the process `parent`, which started it, ends.

    Linux could send it (PR_SET_PDEATHSIG), but may do so for several threads of the parent, and a second signal ends a
    training at once.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
