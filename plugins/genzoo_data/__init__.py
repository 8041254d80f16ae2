"""Data sets: the paper's, digits that need no download, and folders of images."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_datasets() -> list[lazy]:
    """Return the data sets."""
    return [
        lazy("mixture25", "genzoo_data.mixture:Mixture25", "25 Gaussians on a 5 × 5 grid, the paper's toy data"),
        lazy("digits", "genzoo_data.digits:Digits", "8 × 8 handwritten digits that come with scikit-learn"),
        lazy("cifar10", "genzoo_data.cifar10:CIFAR10", "32×32 colour images in ten classes"),
        lazy("svhn", "genzoo_data.svhn:SVHN", "32×32 house numbers, with the extra images"),
        lazy("celeba64", "genzoo_data.celeba64:CelebA64", "64×64 faces with forty attributes"),
        lazy("imagenet64", "genzoo_data.imagenet64:ImageNet64", "all of ILSVRC2012 at 64×64"),
        lazy("tinyimagenet200", "genzoo_data.tinyimagenet200:TinyImageNet200", "200 classes of 64×64 images"),
        lazy("folder", "genzoo_data.folder:Folder", "any folder of images"),
    ]
