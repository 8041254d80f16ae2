"""WGAN-GP: Wasserstein losses, a gradient penalty, and several critic moves per generator move."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from genzoo import Joint
from genzoo.games import Alternating, Objective, Schedule, Wasserstein
from genzoo_gan.gan import GAN


@dataclass(frozen=True, kw_only=True)
class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty (Gulrajani et al., 2017): + λ·E(‖∇s(x̂)‖ − 1)², x̂ between x and x̃."""

    name: ClassVar[str] = "wgan-gp"
    defaults: ClassVar[dict[str, Any]] = {"training.beta1": 0.0, "training.beta2": 0.9}
    objective: Objective = Wasserstein()
    schedule: Schedule = Alternating(critic_steps=5)
    penalty: float = 10.0
    """λ."""

    def critic_loss(self, networks, batch, round):
        """Return the Wasserstein loss plus the penalty at one random point between every x and x̃."""
        x, sample = round.q.x, round.p.x.detach()
        share = torch.rand(len(x), *(1 for _ in x.shape[1:]), device=x.device)
        between = (share * x + (1 - share) * sample).requires_grad_()
        logits = networks.judge(Joint(x=between)).logits
        (slope,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return super().critic_loss(networks, batch, round) + self.penalty * penalty
