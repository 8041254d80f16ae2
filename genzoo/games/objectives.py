"""Objectives: how logits become the losses of critic and generator.

`on_q` and `on_p` are the critic's logits (N,) on the data side and on the prior side. Every loss is a scalar (): the
sum of a mean over the rows of each side. In the formulas (equations 1 and 4 of the paper), s is a logit, sp softplus,
and σ the logistic function.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from genzoo.components import Component


class Slopes(NamedTuple):
    """The derivatives of both losses by the logits: pairs of (N,), for q and for p."""

    critic: tuple[Tensor, Tensor]
    """∂L_d/∂s."""
    ratio: tuple[Tensor, Tensor]
    """∂L_g/∂s divided by ∂L_d/∂s."""


@dataclass(frozen=True, kw_only=True)
class Objective(Component):
    """One loss for the critic and one for the generator, from the logits of both sides."""

    @abstractmethod
    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return the scalar () that the critic minimises."""

    @abstractmethod
    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return the scalar () that encoder and decoder minimise."""

    def slopes(self, on_q: Tensor, on_p: Tensor) -> Slopes | None:
        """Return the slopes of both losses at logits (N,), or always None if their ratio may be undefined."""
        return None

    def accuracies(self, on_q: Tensor, on_p: Tensor) -> dict[str, Tensor]:
        """Return the critic's accuracies as scalars () by name, from detached logits; nothing if it has none.

        `data_accuracy` and `sample_accuracy`, of logits that are log-odds, are the critic's mean probability of the
        right answer on the rows of each side. The collapse monitor reads both.
        """
        return {}


@dataclass(frozen=True, kw_only=True)
class NonSaturating(Objective):
    """The generator maximises the log-probability of the critic's error (equation 4), as the paper trains."""

    name: ClassVar[str] = "non-saturating"

    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E sp(−s_q) + E sp(s_p)."""
        return softplus(-on_q).mean() + softplus(on_p).mean()

    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E sp(s_q) + E sp(−s_p)."""
        return softplus(on_q).mean() + softplus(-on_p).mean()

    def slopes(self, on_q: Tensor, on_p: Tensor) -> Slopes:
        """Return −σ(−s_q)/N and σ(s_p)/N, and the ratios −exp(s_q) and −exp(−s_p).

        Logits beyond 30 in the critic's favour are clamped to 30, so that the ratio does not overflow: the generator's
        slope stays exact, and the critic's is off by less than 1e-13/N.
        """
        on_q, on_p = on_q.clamp(max=_SURE), on_p.clamp(min=-_SURE)
        critic = (-on_q).sigmoid() / -len(on_q), on_p.sigmoid() / len(on_p)
        return Slopes(critic, ratio=(-on_q.exp(), -(-on_p).exp()))

    def accuracies(self, on_q: Tensor, on_p: Tensor) -> dict[str, Tensor]:
        """Return E σ(s_q) and E σ(−s_p)."""
        return _accuracies_of_log_odds(on_q, on_p)


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

    def slopes(self, on_q: Tensor, on_p: Tensor) -> Slopes:
        """Return −σ(−s_q)/N and σ(s_p)/N, and the ratio −1."""
        critic = (-on_q).sigmoid() / -len(on_q), on_p.sigmoid() / len(on_p)
        return Slopes(critic, ratio=_opposite(on_q, on_p))

    def accuracies(self, on_q: Tensor, on_p: Tensor) -> dict[str, Tensor]:
        """Return E σ(s_q) and E σ(−s_p)."""
        return _accuracies_of_log_odds(on_q, on_p)


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
    """Difference of mean logits; the critic needs a penalty or constraint as well."""

    name: ClassVar[str] = "wasserstein"

    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return −E s_q + E s_p."""
        return on_p.mean() - on_q.mean()

    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E s_q − E s_p."""
        return on_q.mean() - on_p.mean()

    def slopes(self, on_q: Tensor, on_p: Tensor) -> Slopes:
        """Return −1/N and 1/N, and the ratio −1."""
        critic = torch.full_like(on_q, -1 / len(on_q)), torch.full_like(on_p, 1 / len(on_p))
        return Slopes(critic, ratio=_opposite(on_q, on_p))


@dataclass(frozen=True, kw_only=True)
class Relativistic(Objective):
    """Every row of data is judged against the row of samples at its place, by s_q − s_p (R3GAN, Huang et al., 2024)."""

    name: ClassVar[str] = "relativistic"

    def critic(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E sp(−(s_q − s_p))."""
        return softplus(on_p - on_q).mean()

    def generator(self, on_q: Tensor, on_p: Tensor) -> Tensor:
        """Return E sp(s_q − s_p)."""
        return softplus(on_q - on_p).mean()

    def slopes(self, on_q: Tensor, on_p: Tensor) -> Slopes:
        """Return −σ(−d)/N and σ(−d)/N with d = s_q − s_p, and the ratio −exp(d) on both sides; d is at most 30."""
        advantage = (on_q - on_p).clamp(max=_SURE)
        critic, ratio = (-advantage).sigmoid() / len(on_q), -advantage.exp()
        return Slopes((-critic, critic), ratio=(ratio, ratio))

    def accuracies(self, on_q: Tensor, on_p: Tensor) -> dict[str, Tensor]:
        """Return `pair_accuracy`, E σ(s_q − s_p): the probability of telling which of a pair is of the data."""
        return {"pair_accuracy": (on_q - on_p).sigmoid().mean()} if on_q.ndim == 1 else {}


def _accuracies_of_log_odds(on_q: Tensor, on_p: Tensor) -> dict[str, Tensor]:
    """Return the accuracies () of a critic whose logits (N,) are the log-odds of the data side; none for (N, K)."""
    if on_q.ndim != 1:
        return {}
    return {"data_accuracy": on_q.sigmoid().mean(), "sample_accuracy": on_p.neg().sigmoid().mean()}


def _opposite(on_q: Tensor, on_p: Tensor) -> tuple[Tensor, Tensor]:
    return torch.full_like(on_q, -1), torch.full_like(on_p, -1)


_SURE = 30.0
"""Slopes are computed at logits clamped to this, in the critic's favour."""
