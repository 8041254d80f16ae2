"""The callback: the engine reports its progress to it, and asks it whether to stop. Needs no torch."""

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

    def on_save(self, step: int) -> None:
        """Called when the checkpoint of `step` is on disk."""

    def on_end(self) -> None:
        """Called after the last step, before the evaluation."""

    def stop_signal(self) -> int | None:
        """Return the number of a signal that asks the run to stop, or None; called after every step."""
        return None

    def wants_save(self) -> bool:
        """Return whether to save and continue, once per request; called after every step."""
        return False
