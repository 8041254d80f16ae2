"""Trackers: what follows a run elsewhere than in its record, and how one is named. Needs no torch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from genzoo.components import Component, from_json, override
from genzoo.errors import GenzooError, SettingsError, warn
from genzoo.host.discovery import registry
from genzoo.host.isolation import plugin_errors
from genzoo.storage.run_folder import Run
from genzoo.storage.run_trackers import TrackerMemory

NO_TRACKERS = "none"
"""What is named in place of a tracker to have none."""


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A run as a tracker is told of it; nothing in it names a user or machine, or a folder but the tracker's own."""

    name: str
    """The name of its folder, such as `0001-MODEL-RECIPE-s0`."""
    identity: str
    """What no other run has, by which a run that goes on is recognised: 32 hexadecimal digits."""
    folder: Path
    """The tracker's own folder in the run's, which may not be there yet."""
    settings: Mapping[str, bool | int | float | str]
    """Model, recipe, seed, precision, and every setting by its dotted path."""


class Tracking(ABC):
    """One run in a tracker. Whatever a method raises detaches the tracker with a warning, and the training goes on.

    Nothing is told twice: when a run goes on, what it was told before is left out. Calls come between two steps, and
    training waits for them.
    """

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers after `step` steps, such as `losses/critic`, `time/steps_per_second` or `scores/METRIC`.

        They may be infinite or NaN, where a training diverges.
        """

    def picture(self, step: int, name: str, path: Path) -> None:  # noqa: B027 - a tracker may show none
        """Add a picture, the PNG file `path`: `samples`, `reconstructions` or `pictures/NAME`; by default, do not."""

    def card(self, step: int, text: str) -> None:  # noqa: B027
        """Set the run's card, Markdown with facts and scores, which replaces the one of an earlier step."""

    def finish(self, *, done: bool) -> None:  # noqa: B027
        """End: all steps are taken and measured if `done`; else the run was stopped, and may go on."""


@dataclass(frozen=True, kw_only=True)
class Tracker(Component):
    """A place where runs are followed, chosen by `--track NAME`; its fields are set by `--track NAME.FIELD=VALUE`."""

    kind: ClassVar[str] = "trackers"

    def obstacle(self) -> str | None:
        """Return what is missing here and how to get it, such as a library, or None; asked before a training."""
        return None

    @abstractmethod
    def start(self, run: TrackedRun) -> Tracking:
        """Begin to follow a run, or go on with it."""


def trackers_called(track: Sequence[str | Tracker]) -> list[Tracker]:
    """Return trackers: values, names, or texts as after `--track`, which may set fields; `none` alone is no tracker.

    Raises `SettingsError` for a name, field or value that is not valid, and where a tracker cannot be used here.
    """
    if list(track) == [NO_TRACKERS]:
        return []
    chosen: dict[str, Tracker] = {}
    for each in track:
        if isinstance(each, Tracker):
            chosen[registry().name_of(each)] = each
            continue
        path, equals, value = each.partition("=")
        name, _, field = path.rpartition(".") if equals else (path, "", "")
        tracker = chosen.get(name) or _tracker_called(name)
        chosen[name] = _with_field(tracker, field, value) if equals else tracker
    for tracker in chosen.values():
        _require_usable(tracker)
    return list(chosen.values())


def trackers_for(track: Sequence[str | Tracker] | None, run: Run | None) -> list[Tracker]:
    """Return the trackers that `track` names, or for None those that follow `run`, if it has any.

    Raises `SettingsError` for what is named and cannot be used; of a run's own trackers, a warning says so.
    """
    if track is not None:
        return trackers_called(track)
    trackers: list[Tracker] = []
    try:
        remembered = () if run is None else TrackerMemory.of(run).trackers
    except GenzooError as error:
        warn([f"the run goes on without its trackers: {error.found}"])
        return []
    for settings in remembered:
        try:
            tracker = _tracker_of(settings)
            _require_usable(tracker)
            trackers.append(tracker)
        except GenzooError as error:
            warn([f"the run goes on without its tracker '{settings['name']}': {error.found}"])
    return trackers


def _tracker_called(name: str) -> Tracker:
    """Return the tracker of that name with its defaults; FILE.py:CLASS and MODULE:CLASS import it."""
    return _tracker_of({"name": registry().named("trackers", name)})


def _require_usable(tracker: Tracker) -> None:
    """Raise `SettingsError` with its obstacle if a tracker cannot be used here."""
    with plugin_errors(f"tracker '{tracker.name}' failed", "leave it out: --track"):
        obstacle = tracker.obstacle()
    if obstacle is not None:
        raise SettingsError(f"tracker '{tracker.name}' cannot be used here: {obstacle}", "or leave it out: --track")


def _tracker_of(settings: Mapping[str, Any]) -> Tracker:
    tracker = from_json(Tracker, settings, resolve=registry().resolve, path="track")
    assert isinstance(tracker, Tracker)
    return tracker


def _with_field(tracker: Tracker, field: str, value: str) -> Tracker:
    try:
        changed = override(tracker, field, value, resolve=registry().resolve)
    except SettingsError as error:
        raise SettingsError(f"--track {tracker.name}: {error.found}", f"see: genzoo show {tracker.name}") from error
    assert isinstance(changed, Tracker)
    return changed
