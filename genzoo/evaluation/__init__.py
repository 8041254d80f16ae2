"""Evaluation: a trained model to look at, metrics, pictures and cards."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
