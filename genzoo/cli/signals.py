"""Signals, for the command line only: the first asks training to stop and save, the second ends at once."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from genzoo import launch


class Stop:
    """The signal that came, if one did; `deferred` says whether someone is going to ask."""

    def __init__(self) -> None:
        self.number: int | None = None
        # Ranks that wait for each other before the first step hear nothing, and have nothing to save.
        self.deferred = launch.size() == 1
        self.save = False
        """Whether SIGUSR1 came: save and go on."""

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take note that a save was asked for."""
        self.save = True
        os.write(2, b"saving after the next step\n")

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal, or end at once."""
        again = self.number is not None and launch.size() == 1  # torchrun repeats what one rank was told
        if again or not self.deferred:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.number = number
        os.write(2, b"stopping as soon as all is saved; once more to stop at once\n")  # print is not reentrant


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Collect SIGINT, SIGTERM and SIGUSR1 while inside; the handlers from before return on leaving."""
    stop = Stop()
    handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]]
    handlers = {signal.SIGINT: stop.handle, signal.SIGTERM: stop.handle}
    if sys.platform != "win32":
        handlers[signal.SIGUSR1] = stop.note
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
