"""Flow matching: the code of x is where an ordinary differential equation takes it."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return the flows."""
    return []
