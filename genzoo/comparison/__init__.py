"""Comparison: models trained alike, their results, the report and a paper's studies."""
