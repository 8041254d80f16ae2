"""`genzoo push` and `pull`."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from genzoo import SettingsError
from genzoo_hub.client import require_client, split_address

_as_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


@click.command("push", short_help="Upload RUN's model to a repository of the Hugging Face hub.")
@click.argument("run")
@click.argument("repository", metavar="REPO")
@click.option("--private", is_flag=True, help="Make a private repository, and refuse one that is public.")
@click.option("--message", metavar="TEXT", help="Of the commit.  [default: MODEL on RECIPE, step N]")
@click.option("--license", metavar="ID", help="Of the weights, as the hub calls it, such as apache-2.0.")
@click.option("--no-reconstructions", is_flag=True, help="Leave out the picture that shows rows of the data.")
@click.option("--raw", is_flag=True, help="Use the weights as trained, even if averages are kept.")
@click.option("--dry-run", is_flag=True, help="List what would be uploaded, and upload nothing.")
@_as_json
def push(
    run: str,
    repository: str,
    private: bool,
    message: str | None,
    license: str | None,
    no_reconstructions: bool,
    raw: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Upload RUN's model to REPO, OWNER/NAME on the Hugging Face hub: what genzoo export writes, in one commit.

    REPO is made if it does not exist. The card says model, scores and how they were measured, and what to install.
    """
    require_client()
    repository, revision = split_address(repository)
    if revision is not None:
        raise SettingsError(f"a commit goes to a repository, and @{revision} is a revision", "leave it out")
    from genzoo import Run
    from genzoo_hub.pushing import push_model, write_model

    with TemporaryDirectory() as place:
        folder = Path(place, "model")
        files = write_model(run, folder, repository, raw=raw, license=license, reconstructions=not no_reconstructions)
        for name, size in files.items():
            _say(f"{size:>12,}  {name}")
        if license is None:
            _say("no license is named, so nobody may use the weights; name theirs with --license")
        if "reconstructions.png" in files:
            _say("reconstructions.png shows rows of the validation data; leave it out with --no-reconstructions")
        if dry_run:
            _say("nothing was uploaded")
            _show({"repository": repository, "url": None, "files": files}, None, as_json=as_json)
            return
        exported = Run(folder)
        default = f"{exported.record.model} on {exported.record.recipe}, step {exported.step:,}"
        pushed = push_model(folder, repository, private=private, message=message or default)
    for name in pushed.removed:
        _say(f"removed {name}, which this model does not have")
    _say(f'{"private" if pushed.private else "public"}; load it with: genzoo.load("hf://{repository}")')
    facts = {"repository": repository, "files": files, **pushed._asdict()}
    _show(facts, pushed.url, as_json=as_json)


@click.command("pull", short_help="Copy a model from the Hugging Face hub into a folder.")
@click.argument("repository", metavar="REPO")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="A new folder.  [default: NAME of REPO]")
@click.option("--revision", metavar="REV", help="A branch, tag or commit.")
@_as_json
def pull(repository: str, out: Path | None, revision: str | None, as_json: bool) -> None:
    """Copy the model in REPO, OWNER/NAME on the Hugging Face hub, into a folder that every command takes.

    It is loaded once, and refused if that fails or it is not data alone. Commands and genzoo.load also take
    hf://OWNER/NAME itself.
    """
    require_client()
    repository, at = split_address(repository)
    if at is not None and revision is not None:
        raise SettingsError(f"two revisions are named, {at} and {revision}", "name one of them")
    out = out or Path(repository.partition("/")[2])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} exists and is not empty", "choose another --out")
    from genzoo import load
    from genzoo.runs import fetch_run

    revision = at or revision
    run = fetch_run(f"hf://{repository}" + (f"@{revision}" if revision else ""))
    model = load(run, device="cpu")
    shutil.copytree(run.path, out, dirs_exist_ok=True)
    _say(f"{run.record.model} on {run.record.recipe}, step {model.step:,}; next, type: genzoo show {out}")
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    _show({"repository": repository, "revision": revision, "path": str(out), "files": files}, str(out), as_json=as_json)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show(facts: dict[str, Any], line: str | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **facts}, indent=2))
    elif line is not None:
        click.echo(line)
