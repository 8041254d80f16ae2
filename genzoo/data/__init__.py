"""Data: data sets, labels and conditions, image decoding, downloads and prepared sets."""

from genzoo.public.names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
