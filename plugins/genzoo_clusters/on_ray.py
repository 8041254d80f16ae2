"""Ray: trainings as tasks of a cluster, by Ray's own client."""

import os
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from genzoo.comparison import ExecutorFactory, TaskExecutor, TaskProcess
from genzoo_clusters.clients import connected, library, refuse_jobs

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # else it reports to its makers
    "RAY_memory_monitor_refresh_ms": "0",  # else it ends its own processes, which are small, where memory is short
}
"""Of a cluster that is started here, unless it is set otherwise."""


@dataclass(frozen=True, kw_only=True)
class Ray(ExecutorFactory):
    """Tasks of a Ray cluster: of one that runs, by its address, or of one started here.

    As many trainings run at a time as the cluster has cores and GPUs for.
    """

    name: ClassVar[str] = "ray"
    tries: int = 3
    address: str | None = None
    """Of a cluster that runs, such as HOST:6379, or auto; none: one is started on this machine."""
    cpus: int = 1
    """Cores and threads of one training."""
    gpus: float = 0.0
    """GPUs of one training; below 1, several trainings share one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cpus < 1 or self.gpus < 0:
            raise ValueError("expected cpus of at least 1, and gpus of at least 0")

    def start(self, trainings: int, *, jobs: int | None, folder: Path) -> Executor:
        """Return an executor on a cluster, which has room for `jobs` trainings if it is started here."""
        ray = library("ray", engine=self.name)
        if self.address is not None:
            refuse_jobs(jobs, self.address)
        is_ours = not ray.is_initialized()
        if is_ours:
            for variable, value in _ENVIRONMENT.items():
                os.environ.setdefault(variable, value)
            local = {} if self.address else {"include_dashboard": False, "num_cpus": jobs and jobs * self.cpus}
            connected(
                lambda: ray.init(self.address or "local", log_to_driver=False, logging_level="ERROR", **local),
                self.address,
                engine="Ray",
            )
        return _RayExecutor(ray, self, is_ours=is_ours)


class _RayExecutor(TaskExecutor):
    def __init__(self, ray: Any, resources: Ray, *, is_ours: bool) -> None:
        super().__init__()
        self._ray = ray
        self._cpus = resources.cpus
        self._is_ours = is_ours
        # Whoever compares counts the tries.
        self._run = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0)(_run)

    def begin(self, folder: Path) -> "Future[int]":
        task = self._run.remote(TaskProcess.elsewhere(folder, cpus=self._cpus))
        future: Future[int] = task.future()
        future.add_done_callback(lambda ended: self._ray.cancel(task) if ended.cancelled() else None)
        return future

    def close(self) -> None:
        if self._is_ours:
            self._ray.shutdown()


def _run(process: TaskProcess) -> int:
    return process.run()
