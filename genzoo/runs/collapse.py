"""CollapseMonitor: warnings about an adversarial game that fails although every number stays finite. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from genzoo.storage.run_folder import Run

_ALWAYS = 0.99
_NARROW = 0.05
_ENTRIES = 3
_YOUNG = 20


class CollapseMonitor:
    """Checks the values of every log entry, and warns once of each condition until it no longer holds.

    * The critic's mean probability of the right answer is at least 0.99 on both sides, or at most 0.01, for three
      entries: the generator gets almost no gradient from it.
    * The standard deviation of samples over rows is below a twentieth of the data's for three entries, after it was
      higher or after twenty entries (before training, all samples are alike).
    """

    def __init__(self) -> None:
        self._entries = 0
        self._was_wide = False
        self._lasting: dict[str, int] = {}

    def look(self, watch: Mapping[str, object]) -> list[str]:
        """Return the warnings to give after a log entry with these watched values."""
        self._entries += 1
        values = {name: value for name, value in watch.items() if isinstance(value, float)}
        sides = [values[name] for name in ("data_accuracy", "sample_accuracy") if name in values]
        spread = values.get("sample_spread")
        is_narrow = spread is not None and spread < _NARROW
        self._was_wide = self._was_wide or (spread is not None and not is_narrow)
        conditions = {
            "the critic is always right; the generator learns next to nothing from it: try a lower "
            "training.players.critic.learning_rate": len(sides) == 2 and min(sides) >= _ALWAYS,
            "the critic is always wrong; the generator learns next to nothing from it: try a higher "
            "training.players.critic.learning_rate": len(sides) == 2 and max(sides) <= 1 - _ALWAYS,
            "the samples are nearly all alike: the decoder has collapsed; go back to an earlier checkpoint, with a "
            "lower training.learning_rate": is_narrow and (self._was_wide or self._entries > _YOUNG),
        }
        for text, holds in conditions.items():
            self._lasting[text] = self._lasting.get(text, 0) + 1 if holds else 0
        return [text for text, times in self._lasting.items() if times == _ENTRIES]

    @property
    def standing(self) -> list[str]:
        """The warnings whose condition still holds."""
        return [text for text, times in self._lasting.items() if times >= _ENTRIES]


def failures_of(run: Run, scores: Sequence[dict[str, Any]] | None = None) -> list[str]:
    """Return in what a run has plainly failed: warnings that held to the end of its log, and what its scores say.

    `scores` are the run's final ones, for a caller that has read them.
    """
    scores = run.final_scores if scores is None else scores
    monitor = CollapseMonitor()
    for entry in run.read_log():
        watch = entry.get("watch")
        monitor.look(watch if isinstance(watch, dict) else {})
    return [*monitor.standing, *dict.fromkeys(score["failure"] for score in scores if score.get("failure"))]
