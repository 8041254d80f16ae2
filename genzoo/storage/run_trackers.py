"""Which trackers follow a run, and what each was sent, in a file of its own in the run's folder. Needs no torch.

It is no part of the run's record, and stays behind when a model is exported: it says where a person follows runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genzoo.errors import UnreadableError
from genzoo.storage import files
from genzoo.storage.run_folder import TRACKERS, Run


@dataclass(frozen=True, kw_only=True)
class TrackerMemory:
    """The trackers of a run; empty where it never had one."""

    trackers: tuple[dict[str, Any], ...] = ()
    """Those that follow it, as JSON: name and fields."""
    sent: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The last step that each tracker was sent, by its name and what was sent; former trackers' too."""

    @classmethod
    def of(cls, run: Run) -> "TrackerMemory":
        """Return what a run remembers of its trackers; raise `UnreadableError` if that is damaged."""
        path = run.path / TRACKERS
        if not path.exists():
            return cls()
        remedy = f"go on without trackers, or with others: rm {path}"
        content = files.read_json(path, "what a run remembers of its trackers", remedy=remedy)
        trackers, sent = content.get("trackers"), content.get("sent")
        if not _are_trackers(trackers) or not _are_steps(sent):
            raise UnreadableError(f"{path} is not what a run remembers of its trackers", remedy)
        return cls(trackers=tuple(trackers or ()), sent=sent or {})

    def write(self, run: Run) -> None:
        """Write it into the folder of a run that this process holds."""
        run.check_lock()
        document = {"schema_version": files.SCHEMA_VERSION, "trackers": list(self.trackers), "sent": self.sent}
        files.write_json(run.path / TRACKERS, document)


def _are_trackers(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in value)


def _are_steps(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(steps, dict) and all(type(step) is int for step in steps.values()) for steps in value.values()
    )
