"""How fast the engine is, beside loops that one would write by hand."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_commands() -> list[lazy]:
    """Return the command `bench`."""
    return [lazy("bench", "genzoo_bench.command:bench", "Time a model's steps beside loops written by hand.")]
