"""The background saver: it writes one checkpoint at a time in a thread while training goes on. Needs no torch."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from types import TracebackType

from genzoo.errors import explain, warn


class BackgroundSaver:
    """Saves in a worker thread, and reports on the caller's thread what is on disk and what failed.

    On leaving its `with` block nothing is being written any more, so that the run's lock may be released.
    """

    def __init__(self, worker: Executor, on_save: Callable[[int], None]) -> None:
        self._worker = worker
        self._on_save = on_save
        self._unreported: tuple[int, Future[object]] | None = None

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._unreported is not None and not self._unreported[1].done()

    def start(self, step: int, save: Callable[[], object]) -> None:
        """Have the worker call `save`, which writes the checkpoint of `step`, after the one before is reported."""
        self.wait()
        self._unreported = step, self._worker.submit(save)

    def report(self) -> None:
        """Call `on_save` if a checkpoint is on disk by now, or raise what made it fail."""
        if not self.is_writing:
            self.wait()

    def wait(self) -> None:
        """Wait until nothing is being written, and report."""
        if self._unreported is None:
            return
        step, writing = self._unreported
        wait([writing])
        self._unreported = None
        writing.result()
        self._on_save(step)

    def __enter__(self) -> "BackgroundSaver":
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait, through interrupts too, and report; beside an error that ends the training, a failure is a warning."""
        interrupt = self._wait_through_interrupts()
        try:
            self.wait()
        except Exception as failure:
            if error is None and interrupt is None:
                raise
            warn([f"the last checkpoint could not be saved: {explain(failure).found}"])
        if interrupt is not None:
            raise interrupt

    def _wait_through_interrupts(self) -> KeyboardInterrupt | None:
        """Return the last interrupt that came while a checkpoint was being written, after it is."""
        interrupt = None
        while self._unreported is not None and self.is_writing:
            try:
                wait([self._unreported[1]])
            except KeyboardInterrupt as again:
                interrupt = again
        return interrupt
