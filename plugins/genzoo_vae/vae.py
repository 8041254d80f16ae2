"""VAE: a game with one player, which maximises the evidence lower bound."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo.types import Code
from genzoo_vae.likelihood import divergence
from genzoo_vae.variational import Variational


@dataclass(frozen=True, kw_only=True)
class VAE(Variational):
    """Variational autoencoder (Kingma and Welling, 2014, equation 3): a bound of ln p(x), in nats per row.

    Losses:
        E, G:  −E ln p(x|ẑ) + β·KL(q(z|x) ‖ N(0, I))

    Any β but 1 makes it a β-VAE (`--set game.beta=4`; Higgins et al., 2017), and the loss no bound.
    """

    name: ClassVar[str] = "vae"
    beta: float = 1.0

    def cost(self, code: Code) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted divergence (), and watch it without its weight."""
        kl = divergence(code).mean()
        return self.beta * kl, {"kl": kl}
