"""WGAN-GP: Wasserstein losses, a gradient penalty, and several critic steps per generator step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from genzoo.games import Alternating, Objective, OneCentred, Penalty, Schedule, Wasserstein
from genzoo_gan.gan import GAN


@dataclass(frozen=True, kw_only=True)
class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty (Gulrajani et al., 2017, equation 3), at points x̄ between x and x̃.

    Losses:
        D:  E D(x̃) − E D(x) + λ·E(‖∇D(x̄)‖ − 1)²
        G:  −E D(x̃)
    """

    name: ClassVar[str] = "wgan-gp"
    defaults: ClassVar[Mapping[str, Any]] = {"training.beta1": 0.0, "training.beta2": 0.9}
    objective: Objective = Wasserstein()
    schedule: Schedule = Alternating(critic_steps=5)
    penalty: Penalty | None = OneCentred(weight=10.0)

    @classmethod
    def upgraded(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return settings in which the penalty, once a number λ, is a component."""
        weight = settings.get("penalty")
        if isinstance(weight, int | float):
            return settings | {"penalty": {"name": OneCentred.name, "weight": weight}}
        return settings
