"""Slurm: trainings as an array of jobs, sent by submitit."""

import signal
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from genzoo import SettingsError
from genzoo.comparison import ExecutorFactory, TaskExecutor, TaskProcess
from genzoo_clusters.clients import library

_POLL = 1.0
"""Seconds between two looks at the jobs."""
_WARNING = 120
"""Seconds before the end of a job's time at which it is told to save."""


@dataclass(frozen=True, kw_only=True)
class Slurm(ExecutorFactory):
    """Jobs of Slurm, sent by submitit as an array; `--jobs` says how many of it run at a time.

    A job whose time is up, or that is preempted, saves, is queued again, and goes on.
    """

    name: ClassVar[str] = "slurm"
    tries: int = 3
    partition: str | None = None
    account: str | None = None
    gpus: int = 0
    """GPUs of one training."""
    cpus: int = 1
    """Cores and threads of one training."""
    memory: float | None = None
    """GB of one training."""
    minutes: int = 240
    """Time of a job; a training that takes longer goes on in another one."""
    requeues: int = 100
    """How often a job may be queued again because its time was up."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Further options of sbatch, such as on.options.constraint=a100."""
    cluster: Literal["slurm", "local"] = "slurm"
    """`local` runs the jobs as processes of this machine, to try things."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cpus < 1 or self.gpus < 0 or self.minutes < 1 or self.requeues < 0:
            raise ValueError("expected cpus and minutes of at least 1, gpus and requeues of at least 0")

    def start(self, trainings: int, *, jobs: int | None, folder: Path) -> Executor:
        """Return an executor that sends jobs, with submitit's files in `folder`."""
        submitit = library("submitit", engine=self.name)
        try:
            sender = submitit.AutoExecutor(
                folder=folder.absolute(), cluster=self.cluster, slurm_max_num_timeout=self.requeues
            )
        except RuntimeError as error:
            raise SettingsError(
                "there is no Slurm on this machine: no srun", "type this on a machine that sends jobs to Slurm"
            ) from error
        sender.update_parameters(
            name="genzoo",
            cpus_per_task=self.cpus,
            gpus_per_node=self.gpus or None,  # submitit leaves out what is None
            mem_gb=self.memory,
            timeout_min=self.minutes,
            slurm_partition=self.partition,
            slurm_account=self.account,
            slurm_array_parallelism=jobs,
            # SIGUSR1 saves, where Slurm sends it to the training itself, too.
            slurm_setup=["export SUBMITIT_PREEMPT_SIGNAL=USR1"],
            slurm_additional_parameters={"signal": f"USR1@{_WARNING}", **self.options},
        )
        return _SlurmExecutor(sender, self.cpus)


class Job:
    """A task as submitit's jobs run it: told to save, it is queued again."""

    def __init__(self, process: TaskProcess) -> None:
        self._process = process

    def __call__(self) -> int:
        """Run the task and return its exit code."""
        return self._process.run()

    def checkpoint(self) -> Any:
        """Have the training save and end, and return what runs next in its place."""
        return library("submitit", engine=Slurm.name).helpers.DelayedSubmission(Job(self._process.again()))


class _SlurmExecutor(TaskExecutor):
    """Sends what was asked for since the last look as one array, and looks at the jobs, in a thread."""

    def __init__(self, sender: Any, cpus: int) -> None:
        super().__init__()
        self._sender = sender
        self._cpus = cpus
        self._queued: deque[tuple[Future[int], Job]] = deque()
        self._sent: list[tuple[Future[int], Any]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="genzoo-slurm", daemon=True)
        self._thread.start()

    def begin(self, folder: Path) -> "Future[int]":
        future: Future[int] = Future()
        self._queued.append((future, Job(TaskProcess.elsewhere(folder, cpus=self._cpus))))
        return future

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        # A terminal's Ctrl-C goes to all of its processes: it shall end neither sbatch nor local jobs, begun from here.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        count = 0
        while not self._closed.wait(_POLL):
            if count == len(self._queued):  # nothing was added since the last look
                self._send()
            count = len(self._queued)
            self._sent = [(future, job) for future, job in self._sent if not self._has_ended(future, job)]
        for future, job in self._sent:
            self._has_ended(future, job)

    def _send(self) -> None:
        taken = [self._queued.popleft() for _ in range(len(self._queued))]
        waiting = [(future, task) for future, task in taken if not future.cancelled()]
        if not waiting:
            return
        try:
            jobs = self._sender.submit_array([task for _, task in waiting])
        except Exception as error:  # of whatever kind: else these trainings would be waited for
            refused = SettingsError(f"Slurm did not take the jobs: {error}", "mend --set on.…; see: genzoo show slurm")
            for future, _ in waiting:
                if future.set_running_or_notify_cancel():
                    future.set_exception(refused)
            return
        self._sent += [(future, job) for (future, _), job in zip(waiting, jobs, strict=True)]

    @staticmethod
    def _has_ended(future: "Future[int]", job: Any) -> bool:
        """Return whether a job has ended, or was cancelled, and hand on how."""
        if future.cancelled():
            job.cancel(check=False)
            return True
        if not job.done():
            return False
        if future.set_running_or_notify_cancel():
            error = job.exception()
            if error is None:
                future.set_result(job.result())
            else:
                future.set_exception(error)
        return True
