"""Objectives: how logits become the losses of critic and generator.

`on_q` and `on_p` are the critic's logits (N,) on the data side and on the prior side; every term is a mean over
rows and the two terms are added. Formulas: equations 1 and 4 of the paper.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import relu, softplus

from genzoo.components import Component


@dataclass(frozen=True, kw_only=True)
class Objective(Component):
    """One loss for the critic and one for the generator, from the logits of both sides."""

    @abstractmethod
    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return the scalar that the critic minimises."""

    @abstractmethod
    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return the scalar that encoder and decoder minimise."""


@dataclass(frozen=True, kw_only=True)
class NonSaturating(Objective):
    """Each player maximises the log-probability of its own truth (equation 4), as the paper trains."""

    name: ClassVar[str] = "non-saturating"

    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E sp(−s_q) + E sp(s_p)."""
        return softplus(-on_q).mean() + softplus(on_p).mean()

    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E sp(s_q) + E sp(−s_p)."""
        return softplus(on_q).mean() + softplus(-on_p).mean()


@dataclass(frozen=True, kw_only=True)
class Minimax(Objective):
    """The value function itself (equation 1)."""

    name: ClassVar[str] = "minimax"

    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E sp(−s_q) + E sp(s_p)."""
        return softplus(-on_q).mean() + softplus(on_p).mean()

    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return −[E sp(−s_q) + E sp(s_p)]."""
        return -self.critic(on_q, on_p)


@dataclass(frozen=True, kw_only=True)
class LeastSquares(Objective):
    """Squared distance to targets 1 (q) and 0 (p)."""

    name: ClassVar[str] = "least-squares"

    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return ½E(s_q − 1)² + ½E s_p²."""
        return 0.5 * (on_q - 1).square().mean() + 0.5 * on_p.square().mean()

    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return ½E s_q² + ½E(s_p − 1)²."""
        return 0.5 * on_q.square().mean() + 0.5 * (on_p - 1).square().mean()


@dataclass(frozen=True, kw_only=True)
class Hinge(Objective):
    """Margin loss for the critic, linear for the generator."""

    name: ClassVar[str] = "hinge"

    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E max(0, 1 − s_q) + E max(0, 1 + s_p)."""
        return relu(1 - on_q).mean() + relu(1 + on_p).mean()

    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E s_q − E s_p."""
        return on_q.mean() - on_p.mean()


@dataclass(frozen=True, kw_only=True)
class Wasserstein(Objective):
    """Difference of mean logits; the critic needs a penalty or constraint beside it."""

    name: ClassVar[str] = "wasserstein"

    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return −E s_q + E s_p."""
        return on_p.mean() - on_q.mean()

    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E s_q − E s_p."""
        return on_q.mean() - on_p.mean()
