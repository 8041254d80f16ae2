"""The command line: it parses, calls one function of the library, and prints; errors become exit codes here."""

import os
import re
import sys
import traceback
import warnings
from dataclasses import fields
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from genzoo import __version__
from genzoo.cli import options
from genzoo.cli.output import status
from genzoo.errors import (
    DivergedError,
    GenzooWarning,
    Interrupted,
    InterruptedRun,
    PluginError,
    SettingsError,
    explain,
)
from genzoo.host.discovery import registry
from genzoo.host.isolation import removal
from genzoo.host.unregistered import import_code
from genzoo.machine import open_standard_streams
from genzoo.runs.signals import KEPT, end_on_signals
from genzoo.text import in_a_line, initials
from genzoo.training import torchrun

_COMMANDS = {
    "train": ("genzoo.cli.train", "Train MODEL on a recipe, in a new folder below runs/."),
    "resume": ("genzoo.cli.train", "Continue RUN as if it had never stopped."),
    "sample": ("genzoo.cli.sample", "Draw samples from RUN's model."),
    "reconstruct": ("genzoo.cli.sample", "Encode image files, or rows of RUN's data, and decode them."),
    "interpolate": ("genzoo.cli.sample", "Walk between the codes of image files, or of rows of RUN's data."),
    "encode": ("genzoo.cli.encode", "Write the codes of image files, or of rows of RUN's data."),
    "decode": ("genzoo.cli.encode", "Decode the codes in a file."),
    "nearest": ("genzoo.cli.encode", "Find the images whose codes are nearest to those of image files."),
    "classify": ("genzoo.cli.classify", "Predict classes of image files, or of rows of RUN's data."),
    "evaluate": ("genzoo.cli.evaluate", "Measure RUN's model and keep the scores."),
    "export": ("genzoo.cli.export", "Write RUN's model as a folder to give away."),
    "compare": ("genzoo.cli.compare", "Train models on the same data and budget, and report."),
    "reproduce": ("genzoo.cli.reproduce", "Carry out a paper's STUDY beside what was published."),
    "data": ("genzoo.cli.data", "Fetch and prepare data sets."),
    "list": ("genzoo.cli.list", "List what the installed plugins offer."),
    "show": ("genzoo.cli.show", "Show a run, recipe, data set, model or plugin in full."),
    "schema": ("genzoo.cli.schema", "Write the JSON schema of configuration files, for editors."),
    "plugin": ("genzoo.cli.plugin", "Write, check and look at plugins."),
    "runs": ("genzoo.cli.runs", "List the runs with their progress and a score."),
    "note": ("genzoo.cli.runs", "Write a note or a tag on RUN."),
    "verify": ("genzoo.cli.verify", "Read and check all of RUN, or of all runs and data sets in FOLDER."),
    "repair": ("genzoo.cli.verify", "Set aside what is damaged in RUN or in all runs in FOLDER."),
    "gc": ("genzoo.cli.verify", "List what takes room for nothing; remove it with --delete."),
    "completion": ("genzoo.cli.completion", "Have the shell complete commands, models, recipes and runs."),
}
"""The module of every command, which is imported when it is used, and its line in the list."""


class _Commands(click.Group):
    """A group that imports a command when it is used: genzoo's own in the order of a first session, then plugins'."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *_plugin_commands()]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise registry().unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module, summary = _COMMANDS[cmd_name]
            command = getattr(import_module(module), f"{cmd_name}_command")
            command.short_help = summary
        elif registry().has("commands", cmd_name):
            command = registry().load("commands", cmd_name)
        else:
            return None
        if not isinstance(command, click.Command):
            raise PluginError(
                f"what is registered as the command '{cmd_name}' is no click.Command: {command!r}",
                removal(registry().find("commands", cmd_name).plugin.distribution),
            )
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin with `incomplete`, without importing those of plugins."""
        summaries = self._summaries()
        items = [CompletionItem(name, help=text) for name, text in summaries if name.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List all commands; those of plugins are not imported, so that a broken one does no harm here."""
        with formatter.section("Commands"):
            formatter.write_dl(self._summaries())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """End with the commands of a first session, with names that the installed plugins offer."""
        recipe = registry().default_recipe
        steps = [options.train_command_for(), "genzoo list", *([f"genzoo show {recipe}"] if recipe else [])]
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f"First steps:  {'  ·  '.join(steps)}")

    def _summaries(self) -> list[tuple[str, str]]:
        return [*((name, summary) for name, (_, summary) in _COMMANDS.items()), *_plugin_commands().items()]


def _plugin_commands() -> dict[str, str]:
    """Return the names and summaries of the commands that plugins bring."""
    return {entry.name: entry.summary for entry in registry().of("commands") if entry.name not in _COMMANDS}


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="genzoo %(version)s")
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
@click.option("--code", multiple=True, metavar="FILE.py", help="Import a file or module of components; repeatable.")
@click.option("--strict-plugins", is_flag=True, help="Refuse to go on while a plugin, or what it offers, is broken.")
@click.pass_context
def group(context: click.Context, debug: bool, code: tuple[str, ...], strict_plugins: bool) -> None:
    """Train, look at and compare generative models with inference.

    A model, a data set, an architecture, a recipe or a metric is a small plugin; everything else is shared.
    """
    if torchrun.size() > 1 and context.invoked_subcommand not in ("train", "resume"):
        raise SettingsError("only train and resume run on several ranks", "type the command without torchrun")
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return
    for where in code:
        import_code(where)
    plugin_warnings = registry().warnings
    if strict_plugins and (faults := plugin_warnings or registry().unusable()):
        raise PluginError("; ".join(faults), "leave out --strict-plugins to go on without them")
    for line in plugin_warnings:
        status(f"warning: {line}")
    for entry in registry().of("commands"):
        if entry.name in _COMMANDS:
            status(f"warning: the command '{entry.name}' of {entry.plugin.distribution} is hidden by genzoo's own")


def main() -> NoReturn:
    """Run the command line and exit with one of its documented codes."""
    # By default torch's waiting threads spin for long, which makes two trainings on one processor 20 times slower.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    open_standard_streams()
    if isinstance(sys.stdout, TextIOWrapper):  # which may know few characters, and a path may hold bytes of no text
        is_unicode = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="surrogateescape" if is_unicode else "replace")
    warnings.simplefilter("always", GenzooWarning)
    warnings.showwarning = _show_warning
    try:
        with end_on_signals():
            code = group.main(prog_name="genzoo", standalone_mode=False)
            sys.stdout.flush()
    except Interrupted as end:
        status(f"interrupted; {KEPT}")
        sys.exit(128 + end.number)
    except (KeyboardInterrupt, click.Abort):
        status(f"interrupted; {KEPT}")
        sys.exit(130)
    except BrokenPipeError:  # the reader of stdout closed it, as `head` does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
        sys.exit(0)
    except SystemExit as stop:
        # Click exits with 1 when the reader of stdout closes it, which is no error.
        sys.exit(0 if type(sys.stdout).__name__.endswith("PacifyFlushWrapper") else stop.code)
    except Exception as error:
        sys.exit(_report_error(error))
    sys.exit(code if isinstance(code, int) else 0)  # a plugin's command may return an exit code


def _report_error(error: Exception) -> int:
    """Print an error in one to three lines, after a traceback if `--debug` is given, and return the exit code."""
    message, remedy, code = _translate(error)
    if isinstance(error, InterruptedRun | DivergedError) and torchrun.rank():
        return code  # all ranks end alike, and rank 0 reports it
    if "--debug" in sys.argv[1:] and not isinstance(error, InterruptedRun):
        traceback.print_exception(error)
    status(message if isinstance(error, InterruptedRun) else f"error: {message}")
    for line in remedy.split("\n") if remedy else ():
        status(line, fold=not re.search(r"genzoo |type: | --", line))  # commands are left whole, to be copied
    return code


def _translate(error: Exception) -> tuple[str, str | None, int]:
    """Return what was found, what to do about it, and the exit code."""
    if isinstance(error, click.NoSuchOption) and (setting := _setting_of(error)):
        return f"no option '{error.option_name}'; training has a setting for it", f"type: --set {setting}=…", 2
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "genzoo"
        return error.format_message(), f"type: {command} --help", 2
    if isinstance(error, click.ClickException):
        return error.format_message(), None, 2
    explained = explain(error)
    return explained.found, explained.remedy, explained.exit_code


def _setting_of(error: click.NoSuchOption) -> str | None:
    """Return the setting that an option of a training may mean, as `--lr` does, or None."""
    if error.ctx is None or error.ctx.command.name not in ("train", "compare"):
        return None
    from genzoo.training.settings import Training

    name = error.option_name.lstrip("-").replace("-", "_")
    names = [field.name for field in fields(Training)]
    return next((f"training.{each}" for each in names if name in (each, initials(each))), None)


def _show_warning(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    if issubclass(category, GenzooWarning):
        status(f"warning: {message}")
    else:
        status(f"warning: {category.__name__}: {in_a_line(str(message))}")
