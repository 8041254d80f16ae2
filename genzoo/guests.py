"""Guests: the code of plugins, run so that what it prints and raises stays its own. Needs no torch."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from genzoo.errors import GenzooError, PluginError, is_out_of_memory, printable


@contextmanager
def hosted() -> Iterator[None]:
    """Send what is written to stdout, by Python or past it, to stderr: stdout is for results."""
    if sys.stdout is not None:
        sys.stdout.flush()
    kept = None
    with suppress(OSError):  # a process may have no stdout, or no stderr
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


@contextmanager
def blamed(what: str, remedy: str) -> Iterator[None]:
    """Host a plugin's code; whatever it raises or exits with becomes a `PluginError` that begins with `what`."""
    try:
        with hosted():
            yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | GenzooError) or is_out_of_memory(error):
            raise
        raise PluginError(f"{what}: {in_a_line(error)}", remedy) from error


def removal(*distributions: str) -> str:
    """Return what to do about broken plugins."""
    return f"repair or remove the plugin: pip uninstall {' '.join(distributions)}"


def in_a_line(cause: object) -> str:
    """Return an error with its type, or the first line of a text, in at most 200 characters that can be printed."""
    try:
        text = str(cause).strip()
    except Exception:  # its own fault: that it was raised is still told
        text = ""
    if isinstance(cause, BaseException):
        text = f"{type(cause).__name__}: {text}" if text else type(cause).__name__
    else:
        text = text.partition("\n")[0]
    text = printable(text.replace("\n", " "))
    return text if len(text) <= 200 else text[:197] + "..."
