"""What a check is, and how it fails."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from genzoo.components import Component
from genzoo.errors import GenzooError, PluginError, place_of, raised_at
from genzoo.randomness import seeded
from genzoo.text import in_a_line


class CheckFailed(PluginError):
    """A plugin does not do what its contract says: where and what, and how to repair it (exit 4)."""


class Check(NamedTuple):
    """One thing that must hold of a component; `run()` raises `CheckFailed` if it does not."""

    name: str
    """What is checked, such as `resume`."""
    run: Callable[[], None]
    on: str = ""
    """The recipe that it is checked on, if any."""

    def __str__(self) -> str:
        return f"{self.name} on {self.on}" if self.on else self.name


Rule = Callable[[], None]
"""Raises an error if something does not hold."""


def check_of(name: str, kind: type, rule: Rule, *, on: str = "") -> Check:
    """Return a check of a class; whatever `rule` raises becomes a `CheckFailed` with its place."""

    def run() -> None:
        with seeded("check", name), failures(kind):
            rule()

    return Check(name, run, on)


@contextmanager
def failures(kind: type) -> Iterator[None]:
    """Raise as `CheckFailed` what is raised inside the `with` block."""
    try:
        yield
    except CheckFailed:
        raise
    except GenzooError as error:
        place = "" if isinstance(error, PluginError) else f"{place_of(kind)}: "
        raise CheckFailed(place + error.found, error.remedy) from error
    except Exception as error:  # a plugin may raise anything
        place = raised_at(error) or place_of(kind)
        raise CheckFailed(f"{place}: {in_a_line(error)}", "mend it there") from error


def expect(holds: bool, component: Component | type, methods: str, found: str, remedy: str) -> None:
    """Raise `CheckFailed` unless something holds, with the place of the first of `methods` that a plugin defines."""
    if not holds:
        kind = component if isinstance(component, type) else type(component)
        raise CheckFailed(f"{place_of(kind, *methods.split())}: {found}", remedy)
