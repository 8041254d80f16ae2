"""Recipes and their architectures: the paper's, digits, folders of images, DCGAN, and residual networks."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_architectures() -> list[lazy]:
    """Return the networks of the paper, and those of the digits."""
    return [
        lazy("mixture25", "genzoo_recipes.mixture25:Mixture25Networks", "the paper's fully connected toy networks"),
        lazy("dense", "genzoo_recipes.mixture25:DenseNetworks", "three hidden layers each, for vectors"),
        lazy("digits", "genzoo_recipes.digits:DigitsNetworks", "small convolutional tables for 8 × 8 images"),
        lazy("small32", "genzoo_recipes.small32:Small32Networks", "small convolutional tables for 32 × 32 images"),
        lazy(
            "cifar10", "genzoo_recipes.cifar10:CIFAR10Networks", "the paper's 32×32 networks, maxout critic (table 3)"
        ),
        lazy("svhn", "genzoo_recipes.svhn:SVHNNetworks", "the paper's 32×32 networks, critic with BN (table 4)"),
        lazy("celeba64", "genzoo_recipes.celeba64:CelebA64Networks", "the paper's networks for 64×64 faces (table 5)"),
        lazy("imagenet64", "genzoo_recipes.imagenet64:ImageNet64Networks", "the paper's networks for 64×64 (table 6)"),
        lazy("dcgan", "genzoo_recipes.dcgan:DCGANNetworks", "DCGAN's convolutions with batch norm, for square images"),
        lazy(
            "sn-resnet",
            "genzoo_recipes.residual:SNResNetNetworks",
            "residual blocks, with spectral norm in the critic, for square images",
        ),
        lazy("r3gan", "genzoo_recipes.residual:R3GANNetworks", "residual blocks without any norm, for square images"),
    ]


@hookimpl
def genzoo_default_recipe() -> str:
    """Return the toy task, which needs no data from elsewhere and takes two minutes."""
    return "mixture25"


@hookimpl
def genzoo_recipes() -> list[lazy]:
    """Return the recipes."""
    return [
        lazy(
            "mixture25",
            "genzoo_recipes.mixture25:QUICK",
            "the paper's toy task as one trains today, two minutes on two CPU cores",
        ),
        lazy(
            "mixture25-paper",
            "genzoo_recipes.mixture25:PAPER",
            "the paper's toy task with the released script's networks and schedule",
        ),
        lazy("digits", "genzoo_recipes.digits:DIGITS", "8 × 8 handwritten digits, some minutes on a CPU"),
        lazy(
            "cifar10",
            "genzoo_recipes.cifar10:CIFAR10_RECIPE",
            "the paper's CIFAR10 (table 3): 6,475 epochs of 45,000 images",
        ),
        lazy(
            "svhn",
            "genzoo_recipes.svhn:SVHN_RECIPE",
            "the paper's SVHN (table 4): 100 epochs of the 531,131 extra images",
        ),
        lazy(
            "celeba64",
            "genzoo_recipes.celeba64:CELEBA64_RECIPE",
            "the paper's CelebA (table 5): 123 epochs of 162,770 faces at 64×64",
        ),
        lazy(
            "celeba64-conditional",
            "genzoo_recipes.celeba64:CONDITIONAL_RECIPE",
            "the paper's CelebA for conditional models (figure 7): batches of 128",
        ),
        lazy(
            "imagenet64",
            "genzoo_recipes.imagenet64:IMAGENET64_RECIPE",
            "the paper's “Tiny ImageNet” (table 6): 125 epochs of all of ILSVRC2012 at 64×64",
        ),
        lazy(
            "tinyimagenet64",
            "genzoo_recipes.imagenet64:TINYIMAGENET64_RECIPE",
            "the networks of table 6 on the 200-class Tiny ImageNet, 125 epochs of 100,000 images",
        ),
        lazy(
            "dcgan32",
            "genzoo_recipes.dcgan:DCGAN32",
            "DCGAN's networks and optimizer on CIFAR10, or any 32×32 images (--set dataset=folder)",
        ),
        lazy(
            "dcgan64",
            "genzoo_recipes.dcgan:DCGAN64",
            "DCGAN's networks and optimizer on CelebA, or any 64×64 images (--set dataset=folder)",
        ),
        lazy(
            "sn-resnet32",
            "genzoo_recipes.residual:SN_RESNET32",
            "residual networks of spectral normalisation on CIFAR10: hinge and five critic steps",
        ),
        lazy(
            "r3gan32",
            "genzoo_recipes.residual:R3GAN32",
            "R3GAN's training, and networks like its own, on CIFAR10 (--set dataset=folder)",
        ),
        lazy(
            "r3gan64",
            "genzoo_recipes.residual:R3GAN64",
            "R3GAN's training, and networks like its own, on CelebA (--set dataset=folder)",
        ),
        lazy(
            "folder32",
            "genzoo_recipes.folders:FOLDER32",
            "any folder of images at 32×32, small networks, some 15 minutes on two CPU cores",
        ),
        lazy(
            "folder32-paper",
            "genzoo_recipes.folders:FOLDER32_PAPER",
            "any folder of images at 32×32, with the networks of the paper's SVHN",
        ),
        lazy(
            "folder64",
            "genzoo_recipes.folders:FOLDER64",
            "any folder of images at 64×64, with the networks of the paper's ImageNet",
        ),
    ]
