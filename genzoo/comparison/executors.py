"""Executors: where the trainings of a comparison run; here, in processes on this machine."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from genzoo.comparison import worker
from genzoo.machine import usable_cores


class LocalProcesses(Executor):
    """Runs every task in its own process, `jobs` at a time, which share the CPU's cores.

    It accepts only `genzoo.comparison.run_task`. Any `concurrent.futures.Executor` whose workers see the same files can
    take its place.
    """

    def __init__(self, jobs: int) -> None:
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="genzoo-task")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_stopping = False
        cores = max(1, usable_cores() // jobs)
        self._environment = {} if jobs == 1 else {"OMP_NUM_THREADS": str(cores)}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[int]":  # type: ignore[override]
        """Queue the task in the given folder; the future's result is the exit code of its process."""
        if fn is not worker.run_task or kwargs:
            raise TypeError(f"{type(self).__name__} runs only genzoo.comparison.run_task, not {fn}")
        return self._threads.submit(self._run, *args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the tasks; with `cancel_futures`, drop queued ones and have running ones save and end."""
        if cancel_futures:
            self._is_stopping = True
            for process in tuple(self._running):
                process.terminate()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)

    def _run(self, folder: Path) -> int:
        with (folder / worker.OUTPUT).open("wb") as output:
            process = subprocess.Popen(
                # -P: do not import modules from the current folder
                [sys.executable, "-P", "-m", worker.__name__, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self._environment, "GENZOO_PARENT": str(os.getpid())},
                start_new_session=True,  # the parent passes on a Ctrl-C
            )
        self._running.add(process)
        if self._is_stopping:
            process.terminate()
        try:
            return process.wait()
        finally:
            self._running.discard(process)
