"""How adversarial games are played on small data today: the parts of R3GAN (Huang et al., 2024)."""

from collections.abc import Mapping
from typing import Any, Final

STEADY: Final[Mapping[str, Any]] = {
    "objective": "relativistic",
    "penalty": "zero-centred",
    "penalty.weight": 0.1,
    "penalty.schedule": "cosine",
    "penalty.schedule.last": 0.02,
    "penalty.schedule.end": 0.7,
}
"""`Recipe.game`: relativistic pairing, and R1 + R2 whose weight falls to a fiftieth in the first 70 % of the steps."""
