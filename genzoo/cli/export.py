"""`genzoo export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from genzoo.cli import options
from genzoo.cli.output import result, result_json, status

if TYPE_CHECKING:
    from genzoo.evaluation.programs import ProgramFormat


@click.command("export")
@options.run
@click.option("--out", required=True, metavar="DIR", help="A new folder.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["torch-export", "onnx"]),
    help="Write encoder and decoder as programs, too, for any number of rows; repeatable.",
)
@options.raw
@options.as_json
def export_command(run: str, out: str, formats: "tuple[ProgramFormat, ...]", raw: bool, as_json: bool) -> None:
    """Write RUN's model as a folder to give away: weights alone, settings, scores, pictures and a card.

    genzoo.load and all commands that look at a run take the folder, or any file in it. Programs are checked against the
    model.
    """
    from genzoo.runs.exporting import RECONSTRUCTIONS, export_run

    programs = export_run(run, out, formats=formats, raw=raw)
    if (Path(out) / RECONSTRUCTIONS).exists():
        status(f"{RECONSTRUCTIONS} shows rows of the validation data; if they are private, remove it")
    if as_json:
        result_json({"run": run, "path": out, "programs": [program._asdict() for program in programs]})
        return
    for program in programs:
        status(f"{program.name}: at most {program.error:.2g} from the model's numbers")
    result(out)
