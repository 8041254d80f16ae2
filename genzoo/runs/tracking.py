"""Tracking: tells trackers of a training. One that fails is detached with a warning, and the training goes on."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genzoo.components import flat, to_json, to_text
from genzoo.errors import GenzooError, warn
from genzoo.host.discovery import registry
from genzoo.host.isolation import plugin_errors
from genzoo.randomness import preserved
from genzoo.runs.callbacks import Callback, Callbacks
from genzoo.runs.tracker import TrackedRun, Tracker, Tracking
from genzoo.storage.record import RunRecord
from genzoo.storage.run_folder import TRACKED, Run
from genzoo.storage.run_trackers import TrackerMemory


@contextmanager
def tracked(trackers: Sequence[Tracker], callback: Callback | None, *, is_told: bool) -> Iterator[Callback]:
    """Yield a callback that, beside what `callback` does, tells trackers of a training; they end with the block.

    If `is_told`, the run remembers them in place of those that it had.
    """
    told = _Trackers({registry().name_of(tracker): tracker for tracker in trackers}, is_told=is_told)
    try:
        yield Callbacks(*([] if callback is None else [callback]), told)
    finally:
        told.finish()


_Call = tuple[int, Callable[[Tracking], None]]
"""What a tracker is told, and after which step."""


class _Trackers(Callback):
    """Tells trackers what the engine reports, each of it once: what was sent is remembered in the run's folder.

    That it is sent is remembered first. So nothing is sent twice, and what was about to be sent when the process was
    killed is missing.
    """

    def __init__(self, trackers: Mapping[str, Tracker], *, is_told: bool) -> None:
        self._trackers = trackers
        self._is_told = is_told
        self._remembered: tuple[dict[str, Any], ...] = ()
        self._trackings: dict[str, Tracking] = {}
        self._sent: dict[str, dict[str, int]] = defaultdict(dict)
        self._run: Run | None = None
        self._steps = 0
        self._done = False

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Start the trackers, and send the numbers and pictures of the run so far that they were not sent."""
        self._run, self._steps = run, steps
        if not self._trackers and not self._is_told:
            return
        with self._detaching(*self._trackers):
            memory = TrackerMemory.of(run)
            self._sent |= {name: dict(sent) for name, sent in memory.sent.items()}
            named = tuple(to_json(tracker, name_of=registry().name_of) for tracker in self._trackers.values())
            self._remembered = named if self._is_told else memory.trackers
            self._remember()
            for name, tracker in self._trackers.items():
                with self._detaching(name):
                    self._trackings[name] = tracker.start(_tracked_run(run, tracker))
            former = (entry for entry in run.read_log() if not entry.get("partial") or entry["step"] == steps)
            self._send("log", [_log_call(entry["step"], _numbers(entry)) for entry in former])
            for kind in run.picture_kinds:
                drawn = [path for path in sorted((run.path / kind).glob("*.png")) if path.stem.isdecimal()]
                self._send(kind, [_picture_call(kind, path) for path in drawn if int(path.stem) <= step])

    def on_log(self, entry: dict[str, Any]) -> None:
        """Send an entry's numbers, unless it is written again when the run goes on."""
        if not entry.get("partial") or entry["step"] == self._steps:
            self._send("log", [_log_call(entry["step"], _numbers(entry))])

    def on_picture(self, name: str, step: int, path: Path) -> None:
        """Send a picture."""
        self._send(name, [_picture_call(name, path)])

    def on_evaluation(self, step: int, scores: Sequence[Mapping[str, Any]], card: str) -> None:
        """Send the scores that are finite, and the card."""
        finite = [score for score in scores if score["value"] is not None]
        values = {f"scores/{score['metric']}": score["value"] for score in finite}
        self._send("scores", [_log_call(step, values)] if values else [])
        self._send("card", [(step, lambda tracking: tracking.card(step, card))])
        self._done = step == self._steps

    def finish(self) -> None:
        """End all trackers."""
        for name, tracking in list(self._trackings.items()):
            with self._detaching(name):
                tracking.finish(done=self._done)

    def _send(self, what: str, calls: Sequence[_Call]) -> None:
        """Make the calls of steps after the last that a tracker was sent, once that is remembered."""
        if not self._trackings:
            return
        with self._detaching(*self._trackings):
            waiting = {
                name: [(step, call) for step, call in calls if step > self._sent[name].get(what, -1)]
                for name in self._trackings
            }
            for name, steps in ((name, [step for step, _ in some]) for name, some in waiting.items() if some):
                self._sent[name][what] = max(steps)
            if any(waiting.values()):
                self._remember()
            for name, some in waiting.items():
                with self._detaching(name):
                    for _, call in some:
                        call(self._trackings[name])

    def _remember(self) -> None:
        assert self._run is not None
        TrackerMemory(trackers=self._remembered, sent=self._sent).write(self._run)

    @contextmanager
    def _detaching(self, *names: str) -> Iterator[None]:
        """Detach trackers, with a warning, if the `with` block raises; it leaves the random state as it was."""
        what = f"tracker {', '.join(names)}" if names else "tracking"
        try:
            with preserved(), plugin_errors(f"{what} failed", "leave it out: --track"):
                yield
        except GenzooError as error:
            for name in names:
                self._trackings.pop(name, None)
            found = error.found if what in error.found else f"{what} failed: {error.found}"
            warn([f"{found}; it is told nothing more, and the training goes on"])


def _log_call(step: int, values: Mapping[str, float]) -> _Call:
    return step, lambda tracking: tracking.log(step, values)


def _picture_call(name: str, path: Path) -> _Call:
    return int(path.stem), lambda tracking: tracking.picture(int(path.stem), name, path)


def _tracked_run(run: Run, tracker: Tracker) -> TrackedRun:
    record = run.record
    return TrackedRun(
        name=run.name,
        identity=record.identity or "",
        folder=run.path / TRACKED / tracker.name,
        settings=_settings(record),
    )


def _settings(record: RunRecord) -> dict[str, bool | int | float | str]:
    """Return what a run was started with, by path, without the folders of this machine."""
    names = ("model", "recipe", "seed", "precision", "deterministic", "device")
    named = {name: getattr(record, name) for name in names}
    paths = [pair for root, value in record.settings.items() for pair in flat(value, root)]
    texts = {path: _sent_value(value) for path, value in [*named.items(), *paths]}
    return {path: value for path, value in texts.items() if not Path(str(value)).is_absolute()}


def _sent_value(value: Any) -> bool | int | float | str:
    if value is None:
        return "none"
    return value if isinstance(value, bool | int | float) else to_text(value)


def _numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a log entry by name; those that are not finite stand in it as texts."""
    numbers: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping) and name != "diverged":
            numbers |= {f"{name}/{key}": float(number) for key, number in value.items()}
        elif isinstance(value, int | float) and name not in ("step", "partial"):
            numbers[f"time/{name}"] = float(value)
    return numbers
