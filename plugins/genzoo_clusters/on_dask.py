"""Dask: trainings on the workers of a cluster, by Dask's own client."""

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from genzoo.comparison import ExecutorFactory, TaskExecutor, TaskProcess
from genzoo_clusters.clients import connected, library, refuse_jobs

_SPARE = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers begin with: else a terminal's Ctrl-C, which all of its processes get, leaves no worker to end a task."""


@dataclass(frozen=True, kw_only=True)
class Dask(ExecutorFactory):
    """Workers of a Dask cluster: of one that runs, by the address of its scheduler, or of one started here.

    A worker runs as many trainings at a time as it has threads, so start those of a cluster with `--nthreads 1`.
    """

    name: ClassVar[str] = "dask"
    tries: int = 3
    address: str | None = None
    """Of a scheduler, such as tcp://HOST:8786; none: workers are started on this machine."""
    cpus: int = 1
    """Threads of one training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cpus < 1:
            raise ValueError(f"cpus is {self.cpus}, expected at least 1")

    def start(self, trainings: int, *, jobs: int | None, folder: Path) -> Executor:
        """Return an executor on a cluster's workers, which are `jobs` if they are started here."""
        distributed = library("distributed", engine=self.name)
        cluster = None
        if self.address is not None:
            refuse_jobs(jobs, self.address)
        else:
            room = max(1, library("dask.system", engine=self.name).CPU_COUNT // self.cpus)
            cluster = distributed.LocalCluster(
                n_workers=jobs or min(trainings, room),
                threads_per_worker=1,
                memory_limit=None,  # trainings have processes of their own
                dashboard_address=None,
                silence_logs="CRITICAL",
                preload=_SPARE,
            )
        client = connected(lambda: distributed.Client(cluster or self.address), self.address, engine="Dask")
        return _DaskExecutor(client, cluster, self.cpus)


class _DaskExecutor(TaskExecutor):
    def __init__(self, client: Any, cluster: Any, cpus: int) -> None:
        super().__init__()
        self._client = client
        self._cluster = cluster
        self._cpus = cpus
        self._executor = client.get_executor(pure=False)

    def begin(self, folder: Path) -> "Future[int]":
        future: Future[int] = self._executor.submit(TaskProcess.elsewhere(folder, cpus=self._cpus).run)
        return future

    def close(self) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()
