"""Threads: how many a training takes on a CPU that others use, too. Needs no torch."""

import os
import sys

from genzoo.machine import usable_cores
from genzoo.storage.run_folder import Run

_VARIABLE = "OMP_NUM_THREADS"


def use_threads(asked: int | None, run: Run | None = None) -> None:
    """Have torch compute with `asked` threads, imported or not.

    Without `asked`, OMP_NUM_THREADS decides, or else how many `run` was trained with, so that it goes on bitwise the
    same, or else how many cores are idle. On an idle machine, all that stays torch's own choice.
    """
    if asked is None and _VARIABLE in os.environ:
        return
    threads = asked or (run.record.threads if run is not None and run.exists else None) or idle_threads()
    if threads is None:
        return
    os.environ[_VARIABLE] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def idle_threads() -> int | None:
    """Return how many cores others leave idle, by the load of the last minute, at least one; None if nothing runs."""
    if "getloadavg" not in dir(os):  # Windows
        return None
    busy = round(os.getloadavg()[0])
    return max(1, usable_cores() - busy) if busy else None
