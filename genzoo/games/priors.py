"""Priors: how z is drawn."""

from abc import abstractmethod
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class StandardNormal(Prior):
    """Independent N(0, 1) in every dimension."""

    name: ClassVar[str] = "standard-normal"

    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        """Return (rows, latent) standard normal draws."""
        return torch.randn(rows, latent, generator=generator, device=generator.device)
