"""Training in memory: settings, initial weights, batches, devices and the trainer."""

from genzoo.public.names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
