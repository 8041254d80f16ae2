"""`genzoo schema`."""

import json

import click

from genzoo.cli.output import result
from genzoo.host.discovery import registry


@click.command("schema")
@click.argument("kind", type=click.Choice(["training", "recipe", "comparison"]), default="training")
def schema_command(kind: str) -> None:
    """Write the JSON schema of the files that --config of train and compare, or --recipe, read.

    An editor that knows it completes names, shows what every setting is, and marks what is misspelt. The schema holds
    what is installed.

    \b
    genzoo schema training > training.schema.json

    In VS Code with its YAML extension, the file that you write then begins with:

    \b
    # yaml-language-server: $schema=training.schema.json
    """
    from genzoo.runs.configuration_schema import configuration_schema

    result(json.dumps(configuration_schema(registry(), kind), indent=1))
