"""Weights & Biases."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from genzoo.runs import TrackedRun, Tracker, Tracking
from genzoo_trackers.libraries import obstacle_without


@dataclass(frozen=True, kw_only=True)
class WandB(Tracker):
    """Weights & Biases; WANDB_API_KEY, WANDB_BASE_URL, WANDB_DIR and so on are as in its documentation.

    Of this machine, it is sent the operating system's kind and the versions of Python and wandb; neither its name nor a
    user, folder, command, or list of packages.
    """

    name: ClassVar[str] = "wandb"
    project: str = "genzoo"
    entity: str | None = None
    """A user or team; None: the default one of the account."""
    mode: Literal["online", "offline"] | None = None
    """None: what WANDB_MODE says, or online. An offline run lies below ./wandb, for `wandb sync`."""

    def obstacle(self) -> str | None:
        """Return that wandb is not installed, or that nobody has logged in, or None."""
        obstacle = obstacle_without("wandb")
        if obstacle is not None or self._mode != "online":
            return obstacle
        import wandb

        is_logged_in = wandb.login(prompt=False)
        return None if is_logged_in else "nobody is logged in; type: wandb login, or add --track wandb.mode=offline"

    def start(self, run: TrackedRun) -> Tracking:
        """Begin a run, or go on with the one of this identity."""
        import wandb

        return _Run(
            wandb.init(
                project=self.project,
                entity=self.entity,
                mode=self._mode,
                id=run.identity,
                name=run.name,
                resume="allow",
                config=dict(run.settings),
                settings=wandb.Settings(**_PRIVATE),
            )
        )

    @property
    def _mode(self) -> str:
        return self.mode or os.environ.get("WANDB_MODE", "online")


class _Run(Tracking):
    def __init__(self, run: Any) -> None:
        self._run = run
        run.define_metric("step")
        run.define_metric("*", step_metric="step")  # wandb's own steps count calls, and cannot go back

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers as a row of their own."""
        self._run.log({**values, "step": step})

    def picture(self, step: int, name: str, path: Path) -> None:
        """Log a copy of the file."""
        import wandb

        self._run.log({name: wandb.Image(str(path)), "step": step})

    def card(self, step: int, text: str) -> None:
        """Set the run's notes."""
        self._run.notes = text

    def finish(self, *, done: bool) -> None:
        """Wait until all is sent, and end."""
        self._run.finish(exit_code=0 if done else 1)


_PRIVATE: dict[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "host": "genzoo",
    "program": "genzoo",
    "quiet": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
