"""Metrics of samples, reconstructions, codes, and memorisation."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_metrics() -> list[lazy]:
    """Return the metrics."""
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
        lazy(
            "classification",
            "genzoo_metrics.classification:Classification",
            "share of rows whose class is predicted wrongly",
        ),
        lazy("latent-match", "genzoo_metrics.latent:LatentMatch", "distance of the codes of data from the prior"),
        lazy("cycle", "genzoo_metrics.latent:Cycle", "squared error of z → x → z beside that of shuffled pairs"),
        lazy("posterior-width", "genzoo_metrics.latent:PosteriorWidth", "standard deviation of z given x"),
        lazy(
            "nearest-neighbour",
            "genzoo_metrics.memorization:NearestNeighbour",
            "distance of samples to the training data, over that of held-out data",
        ),
    ]
