"""Guests: the code of plugins, run so that what it prints and raises stays its own. Needs no torch."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from genzoo.errors import GenzooError, Interrupted, PluginError, ResourceError, is_out_of_memory
from genzoo.text import in_a_line


class _Diversion:
    """Where stdout goes while any thread hosts a plugin: the first one in diverts it, the last one out restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts = 0
        self._stdout = sys.stdout
        self._descriptor: int | None = None

    def enter(self) -> None:
        with self._lock:
            self._hosts += 1
            if self._hosts == 1:
                self._stdout = sys.stdout
                _flush(self._stdout)
                with suppress(OSError):  # a process may have no stdout, or no stderr
                    self._descriptor = os.dup(1)
                    os.dup2(2, 1)
                sys.stdout = sys.stderr

    def leave(self) -> None:
        with self._lock:
            self._hosts -= 1
            if self._hosts == 0:
                _flush(self._stdout)  # what somebody wrote to it all the same
                if self._descriptor is not None:
                    os.dup2(self._descriptor, 1)
                    os.close(self._descriptor)
                    self._descriptor = None
                sys.stdout = self._stdout


_diversion = _Diversion()


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what the process writes to stdout, by Python or past it, to stderr: stdout is for results."""
    _diversion.enter()
    try:
        yield
    finally:
        _diversion.leave()


@contextmanager
def plugin_errors(what: str, remedy: str) -> Iterator[None]:
    """Host a plugin's code; what it raises or exits with becomes a `PluginError` that begins with `what`.

    Memory that ends becomes a `ResourceError`; genzoo's own errors and interruptions pass.
    """
    with stdout_to_stderr():
        try:
            yield
        except (KeyboardInterrupt, Interrupted, GenzooError):
            raise
        except BaseException as error:
            kind = ResourceError if is_out_of_memory(error) else PluginError
            raise kind(f"{what}: {in_a_line(error)}", remedy) from error


def removal(*distributions: str) -> str:
    """Return what to do about broken plugins."""
    return f"repair or remove the plugin: pip uninstall {' '.join(distributions)}"


def _flush(stream: object) -> None:
    with suppress(OSError, ValueError, AttributeError):  # who writes to it next will be told, under their own name
        stream.flush()  # type: ignore[attr-defined]
