"""Priors: how z is drawn."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import inf, log, pi
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genzoo.components import Component
from genzoo.errors import SettingsError
from genzoo.randomness import generator as generator_of


@dataclass(frozen=True, kw_only=True)
class Prior(Component):
    """A distribution over z."""

    @abstractmethod
    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        """Return (rows, latent) draws on the generator's device; raise `SettingsError` for a size it does not have."""

    def log_density(self, z: Tensor) -> Tensor | None:
        """Return ln p(z) (N,) for `z` (N, latent), −inf outside the support; None, the default, if not offered."""
        return None

    def parts(self, latent: int) -> Mapping[str, slice]:
        """Return the places in z of the parts that mean something, by name; by default, none.

        `genzoo sample --sweep-code PART` shows what a part does: every category, if its draws are one-hot, else its
        quantiles.
        """
        return {}


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


@dataclass(frozen=True, kw_only=True)
class Uniform(Prior):
    """Independent and uniform between `low` and `high` in every dimension."""

    name: ClassVar[str] = "uniform"
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}, expected low < high")

    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        """Return (rows, latent) uniform draws."""
        unit = torch.rand(rows, latent, generator=generator, device=generator.device)
        return self.low + (self.high - self.low) * unit

    def log_density(self, z: Tensor) -> Tensor:
        """Return −ln(high − low) per number of z, and −inf for rows outside."""
        is_inside = ((z >= self.low) & (z <= self.high)).all(1)
        inside = torch.full_like(z[:, 0], -z.shape[1] * log(self.high - self.low))
        return inside.where(is_inside, -inf)


@dataclass(frozen=True, kw_only=True)
class NormalMixture(Prior):
    """Equally likely isotropic normals, whose means are at distance `radius` from 0."""

    name: ClassVar[str] = "mixture"
    components: int = 10
    radius: float = 3.0
    std: float = 0.5
    """The standard deviation of every component along every axis."""
    seed: int | None = None
    """Draws the directions of the means; None spaces them evenly on a circle in the first two dimensions."""

    def __post_init__(self) -> None:
        if self.components < 1 or self.radius < 0 or self.std <= 0:
            raise ValueError("expected components of at least 1, radius of at least 0, and std above 0")

    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        """Return (rows, latent) draws, each from a component of its own."""
        means = _means(self, latent, generator.device)
        component = torch.randint(self.components, (rows,), generator=generator, device=generator.device)
        return means[component] + self.std * torch.randn(rows, latent, generator=generator, device=generator.device)

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log of the mean of the components' densities (N,)."""
        away = (z[:, None] - _means(self, z.shape[1], z.device).to(z.dtype)) / self.std  # (N, components, latent)
        of_components = _normal_log_density(away) - z.shape[1] * log(self.std)
        return of_components.logsumexp(1) - log(self.components)


@dataclass(frozen=True, kw_only=True)
class CategoricalNormal(Prior):
    """One of K categories, one-hot in the first K numbers of z, and independent N(0, 1) in the others.

    Its density is with respect to counting categories and to volume in the other dimensions.
    """

    name: ClassVar[str] = "categorical-normal"
    categories: int = 10

    def __post_init__(self) -> None:
        if self.categories < 2:
            raise ValueError(f"categories is {self.categories}, expected at least 2")

    def draw(self, rows: int, latent: int, generator: torch.Generator) -> Tensor:
        """Return (rows, latent) draws: the categories first."""
        self._check(latent)
        device = generator.device
        category = torch.randint(self.categories, (rows, 1), generator=generator, device=device)
        normals = torch.randn(rows, latent - self.categories, generator=generator, device=device)
        return torch.cat([(category == torch.arange(self.categories, device=device)).to(normals.dtype), normals], dim=1)

    def log_density(self, z: Tensor) -> Tensor:
        """Return ln(1/K) + ln N of the other numbers (N,), and −inf for rows whose category is not one-hot."""
        self._check(z.shape[1])
        category, normals = z[:, : self.categories], z[:, self.categories :]
        is_one_hot = ((category == 0) | (category == 1)).all(1) & (category.sum(1) == 1)
        return (_normal_log_density(normals) - log(self.categories)).where(is_one_hot, -inf)

    def parts(self, latent: int) -> Mapping[str, slice]:
        """Return the place of the `category`."""
        self._check(latent)
        return {"category": slice(0, self.categories)}

    def _check(self, latent: int) -> None:
        if latent < self.categories:
            raise SettingsError(
                f"the prior {self.name} has {self.categories} categories, more than the {latent} numbers of z",
                "choose fewer: --set prior.categories=…, or a longer z: --set architecture.latent=…",
            )


def _normal_log_density(z: Tensor) -> Tensor:
    """Return ln N(z; 0, I) (N, …) for `z` (N, …, numbers); 0 for no numbers."""
    return -(z.square() / 2 + log(2 * pi) / 2).sum(-1)


@cache
def _means(mixture: NormalMixture, latent: int, device: torch.device) -> Tensor:
    """Return the means (components, latent) of a mixture, the same on every device."""
    if mixture.seed is not None:
        source = generator_of("cpu", mixture.seed, "means of a prior")
        directions = torch.randn(mixture.components, latent, generator=source)
        return (mixture.radius * normalize(directions, dim=1)).to(device)
    if latent < 2:
        raise SettingsError(
            f"the prior {mixture.name} puts its means on a circle, and z has {latent} number",
            "choose a longer z: --set architecture.latent=2, or draw the means: --set prior.seed=0",
        )
    angles = torch.arange(mixture.components) * (2 * pi / mixture.components)
    means = torch.zeros(mixture.components, latent)
    means[:, 0], means[:, 1] = mixture.radius * angles.cos(), mixture.radius * angles.sin()
    return means.to(device)
