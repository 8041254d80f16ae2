"""Models that learn classes from few labels, and the supervised one beside them."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return the models of the paper's tables 1 and 2, and the classifier of labelled rows alone."""
    return [
        lazy(
            "classifier",
            "genzoo_few_labels.classifier:Classifier",
            "the critic's network as a classifier, trained on labelled rows alone",
        ),
        lazy("semi-ali", "genzoo_few_labels.semi_ali:SemiALI", "ALI whose critic tells K + 1 classes"),
        lazy(
            "feature-matching",
            "genzoo_few_labels.feature_matching:FeatureMatching",
            "a GAN of K + 1 classes whose decoder matches the critic's mean features",
        ),
        lazy(
            "catgan",
            "genzoo_few_labels.catgan:CatGAN",
            "a GAN of K classes: sure of every image of the data, unsure of samples",
        ),
        lazy("m2", "genzoo_few_labels.m2:M2", "a VAE given the class, which it infers where there is no label"),
        lazy("m1+m2", "genzoo_few_labels.m1_m2:M1M2", "M2 on the codes of a frozen VAE (--from)"),
        lazy("semi-aae", "genzoo_few_labels.semi_aae:SemiAAE", "an adversarial autoencoder of a class and a style"),
        lazy("ladder", "genzoo_few_labels.ladder:Ladder", "a classifier that also removes noise from its own layers"),
    ]
