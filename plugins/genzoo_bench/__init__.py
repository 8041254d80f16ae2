"""Benchmarks: the engine's speed beside that of training loops written by hand."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_commands() -> list[lazy]:
    """Return the command `bench`."""
    return [lazy("bench", "genzoo_bench.command:bench", "Time a model's steps beside loops written by hand.")]
