"""MLflow."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from genzoo.runs import TrackedRun, Tracker, Tracking
from genzoo_trackers.libraries import obstacle_without

_IDENTITY = "genzoo.run"
"""The tag by which a run that goes on is recognised."""
_MOST = 100
"""Parameters, and as many metrics, in a request: MLflow's own limit for parameters."""
_LONGEST = 500
"""Characters of a parameter's value, which older servers cut there."""


@dataclass(frozen=True, kw_only=True)
class MLflow(Tracker):
    """MLflow; names and passwords of a server are as in its documentation, MLFLOW_TRACKING_USERNAME and so on.

    It is sent neither user nor command nor the state of a repository, as MLflow's own `start_run` would send.
    """

    name: ClassVar[str] = "mlflow"
    uri: str | None = None
    """A server or database; None: MLFLOW_TRACKING_URI, or MLflow's own choice, a database in the current folder."""
    experiment: str = "genzoo"

    def obstacle(self) -> str | None:
        """Return that MLflow is not installed, or None."""
        return obstacle_without("mlflow")

    def start(self, run: TrackedRun) -> Tracking:
        """Begin a run, or go on with the one of this identity."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        client = MlflowClient(tracking_uri=self.uri)
        experiment = client.get_experiment_by_name(self.experiment)
        number = client.create_experiment(self.experiment) if experiment is None else experiment.experiment_id
        former = client.search_runs([number], filter_string=f"tags.`{_IDENTITY}` = '{run.identity}'")
        if former:
            name = former[0].info.run_id
            client.update_run(name, status="RUNNING")
            return _Run(client, name)
        name = client.create_run(number, run_name=run.name, tags={_IDENTITY: run.identity}).info.run_id
        parameters = [Param(path, str(value)[:_LONGEST]) for path, value in run.settings.items()]
        for first in range(0, len(parameters), _MOST):
            client.log_batch(name, params=parameters[first : first + _MOST])
        return _Run(client, name)


class _Run(Tracking):
    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers; what MLflow does not allow in a name becomes `_`."""
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        metrics = [Metric(re.sub(r"[^\w\-. :/]", "_", name), value, now, step) for name, value in values.items()]
        for first in range(0, len(metrics), _MOST):
            self._client.log_batch(self._name, metrics=metrics[first : first + _MOST])

    def picture(self, step: int, name: str, path: Path) -> None:
        """Send the file as an artifact."""
        self._client.log_artifact(self._name, str(path), name)

    def card(self, step: int, text: str) -> None:
        """Set the run's description."""
        self._client.set_tag(self._name, "mlflow.note.content", text)

    def finish(self, *, done: bool) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self._name, "FINISHED" if done else "KILLED")
