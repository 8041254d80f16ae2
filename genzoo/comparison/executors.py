"""Executors: where the trainings of a comparison run; here, in processes on this machine."""

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from genzoo.comparison import worker
from genzoo.components import Component, from_json, override
from genzoo.errors import UnreadableError
from genzoo.host.discovery import registry
from genzoo.machine import usable_cores

_POLL_STOP = 0.5
"""Seconds between two looks for the file that asks a training to end."""


@dataclass(frozen=True, kw_only=True)
class ExecutorFactory(Component):
    """Where the trainings of a comparison run: makes an executor, and its fields are the settings of that.

    The executor gets tasks alone: `submit(genzoo.comparison.run_task, folder)` gives a future of an exit code, and
    `shutdown(cancel_futures=True)` lets trainings save and end. A `TaskExecutor` does that.
    """

    kind: ClassVar[str] = "executors"

    tries: int = 1
    """How often a training is begun without getting further when the process or machine that runs it is lost."""

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError(f"tries is {self.tries}, expected at least 1")

    @abstractmethod
    def start(self, trainings: int, *, jobs: int | None, folder: Path) -> Executor:
        """Return an executor for so many trainings, of which `jobs` run at a time (None: as many as there is room for).

        `folder` is for files of the executor's own. It need not be there yet, and is removed after trainings that all
        ended well.
        """


@dataclass(frozen=True, kw_only=True)
class Local(ExecutorFactory):
    """Processes on this machine, which share its cores; `--jobs` says how many at a time."""

    name: ClassVar[str] = "local"

    def start(self, trainings: int, *, jobs: int | None, folder: Path) -> Executor:
        """Return an executor of at most as many processes as there are cores, unless `jobs` says otherwise."""
        return LocalProcesses(jobs or max(1, min(trainings, usable_cores())))


@dataclass
class TaskProcess:
    """A task as a process, to be run here or, sent as a value, on another machine that has the same file system."""

    folder: Path
    """The folder of the task."""
    environment: Mapping[str, str]
    """What is added to the environment of the machine."""
    directory: Path = field(default_factory=Path.cwd)
    """The folder that relative paths start from."""
    patient: bool = False
    """Whether a run that another process trains is waited for as long as that takes, and not for seconds only."""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False, repr=False)

    @classmethod
    def elsewhere(cls, folder: Path, *, cpus: int) -> Self:
        """Return the process of a task for another machine, with `cpus` threads and genzoo's variables from here.

        It waits for a run that another process trains as long as that takes: one on another machine may outlive the
        comparison that sent it.
        """
        names = [name for name in os.environ if name.startswith("GENZOO_") or name == "PYTHONPATH"]
        environment = {name: os.environ[name] for name in names} | {"OMP_NUM_THREADS": str(cpus)}
        return cls(folder, environment, patient=True)

    def run(self) -> int:
        """Run the task and return the exit code of its process.

        The training saves and ends where `Task.stop` was called, where `stop` is, and where this process ends.
        """
        task = worker.Task(self.folder)
        if not (self.folder.is_dir() and self.directory.is_dir()):
            raise UnreadableError(
                "the worker does not see the folder of the comparison, or the one where it was typed",
                "compare on a file system that all machines share",
            )
        if task.is_stopped:
            return worker.STOPPED
        with (self.folder / worker.OUTPUT).open("wb") as output:
            self._process = subprocess.Popen(
                # -P: do not import modules from the current folder
                [sys.executable, "-P", "-m", worker.__name__, str(self.folder), *(["--wait"] if self.patient else [])],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env={**os.environ, **self.environment, "GENZOO_PARENT": str(os.getpid())},
                start_new_session=True,  # the parent passes on a Ctrl-C
            )
        try:
            while not task.is_stopped:
                with suppress(subprocess.TimeoutExpired):
                    return self._process.wait(_POLL_STOP)
        finally:
            self.stop()
        return self._process.returncode

    def stop(self) -> None:
        """Have the training save, and wait for the end of the process, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def again(self) -> Self:
        """Have the training save, and return the process that goes on; until it does, the task can be cancelled."""
        self.stop()
        (self.folder / worker.OUTPUT).unlink(missing_ok=True)
        return replace(self)


class TaskExecutor(Executor, ABC):
    """An executor of tasks, `genzoo.comparison.run_task` alone; a subclass says where one begins."""

    def __init__(self) -> None:
        self._futures: list[_TaskFuture] = []

    @abstractmethod
    def begin(self, folder: Path) -> "Future[int]":
        """Have a `TaskProcess` run the task in `folder` when there is room, and return the future of its exit code.

        An exception of the future that is no `GenzooError` says that the worker was lost.
        """

    def close(self) -> None:
        """Give back what the executor holds, such as connections; called after the last task."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[int]":  # type: ignore[override]
        """Queue the task in the given folder; the future's result is the exit code of its process."""
        if fn is not worker.run_task or kwargs:
            raise TypeError(f"{type(self).__name__} runs only genzoo.comparison.run_task, not {fn}")
        (folder,) = args
        future = _TaskFuture(worker.Task(folder), self.begin(folder.absolute()))
        self._futures.append(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the tasks; with `cancel_futures`, drop queued ones and have running ones save and end."""
        if cancel_futures:
            for future in self._futures:
                future.stop()
        if wait:
            wait_for_all(self._futures)
            self.close()


class _TaskFuture(Future[int]):
    """The exit code of a task, which can be cancelled until its process was started, whatever the engine says."""

    def __init__(self, task: worker.Task, inner: "Future[int]") -> None:
        super().__init__()
        self._task = task
        self._inner = inner
        inner.add_done_callback(self._hand_on)

    def cancel(self) -> bool:
        """Cancel the task if it has not begun, and return whether it is cancelled."""
        if self._task.has_begun or not super().cancel():
            return False
        self.set_running_or_notify_cancel()
        self._task.stop()  # it may begin in this moment
        self._inner.cancel()
        return True

    def stop(self) -> None:
        """Cancel the task, or have it save and end."""
        if not self.done() and not self.cancel():
            self._task.stop()

    def _hand_on(self, inner: "Future[int]") -> None:
        with suppress(InvalidStateError):  # this one is cancelled
            if inner.cancelled():
                self.set_exception(CancelledError())
            elif (error := inner.exception()) is not None:
                self.set_exception(error)
            else:
                self.set_result(inner.result())


class LocalProcesses(TaskExecutor):
    """Runs every task in its own process, `jobs` at a time, which share the CPU's cores.

    It accepts only `genzoo.comparison.run_task`. Any `concurrent.futures.Executor` whose workers see the same files can
    take its place.
    """

    def __init__(self, jobs: int) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="genzoo-task")
        cores = max(1, usable_cores() // jobs)
        self._environment = {} if jobs == 1 else {"OMP_NUM_THREADS": str(cores)}

    def begin(self, folder: Path) -> "Future[int]":
        """Queue the task for the next thread."""
        return self._threads.submit(TaskProcess(folder, self._environment).run)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


@dataclass(frozen=True, kw_only=True)
class ExecutorRoot:
    """The root of an executor's settings, whose paths are `on.…`."""

    on: ExecutorFactory


def executor_called(name: str, overrides: Mapping[str, str]) -> ExecutorFactory:
    """Return the executor of a name, with the settings that `overrides` maps paths such as `on.tries` to."""
    resolve = registry().resolve
    root = ExecutorRoot(on=from_json(ExecutorFactory, name, resolve=resolve, path="on"))
    for path, text in overrides.items():
        root = override(root, path, text, resolve=resolve)
    return root.on
