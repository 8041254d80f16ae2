"""Errors: what was found, what to do about it, and the exit code of the command line."""

import errno
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, ClassVar

from genzoo.text import in_a_line, text_of


class GenzooError(Exception):
    """An error that a user can act on; `found` says what is wrong, `remedy` what to do or type."""

    exit_code: ClassVar[int] = 1

    def __init__(self, found: str, remedy: str | None = None) -> None:
        super().__init__(found if remedy is None else f"{found}\n{remedy}")
        self.found = found
        self.remedy = remedy


class SettingsError(GenzooError):
    """A name, value or combination of settings that is not valid (exit 2)."""

    exit_code = 2


class UnreadableError(GenzooError):
    """Data, a run or a checkpoint is missing, damaged or of a newer format (exit 3)."""

    exit_code = 3


class PluginError(GenzooError):
    """A plugin that is needed is broken, ambiguous or incompatible (exit 4)."""

    exit_code = 4


class DivergedError(GenzooError):
    """A loss, gradient, weight or statistic became non-finite, and was not saved (exit 5)."""

    exit_code = 5


class ResourceError(GenzooError):
    """Memory or disk ran out, or a folder cannot be written (exit 6)."""

    exit_code = 6


class BusyError(GenzooError):
    """Another process is writing to the run folder (exit 7)."""

    exit_code = 7


class Interrupted(BaseException):
    """A signal came while there was nothing to save; not an `Exception`, so that `except Exception` lets it pass."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class InterruptedRun(GenzooError):
    """A signal ended the run after it was saved (exit 128 + the signal: 130 for SIGINT, 143 for SIGTERM)."""

    def __init__(self, found: str, remedy: str | None = None, *, signal_number: int = 2) -> None:
        super().__init__(found, remedy)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal_number


_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "can't start new thread",
    "storage size calculation overflowed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; on a CPU, torch raises a plain `RuntimeError` for that."""
    text = text_of(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


def explain(error: Exception) -> GenzooError:
    """Return any error as a `GenzooError`: out of memory, a full disk, or else unexpected (exit 1)."""
    if isinstance(error, GenzooError):
        return error
    text = text_of(error).strip().partition("\n")[0]
    if is_out_of_memory(error):
        remedy = "ask for less at a time: fewer samples or images, or in training a smaller training.batch_size"
        return ResourceError(f"out of memory: {text}", remedy)
    if isinstance(error, OverflowError):
        return SettingsError(f"a number is too large: {text}", "choose a smaller one")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"the disk is full: {text}", "free some space, then type the same again")
    if (place := raised_at(error)) is not None:
        return PluginError(f"{place}: {in_a_line(error)}", "mend it there; a traceback is shown by: genzoo --debug …")
    remedy = "for a traceback, type the same command after: genzoo --debug"
    return GenzooError(f"{type(error).__name__}: {text}", remedy)


def of_exit_code(code: int, found: str, remedy: str | None = None) -> GenzooError:
    """Return the error of a process that ended with exit code `code`."""
    if code > 128:
        return InterruptedRun(found, remedy, signal_number=code - 128)
    kinds = (SettingsError, UnreadableError, PluginError, DivergedError, ResourceError, BusyError)
    return next((kind for kind in kinds if kind.exit_code == code), GenzooError)(found, remedy)


def place_of(kind: type, *methods: str) -> str:
    """Return where a class is from: `genzoo-mine 1.0, Mine.losses, genzoo_mine/model.py:14`.

    The place is that of the first of `methods` that the core does not define, else of the class. Code that no
    distribution installs is named without one.
    """
    for method in methods:
        function = _function_of(inspect.getattr_static(kind, method, None))
        if function is not None and not _is_core(function.__module__):
            return _written_place(function.__module__, function.__code__, function.__code__.co_firstlineno)
    line = getattr(kind, "__firstlineno__", None) or _line_of_class(kind)
    return ", ".join(
        filter(None, [distribution_of(kind.__module__), kind.__qualname__, f"{_file_of_class(kind)}:{line}"])
    )


def raised_at(error: BaseException) -> str | None:
    """Return the innermost place of a plugin's code, as `place_of` does, that an error passed; None for no such code.

    Neither the core nor the libraries that it and plugins use are a plugin's code.
    """
    frames = [(frame.f_globals.get("__name__", ""), frame.f_code, line) for frame, line in _frames(error)]
    first = next((number for number, (module, *_) in enumerate(frames) if _is_core(module)), len(frames))
    guests = [frame for frame in frames[first:] if _is_guest(frame[0], frame[1].co_filename)]
    return _written_place(*guests[-1]) if guests else None


def distribution_of(module: str) -> str | None:
    """Return name and version of the installed distribution that a module belongs to, such as `genzoo 0.1.0`."""
    from importlib.metadata import version

    top, path = module.partition(".")[0], tuple(sys.path)
    try:
        name = _of_plugins(path).get(top) or next(iter(_of_packages(path).get(top, ())), None)
        return None if name is None else f"{name} {version(name)}"
    except Exception:  # damaged metadata may raise anything, and are reported by discovery
        return None


@lru_cache(maxsize=1)  # among a hundred distributions it takes a fifth of a second
def _of_packages(path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Return the distributions on this `sys.path` by their top-level modules."""
    from importlib.metadata import packages_distributions

    return packages_distributions()


@lru_cache(maxsize=1)
def _of_plugins(path: tuple[str, ...]) -> dict[str, str]:
    """Return the distributions of the plugins on this `sys.path` by the top-level modules of their entry points."""
    from importlib.metadata import entry_points

    points = [point for point in entry_points(group="genzoo") if point.dist is not None]
    return {point.value.partition(":")[0].partition(".")[0]: point.dist.name for point in points if point.dist}


def _frames(error: BaseException) -> Iterable[tuple[Any, int]]:
    return traceback.walk_tb(error.__traceback__)


def _function_of(member: object) -> Callable[..., Any] | None:
    """Return the Python function behind a member of a class: a method, a property or a class method."""
    inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return inner if inspect.isfunction(inner) else None


def _is_core(module: str) -> bool:
    return module.partition(".")[0] == "genzoo"


def _is_guest(module: str, file: str) -> bool:
    """Return whether a frame is of a plugin, or of a file of the user's; a library is neither."""
    if _is_core(module) or file.startswith("<") or module.partition(".")[0] in sys.stdlib_module_names:
        return False
    installed = {"site-packages", "dist-packages"} & set(file.split(os.sep))
    return not installed or module.partition(".")[0] in _of_plugins(tuple(sys.path))


def _written_place(module: str, code: CodeType, line: int) -> str:
    name = None if code.co_qualname == "<module>" else code.co_qualname
    return ", ".join(filter(None, [distribution_of(module), name, f"{_short_path(module, code.co_filename)}:{line}"]))


def _file_of_class(kind: type) -> str:
    module = sys.modules.get(kind.__module__)
    return _short_path(kind.__module__, getattr(module, "__file__", None) or kind.__module__)


def _line_of_class(kind: type) -> int:
    try:
        return inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):  # its source is not there
        return 1


def _short_path(module: str, file: str) -> str:
    """Return a file below the folder of its top-level package, or as it is reached from the current folder."""
    depth = module.count(".") + file.endswith("__init__.py")
    if depth:
        return "/".join(file.split(os.sep)[-depth - 1 :])
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


class GenzooWarning(UserWarning):
    """A condition that the user may not expect; the command line prints it in one line."""


def warn(lines: Iterable[str]) -> None:
    """Issue a `GenzooWarning` for each line."""
    for line in lines:
        warnings.warn(line, GenzooWarning, stacklevel=3)
