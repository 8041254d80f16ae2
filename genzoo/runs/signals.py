"""Signals: they end a program of genzoo's at once, and a training after it has been saved.

Of those, library calls handle an interrupt alone (Ctrl-C, a notebook's stop button), and only while they train.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from genzoo.errors import Interrupted
from genzoo.machine import end_with
from genzoo.runs.callbacks import Callback, Callbacks
from genzoo.training import torchrun

if TYPE_CHECKING:
    from genzoo.storage.run_folder import Run

_Handler = Callable[[int, FrameType | None], None]

KEPT = "everything that was saved before is kept"
STOPPING = "stopping as soon as all is saved; once more to stop at once"


@contextmanager
def end_on_signals() -> Iterator[None]:
    """Raise `Interrupted` on SIGINT or SIGTERM inside the `with` block; the former handlers return on leaving."""
    with _handlers({"SIGINT": _end, "SIGTERM": _end, "SIGUSR1": lambda number, frame: tell("nothing to save here")}):
        yield


def _end(number: int, frame: FrameType | None) -> NoReturn:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            # An exception here could be swallowed by a half-imported module, or crash one written in C.
            tell(f"interrupted; {KEPT}")
            os._exit(128 + number)
        frame = frame.f_back
    raise Interrupted(number)


class Stop:
    """The signal that asked a training to stop, if any."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.deferred = torchrun.size() == 1
        """Whether the training will ask for the number; else a signal ends the process at once.

        Several ranks wait for each other before the first step, and cannot ask until then.
        """
        self.save = False
        """Whether SIGUSR1 came: save and go on."""
        self.tell: Callable[[str], None] = tell
        """How a line is written meanwhile; a bar has a place of its own for it."""

    def note(self, number: int, frame: FrameType | None) -> None:
        """Record that a save was asked for (SIGUSR1)."""
        self.save = True
        self.tell("a checkpoint is saved after the next step, if there is one")

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Record a signal to stop, or end at once if the training cannot ask for it."""
        if not self.deferred:
            if torchrun.size() == 1:
                _end(number, frame)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.number = number
        if torchrun.size() == 1:  # torchrun sends on to all ranks what it receives
            for following in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(following) == self.handle:
                    signal.signal(following, signal.SIG_DFL)
        self.tell(STOPPING)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Collect signals inside the `with` block; the former handlers return on leaving."""
    stop = Stop()
    wanted = {"SIGINT": stop.handle, "SIGTERM": stop.handle, "SIGHUP": stop.handle, "SIGUSR1": stop.note}
    with _handlers(wanted), _end_at_the_second() if torchrun.size() == 1 else nullcontext():
        yield stop


class StopOnSignal(Callback):
    """Stops a training at the step after a signal, and saves a checkpoint after SIGUSR1."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self.run: Run | None = None

    def on_start(self, run: "Run", step: int, steps: int) -> None:
        """Defer signals until everything is saved."""
        self.run = run
        self._stop.deferred = True

    def on_end(self) -> None:
        """Let signals end the process at once again, as everything is saved."""
        self._stop.deferred = False
        if self._stop.number is not None:
            raise Interrupted(self._stop.number)

    def stop_signal(self) -> int | None:
        """Return the number of the signal received, or None."""
        return self._stop.number

    def wants_save(self) -> bool:
        """Return whether SIGUSR1 was received since the last call."""
        wanted, self._stop.save = self._stop.save, False
        return wanted


class _Interrupt(Callback):
    """Stops a training at the step after an interrupt; a second one, or one at another time, raises at once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self._is_training = False
        self._number: int | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Record the interrupt, or raise `KeyboardInterrupt`."""
        if self._number is not None or not self._is_training:
            signal.default_int_handler(number, frame)
        self._number = number
        self.tell(STOPPING)

    def on_start(self, run: "Run", step: int, steps: int) -> None:
        """Defer interrupts until everything is saved."""
        self._is_training = True

    def on_end(self) -> None:
        """Let interrupts raise again, as everything is saved."""
        self._is_training = False
        if self._number is not None:
            raise KeyboardInterrupt

    def stop_signal(self) -> int | None:
        """Return the number of the interrupt, or None."""
        return self._number


@contextmanager
def saved_on_interrupt(callback: Callback, *, tell: Callable[[str], None]) -> Iterator[Callback]:
    """Yield a callback that, beside what `callback` does, has an interrupt save the training before it ends.

    `tell` says so at once; it is called in a signal's handler.

    Where Python would not raise `KeyboardInterrupt` (in other threads, under a handler of the caller's) and where
    several ranks train, that is `callback` itself.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler or torchrun.size() > 1:
        yield callback
        return
    interrupt = _Interrupt(tell)
    with _handlers({"SIGINT": interrupt.handle}):
        yield Callbacks(callback, interrupt)


@contextmanager
def _end_at_the_second() -> Iterator[None]:
    """End the process at a second signal, even while a long call into C keeps Python from handling the first."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reader,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        os.close(writer)


def _listen(reader: int) -> None:
    received = 0
    with open(reader, "rb", buffering=0) as signals:
        while number := signals.read(1):
            received += number[0] in (signal.SIGINT, signal.SIGTERM)
            if received == 2:
                os._exit(128 + number[0])


@contextmanager
def _handlers(wanted: Mapping[str, _Handler]) -> Iterator[None]:
    """Set handlers for the signals that this platform has, except those ignored (`nohup`) or handled in C."""
    numbers = {getattr(signal, name): handler for name, handler in wanted.items() if name in dir(signal)}
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: former for number, former in before.items() if former not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, numbers[number])
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def tell(text: str) -> None:
    """Write a line to stderr; print is not reentrant."""
    if sys.stderr is not None:
        with suppress(OSError):  # the terminal may be gone
            os.write(2, f"{text}\n".encode())


def end_with_parent() -> Callable[[], bool]:
    """Have this process receive SIGTERM, once, when the one that started it, whose number is GENZOO_PARENT, ends.

    Return a function that says whether it has ended.
    """
    parent = os.environ.pop("GENZOO_PARENT", None)
    if parent is None:
        return lambda: False
    end_with(int(parent))
    return lambda: os.getppid() != int(parent)
