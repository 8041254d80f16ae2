"""Stored scores: which stand for all of a run's, and how they are written. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

_ARROWS = {"higher": "↑", "lower": "↓"}
_MAIN = 3
_SCIENTIFIC = 1e6
"""The smallest size of a value that is written with an exponent."""


def main_scores(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most three scores with a direction: headlines first, then those that are no part of another score.

    Of a metric that was measured in several ways, it is the last that was stored.
    """
    directed = {score["metric"]: score for score in scores if score.get("better") in _ARROWS}
    return sorted(directed.values(), key=lambda score: (not score.get("headline"), "/" in score["metric"]))[:_MAIN]


def arrow_of(score: Mapping[str, Any]) -> str:
    """Return an arrow to where a score's better values are; empty where neither are."""
    return _ARROWS.get(score.get("better") or "", "")


def value_text(value: float | None) -> str:
    """Return a score's value with four significant digits, of which those before the point are never rounded off."""
    if value is None:
        return "not finite"
    return f"{value:,.0f}" if 1000 <= abs(value) < _SCIENTIFIC else f"{value:.4g}"
