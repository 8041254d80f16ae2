"""`genzoo plugin`: new, check and doctor."""

import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo import __version__
from genzoo.cli import options
from genzoo.cli.output import result, result_json, show_table, status
from genzoo.errors import PluginError, SettingsError
from genzoo.host.discovery import registry
from genzoo.host.registry import KINDS, Plugin
from genzoo.text import counted

if TYPE_CHECKING:
    from genzoo.testing import Check

_HOOKS = {
    "model": "models",
    "dataset": "datasets",
    "architecture": "architectures",
    "recipe": "recipes",
    "metric": "metrics",
    "study": "studies",
    "executor": "executors",
    "tracker": "trackers",
    "prior": "components",
    "command": "commands",
}
"""The hook that offers each kind of thing that `new` writes."""
_NEEDS = {"recipe": ("architecture", "dataset")}
"""What is written with a kind, because it is made of it."""


@click.group("plugin")
def plugin_command() -> None:
    """Write, check and look at plugins.

    \b
    genzoo plugin new genzoo-mine --kind model
    genzoo plugin check ./mine.py:Mine
    """


@plugin_command.command("new")
@click.argument("name")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(_HOOKS)), help="What it offers; repeatable.")
def new_command(name: str, kinds: tuple[str, ...]) -> None:
    """Write a plugin into the folder NAME, by default of one model: typed, with tests that pass."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise SettingsError(
            f"'{name}' is no name of a package", "name it with letters, digits and hyphens: genzoo-mine"
        )
    folder = Path(name)
    if folder.exists():
        raise SettingsError(f"{folder} is there already", "choose another name, or remove it")
    wanted = [*dict.fromkeys(part for kind in kinds or ("model",) for part in (*_NEEDS.get(kind, ()), kind))]
    for path, text in _files_of_plugin(name, wanted):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        result(str(folder / path))
    status(f"next: cd {name} && pip install -e . && pytest && genzoo plugin check {name}")


@plugin_command.command("check")
@click.argument("target")
@click.option("--recipe", "recipes", multiple=True, metavar="R", help="Check on this recipe; repeatable.")
@click.option("--compiled", is_flag=True, help="Check compiled steps, too, which takes seconds each.")
@options.as_json
def check_command(target: str, recipes: tuple[str, ...], compiled: bool, as_json: bool) -> None:
    """Check what TARGET offers against genzoo's contracts: a distribution, a module, or FILE.py:CLASS.

    By default on the smallest tasks of vectors and of images. Exit 4 if a check fails. Names of genzoo's that will be
    removed are warned of.
    """
    from genzoo.testing import CheckFailed

    warnings.filterwarnings("default", category=DeprecationWarning, message=r"genzoo\.")
    done: list[dict[str, Any]] = []
    for name, check in _checks(target, recipes, compiled=compiled):
        entry = {"component": name, "check": check.name, "on": check.on, "passed": True, "found": None, "remedy": None}
        try:
            check.run()
        except CheckFailed as failed:
            entry |= {"passed": False, "found": failed.found, "remedy": failed.remedy}
        done.append(entry)
        if not as_json:
            result(f"{'ok    ' if entry['passed'] else 'failed'}  {name}: {check}")
            if not entry["passed"]:
                result(f"        {entry['found']}\n        {entry['remedy']}")
    if as_json:
        result_json({"target": target, "checks": done})
    failures = sum(not entry["passed"] for entry in done)
    if failures:
        raise PluginError(f"{failures} of {counted(len(done), 'check')} of {target} failed", "what to do is said above")
    if not done:
        raise SettingsError(f"{target} offers nothing to check", "name what a plugin offers: genzoo plugin doctor")
    status(f"{counted(len(done), 'check')} of {target}: all passed")


@plugin_command.command("doctor")
@options.as_json
def doctor_command(as_json: bool) -> None:
    """Say what is installed, from where, what it offers, what is broken and why, and which names collide.

    What a plugin imports only when it is used is tried by `genzoo plugin check`.
    """
    plugins = [_described(plugin) for plugin in registry().plugins]
    if as_json:
        result_json({"plugins": plugins, "warnings": registry().warnings})
        return
    for plugin in plugins:
        offers = ", ".join(f"{kind} {count}" for kind, count in plugin["offers"].items())
        result(f"{plugin['name']}  ({plugin['distribution']} {plugin['version']}, {plugin['place']})", fold=True)
        result(f"  broken: {plugin['cause']}" if plugin["cause"] else f"  {offers or 'offers nothing'}", fold=True)
    result("")
    show_table([("warning", line) for line in registry().warnings] or [("all well", "")], fold=(1,))


def _described(plugin: Plugin) -> dict[str, Any]:
    counts = {kind: sum(entry.plugin.name == plugin.name for entry in registry().of(kind)) for kind in KINDS}
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "place": _folder_of(plugin.module),
        "offers": {kind: count for kind, count in counts.items() if count},
        "cause": plugin.cause,
    }


def _folder_of(module: str) -> str:
    """Return the file of a plugin's top-level package, which is not imported for it."""
    try:
        spec = find_spec(module.partition(":")[0].partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    return "not there" if spec is None else str(spec.origin)


def _checks(target: str, recipes: tuple[str, ...], *, compiled: bool) -> "Iterator[tuple[str, Check]]":
    """Yield the checks of a target, each with the name of what is checked."""
    from genzoo.testing import checks
    from genzoo.testing.kit import components_of, entries_of

    plugins = [plugin for plugin in registry().plugins if target in (plugin.name, plugin.distribution)]
    for plugin in (plugin for plugin in plugins if plugin.cause is not None):
        found = f"{plugin.distribution} {plugin.version} is broken: {plugin.cause}"
        raise PluginError(found, "mend it; genzoo plugin doctor says where it is")
    offers: list[tuple[str, Callable[[], Any]]] = [(str(entry), entry.load) for entry in entries_of(target)]
    offers = offers or [(kind.__name__, partial(_itself, kind)) for kind in components_of(target)]
    if not plugins:
        offers = offers or [(target, partial(_itself, target))]
    for name, load in offers:
        for check in checks(load(), recipes=recipes, compiled=compiled):
            yield name, check


def _itself(target: Any) -> Any:
    return target


def _files_of_plugin(name: str, kinds: list[str]) -> Iterator[tuple[str, str]]:
    """Yield path and text of every file of a new plugin, from the one template that has them all."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("genzoo.cli", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    short = re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("genzoo-").removeprefix("genzoo_")).strip("-")
    title = "".join(part.capitalize() for part in short.split("-"))
    suffixes = {"model": "", "prior": "Prior", "architecture": "Networks", "dataset": "Data", "metric": "Metric"}
    suffixes |= {"study": "Study", "executor": "Executor", "tracker": "Tracker"}
    function = short.replace("-", "_")
    targets = {kind: title + suffix for kind, suffix in suffixes.items()}
    major, minor = __version__.split(".")[:2]
    text = environment.get_template("new_plugin.jinja").render(
        distribution=name.replace("_", "-").lower(),
        module=name.replace("-", "_").lower(),
        name=short,
        title=title,
        function=function,
        constant=function.upper(),
        kinds=kinds,
        hooks=_HOOKS,
        targets=targets | {"recipe": function.upper(), "command": f"{function}_command"},
        version=f"{major}.{minor}",
        next_version=f"{major}.{int(minor) + 1}",
    )
    for section in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        path, _, content = section.partition("\n")
        yield path, content.strip("\n") + "\n" if content.strip() else ""
