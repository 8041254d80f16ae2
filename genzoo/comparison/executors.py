"""Where the trainings of a comparison run: behind `concurrent.futures.Executor`; here, processes on this machine."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from genzoo.comparison import worker


class LocalProcesses(Executor):
    """Runs every task in a process of its own, `jobs` at a time, the processor's cores shared among them.

    It takes `genzoo.comparison.run_task` alone. Any other executor whose workers see the same files will do as well.
    """

    def __init__(self, jobs: int) -> None:
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="genzoo-task")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_stopping = False
        cores = max(1, (os.cpu_count() or 1) // jobs)
        self._environment = {} if jobs == 1 else {"OMP_NUM_THREADS": str(cores)}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[int]":  # type: ignore[override]
        """Have the task in the given folder run; the future's result is the exit code of its process."""
        if fn is not worker.run_task or kwargs:
            raise TypeError(f"{type(self).__name__} runs tasks of comparisons alone, not {fn}")
        return self._threads.submit(self._run, *args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the tasks; with `cancel_futures`, drop those that wait and have those that run save and end."""
        if cancel_futures:
            self._is_stopping = True
            for process in tuple(self._running):
                process.terminate()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)

    def _run(self, folder: Path) -> int:
        with (folder / worker.OUTPUT).open("wb") as output:
            process = subprocess.Popen(
                # -P: no module of the current folder is run
                [sys.executable, "-P", "-m", worker.__name__, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self._environment, "GENZOO_PARENT": str(os.getpid())},
                start_new_session=True,  # a Ctrl-C on the terminal is the parent's to pass on
            )
        self._running.add(process)
        if self._is_stopping:
            process.terminate()
        try:
            return process.wait()
        finally:
            self._running.discard(process)
