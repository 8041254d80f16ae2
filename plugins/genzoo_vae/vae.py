"""VAE: a game with one player, which maximises the evidence lower bound."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo.types import Code
from genzoo_vae.likelihood import divergence
from genzoo_vae.variational import Variational


@dataclass(frozen=True, kw_only=True)
class VAE(Variational):
    """Variational autoencoder: minimises −E log p(x|z) + β·KL(q(z|x) ‖ N(0, I)), in nats per row.

    With β above 1, such as `--set game.beta=4`, it is a β-VAE (Higgins et al., 2017).
    """

    name: ClassVar[str] = "vae"
    beta: float = 1.0

    def cost(self, code: Code) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted divergence (), and watch it without its weight."""
        kl = divergence(code).mean()
        return self.beta * kl, {"kl": kl}
