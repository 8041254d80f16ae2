"""`genzoo completion`."""

import os
import shlex
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from genzoo.cli.output import result, status
from genzoo.storage import files

_LOADED = {
    "bash": ".bashrc",
    "zsh": ".zshrc",
}
"""The file in a home folder that a shell reads when it starts; fish reads a folder."""
_NEEDED_BY_ZSH = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }; "


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--install", is_flag=True, help="Install it for the shells to come, in place of printing it.")
def completion_command(shell: str, install: bool) -> None:
    """Print what has SHELL complete commands, options, models, recipes, metrics and runs at the tab key.

    \b
    genzoo completion bash --install
    source <(genzoo completion bash)
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(click.get_current_context().find_root().command, {}, "genzoo", "_GENZOO_COMPLETE").source()
    if not install:
        result(script)
        return
    path = _place(shell)
    with files.storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, script.encode())
    result(str(path))
    if shell in _LOADED:
        _load_from(_home("ZDOTDIR" if shell == "zsh" else "HOME") / _LOADED[shell], shell, path)
    status("it works in every new shell")


def _place(shell: str) -> Path:
    if shell == "fish":
        return _home("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "genzoo.fish"
    return _home("XDG_DATA_HOME", ".local/share") / "genzoo" / f"completion.{shell}"


def _home(variable: str, otherwise: str = "") -> Path:
    return Path(os.environ.get(variable) or Path.home() / otherwise)


def _load_from(start: Path, shell: str, script: Path) -> None:
    """Add a line to the file that a shell starts with, unless it is there."""
    line = f"{_NEEDED_BY_ZSH if shell == 'zsh' else ''}source {shlex.quote(str(script))}\n"
    with files.storage(start):
        before = start.read_text(encoding="utf-8") if start.exists() else ""
        if line not in before:
            with start.open("a", encoding="utf-8") as file:  # it may be a link to elsewhere, which is followed
                file.write(f"{'' if before.endswith(chr(10)) or not before else chr(10)}{line}")
            status(f"added to {start}: {line.strip()}", fold=False)
