"""Adversarially learned inference (Dumoulin et al., ICLR 2017)."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models():
    """Return ALI and conditional ALI."""
    return [
        lazy("ali", "genzoo_ali.ali:ALI", "adversarially learned inference: a GAN with an encoder, on (x, z)"),
        lazy("conditional-ali", "genzoo_ali.conditional:ConditionalALI", "ALI given classes or attributes"),
    ]
