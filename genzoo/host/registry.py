"""The registry: it holds what plugins offer, and resolves names."""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from importlib import import_module
from typing import Any, Literal, TypeVar, get_args

from genzoo.components import Component
from genzoo.errors import GenzooError, PluginError, SettingsError
from genzoo.host import unregistered
from genzoo.host.hooks import lazy
from genzoo.host.isolation import plugin_errors, removal
from genzoo.text import nearest, printable

CORE = "genzoo"
"""The distribution of the core and of the plugins that come with it."""

Kind = Literal[
    "models",
    "recipes",
    "datasets",
    "architectures",
    "metrics",
    "studies",
    "executors",
    "stores",
    "trackers",
    "components",
    "commands",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
SINGULAR = {str(kind): kind[:-1] for kind in KINDS} | {"studies": "study"}
"""What one entry of a kind is called in messages."""

_LISTED_NAMES = 40
"""So many names are listed in an error."""

_Kind = TypeVar("_Kind", bound=Component)


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """An installed plugin; `cause` and `trace` say why it is broken, if it is."""

    name: str
    distribution: str
    version: str
    summary: str = ""
    default_recipe: str | None = None
    """The recipe that it proposes for a training that names none."""
    module: str = CORE
    """What its entry point leads to."""
    cause: str | None = None
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A registered name and the offer that it stands for."""

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
                loaded = getattr(import_module(module), attribute)
        except SettingsError as error:  # raised by the plugin while it is imported, so not the user's fault
            raise PluginError(f"{what}: {error.found}", removal(self.plugin.distribution)) from error
        loaded_name = getattr(loaded, "name", None)
        if isinstance(loaded_name, str) and loaded_name != self.name:
            raise PluginError(f"{self} calls itself '{printable(loaded_name)}'", removal(self.plugin.distribution))
        return loaded

    def implements(self, base: type[Component]) -> bool:
        """Return whether it can be loaded and is a `base`."""
        try:
            loaded = self.load()
        except PluginError:
            return False  # the error is reported to those who use the entry
        return isinstance(loaded, type) and issubclass(loaded, base)

    def load_as(self, base: type[_Kind]) -> type[_Kind]:
        """Return the component class; raise `PluginError` unless it is a `base` that can be instantiated."""
        component = self.load()
        if not isinstance(component, type) or not issubclass(component, base):
            raise PluginError(f"{self} is not a {base.__name__}", removal(self.plugin.distribution))
        required = [item for item in fields(component) if item.default is MISSING and item.default_factory is MISSING]
        if inspect.isabstract(component) or not required:
            with plugin_errors(f"{self} cannot be made", removal(self.plugin.distribution)):
                component()
        return component


@dataclass(kw_only=True)
class Registry:
    """All names that the installed plugins offer, and all plugins, including broken ones."""

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
        """The recipe of a training that names none: the first by name of distribution, genzoo's own last."""
        offers = [plugin for plugin in self.plugins if self.has("recipes", plugin.default_recipe or "")]
        first = min(offers, key=lambda plugin: (plugin.distribution == CORE, plugin.distribution), default=None)
        return None if first is None else first.default_recipe

    def recipe_or_default(self, name: str | None) -> str:
        """Return `name`, or the default recipe; raise `SettingsError` where no plugin offers one."""
        recipe = name or self.default_recipe
        if recipe is None:
            raise SettingsError(
                "no recipe was named, and no installed plugin offers a default one",
                "choose one: --recipe R; recipes are listed by: genzoo list recipes",
            )
        return recipe

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

    def unknown(self, what: str, name: str, names: Sequence[str]) -> GenzooError:
        """Return the error for a name that is not registered: `PluginError` if any plugin is broken."""
        message = f"no {what} named '{name}'{nearest(name, names)}"
        if self.broken:
            causes = "; ".join(f"{plugin.distribution} ({plugin.cause})" for plugin in self.broken)
            remedy = removal(*(plugin.distribution for plugin in self.broken))
            return PluginError(message, f"it may belong to a plugin that is broken: {causes}\n{remedy}")
        if ":" in name:
            return SettingsError(
                message, "if it is a class in a file of yours, import that first: genzoo --code FILE.py …"
            )
        if len(names) > _LISTED_NAMES:
            return SettingsError(message, "all names are listed by: genzoo list")
        return SettingsError(message, f"there are: {', '.join(names)}" if names else "no plugin offers any")

    def load(self, kind: Kind, name: str) -> Any:
        """Return the component class or recipe called `name`."""
        return self.find(kind, name).load()

    def resolve(self, base: type[Component], name: str) -> type[Component]:
        """Return the concrete class called `name` that implements the abstract class `base`.

        MODULE:CLASS names a class that no plugin registers; its module must have been imported.
        """
        kind = _kind_of(base)
        if ":" in name and not self.has(kind, name) and (component := unregistered.class_called(name)) is not None:
            if issubclass(component, base):
                return component
            raise SettingsError(
                f"{name} is not a {base.__name__}", f"name a class of yours that derives from {base.__name__}"
            )
        if kind == "components":
            return self._component(base, name)
        return self.find(kind, name).load_as(base)

    def _component(self, base: type[Component], name: str) -> type[Component]:
        """Return the component called `name`; the error for an unknown name lists those that implement `base`."""
        matches = [entry for entry in self.of("components") if name in (entry.name, entry.qualified)]
        if matches:
            entry = self.find("components", name)
            loaded = entry.load()
            if isinstance(loaded, type) and issubclass(loaded, base):
                return entry.load_as(base)
        names = [entry.name for entry in self.of("components") if entry.implements(base)]
        raise self.unknown(base.__name__.lower(), name, names)

    def name_of(self, component: Component) -> str:
        """Return the component's name, qualified by its distribution where the bare name is ambiguous.

        That of a class which no plugin registers is MODULE:CLASS; `SettingsError` says that it has none.
        """
        kind = type(component)
        namesakes = [entry for entry in self.of(_kind_of(kind)) if entry.name == component.name]
        entry = next((entry for entry in namesakes if entry.implements(kind) and entry.load() is kind), None)
        if entry is None:
            return unregistered.code_name_of(kind)
        return entry.qualified if len(namesakes) > 1 else entry.name

    def unusable(self) -> list[str]:
        """Import all that plugins offer, and return a line for each that cannot be loaded or made."""
        faults = []
        for entry in self.entries:
            try:
                if entry.kind in ("recipes", "commands"):
                    entry.load()
                else:
                    entry.load_as(Component)
            except GenzooError as error:
                faults.append(error.found)
        return faults

    def preferring(self, distributions: Iterable[str]) -> "Registry":
        """Return a registry in which an ambiguous name means the entry of `distributions`, if they offer it."""
        preferred = set(distributions)
        settled = {(entry.kind, entry.name) for entry in self.entries if entry.plugin.distribution in preferred}
        entries = [
            entry
            for entry in self.entries
            if entry.plugin.distribution in preferred or (entry.kind, entry.name) not in settled
        ]
        return replace(self, entries=entries)


def _kind_of(base: type[Component]) -> Kind:
    return next((kind for kind in KINDS if kind == base.kind), "components")
