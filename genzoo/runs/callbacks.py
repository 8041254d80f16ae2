"""The callback: whom the engine tells what it does, and asks whether to stop. Needs no torch."""

from typing import Any

from genzoo.storage.run_folder import Run


class Callback:
    """Is told what the engine does; every method may be left as it is."""

    def on_start(self, run: Run, step: int, steps: int) -> None:
        """Training begins at `step` of `steps`."""

    def on_step(self, step: int) -> None:
        """`step` steps are taken; called very often."""

    def on_log(self, entry: dict[str, Any]) -> None:
        """One line went into metrics.jsonl."""

    def on_save(self, step: int) -> None:
        """The checkpoint of `step` is on disk."""

    def on_end(self) -> None:
        """All steps are taken; evaluation follows."""

    def stop_signal(self) -> int | None:
        """Return the signal that asks the run to stop, if there is one; asked after every step."""
        return None

    def wants_save(self) -> bool:
        """Return whether the run was asked to save and go on since this was last asked; asked after every step."""
        return False
