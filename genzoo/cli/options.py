"""Options that several commands share, and the completion of names."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from genzoo.cli.output import draws
from genzoo.components import items_in
from genzoo.errors import SettingsError
from genzoo.host.discovery import registry
from genzoo.host.registry import Kind
from genzoo.training import torchrun

if TYPE_CHECKING:
    from genzoo.comparison.executors import ExecutorFactory
    from genzoo.runs.configuration import Configuration
    from genzoo.runs.request import TrainingRequest

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])
_ADDRESSES = "genzoo.addresses"
"""Where a command keeps the addresses by which runs were named, by their folders."""


class _DataFolder(click.Path):
    """The folder of data sets, or the address of a prepared set in a store."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the folder; what is at an address is fetched first."""
        if "://" in str(value) and ctx is not None and not ctx.resilient_parsing:
            from genzoo.runs.stores import data_called

            value = data_called(str(value))
        return super().convert(value, param, ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
device = click.option(
    "--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:INDEX."
)
data = click.option("--data", type=_DataFolder(), metavar="DIR", help="Folder of data sets (or GENZOO_DATA).")
seed = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of everything drawn.",
)
labels = click.option(
    "--labels",
    type=click.IntRange(min=1),
    metavar="N",
    help="Learn from N labels, equally many of every class; a third of every batch has one.",
)
deterministic = click.option(
    "--deterministic", is_flag=True, help="On a GPU, take only algorithms that repeat themselves to the bit."
)
raw = click.option("--raw", is_flag=True, help="Use the weights as trained, even if averages are kept.")
together = click.option(
    "--together/--apart",
    default=None,
    help="Run trainings that differ only in seed and optimizer as one program, or apart; by default together for "
    "vectors on a GPU.",
)


jobs = click.option(
    "--jobs", type=click.IntRange(min=1), metavar="J", help="Trainings at a time; as many as fit if left out."
)


class _Recipe(click.Option):
    """The option that names a recipe; its help names the default recipe, which a plugin offers."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help."""
        default = registry().default_recipe
        self.help = "Recipe, or its file." if default is None else f"Recipe, or its file; {default} if left out."
        return super().get_help_record(ctx)


def _complete_runs(incomplete: str) -> list[CompletionItem]:
    """Return the runs below runs/ whose path or number begins with `incomplete`."""
    from genzoo.storage.runs_root import all_runs

    runs = {str(run.path): run.name.partition("-")[0].lstrip("0") for run in all_runs(Path("runs"))}
    return [CompletionItem(path) for path, number in runs.items() if incomplete in (path[: len(incomplete)], number)]


class RunFolder(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    """The folder of a run, its number below runs/, or its address in a store."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the folder; what is at an address is fetched first."""
        from genzoo.storage.run_folder import numbered

        text = str(value)
        if "://" not in text or ctx is None or ctx.resilient_parsing:
            return numbered(text)
        from genzoo.runs.stores import run_called

        folder = str(run_called(text).path)
        ctx.meta.setdefault(_ADDRESSES, {})[folder] = text
        return folder

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the runs below runs/ whose path or number begins with `incomplete`, and files."""
        return _complete_runs(incomplete) or [CompletionItem(incomplete, type="dir")]


run = click.argument("run", metavar="RUN", type=RunFolder())


def address_of(run: str) -> str | None:
    """Return the address by which the folder of a run was named; None for one that lies here anyway."""
    addresses: dict[str, str] = click.get_current_context().meta.get(_ADDRESSES, {})
    return addresses.get(run)


def split(default: str) -> Callable[[CommandFunction], CommandFunction]:
    """Return the option that names a part of the data."""
    choices = click.Choice(["train", "validation", "test"])
    return click.option("--split", type=choices, default=default, show_default=True, help="Part of the data.")


class Name(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    """A registered name of one kind, completed in the shell without importing torch."""

    name = "name"

    def __init__(self, *kinds: Kind, or_run: bool = False) -> None:
        self._kinds = kinds
        self._or_run = or_run

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with `incomplete`."""
        entries = [entry for kind in self._kinds for entry in registry().of(kind)]
        names = [
            CompletionItem(entry.name, help=entry.summary) for entry in entries if entry.name.startswith(incomplete)
        ]
        return names + (_complete_runs(incomplete) if self._or_run and incomplete else [])


def can_ask() -> bool:
    """Return whether a person may be asked: this is one process, in a terminal."""
    return torchrun.size() == 1 and sys.stdin is not None and sys.stdin.isatty() and draws(sys.stderr)


def train_command_for(recipe: str | None = None) -> str:
    """Return a command that trains the first model of the first plugin on `recipe`, by default the default recipe."""
    model = next((entry.name for entry in registry().entries if entry.kind == "models"), "MODEL")
    if recipe is None and registry().default_recipe is None:
        recipe = next((entry.name for entry in registry().of("recipes")), "RECIPE")
    return f"genzoo train {model}" if recipe is None else f"genzoo train {model} --recipe {recipe}"


track = click.option(
    "--track",
    multiple=True,
    type=Name("trackers"),
    metavar="NAME[.FIELD=VALUE]",
    callback=lambda context, parameter, value: value or None,
    help="Tracker to tell of the training, and its settings; repeatable. By default those of the run, if it goes on.",
)
recipe = click.option("--recipe", cls=_Recipe, type=Name("recipes"), metavar="R")


on = click.option(
    "--on",
    type=Name("executors"),
    default="local",
    show_default=True,
    metavar="E",
    help="Where trainings run, with settings --set on.PATH=VALUE; see: genzoo list executors.",
)


def executor_of(name: str, settings: Mapping[str, str]) -> "tuple[ExecutorFactory, dict[str, str]]":
    """Return what `--on` and the settings below `on` say, and the other settings."""
    from genzoo.comparison.executors import executor_called

    of_executor = {path: text for path, text in settings.items() if path.partition(".")[0] == "on"}
    others = {path: text for path, text in settings.items() if path not in of_executor}
    return executor_called(name, of_executor), others


def labelled_request(request: "TrainingRequest", labels: int | None) -> "TrainingRequest":
    """Return the request with what `--labels` asks for."""
    if labels is None:
        return request
    from genzoo.runs.job import with_labels

    return with_labels(request, labels)


def is_typed(name: str, context: click.Context) -> bool:
    """Return whether a parameter of the command was typed."""
    value = context.params.get(name)
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE and value not in (None, ())


def overridden(read: "Configuration", overrides: Mapping[str, str]) -> "Configuration":
    """Return what a file says with settings that were typed, which stand at no place in it."""
    places = {path: place for path, place in read.places.items() if path not in overrides}
    return replace(read, overrides={**read.overrides, **overrides}, places=places)


def with_values_of(read: "Configuration", context: click.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command's parameters: those that were typed, then those that a file says, then the defaults."""
    chosen = dict(values)
    for name in read.values.keys() & values.keys():
        if not is_typed(name, context):
            chosen[name] = parameter_value(read, name, context)
    return chosen


def parameter_value(read: "Configuration", name: str, context: click.Context) -> Any:
    """Return what a file says of a parameter as the command takes it; raise `SettingsError` with its line."""
    parameter = next(parameter for parameter in context.command.params if parameter.name == name)
    text = read.values[name]
    try:
        return parameter.process_value(context, items_in(text) if parameter.multiple else text)
    except click.BadParameter as error:
        remedy = f"see: genzoo {context.info_name} --help"
        raise SettingsError(f"{read.places[name]}: {name}: {error.message}", remedy) from error


def parse_settings(assignments: Sequence[str]) -> dict[str, str]:
    """Return `PATH=VALUE` texts as a mapping, the last of equal paths winning."""
    for assignment in assignments:
        if "=" not in assignment:
            raise SettingsError(f"--set {assignment}: expected PATH=VALUE", "such as: --set training.batch_size=64")
    return {path.strip(): value for path, _, value in (text.partition("=") for text in assignments)}
