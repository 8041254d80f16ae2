"""Data sets that need no download: the paper's mixture of 25 Gaussians, and handwritten digits."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_datasets():
    """Return mixture25 and digits."""
    return [
        lazy("mixture25", "genzoo_data.mixture:Mixture25", "25 Gaussians on a 5 × 5 grid (paper, section 4.5)"),
        lazy("digits", "genzoo_data.digits:Digits", "1,797 handwritten digits of 8 × 8 pixels, with classes"),
    ]
