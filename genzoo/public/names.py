"""Public names: imported when first used; one that goes is warned of for a minor version, and missed by its name."""

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import lazy_loader

from genzoo.public.fields import described


class Former(NamedTuple):
    """A public name that goes or is gone, and works with a warning up to its last version."""

    last: str
    """The last minor version that has it, such as `0.2`."""
    instead: str = ""
    """The public name that takes its place, such as `genzoo.games.Hinge`; empty: none."""

    @property
    def is_offered(self) -> bool:
        """Whether this version still has it."""
        return _minor(sys.modules["genzoo"].__version__) <= _minor(self.last)

    def __str__(self) -> str:
        return f"the last genzoo that has it is {self.last}" + (f"; use {self.instead}" if self.instead else "")


FORMER: dict[str, Former] = {}
"""Every public name that goes or is gone, as `genzoo.games.Hinge`; `tests/rules/public_names.txt` has those to keep."""


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose public names stand in the stub beside `file`."""
    get, names, offered = lazy_loader.attach_stub(package, file)
    return with_former(package, get), names, offered


def with_former(module: str, get: Callable[[str], Any] | None = None) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which also answers to its former names; `get` looks up all others."""

    def get_public(name: str) -> Any:
        full = f"{module}.{name}"
        former = FORMER.get(full)
        if former is not None and not former.is_offered:
            raise AttributeError(f"there is no {full}: {former}")
        if former is not None:
            warnings.warn(f"{full} will be removed: {former}", DeprecationWarning, stacklevel=2)
            if former.instead:
                home, _, name_now = former.instead.rpartition(".")
                return getattr(import_module(home), name_now)
        if get is None:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        value = get(name)
        return described(value) if isinstance(value, type) else value

    return get_public


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
