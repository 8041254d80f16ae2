"""The first metrics: mode coverage and reconstruction error."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_metrics():
    """Return modes, reconstruction and recognition."""
    return [
        lazy(
            "modes",
            "genzoo_metrics.modes:Modes",
            "mixture components that samples reach (paper, section 4.5)",
        ),
        lazy(
            "reconstruction",
            "genzoo_metrics.reconstruction:Reconstruction",
            "squared error of x → z → x beside that of shuffled pairs",
        ),
        lazy(
            "recognition",
            "genzoo_metrics.recognition:Recognition",
            "share of conditional samples that a classifier puts into their class",
        ),
    ]
