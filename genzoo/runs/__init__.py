"""Runs: what a run is to be, and the engine that trains it inside its folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
