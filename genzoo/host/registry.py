"""The plugin host: finds what is installed, sets broken plugins aside, and resolves names."""

import inspect
import os
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any, Literal, TypeVar, get_args

import pluggy

import genzoo.host.builtin
import genzoo.host.hooks
from genzoo.components import Component
from genzoo.errors import GenzooError, Interrupted, PluginError, SettingsError
from genzoo.host.hooks import lazy
from genzoo.host.isolation import plugin_errors, removal, stdout_to_stderr
from genzoo.text import in_a_line, nearest, printable

GROUP = "genzoo"
CORE = "genzoo"
"""The distribution of the core and of the plugins that come with it."""

Kind = Literal["models", "recipes", "datasets", "architectures", "metrics", "studies", "components", "commands"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_ONE = {str(kind): kind[:-1] for kind in KINDS} | {"studies": "study"}

_Kind = TypeVar("_Kind", bound=Component)


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """An installed plugin; `cause` and `trace` say why it is broken, if it is."""

    name: str
    distribution: str
    version: str
    summary: str = ""
    default_recipe: str | None = None
    """What it offers as the recipe of a training that names none."""
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

    def __str__(self) -> str:
        return f"{_ONE[self.kind]} '{self.name}' of {self.plugin.distribution}"

    def load(self) -> Any:
        """Return the component class or recipe; raise `PluginError` where importing it fails."""
        if not isinstance(self.offer, lazy):
            return self.offer
        module, _, attribute = self.offer.target.partition(":")
        what = f"{self} cannot be loaded from {self.offer.target}"
        try:
            with plugin_errors(what, removal(self.plugin.distribution)):
                found = getattr(import_module(module), attribute)
        except SettingsError as error:  # whatever it thinks is wrong, it is not the user's doing
            raise PluginError(f"{what}: {error.found}", removal(self.plugin.distribution)) from error
        own = getattr(found, "name", None)
        if isinstance(own, str) and own != self.name:
            raise PluginError(f"{self} calls itself '{printable(own)}'", removal(self.plugin.distribution))
        return found

    def implements(self, base: type[Component]) -> bool:
        """Return whether it can be loaded and is a `base`."""
        try:
            chosen = self.load()
        except PluginError:
            return False  # it is reported when it is asked for
        return isinstance(chosen, type) and issubclass(chosen, base)

    def load_as(self, base: type[_Kind]) -> type[_Kind]:
        """Return the component class; raise `PluginError` unless it is a `base` that can be made."""
        chosen = self.load()
        if not isinstance(chosen, type) or not issubclass(chosen, base):
            raise PluginError(f"{self} is not a {base.__name__}", removal(self.plugin.distribution))
        needed = [one for one in fields(chosen) if one.default is MISSING and one.default_factory is MISSING]
        if inspect.isabstract(chosen) or not needed:
            with plugin_errors(f"{self} cannot be made", removal(self.plugin.distribution)):
                chosen()
        return chosen


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

    @property
    def default_recipe(self) -> str | None:
        """The recipe of a training that names none: the first offer by distribution, genzoo's own after all others."""
        offers = [plugin for plugin in self.plugins if self.has("recipes", plugin.default_recipe or "")]
        first = min(offers, key=lambda plugin: (plugin.distribution == CORE, plugin.distribution), default=None)
        return None if first is None else first.default_recipe

    def recipe_or_default(self, name: str | None) -> str:
        """Return `name`, or the default recipe; raise `SettingsError` where no plugin offers one."""
        chosen = name or self.default_recipe
        if chosen is None:
            raise SettingsError(
                "no recipe was named, and no installed plugin offers a default one",
                "choose one: --recipe R; recipes are listed by: genzoo list recipes",
            )
        return chosen

    def has(self, kind: Kind, name: str) -> bool:
        """Return whether some plugin offers `name`, or `distribution:name`."""
        return any(name in (entry.name, entry.qualified) for entry in self.of(kind))

    def find(self, kind: Kind, name: str) -> Entry:
        """Return the entry called `name` or `distribution:name`; raise `SettingsError` or `PluginError`."""
        matches = [entry for entry in self.of(kind) if name in (entry.name, entry.qualified)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            choices = " or ".join(entry.qualified for entry in matches)
            raise PluginError(f"two plugins offer the {_ONE[kind]} '{name}'", f"say which: {choices}")
        raise self.unknown(_ONE[kind], name, [entry.name for entry in self.of(kind)])

    def unknown(self, what: str, name: str, known: Sequence[str]) -> GenzooError:
        """Return the error for a name that nothing goes by: the user's, unless some plugin is broken."""
        found = f"no {what} named '{name}'{nearest(name, known)}"
        if self.broken:
            causes = "; ".join(f"{plugin.distribution} ({plugin.cause})" for plugin in self.broken)
            remedy = removal(*(plugin.distribution for plugin in self.broken))
            return PluginError(found, f"it may belong to a plugin that is broken: {causes}\n{remedy}")
        return SettingsError(found, f"there are: {', '.join(known)}" if known else "no plugin offers any")

    def load(self, kind: Kind, name: str) -> Any:
        """Return the component class or recipe called `name`."""
        return self.find(kind, name).load()

    def resolve(self, base: type[Component], name: str) -> type[Component]:
        """Return the concrete class called `name` that implements the abstract class `base`."""
        kind = _kind_of(base)
        if kind == "components":
            return self._component(base, name)
        return self.find(kind, name).load_as(base)

    def _component(self, base: type[Component], name: str) -> type[Component]:
        """Return the component called `name`; where there is none of that kind, name those that there are."""
        matches = [entry for entry in self.of("components") if name in (entry.name, entry.qualified)]
        if matches:
            entry = self.find("components", name)
            chosen = entry.load()
            if isinstance(chosen, type) and issubclass(chosen, base):
                return entry.load_as(base)
        known = [entry.name for entry in self.of("components") if entry.implements(base)]
        raise self.unknown(base.__name__.lower(), name, known)

    def name_of(self, component: Component) -> str:
        """Return the component's name, qualified by its distribution where the bare name is ambiguous."""
        matches = [entry for entry in self.entries if entry.name == component.name]
        mine = [
            entry
            for entry in matches
            if len([other for other in matches if other.kind == entry.kind]) > 1
            and entry.implements(type(component))
            and entry.load() is type(component)
        ]
        return mine[0].qualified if mine else component.name

    def preferring(self, distributions: Iterable[str]) -> "Registry":
        """Return a registry in which a name that several plugins offer is one of `distributions`, if it has it."""
        chosen = set(distributions)
        first = {(entry.kind, entry.name) for entry in self.entries if entry.plugin.distribution in chosen}
        kept = [
            entry
            for entry in self.entries
            if entry.plugin.distribution in chosen or (entry.kind, entry.name) not in first
        ]
        return replace(self, entries=kept)


def _kind_of(base: type[Component]) -> Kind:
    return next((kind for kind in KINDS if kind == base.kind), "components")


@cache
def registry() -> Registry:
    """Return the registry of the installed plugins, narrowed by `GENZOO_PLUGINS` (entry-point names)."""
    points, faults = installed(distributions())
    found = discover(points, only=os.environ.get("GENZOO_PLUGINS"))
    found.warnings.extend(faults)
    return found


def installed(found: Iterable[Distribution]) -> tuple[list[EntryPoint], list[str]]:
    """Return the entry points of all distributions that lead to plugins, and a line for each that cannot be read.

    `importlib.metadata.entry_points` reads all of them at once, so that one damaged file hides every plugin.
    """
    points: dict[tuple[str, str, str], EntryPoint] = {}
    faults = []
    for distribution in found:
        try:
            for point in distribution.entry_points.select(group=GROUP):
                points.setdefault((distribution.name, point.name, point.value), point)  # the first on the path counts
        except Exception as error:  # whatever a damaged file makes of it
            place = printable(str(getattr(distribution, "_path", distribution.locate_file(""))))
            faults.append(f"the entry points in {place} cannot be read: {in_a_line(error)}")
    return list(points.values()), faults


def discover(found: Iterable[EntryPoint], *, only: str | None = None) -> Registry:
    """Load the entry points one by one and collect what they offer.

    `only` is a comma-separated list of entry-point names (empty: none; None: all). A plugin that raises, exits,
    implements a hook wrongly or offers something unusable is recorded as broken and the rest goes on.
    """
    result = Registry()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(genzoo.host.hooks)
    core = Plugin(name=CORE, distribution=CORE, version=_own_version(), summary="the core")
    _collect(result, manager, core, genzoo.host.builtin)
    wanted = None if only is None else {name.strip() for name in only.split(",") if name.strip()}
    by_owner = sorted(found, key=lambda point: (point.name, point.value, _owner(point)), reverse=True)
    points = list({(point.name, point.value): point for point in by_owner}.values())[::-1]
    for point in points:
        if wanted is None or point.name in wanted:
            _load(result, manager, point)
    for name in sorted((wanted or set()) - {point.name for point in points}):
        result.warnings.append(f"GENZOO_PLUGINS names '{name}', which is not installed")
    _warn_of_duplicates(result)
    _warn_of_missing_defaults(result)
    return result


def _load(result: Registry, manager: pluggy.PluginManager, point: EntryPoint) -> None:
    version = (point.dist and point.dist.version) or "?"
    plugin = Plugin(name=printable(point.name), distribution=_owner(point), version=printable(version))
    try:
        with stdout_to_stderr():
            module = point.load()
            _collect(result, manager, replace(plugin, summary=in_a_line(module.__doc__ or "")), module)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | Interrupted):
            raise
        cause = in_a_line(error)
        result.plugins.append(replace(plugin, cause=cause, trace=traceback.format_exc()))
        result.warnings.append(f"plugin {plugin.name} of {plugin.distribution} {plugin.version} is broken: {cause}")


def _owner(point: EntryPoint) -> str:
    """Return the name of the distribution that an entry point belongs to."""
    return printable((point.dist and point.dist.name) or point.value)


def _collect(result: Registry, manager: pluggy.PluginManager, plugin: Plugin, module: object) -> None:
    """Register the module and add its offers; leave nothing of it behind where anything is wrong."""
    manager.register(module, name=f"{plugin.distribution}/{plugin.name}")
    try:
        callers = manager.get_hookcallers(module) or []
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        if unknown:
            specified = [*(f"genzoo_{kind}" for kind in KINDS), "genzoo_default_recipe"]
            raise PluginError(f"unknown hook {unknown[0]}{nearest(unknown[0], specified)}")
        entries = [entry for kind in KINDS for entry in _entries_of(manager, plugin, module, kind)]
        plugin = replace(plugin, default_recipe=_default_recipe_of(manager, module))
    except BaseException:
        manager.unregister(module)
        raise
    result.plugins.append(plugin)
    result.entries.extend(entries)


def _entries_of(manager: pluggy.PluginManager, plugin: Plugin, module: object, kind: Kind) -> list[Entry]:
    found: dict[str, Entry] = {}
    for answer in _answers(manager, module, f"genzoo_{kind}"):
        for offer in answer:
            name, summary = _name_and_summary(offer, kind)
            if name in found:
                raise PluginError(f"it offers the {_ONE[kind]} '{name}' twice")
            found[name] = Entry(kind=kind, name=printable(name), summary=in_a_line(summary), plugin=plugin, offer=offer)
    return list(found.values())


def _default_recipe_of(manager: pluggy.PluginManager, module: object) -> str | None:
    for answer in _answers(manager, module, "genzoo_default_recipe"):
        if not isinstance(answer, str):
            raise PluginError(f"genzoo_default_recipe returned {answer!r}, expected the name of a recipe")
        return printable(answer)
    return None


def _answers(manager: pluggy.PluginManager, module: object, hook: str) -> list[Any]:
    """Return what one plugin alone answers to a hook."""
    others = [other for other in manager.get_plugins() if other is not module]
    answers: list[Any] = manager.subset_hook_caller(hook, remove_plugins=others)()
    for answer in answers:
        if inspect.iscoroutine(answer):
            answer.close()
            raise PluginError(f"{hook} is a coroutine, expected a function that returns offers")
    return answers


def _name_and_summary(offer: object, kind: Kind) -> tuple[str, str]:
    if isinstance(offer, lazy) and all(isinstance(part, str) for part in offer):
        return offer.name, offer.summary
    if isinstance(offer, type) and issubclass(offer, Component) and kind != "commands":
        return offer.name, offer.summary()
    name, summary = getattr(offer, "name", None), getattr(offer, "summary", None)
    if kind == "recipes" and isinstance(name, str) and isinstance(summary, str):
        return name, summary
    raise PluginError(f"genzoo_{kind} offers {offer!r}, expected lazy(…) or a {_ONE[kind]}")


def _warn_of_duplicates(result: Registry) -> None:
    for kind in KINDS:
        groups: dict[str, list[Entry]] = {}
        for entry in result.of(kind):
            groups.setdefault(entry.name, []).append(entry)
        for name, entries in groups.items():
            if len(entries) > 1:
                choices = " or ".join(entry.qualified for entry in entries)
                result.warnings.append(f"{len(entries)} plugins offer the {_ONE[kind]} '{name}': say {choices}")


def _warn_of_missing_defaults(result: Registry) -> None:
    for plugin in result.plugins:
        if plugin.default_recipe is not None and not result.has("recipes", plugin.default_recipe):
            what = f"the default recipe '{plugin.default_recipe}', which no plugin offers"
            result.warnings.append(f"plugin {plugin.name} of {plugin.distribution} names {what}")


def _own_version() -> str:
    from genzoo import __version__

    return __version__
