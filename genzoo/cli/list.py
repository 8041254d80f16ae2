"""`genzoo list`."""

from typing import Any

import click

from genzoo.cli import options
from genzoo.cli.output import result, result_json, show_table
from genzoo.host.discovery import registry
from genzoo.host.registry import KINDS, Registry


@click.command("list")
@click.argument("kind", type=click.Choice([*KINDS, "plugins"]), required=False)
@options.as_json
def list_command(kind: str | None, as_json: bool) -> None:
    """List what the installed plugins offer: models, recipes, datasets, metrics and so on, and the plugins."""
    listing = _listing(registry())
    selected = {kind: listing[kind]} if kind else listing
    if as_json:
        result_json(selected)
        return
    for name, items in selected.items():
        result(name if items else f"{name}\n  none")
        rows = [(f"  {item['name']}", item["summary"], f"{item['distribution']} {item['version']}") for item in items]
        show_table(rows, fold=(1, 2))


def _listing(names: Registry) -> dict[str, list[dict[str, Any]]]:
    listing: dict[str, list[dict[str, Any]]] = {
        kind: [
            {
                "name": entry.name,
                "summary": entry.summary,
                "distribution": entry.plugin.distribution,
                "version": entry.plugin.version,
            }
            for entry in names.of(kind)
        ]
        for kind in KINDS
    }
    listing["plugins"] = [
        {
            "name": plugin.name,
            "summary": f"broken: {plugin.cause}" if plugin.cause else plugin.summary,
            "distribution": plugin.distribution,
            "version": plugin.version,
        }
        for plugin in names.plugins
    ]
    return listing
