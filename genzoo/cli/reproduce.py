"""`genzoo reproduce`."""

from pathlib import Path
from typing import Any

import click

from genzoo.cli import options
from genzoo.cli.output import result, result_json, result_markdown, show_table, status
from genzoo.cli.progress import watching
from genzoo.data.root import data_root
from genzoo.errors import PluginError, UnreadableError
from genzoo.host.discovery import registry


@click.command("reproduce")
@click.argument("study", required=False, type=options.Name("studies"))
@click.option("--budget", type=click.Choice(["quick", "paper"]), default="quick", show_default=True, help="How long.")
@options.jobs
@options.on
@options.together
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="A field, such as study.runs=3.")
@click.option("--report", type=click.Path(path_type=Path), default="studies", metavar="DIR", help="Where to.")
@options.device
@options.data
@options.as_json
def reproduce_command(
    study: str | None, assignments: tuple[str, ...], data: str | None, on: str, as_json: bool, **common_options: Any
) -> None:
    """Carry out STUDY of a paper and compare it with the published result; without STUDY, list all studies.

    Trainings that are done already are not repeated. Piped, the table is Markdown, as in DIR/STUDY/table.md.
    """
    from genzoo.comparison.reproduction import reproduce

    if study is None:
        _list_studies(data_root(data), as_json)
        return
    executor, overrides = options.executor_of(on, options.parse_settings(assignments))
    with watching() as callback:
        reproduction = reproduce(
            study, overrides=overrides, data=data, callback=callback, executor=executor, **common_options
        )
    if as_json:
        result_json(dict(reproduction.document))
        return
    result(f"{reproduction.study.published}\n", fold=True)
    result_markdown(reproduction.table)
    result(f"\n{reproduction.folder / 'results.json'}", fold=True)


def _list_studies(root: Path, as_json: bool) -> None:
    from genzoo.comparison.studies import Study

    studies: list[dict[str, Any]] = []
    for entry in registry().of("studies"):
        try:
            study = entry.load_as(Study)  # type: ignore[type-abstract]
        except PluginError as error:
            status(f"warning: {error.found}")
            continue
        card = {"name": entry.name, "summary": entry.summary, "published": study.published, "cost": study.cost}
        studies.append(card | {"missing_data": [name for name in study.needs if not _is_here(name, root)]})
    if as_json:
        result_json({"studies": studies})
        return
    for card in studies:
        missing = ", ".join(card["missing_data"])
        data = f"data missing: {missing}" if missing else "its data is here"
        rows = [(card["name"], card["summary"]), ("", card["published"]), ("", card["cost"]), ("", data)]
        show_table(rows, fold=(1,))
        result("")


def _is_here(name: str, root: Path) -> bool:
    try:
        registry().load("datasets", name)().load(root)
    except UnreadableError:
        return False
    return True
