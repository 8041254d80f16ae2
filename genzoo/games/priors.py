"""Priors: how z is drawn."""

from abc import abstractmethod
from dataclasses import dataclass
from math import log, pi
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.components import Component


@dataclass(frozen=True, kw_only=True)
class Prior(Component):
    """A distribution over z."""

    @abstractmethod
    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        """Return (rows, latent) draws on the generator's device."""

    def log_density(self, z: Tensor) -> Tensor | None:
        """Return ln p(z) (N,) for `z` (N, latent), −inf outside the support; None, the default, if not offered."""
        return None


@dataclass(frozen=True, kw_only=True)
class StandardNormal(Prior):
    """Independent N(0, 1) in every dimension."""

    name: ClassVar[str] = "standard-normal"

    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        """Return (rows, latent) standard normal draws."""
        return torch.randn(rows, latent, generator=generator, device=generator.device)

    def log_density(self, z: Tensor) -> Tensor:
        """Return ln N(z; 0, I) (N,)."""
        return _normal_log_density(z)


def _normal_log_density(z: Tensor) -> Tensor:
    """Return ln N(z; 0, I) (N,) for `z` (N, numbers); 0 for no numbers."""
    return -(z.square() / 2 + log(2 * pi) / 2).sum(1)
