"""Stores: runs and prepared data that lie elsewhere and are named by an address, NAME://…. Needs no torch.

What a store brings is from strangers: before anything reads it, it is checked that it is data alone.
"""

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from genzoo.components import Component
from genzoo.data.prepared_card import CARD, verify_prepared
from genzoo.errors import UnreadableError, warn
from genzoo.host.discovery import registry
from genzoo.host.isolation import plugin_errors, removal
from genzoo.host.unregistered import class_called, is_code_name
from genzoo.storage.files import readable
from genzoo.storage.record import RunRecord, SourceRecord
from genzoo.storage.run_folder import Run
from genzoo.text import in_words, printable

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}==[A-Za-z0-9][A-Za-z0-9.!+]{0,39}")
"""What a record may say to install; it reaches a command line that a user copies."""


@dataclass(frozen=True, kw_only=True)
class Store(Component):
    """Where runs or prepared data lie that are named by an address; its name is the scheme, as in NAME://…."""

    kind: ClassVar[str] = "stores"

    @abstractmethod
    def fetch(self, address: str) -> Path:
        """Return the folder of this machine that holds what `address` names, and get it if it is not there yet.

        `address` is what follows NAME://. The folder holds regular files and no links. A missing address raises
        `UnreadableError`, a missing package or a wrong address `SettingsError`.
        """

    def discard_damaged(self, address: str, folder: Path) -> bool:
        """Remove what was damaged here since it was fetched, and return whether it is worth fetching again.

        `folder` is what `fetch` returned, in which a hash is wrong. By default nothing is removed.
        """
        return False


def is_address(text: object) -> bool:
    """Return whether it is the address of something in a store: NAME://…."""
    return isinstance(text, str) and _ADDRESS.fullmatch(text) is not None


def run_called(run: str | Path | Run) -> Run:
    """Return what `Run.of` does, or the run at an address."""
    return fetch_run(run) if isinstance(run, str) and is_address(run) else Run.of(run)


def data_called(data: str | Path | None) -> str | Path | None:
    """Return the folder of data sets, which at an address holds the one prepared set that it names."""
    if not isinstance(data, str) or not is_address(data):
        return data
    folder = _fetched_folder(data)
    if not (folder / CARD).is_file():
        raise UnreadableError(
            f"{data} is no prepared data set: it has no {CARD}", "name the folder that genzoo data prepare wrote"
        )
    return folder.parent


def fetch_run(address: str) -> Run:
    """Return the run at an address, NAME://…, once it is on this machine and is checked to be data alone.

    Raises `UnreadableError` for a link, for a record that is damaged, that names code, or whose plugins are missing.
    """
    run = Run(_fetched_folder(address))
    for name in unregistered_names(run):
        raise UnreadableError(
            f"{address} names code, '{printable(name)[:80]}', which no installed plugin registers",
            "what is read from elsewhere are weights and settings alone: ask its author for a plugin",
        )
    _refuse_missing(address, run.record.requires)
    return run


def unregistered_names(run: Run) -> list[str]:
    """Return the names of classes in a run's record, MODULE:CLASS, that no installed plugin registers."""
    record, registered = run.record, {entry.qualified for entry in registry().entries}
    named = _code_names({"name": record.model, "settings": [*_all_settings(record)]})
    return [name for name in named if name not in registered]


def _fetched_folder(address: str) -> Path:
    """Return the folder of this machine in which a store has put what is at an address; it is whole and has no links.

    What was damaged since it was fetched is fetched once more.
    """
    scheme, _, rest = address.partition("://")
    entry = registry().find("stores", scheme)
    store = entry.load_as(Store)()  # type: ignore[type-abstract]
    with plugin_errors(f"{address} cannot be fetched by {entry}", removal(entry.plugin.distribution)):
        folder = store.fetch(rest)
        try:
            _verify_fetched(address, folder)
        except UnreadableError as error:
            if not store.discard_damaged(rest, folder):
                raise
            warn([f"{error.found}; it is fetched again"])
            folder = store.fetch(rest)
            _verify_fetched(address, folder)
    return folder


def _verify_fetched(address: str, folder: Path) -> None:
    """Raise `UnreadableError` for a link, and for an exported model or prepared data of which a hash is wrong."""
    with readable(folder):
        for path in folder.rglob("*"):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise UnreadableError(
                    f"{address} holds {printable(path.name)}, which is no regular file", "links are not followed"
                )
    if (folder / CARD).is_file():
        verify_prepared(folder)
    elif (run := Run(folder)).is_exported:
        run.newest_checkpoint()
        _ = run.record, run.final_scores


def _all_settings(record: RunRecord | SourceRecord) -> Iterator[dict[str, Any]]:
    yield record.settings
    if record.source is not None:
        yield from _all_settings(record.source)


def _code_names(document: Any, key: str = "") -> Iterator[str]:
    """Yield the texts in JSON data that name a class as MODULE:CLASS, or would if a module was imported."""
    if isinstance(document, str) and is_code_name(document):
        if ":" in document and (key == "name" or class_called(document) is not None):
            yield document
    elif isinstance(document, dict):
        for name, part in document.items():
            yield from _code_names(part, name)
    elif isinstance(document, list):
        for part in document:
            yield from _code_names(part)


def _refuse_missing(address: str, requires: dict[str, str]) -> None:
    """Raise `UnreadableError` with what to install for distributions that are not."""
    missing = [f"{name}=={needed}" for name, needed in requires.items() if not _is_installed(name)]
    if not missing:
        return
    for requirement in missing:
        if not _REQUIREMENT.fullmatch(requirement):
            raise UnreadableError(
                f"{address} needs '{printable(requirement)[:80]}', which is no name and version of a package",
                "ask its author for another copy",
            )
    raise UnreadableError(
        f"{address} needs {in_words(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
        f"a plugin is code that runs with your rights: if you trust it, type: pip install {' '.join(missing)}",
    )


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except (PackageNotFoundError, ValueError):  # a record may name anything, as the empty text
        return False
    return True
