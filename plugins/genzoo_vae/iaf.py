"""VAE with an inverse autoregressive flow: a posterior that is more than a Gaussian, and whose density is known."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from genzoo import Networks
from genzoo.games import StandardNormal
from genzoo.nn import Architecture, Encoder, at_least_float32, posterior_log_density, row_wise
from genzoo.types import Code, DataSpec
from genzoo_autoregressive.masked import MaskedNetwork
from genzoo_vae.variational import Variational

_GATE = 1.5
"""Added to s, so that every step starts near the identity."""


@row_wise
class IAFEncoder(Encoder):
    """A Gaussian encoder, whose draw goes through steps z ← σ(z)·z + (1 − σ(z))·m(z).

    m and σ of a number read the numbers before it, and mean and log σ of the Gaussian; every step reverses the order.
    """

    def __init__(self, gaussian: Encoder, *, latent: int, steps: int, width: int) -> None:
        """Take a network of `width` units per number of z for each step."""
        super().__init__()
        self.gaussian = gaussian
        self.steps = nn.ModuleList(
            MaskedNetwork(latent, outputs=2, width=width, layers=1, context=2 * latent) for _ in range(steps)
        )

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the code of `x` (N, *shape) with ln q(z|x), which is the Gaussian's less Σ ln σ of every step."""
        code: Code = self.gaussian(x, noise, y)
        assert code.mean is not None
        assert code.log_std is not None
        z, log_density, context = code.z, posterior_log_density(code), torch.cat([code.mean, code.log_std], dim=1)
        assert log_density is not None
        for step in self.steps:
            mean, gate = at_least_float32(step(z, context)).unbind(-1)
            gate = gate + _GATE
            log_density = log_density - logsigmoid(gate).sum(1)
            z = (gate.sigmoid() * z + (-gate).sigmoid() * mean).flip(1)
        return Code(z=z, log_density=log_density)

    def features(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the activations of the Gaussian encoder."""
        return self.gaussian.features(x, y)


@dataclass(frozen=True, kw_only=True)
class IAFVAE(Variational):
    """VAE with an inverse autoregressive flow (Kingma et al., 2016, algorithm 1), gated as in their equation 14.

    Losses:
        E, G:  −E ln p(x|ẑ) + β·E[ln q(ẑ|x) − ln p(ẑ)]
        ẑ = z_T,  z_t = σ_t·z_{t−1} + (1 − σ_t)·m_t,  ln q(ẑ|x) = ln q(z_0|x) − Σ_t Σ ln σ_t

    The divergence is estimated by the z drawn. There are no free bits: a game has one group of z, whose divergence
    stays far above them.
    """

    name: ClassVar[str] = "iaf-vae"
    beta: float = 1.0
    steps: int = 2
    width: int = 8
    """Hidden units per number of z in the network of each step."""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.width < 1:
            raise ValueError("expected steps of at least 0 and a width of at least 1")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a Gaussian encoder followed by the flow, and a decoder."""
        networks = super().build(architecture, data)
        assert networks.encoder is not None
        networks.encoder = IAFEncoder(networks.encoder, latent=architecture.latent, steps=self.steps, width=self.width)
        return networks

    def cost(self, code: Code) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean of ln q(z|x) − ln p(z) (), whose expectation is the divergence, times β."""
        log_density = posterior_log_density(code)
        assert log_density is not None
        kl = (log_density - StandardNormal().log_density(at_least_float32(code.z))).mean()
        return self.beta * kl, {"kl": kl}
