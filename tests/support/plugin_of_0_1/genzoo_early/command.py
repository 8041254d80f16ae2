"""A command beside genzoo's own."""

import click

import genzoo


@click.command("early-size")
@click.argument("run")
def size_command(run: str) -> None:
    """Print the length of z of RUN's model."""
    click.echo(genzoo.load(run).latent)
