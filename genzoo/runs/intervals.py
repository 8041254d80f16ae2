"""Intervals: what is due after a step, be it a log entry, pictures, a checkpoint or an evaluation. Needs no torch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genzoo.training.settings import Training


class Due(NamedTuple):
    """What is to be done after a step."""

    log: bool
    draw: bool
    save: bool
    evaluate: bool


def due(
    training: "Training", step: int, *, last: bool, stop: bool = False, save: bool = False, draw: bool = False
) -> Due:
    """Return what is due after `step` steps (counted from 1), by the intervals of the training settings.

    After the `last` step all is due but the evaluation, which ends the run. A run that is asked to `stop` is logged and
    saved, and one that is asked to `save` or `draw` is saved or drawn.
    """
    return Due(
        log=_falls_on(step, training.log_every) or last or stop,
        draw=_falls_on(step, training.picture_every) or last or draw,
        save=_falls_on(step, training.checkpoint_every) or last or stop or save,
        evaluate=_falls_on(step, training.evaluate_every) and not last,
    )


def _falls_on(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


class PictureBudget:
    """Says when pictures may be drawn that are not due by steps, and measures how long they take.

    Pictures enter no number, so that time may decide; what a log or a score holds depends on steps alone.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._spent = _FIRST_PICTURE

    def allows_more(self) -> bool:
        """Return whether the pictures so far took at most 2 % of the time."""
        return self._spent <= _SHARE_OF_PICTURES * (self._clock() - self._began)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time inside the `with` block as that of pictures."""
        began = self._clock()
        try:
            yield
        finally:
            self._spent += self._clock() - began


_SHARE_OF_PICTURES = 0.02
_FIRST_PICTURE = 1.0
"""Seconds that are put by for the first picture, which imports matplotlib."""


class SaveTimer:
    """Says when the minutes between two checkpoints are over."""

    def __init__(self, minutes: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = 60 * minutes if minutes else math.inf
        self._clock = clock
        self._began = clock()

    def is_over(self) -> bool:
        """Return whether the minutes have passed since the timer was made or restarted."""
        return self._clock() - self._began >= self._seconds

    def restart(self) -> None:
        """Count from now on."""
        self._began = self._clock()
