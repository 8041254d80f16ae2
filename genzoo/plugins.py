"""The plugin host: finds what is installed, sets broken plugins aside, and resolves names."""

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

import pluggy

import genzoo.builtin
import genzoo.hooks
from genzoo.components import Component
from genzoo.errors import GenzooError, PluginError, SettingsError, nearest
from genzoo.hooks import lazy

GROUP = "genzoo"

Kind = Literal["models", "recipes", "datasets", "architectures", "metrics", "studies", "components", "commands"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """An installed plugin; `cause` and `trace` say why it is broken, if it is."""

    name: str
    distribution: str
    version: str
    summary: str = ""
    cause: str | None = None
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered name and where it leads."""

    kind: Kind
    name: str
    summary: str
    plugin: Plugin
    offer: Any

    @property
    def qualified(self) -> str:
        """`distribution:name`, which works where the bare name is ambiguous."""
        return f"{self.plugin.distribution}:{self.name}"

    def load(self) -> Any:
        """Return the component class or recipe; raise `PluginError` where importing it fails."""
        if not isinstance(self.offer, lazy):
            return self.offer
        module, _, attribute = self.offer.target.partition(":")
        try:
            with redirect_stdout(sys.stderr):
                found = getattr(import_module(module), attribute)
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.kind[:-1]} '{self.name}' of {self.plugin.distribution} cannot be loaded from "
                f"{self.offer.target}: {_one_line(error)}",
                f"repair or remove the plugin: pip uninstall {self.plugin.distribution}",
            ) from error
        own = getattr(found, "name", None)
        if isinstance(own, str) and own != self.name:
            raise PluginError(f"{self.kind[:-1]} '{self.name}' of {self.plugin.distribution} calls itself '{own}'")
        return found


@dataclass(kw_only=True)
class Registry:
    """Every name that the installed plugins offer, and the plugins themselves, broken ones included."""

    plugins: list[Plugin] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """One line per broken plugin or ambiguous name, for stderr."""

    @property
    def broken(self) -> list[Plugin]:
        """The plugins that could not be used."""
        return [plugin for plugin in self.plugins if plugin.cause is not None]

    def of(self, kind: Kind) -> list[Entry]:
        """Return the entries of one kind, by name."""
        return sorted((entry for entry in self.entries if entry.kind == kind), key=lambda entry: entry.name)

    def find(self, kind: Kind, name: str) -> Entry:
        """Return the entry called `name` or `distribution:name`; raise `SettingsError` or `PluginError`."""
        matches = [entry for entry in self.of(kind) if name in (entry.name, entry.qualified)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            choices = " or ".join(entry.qualified for entry in matches)
            raise PluginError(f"two plugins offer the {kind[:-1]} '{name}'", f"say which: {choices}")
        raise self.unknown(kind[:-1], name, [entry.name for entry in self.of(kind)])

    def unknown(self, what: str, name: str, known: Sequence[str]) -> GenzooError:
        """Return the error for a name that nothing goes by: the user's, unless some plugin is broken."""
        found = f"no {what} named '{name}'{nearest(name, known)}"
        if self.broken:
            causes = "; ".join(f"{plugin.distribution} ({plugin.cause})" for plugin in self.broken)
            return PluginError(found, f"it may belong to a plugin that is broken: {causes}")
        return SettingsError(found, f"there are: {', '.join(known)}" if known else "no plugin offers any")

    def load(self, kind: Kind, name: str) -> Any:
        """Return the component class or recipe called `name`."""
        return self.find(kind, name).load()

    def resolve(self, base: type[Component], name: str) -> type[Component]:
        """Return the concrete class called `name` that implements the abstract class `base`."""
        kind = _kind_of(base)
        if kind == "components":
            return self._component(base, name)
        entry = self.find(kind, name)
        chosen = entry.load()
        if isinstance(chosen, type) and issubclass(chosen, base):
            return chosen
        raise PluginError(
            f"what {entry.plugin.distribution} offers as the {entry.kind[:-1]} '{name}' is not a {base.__name__}"
        )

    def _component(self, base: type[Component], name: str) -> type[Component]:
        """Return the component called `name`; where there is none of that kind, name those that there are."""
        matches = [entry for entry in self.of("components") if name in (entry.name, entry.qualified)]
        if matches:
            chosen = self.find("components", name).load()
            if isinstance(chosen, type) and issubclass(chosen, base):
                return chosen
        known = [entry.name for entry in self.of("components") if _implements(entry, base)]
        raise self.unknown(base.__name__.lower(), name, known)

    def name_of(self, component: Component) -> str:
        """Return the component's name, qualified by its distribution where the bare name is ambiguous."""
        matches = [entry for entry in self.entries if entry.name == component.name]
        mine = [
            entry
            for entry in matches
            if len([other for other in matches if other.kind == entry.kind]) > 1 and entry.load() is type(component)
        ]
        return mine[0].qualified if mine else component.name


def _implements(entry: Entry, base: type[Component]) -> bool:
    try:
        chosen = entry.load()
    except PluginError:
        return False  # it is reported when it is asked for
    return isinstance(chosen, type) and issubclass(chosen, base)


def _kind_of(base: type[Component]) -> Kind:
    kinds: dict[str, Kind] = {
        "Game": "models",
        "Dataset": "datasets",
        "Architecture": "architectures",
        "Metric": "metrics",
        "Study": "studies",
    }
    names = [ancestor.__name__ for ancestor in base.__mro__ if ancestor.__module__.startswith("genzoo.")]
    return next((kinds[name] for name in names if name in kinds), "components")


@cache
def registry() -> Registry:
    """Return the registry of the installed plugins, narrowed by `GENZOO_PLUGINS` (entry-point names)."""
    return discover(entry_points(group=GROUP), only=os.environ.get("GENZOO_PLUGINS"))


def discover(found: Iterable[EntryPoint], *, only: str | None = None) -> Registry:
    """Load the entry points one by one and collect what they offer.

    `only` is a comma-separated list of entry-point names (empty: none; None: all). A plugin that raises, exits,
    implements a hook wrongly or offers something unusable is recorded as broken and the rest goes on.
    """
    result = Registry()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(genzoo.hooks)
    core = Plugin(name="genzoo", distribution="genzoo", version=_own_version(), summary="the core")
    _collect(result, manager, core, genzoo.builtin)
    wanted = None if only is None else {name.strip() for name in only.split(",") if name.strip()}
    points = sorted(set(found), key=lambda point: (point.name, point.value))
    for point in points:
        if wanted is None or point.name in wanted:
            _load(result, manager, point)
    for name in sorted((wanted or set()) - {point.name for point in points}):
        result.warnings.append(f"GENZOO_PLUGINS names '{name}', which is not installed")
    _warn_of_duplicates(result)
    return result


def _load(result: Registry, manager: pluggy.PluginManager, point: EntryPoint) -> None:
    distribution = point.dist.name if point.dist else point.value
    version = point.dist.version if point.dist else "?"
    plugin = Plugin(name=point.name, distribution=distribution, version=version)
    try:
        with redirect_stdout(sys.stderr):
            module = point.load()
        _collect(result, manager, replace(plugin, summary=_one_line(module.__doc__ or "")), module)
    except (Exception, SystemExit) as error:
        cause = _one_line(error)
        result.plugins.append(replace(plugin, cause=cause, trace=traceback.format_exc()))
        result.warnings.append(f"plugin {point.name} of {distribution} {version} is broken: {cause}")


def _collect(result: Registry, manager: pluggy.PluginManager, plugin: Plugin, module: object) -> None:
    """Register the module and add its offers; leave nothing of it behind where anything is wrong."""
    manager.register(module, name=f"{plugin.distribution}/{plugin.name}")
    try:
        callers = manager.get_hookcallers(module) or []
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        if unknown:
            specified = [f"genzoo_{kind}" for kind in KINDS]
            raise PluginError(f"unknown hook {unknown[0]}{nearest(unknown[0], specified)}")
        entries = [entry for kind in KINDS for entry in _entries_of(manager, plugin, module, kind)]
    except BaseException:
        manager.unregister(module)
        raise
    result.plugins.append(plugin)
    result.entries.extend(entries)


def _entries_of(manager: pluggy.PluginManager, plugin: Plugin, module: object, kind: Kind) -> Iterator[Entry]:
    others = [other for other in manager.get_plugins() if other is not module]
    hook = manager.subset_hook_caller(f"genzoo_{kind}", remove_plugins=others)
    with redirect_stdout(sys.stderr):
        answers = hook()
    seen: set[str] = set()
    for offer in (offer for answer in answers for offer in answer):
        name, summary = _label(offer, kind)
        if name in seen:
            raise PluginError(f"it offers the {kind[:-1]} '{name}' twice")
        seen.add(name)
        yield Entry(kind=kind, name=name, summary=summary, plugin=plugin, offer=offer)


def _label(offer: object, kind: Kind) -> tuple[str, str]:
    if isinstance(offer, lazy) and all(isinstance(part, str) for part in offer):
        return offer.name, offer.summary
    if isinstance(offer, type) and issubclass(offer, Component) and kind != "commands":
        return offer.name, offer.summary()
    name, summary = getattr(offer, "name", None), getattr(offer, "summary", None)
    if kind == "recipes" and isinstance(name, str) and isinstance(summary, str):
        return name, summary
    raise PluginError(f"genzoo_{kind} offers {offer!r}, expected lazy(…) or a {kind[:-1]}")


def _warn_of_duplicates(result: Registry) -> None:
    for kind in KINDS:
        groups: dict[str, list[Entry]] = {}
        for entry in result.of(kind):
            groups.setdefault(entry.name, []).append(entry)
        for name, entries in groups.items():
            if len(entries) > 1:
                choices = " or ".join(entry.qualified for entry in entries)
                result.warnings.append(f"{len(entries)} plugins offer the {kind[:-1]} '{name}': say {choices}")


def _own_version() -> str:
    from genzoo import __version__

    return __version__


def _one_line(cause: object) -> str:
    text = str(cause).strip().replace("\n", " ")
    if isinstance(cause, BaseException):
        text = f"{type(cause).__name__}: {text}" if text else type(cause).__name__
    else:
        text = str(cause).strip().partition("\n")[0]
    return text if len(text) <= 200 else text[:197] + "..."
