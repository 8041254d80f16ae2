"""Evaluation: trained models in inference mode, metrics, pictures, cards and costs."""

from genzoo.public.names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
