"""Checks for what a plugin offers: its contracts as tests, and a batch to look at. Importable without pytest."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
