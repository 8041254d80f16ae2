"""Tuning: a search of settings on the validation split, by the library optuna."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_commands() -> list[lazy]:
    """Return the command `tune`."""
    return [lazy("tune", "genzoo_tune.command:tune", "Search ranges of settings on the validation split.")]
