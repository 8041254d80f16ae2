"""WGAN-GP: Wasserstein losses, a gradient penalty, and several critic steps per generator step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from genzoo import Joint, Networks
from genzoo.games import Alternating, Objective, Schedule, Wasserstein
from genzoo.types import Batch, Round
from genzoo_gan.gan import GAN


@dataclass(frozen=True, kw_only=True)
class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty (Gulrajani et al., 2017): + λ·E(‖∇s(x̂)‖ − 1)², x̂ between x and x̃."""

    name: ClassVar[str] = "wgan-gp"
    defaults: ClassVar[Mapping[str, Any]] = {"training.beta1": 0.0, "training.beta2": 0.9}
    objective: Objective = Wasserstein()
    schedule: Schedule = Alternating(critic_steps=5)
    penalty: float = 10.0
    """λ."""

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the Wasserstein loss plus the penalty at one random point between every x and x̃."""
        assert round.q.x is not None
        assert round.p.x is not None
        x, sample = round.q.x, round.p.x.detach()
        # One share per row: (N, 1, …) beside x (N, *shape).
        share = torch.rand(len(x), *(1 for _ in x.shape[1:]), device=x.device)
        between = (share * x + (1 - share) * sample).requires_grad_()
        logits = networks.judge(Joint(x=between)).logits
        (slope,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
        penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return super().critic_loss(networks, batch, round) + self.penalty * penalty
