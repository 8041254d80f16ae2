"""A command: a walk between two samples, as rows of numbers."""

import click
import torch

from genzoo import load


@click.command("walk")
@click.argument("run")
@click.option("--steps", default=10, help="How many points of the walk.")
@click.option("--seed", default=0, help="Decides the two samples.")
def walk_command(run: str, steps: int, seed: int) -> None:
    """Decode the codes on the line between two draws of RUN's prior, one x to a line."""
    model = load(run)
    first, last = model.draw_z(2, seed=seed)
    share = torch.linspace(0, 1, steps)[:, None]
    for x in model.decode(first + share * (last - first)).flatten(1):
        click.echo(",".join(f"{number:.4f}" for number in x.tolist()))
