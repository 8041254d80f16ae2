"""Discovery: finds the installed plugins and collects what they offer; broken ones are set aside."""

import inspect
import os
import traceback
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

import pluggy

import genzoo.host.builtin
import genzoo.host.hooks
from genzoo.components import Component
from genzoo.errors import Interrupted, PluginError, SettingsError
from genzoo.host.hooks import lazy
from genzoo.host.isolation import stdout_to_stderr
from genzoo.host.registry import CORE, KINDS, SINGULAR, Entry, Kind, Plugin, Registry
from genzoo.host.versions import cause_of, misfit
from genzoo.text import in_a_line, in_words, nearest, printable, short_repr

GROUP = "genzoo"
"""The group of entry points that lead to plugins."""
_HOOKS = (*(f"genzoo_{kind}" for kind in KINDS), "genzoo_default_recipe")


@cache
def registry() -> Registry:
    """Return the registry of the installed plugins, narrowed by `GENZOO_PLUGINS` (entry-point names)."""
    points, faults = installed(distributions())
    installed_registry = discover(points, only=os.environ.get("GENZOO_PLUGINS"))
    installed_registry.warnings.extend(faults)
    return installed_registry


def find(kind: str, name: str) -> Any:
    """Return the class, recipe or command that a plugin registers, such as `find("recipe", "mine")`.

    `kind` is model, recipe, dataset, architecture, metric, study, executor, tracker, store, component or command.
    """
    for plural, singular in SINGULAR.items():
        if kind == singular:
            return registry().load(next(each for each in KINDS if each == plural), name)
    raise SettingsError(f"there is no kind '{kind}'{nearest(kind, SINGULAR.values())}", in_words([*SINGULAR.values()]))


def installed(candidates: Iterable[Distribution]) -> tuple[list[EntryPoint], list[str]]:
    """Return the entry points that lead to plugins, and a line for each distribution whose entry points are unreadable.

    `importlib.metadata.entry_points` reads all distributions at once, so one damaged file would hide every plugin.
    """
    points: dict[tuple[str, str, str], EntryPoint] = {}
    faults = []
    for distribution in candidates:
        try:
            for point in distribution.entry_points.select(group=GROUP):
                points.setdefault((distribution.name, point.name, point.value), point)  # the first on the path counts
        except Exception as error:  # a damaged file may raise anything
            place = printable(str(getattr(distribution, "_path", distribution.locate_file(""))))
            faults.append(f"the entry points in {place} cannot be read: {in_a_line(error)}")
    return list(points.values()), faults


def discover(candidates: Iterable[EntryPoint], *, only: str | None = None) -> Registry:
    """Load the entry points one by one and return a registry of what they offer.

    `only` is a comma-separated list of entry-point names (empty: none; None: all). A plugin that raises, exits,
    implements a hook wrongly or offers something unusable is recorded as broken; the others are loaded.
    """
    result = Registry()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(genzoo.host.hooks)
    core = Plugin(name=CORE, distribution=CORE, version=_own_version(), summary="the core")
    _collect(result, manager, core, genzoo.host.builtin)
    wanted = None if only is None else {name.strip() for name in only.split(",") if name.strip()}
    by_owner = sorted(candidates, key=lambda point: (point.name, point.value, _owner(point)), reverse=True)
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
    made_for = _made_for(point)
    plugin = Plugin(
        name=printable(point.name), distribution=_owner(point), version=printable(version), module=point.value
    )
    try:
        with stdout_to_stderr():
            module = point.load()
            _collect(result, manager, replace(plugin, summary=in_a_line(module.__doc__ or "")), module)
        if made_for is not None:
            result.warnings.append(f"plugin {plugin.name} of {plugin.distribution} {plugin.version} is {made_for}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | Interrupted):
            raise
        cause = "; ".join(filter(None, [cause_of(error), made_for]))
        result.plugins.append(replace(plugin, cause=cause, trace=traceback.format_exc()))
        result.warnings.append(f"plugin {plugin.name} of {plugin.distribution} {plugin.version} is broken: {cause}")


def _made_for(point: EntryPoint) -> str | None:
    """Return for which genzoo a plugin was made, if not for this one."""
    try:
        return misfit(point.dist, _own_version())
    except Exception:  # damaged metadata may raise anything, and the plugin may work all the same
        return None


def _owner(point: EntryPoint) -> str:
    """Return the name of the distribution that an entry point belongs to."""
    return printable((point.dist and point.dist.name) or point.value)


def _collect(result: Registry, manager: pluggy.PluginManager, plugin: Plugin, module: object) -> None:
    """Register the module and add its offers; if anything in it is wrong, add none."""
    manager.register(module, name=f"{plugin.distribution}/{plugin.name}")
    try:
        callers = manager.get_hookcallers(module) or []
        unknown = [caller.name for caller in callers if not caller.has_spec() and _is_needed(caller, module)]
        if unknown:
            raise PluginError(f"unknown hook {unknown[0]}{nearest(unknown[0], _HOOKS)}")
        unmarked = [hook for hook in _HOOKS if _is_unmarked(getattr(module, hook, None))]
        if unmarked:
            raise PluginError(f"{in_words(unmarked)} must be marked @hookimpl; without it, nothing is offered")
        entries = [entry for kind in KINDS for entry in _entries_of(manager, plugin, module, kind)]
        plugin = replace(plugin, default_recipe=_default_recipe_of(manager, module))
    except BaseException:
        manager.unregister(module)
        raise
    result.plugins.append(plugin)
    result.entries.extend(entries)


def _is_needed(caller: pluggy.HookCaller, module: object) -> bool:
    """Return whether the module implements a hook without `optionalhook`, which is for hooks of other versions."""
    return any(not each.optionalhook for each in caller.get_hookimpls() if each.plugin is module)


def _is_unmarked(function: object) -> bool:
    """Return whether it is a function without pluggy's mark, be it this project's or another's."""
    is_of_python = inspect.isfunction(function) or inspect.ismethod(function)
    return is_of_python and not any(name.endswith("_impl") for name in vars(function))


def _entries_of(manager: pluggy.PluginManager, plugin: Plugin, module: object, kind: Kind) -> list[Entry]:
    entries: dict[str, Entry] = {}
    for answer in _answers(manager, module, f"genzoo_{kind}"):
        for offer in answer:
            name, summary = _name_and_summary(offer, kind)
            if name in entries:
                raise PluginError(f"it offers the {SINGULAR[kind]} '{name}' twice")
            entries[name] = Entry(
                kind=kind, name=printable(name), summary=in_a_line(summary), plugin=plugin, offer=offer
            )
    return list(entries.values())


def _default_recipe_of(manager: pluggy.PluginManager, module: object) -> str | None:
    for answer in _answers(manager, module, "genzoo_default_recipe"):
        if not isinstance(answer, str):
            raise PluginError(f"genzoo_default_recipe returned {short_repr(answer)}, expected the name of a recipe")
        return printable(answer)
    return None


def _answers(manager: pluggy.PluginManager, module: object, hook: str) -> list[Any]:
    """Return the answers of one plugin to a hook."""
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
    raise PluginError(f"genzoo_{kind} offers {short_repr(offer)}, expected lazy(…) or a {SINGULAR[kind]}")


def _warn_of_duplicates(result: Registry) -> None:
    for kind in KINDS:
        groups: dict[str, list[Entry]] = {}
        for entry in result.of(kind):
            groups.setdefault(entry.name, []).append(entry)
        for name, entries in groups.items():
            if len(entries) > 1:
                choices = " or ".join(entry.qualified for entry in entries)
                result.warnings.append(f"{len(entries)} plugins offer the {SINGULAR[kind]} '{name}': say {choices}")


def _warn_of_missing_defaults(result: Registry) -> None:
    for plugin in result.plugins:
        if plugin.default_recipe is not None and not result.has("recipes", plugin.default_recipe):
            what = f"the default recipe '{plugin.default_recipe}', which no plugin offers"
            result.warnings.append(f"plugin {plugin.name} of {plugin.distribution} names {what}")


def _own_version() -> str:
    from genzoo import __version__

    return __version__
