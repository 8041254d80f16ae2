"""The registry: what plugins offer, and how a name leads to it."""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from importlib import import_module
from typing import Any, Literal, TypeVar, get_args

from genzoo.components import Component
from genzoo.errors import GenzooError, PluginError, SettingsError
from genzoo.host.hooks import lazy
from genzoo.host.isolation import plugin_errors, removal
from genzoo.text import nearest, printable

CORE = "genzoo"
"""The distribution of the core and of the plugins that come with it."""

Kind = Literal["models", "recipes", "datasets", "architectures", "metrics", "studies", "components", "commands"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SINGULAR = {str(kind): kind[:-1] for kind in KINDS} | {"studies": "study"}
"""What one entry of a kind is called in messages."""

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
        return f"{SINGULAR[self.kind]} '{self.name}' of {self.plugin.distribution}"

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
            raise PluginError(f"two plugins offer the {SINGULAR[kind]} '{name}'", f"say which: {choices}")
        raise self.unknown(SINGULAR[kind], name, [entry.name for entry in self.of(kind)])

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
