"""Checks for what a plugin offers: its contracts as tests, and a batch to look at. Importable without pytest."""

from genzoo.public.names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
