"""Recipes and their architectures: the paper's toy task, and digits for a first look at images."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_architectures():
    """Return the networks of the toy task and of the digits."""
    return [
        lazy(
            "mixture25",
            "genzoo_recipes.mixture25:Mixture25Networks",
            "the paper's fully connected toy networks",
        ),
        lazy("digits", "genzoo_recipes.digits:DigitsNetworks", "small convolutional tables for 8 × 8 images"),
    ]


@hookimpl
def genzoo_recipes():
    """Return the recipes."""
    return [
        lazy("mixture25", "genzoo_recipes.mixture25:QUICK", "the paper's toy task, two minutes on two CPU cores"),
        lazy(
            "mixture25-paper",
            "genzoo_recipes.mixture25:PAPER",
            "the same with the released script's schedule",
        ),
        lazy("digits", "genzoo_recipes.digits:DIGITS", "8 × 8 handwritten digits, some minutes on a CPU"),
    ]
