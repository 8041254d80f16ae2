"""The paper's studies of its toy task and of few labels, and one of what came after it."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_studies() -> list[lazy]:
    """Return the studies."""
    return [
        lazy(
            "ali/mode-coverage",
            "genzoo_studies.coverage:ModeCoverage",
            "modes that 10 ALI and 10 GAN with random hyper-parameters cover",
        ),
        lazy("ali/figure8", "genzoo_studies.figure8:Figure8", "four ways to infer z, side by side on the toy task"),
        lazy(
            "ali/digits-semi",
            "genzoo_studies.few_labels_data:DigitsSemi",
            "test error of every model with 10 to 200 labels of digits",
        ),
        lazy(
            "ali/digits-svm",
            "genzoo_studies.few_labels_data:DigitsSVM",
            "error of linear SVMs on features of networks that saw no label of digits",
        ),
        lazy("ali/svhn-semi", "genzoo_studies.few_labels_data:SVHNSemi", "table 1: error with 1,000 labels of SVHN"),
        lazy(
            "ali/svhn-svm",
            "genzoo_studies.few_labels_data:SVHNSVM",
            "table 1: error of linear SVMs on features",
        ),
        lazy(
            "ali/cifar10-semi",
            "genzoo_studies.few_labels_data:CIFAR10Semi",
            "table 2: test error with 1,000 to 8,000 labels of CIFAR10",
        ),
        lazy(
            "stabilisers",
            "genzoo_studies.stabilisers:Stabilisers",
            "what averaging, penalties, schedules and augmentation bring to ALI and GAN",
        ),
    ]
