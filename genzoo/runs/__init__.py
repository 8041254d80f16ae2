"""Runs: requests for a training, and the engine that carries it out in a run folder."""

from genzoo.public.names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
