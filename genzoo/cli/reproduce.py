"""`genzoo reproduce`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo import api
from genzoo.cli import options
from genzoo.cli.compare import command_of, pass_on_warnings, plays_together
from genzoo.cli.output import columns, result, result_json, status
from genzoo.cli.progress import watching
from genzoo.errors import PluginError, UnreadableError
from genzoo.host.isolation import stdout_to_stderr
from genzoo.host.registry import registry
from genzoo.storage import files

if TYPE_CHECKING:
    from genzoo.comparison.cells import Cell, Outcome
    from genzoo.comparison.studies import Trial
    from genzoo.runs.job import Job


@click.command("reproduce", short_help="Carry out a paper's STUDY beside what was published.")
@click.argument("study", required=False, type=options.Name("studies"))
@click.option("--budget", type=click.Choice(["quick", "paper"]), default="quick", show_default=True, help="How long.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="J", help="Trainings at a time; all cores if left out.")
@options.together
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="A field, such as study.runs=3.")
@click.option("--report", type=click.Path(path_type=Path), default="studies", metavar="DIR", help="Where to.")
@options.device
@options.data
@options.as_json
def reproduce_command(
    study: str | None,
    budget: str,
    jobs: int | None,
    together: bool | None,
    assignments: tuple[str, ...],
    report: Path,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Carry out STUDY of a paper and set it beside what was published; without STUDY, list those there are.

    What is trained already is not trained again.
    """
    from genzoo.comparison.studies import Choice, Lab, Study
    from genzoo.components import from_json, override

    if study is None:
        _list_studies(api.data_folder(data), as_json)
        return
    resolve = registry().resolve
    registry().find("studies", study)
    chosen = Choice(study=from_json(Study, {"name": study, "budget": budget}, resolve=resolve, path="study"))
    for path, value in options.parse_settings(assignments).items():
        chosen = override(chosen, path, value, resolve=resolve)

    def train(cells: "Sequence[Cell]") -> "list[Outcome]":
        from genzoo.comparison.cells import train_cells

        status(f"{len(cells)} trainings, {sum(cell.is_done for cell in cells)} of them done; in {report / study}")
        at_once = jobs or max(1, min(len(cells), os.cpu_count() or 1))
        with watching([f"{cell.job.model} {cell.job.seed}" for cell in cells]) as progress:
            outcomes = train_cells(
                cells,
                lambda some: command_of(some, device, data),
                jobs=at_once,
                together=plays_together(together, device),
                progress=progress,
            )
        pass_on_warnings(outcomes)
        return outcomes

    def order(recipe: str, trial: "Trial") -> "Job":
        from genzoo.runs.job import resolve_job

        source = None if trial.source is None else trial.source.as_source()
        return resolve_job(
            registry(), trial.model, recipe, trial.seed, trial.steps, "auto", trial.overrides, source, device=device
        )

    lab = Lab(report, study, order=order, train=train, load=api.load, data=lambda run: api.load_data(run, data=data))
    with stdout_to_stderr():
        table = chosen.study.carry_out(lab)
    files.write(lab.folder / "table.md", (table + "\n").encode())
    if as_json:
        result_json(lab.found_by(study) or {})
        return
    result(f"{chosen.study.published}\n\n{table}\n\n{lab.folder / 'results.json'}")


def _list_studies(root: Path, as_json: bool) -> None:
    from genzoo.comparison.studies import Study

    found: list[dict[str, Any]] = []
    for entry in registry().of("studies"):
        try:
            study = entry.load_as(Study)  # type: ignore[type-abstract]
        except PluginError as error:
            status(f"warning: {error.found}")
            continue
        card = {"name": entry.name, "summary": entry.summary, "published": study.published, "cost": study.cost}
        found.append(card | {"missing_data": [name for name in study.needs if not _is_here(name, root)]})
    if as_json:
        result_json({"studies": found})
        return
    for one in found:
        missing = ", ".join(one["missing_data"])
        data = f"data missing: {missing}" if missing else "its data is here"
        rows = [(one["name"], one["summary"]), ("", one["published"]), ("", one["cost"]), ("", data)]
        result(columns(rows) + "\n")


def _is_here(name: str, root: Path) -> bool:
    try:
        registry().load("datasets", name)().load(root)
    except UnreadableError:
        return False
    return True
