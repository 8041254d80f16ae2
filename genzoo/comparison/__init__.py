"""Comparison: models trained alike, their results, the report and a paper's studies."""

from genzoo.public.names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
