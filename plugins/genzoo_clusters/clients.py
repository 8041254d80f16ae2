"""What the engines have in common: their libraries are optional, and a cluster that runs has a size of its own."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from genzoo import SettingsError, UnreadableError

_Connection = TypeVar("_Connection")


def library(name: str, *, engine: str) -> ModuleType:
    """Return the library of an engine; raise `SettingsError` if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise SettingsError(f"--on {engine} needs {name}", f"type: pip install 'genzoo[{engine}]'") from error


def refuse_jobs(jobs: int | None, address: str) -> None:
    """Raise `SettingsError` if a number of trainings at a time is asked of a cluster that runs already."""
    if jobs is not None:
        raise SettingsError(
            f"--jobs is for workers that are started here, and those of {address} run already",
            "leave out --jobs: as many trainings run at a time as the cluster has room for",
        )


def connected(connect: Callable[[], _Connection], address: str | None, *, engine: str) -> _Connection:
    """Return what `connect` returns; raise `UnreadableError` if no cluster answers at the address."""
    try:
        return connect()
    except (OSError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        raise UnreadableError(
            f"no {engine} cluster answers {where}: {type(error).__name__}", "start it, or mend --set on.address=…"
        ) from error
