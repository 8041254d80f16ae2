"""The callback: the engine reports its progress to it, and asks it whether to stop. Needs no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genzoo.storage.run_folder import Run


class Callback:
    """Receives the events of a training; override the methods for those of interest."""

    def on_start(self, run: "Run", step: int, steps: int) -> None:
        """Called when training begins at `step` of `steps`."""

    def on_note(self, text: str) -> None:
        """Called with a line on the training as a whole: that the data are few, or about how long it will take."""

    def on_step(self, step: int) -> None:
        """Called after every step; `step` steps have been taken."""

    def on_log(self, entry: dict[str, Any]) -> None:
        """Called after one line was written to metrics.jsonl."""

    def on_picture(self, name: str, step: int, path: Path) -> None:
        """Called when a picture was drawn: `samples`, `reconstructions` or `pictures/NAME`, as the PNG file `path`."""

    def on_evaluation(self, step: int, scores: Sequence[Mapping[str, Any]], card: str) -> None:
        """Called with the scores of `step`, as evaluation.json holds them, and with them the run's card (Markdown)."""

    def on_save(self, step: int) -> None:
        """Called when the checkpoint of `step` is on disk, which may be some steps later."""

    def on_end(self) -> None:
        """Called after the last step, before the evaluation."""

    def stop_signal(self) -> int | None:
        """Return the number of a signal that asks the run to stop, or None; called after every step."""
        return None

    def wants_save(self) -> bool:
        """Return whether to save and continue, once per request; called after every step."""
        return False


class Callbacks(Callback):
    """Passes every event on to several callbacks; the first signal of any counts, and so does a wish to save."""

    def __init__(self, *callbacks: Callback) -> None:
        self._callbacks = callbacks

    def on_start(self, run: "Run", step: int, steps: int) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.on_start(run, step, steps)

    def on_note(self, text: str) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.on_note(text)

    def on_step(self, step: int) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.on_step(step)

    def on_log(self, entry: dict[str, Any]) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.on_log(entry)

    def on_picture(self, name: str, step: int, path: Path) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.on_picture(name, step, path)

    def on_evaluation(self, step: int, scores: Sequence[Mapping[str, Any]], card: str) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.on_evaluation(step, scores, card)

    def on_save(self, step: int) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.on_save(step)

    def on_end(self) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.on_end()

    def stop_signal(self) -> int | None:
        """Return the first signal of any callback, after all were asked."""
        return next((number for number in [each.stop_signal() for each in self._callbacks] if number is not None), None)

    def wants_save(self) -> bool:
        """Return whether any callback wants to save, after all were asked."""
        return True in [callback.wants_save() for callback in self._callbacks]
