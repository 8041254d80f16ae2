"""Log-likelihood: bounds by importance weights, one draw or k of them, and exact probabilities of grey levels."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import log, prod
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split


@dataclass(frozen=True, kw_only=True)
class LikelihoodBound(Metric):
    """A lower bound of ln p(x) from k draws of z per row, in nats per row, averaged over the split's first rows.

    Grey levels under a Bernoulli likelihood on [0, 1] have no density of their own, so that such a bound is comparable
    to others of the same likelihood alone, and is never bits per dimension. Both bounds see the same draws.
    """

    k: int = 50
    """Draws of z per row."""
    rows: int = 2000

    def __post_init__(self) -> None:
        if min(self.k, self.rows) < 1:
            raise ValueError("k and rows must be at least 1")

    @abstractmethod
    def bound(self, log_weights: Tensor) -> Tensor:
        """Return the bound of every row (N,) from ln p(x, z) − ln q(z|x) (N, k)."""

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models whose game or prior offers no density."""
        x = torch.zeros(1, *model.data.shape)
        y = torch.zeros(1, model.data.condition_size) if model.networks.is_conditional else None
        return "no density" if model.log_weights(x, y=y) is None else None

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Weigh k draws of z for each of the first rows of the split."""
        x, y = model.rows(split, self.rows)
        log_weights = model.log_weights(x, y=y, draws=self.k, seed=seed)
        assert log_weights is not None  # or else there is an obstacle
        protocol = {"rows": len(x), "k": self.k, "unit": "nats per row", "p(x|z)": model.game.likelihood(model.data)}
        value = self.bound(log_weights.double()).mean().item()
        return [Score(metric=self.name, value=value, protocol=protocol, better="higher")]


@dataclass(frozen=True, kw_only=True)
class ELBO(LikelihoodBound):
    """Evidence lower bound: the mean of ln p(x, z) − ln q(z|x) over k draws of z."""

    name: ClassVar[str] = "elbo"
    about: ClassVar[Mapping[str, str]] = {"elbo": "Lower bound of ln p(x), in nats per row, from single draws of z."}

    def bound(self, log_weights: Tensor) -> Tensor:
        """Return the mean over the draws."""
        return log_weights.mean(1)


@dataclass(frozen=True, kw_only=True)
class IWAE(LikelihoodBound):
    """Importance-weighted bound (Burda et al., 2016): the log of the mean of k weights p(x, z)/q(z|x); grows with k."""

    name: ClassVar[str] = "iwae"
    about: ClassVar[Mapping[str, str]] = {
        "iwae": "Tighter lower bound of ln p(x), in nats per row, from several weighted draws of z."
    }

    def bound(self, log_weights: Tensor) -> Tensor:
        """Return the log of the mean weight."""
        return torch.logsumexp(log_weights, dim=1) - log(self.k)


@dataclass(frozen=True, kw_only=True)
class BitsPerDimension(Metric):
    """−log₂ P(x) of images as grey levels, over the numbers of x, averaged over the split's first rows.

    Exact, and comparable to others of as many levels alone: log₂ of these is what guessing costs.
    """

    name: ClassVar[str] = "bits-per-dimension"
    about: ClassVar[Mapping[str, str]] = {
        "bits-per-dimension": "The negative log₂ probability of images as grey levels, over the numbers of x."
    }
    rows: int = 2000

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError("rows must be at least 1")

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models whose game gives grey levels no probabilities."""
        x = torch.zeros(1, *model.data.shape)
        y = torch.zeros(1, model.data.condition_size) if model.networks.is_conditional else None
        return "no probabilities of grey levels" if model.log_probabilities(x, y=y) is None else None

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Average over the first rows of the split."""
        x, y = model.rows(split, self.rows)
        probabilities = model.log_probabilities(x, y=y)
        assert probabilities is not None  # or else there is an obstacle
        value = -probabilities.double().mean().item() / (prod(model.data.shape) * log(2))
        protocol = {"rows": len(x), "levels": model.data.levels}
        return [Score(metric=self.name, value=value, protocol=protocol, better="lower")]
