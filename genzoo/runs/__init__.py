"""Runs: requests for a training, and the engine that carries it out in a run folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
