"""Metrics of samples, reconstructions, codes, densities, and memorisation."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_metrics() -> list[lazy]:
    """Return the metrics."""
    return [
        lazy(
            "modes",
            "genzoo_metrics.modes:Modes",
            "share of samples near the true mixture's means, and how they are spread over these",
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
            "classifier-distance",
            "genzoo_metrics.classified:ClassifierDistance",
            "Fréchet distance of samples to the training data in a small classifier's features",
        ),
        lazy(
            "classifier-score",
            "genzoo_metrics.classified:ClassifierScore",
            "whether a small classifier is sure of every sample and samples are of all classes",
        ),
        lazy(
            "coverage",
            "genzoo_metrics.classified:Coverage",
            "share of training data near samples, and the reverse, in a small classifier's features",
        ),
        lazy(
            "classification",
            "genzoo_metrics.classification:Classification",
            "share of rows whose class is predicted wrongly",
        ),
        lazy(
            "category-match",
            "genzoo_metrics.category_match:CategoryMatch",
            "agreement with classes of categories that a model made out by itself",
        ),
        lazy(
            "fidelity",
            "genzoo_metrics.fidelity:Fidelity",
            "FID, KID, inception score, precision and recall by torch-fidelity; only where it is named",
        ),
        lazy(
            "latent-match",
            "genzoo_metrics.latent:LatentMatch",
            "distance of the codes of data from the prior, and whether they say anything about x",
        ),
        lazy("cycle", "genzoo_metrics.latent:Cycle", "squared error of z → x → z beside that of shuffled pairs"),
        lazy("posterior-width", "genzoo_metrics.latent:PosteriorWidth", "standard deviation of z given x"),
        lazy("elbo", "genzoo_metrics.density:ELBO", "evidence lower bound of ln p(x), in nats per row"),
        lazy("iwae", "genzoo_metrics.density:IWAE", "tighter bound of ln p(x) from k weighted draws of z"),
        lazy(
            "bits-per-dimension",
            "genzoo_metrics.density:BitsPerDimension",
            "−log₂ of the probability of images as grey levels, over the numbers of x",
        ),
        lazy(
            "probe",
            "genzoo_metrics.probe:Probe",
            "test error of simple classifiers on the encoder's features; only where it is named",
        ),
        lazy(
            "nearest-neighbour",
            "genzoo_metrics.memorization:NearestNeighbour",
            "distance of samples to the training data, over that of held-out data",
        ),
    ]
