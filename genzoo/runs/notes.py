"""Notes: what a person should know early in a training, how long it takes and whether its data are few. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from genzoo.text import duration

if TYPE_CHECKING:
    from genzoo.games.game import Game
    from genzoo.types import DataSpec

_FEW, _FEW_FOR_LONG, _OFTEN = 1000, 10_000, 500
_MAY_BE_LEARNED = 2
"""How often rows are seen that may be learned by heart."""
_STEPS_UNTIMED = 5
_STEPS_TIMED = 20
_LEAST_SECONDS, _MOST_SECONDS = 1.0, 10.0
_LONG_SECONDS = 3600.0
_SHORTER = (
    "without a GPU, try fewer steps (--steps N) or a smaller recipe (genzoo list recipes); stop it at any time with "
    "Ctrl-C, and go on with: genzoo resume RUN"
)


class FirstSteps:
    """Times the first steps of a session, and estimates once how long the others take.

    The first five are not timed, because devices and libraries warm up in them. At least twenty steps and a second are
    timed, or as many as ten seconds hold. The device is waited for twice.
    """

    def __init__(self, *, step: int, steps: int, on_cpu: bool = False) -> None:
        self._steps = steps
        self._on_cpu = on_cpu
        self._first = step + _STEPS_UNTIMED
        self._began: tuple[int, float] | None = None
        self._is_over = False

    def look(self, step: int, seconds: Callable[[], float], wait: Callable[[], None]) -> str | None:
        """Return the estimate in one line, once, or None; called when `step` steps are taken.

        `seconds` returns the time spent on steps so far, and `wait` returns when the device has done all of them.
        """
        if self._is_over or step < self._first:
            return None
        if self._began is None:
            wait()
            self._began = step, seconds()
            return None
        since, began = self._began
        count, taken = step - since, seconds() - began
        if taken < _LEAST_SECONDS or (count < _STEPS_TIMED and taken < _MOST_SECONDS):
            return None
        self._is_over = True
        wait()
        left = self._steps - step
        time_left = left * (seconds() - began) / count
        text = f"the other {left:,} steps take about {duration(time_left)} on this machine"
        if self._on_cpu and time_left > _LONG_SECONDS:
            return f"warning: {text}; {_SHORTER}"
        return text if left > 0 else None


def note_of_few_rows(rows: int, spec: "DataSpec", game: "Game", *, shown: int) -> str | None:
    """Return a line for a training split with few rows for a training that is shown `shown` rows in all, or None.

    Few are under a thousand, or under ten thousand if each is seen 500 times. The line says what helps if the game
    offers it.
    """
    times = round(shown / rows)
    if rows >= _FEW and (rows >= _FEW_FOR_LONG or times < _OFTEN):
        return None
    what = f"only {rows:,} training {'images' if spec.is_image else 'rows'}"
    text = f"{what}, each seen about {times:,} times"
    text += ": the model may learn them by heart" if times >= _MAY_BE_LEARNED else ""
    may_augment = any(field.name == "augment" and getattr(game, field.name) is None for field in fields(game))
    return f"{text}; consider: --set game.augment=diffaugment" if spec.is_image and may_augment else text


def warning_texts(entry: Mapping[str, Any]) -> list[str]:
    """Return the warnings of a log entry as lines."""
    return [f"warning: step {entry['step']:,}: {text}" for text in entry.get("warnings", [])]


def losses_text(entry: Mapping[str, Any]) -> str:
    """Return the losses of a log entry with four digits."""
    losses: Mapping[str, float | str] = entry["losses"]  # a text where a loss is not finite
    texts = {name: value if isinstance(value, str) else f"{value:.4g}" for name, value in losses.items()}
    return "  ".join(f"{name} {text}" for name, text in texts.items())
