"""Isolation: runs the code of plugins, sends what it prints to stderr and names the plugin in its errors."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from genzoo.errors import GenzooError, Interrupted, PluginError, ResourceError, is_out_of_memory, raised_at
from genzoo.host.versions import cause_of


class _Diversion:
    """Diverts stdout to stderr while any thread runs a plugin: the first diverts, the last restores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._stdout = sys.stdout
        self._descriptor: int | None = None

    def enter(self) -> None:
        with self._lock:
            self._threads += 1
            if self._threads == 1:
                self._stdout = sys.stdout
                _flush(self._stdout)
                with suppress(OSError):  # a process may have no stdout, or no stderr
                    self._descriptor = os.dup(1)
                    os.dup2(2, 1)
                sys.stdout = sys.stderr

    def leave(self) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                _flush(self._stdout)  # what code that kept the old stream wrote to it
                if self._descriptor is not None:
                    os.dup2(self._descriptor, 1)
                    os.close(self._descriptor)
                    self._descriptor = None
                sys.stdout = self._stdout


_diversion = _Diversion()


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send all that the process writes to stdout, by Python or by C, to stderr: stdout is for results."""
    _diversion.enter()
    try:
        yield
    finally:
        _diversion.leave()


@contextmanager
def plugin_errors(what: str, remedy: str) -> Iterator[None]:
    """Run a plugin's code; an error or exit becomes a `PluginError` that begins with `what` and says where.

    Running out of memory becomes a `ResourceError`; genzoo's own errors and interruptions pass.
    """
    with stdout_to_stderr():
        try:
            yield
        except (KeyboardInterrupt, Interrupted, GenzooError):
            raise
        except BaseException as error:
            kind = ResourceError if is_out_of_memory(error) else PluginError
            place = raised_at(error)
            where = "" if place is None else f" ({place})"
            raise kind(f"{what}: {cause_of(error)}{where}", remedy) from error


def removal(*distributions: str) -> str:
    """Return the remedy for broken plugins."""
    return f"repair or remove the plugin: pip uninstall {' '.join(distributions)}"


def _flush(stream: object) -> None:
    with suppress(OSError, ValueError, AttributeError):  # the next write to it raises the error where it belongs
        stream.flush()  # type: ignore[attr-defined]
