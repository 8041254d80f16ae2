"""β-TCVAE: a VAE whose divergence is taken apart, to weigh the dependence between the numbers of z."""

from dataclasses import dataclass
from math import log, pi
from typing import ClassVar, NamedTuple

from torch import Tensor

from genzoo.games import StandardNormal
from genzoo.nn import at_least_float32
from genzoo.types import Code
from genzoo_vae.variational import Variational


class Parts(NamedTuple):
    """KL(q(z|x) ‖ p(z)) of every row of a batch in three parts (N,), estimated by the z that was drawn."""

    mutual_information: Tensor
    total_correlation: Tensor
    of_numbers: Tensor
    """The divergence of q of each number of z from the prior, summed."""


@dataclass(frozen=True, kw_only=True)
class TCVAE(Variational):
    """β-TCVAE (Chen et al., 2018, equations 2 and 4): a VAE whose divergence is split in three.

    Losses:
        E, G:  −E ln p(x|ẑ) + α·MI(x, z) + β·KL(q(z) ‖ Π q(z_j)) + γ·Σ_j KL(q(z_j) ‖ p(z_j))

    q(z) is the mean of q(z|x) over the batch, where the paper's estimator divides by the rows of the data as well,
    which changes the values of MI and TC and no gradient. So a row's loss depends on the batch, and on several ranks it
    is that of each rank's rows.
    """

    name: ClassVar[str] = "tc-vae"
    alpha: float = 1.0
    beta: float = 6.0
    gamma: float = 1.0

    def cost(self, code: Code) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted parts (), averaged over rows, and watch their plain sum and the total correlation."""
        mutual, total, of_numbers = (part.mean() for part in parts_of(code))
        cost = self.alpha * mutual + self.beta * total + self.gamma * of_numbers
        return cost, {"kl": mutual + total + of_numbers, "total_correlation": total}


def parts_of(code: Code) -> Parts:
    """Return the parts of the divergence of a batch of Gaussian codes, which sum to ln q(z|x) − ln p(z)."""
    assert code.mean is not None
    assert code.log_std is not None
    z, mean, log_std = (at_least_float32(value) for value in (code.z, code.mean, code.log_std))
    # ln q(z_nj | x_m) of every row n, every row m and every number j: (N, N, latent)
    away = (z[:, None] - mean) * (-log_std).exp()
    of_pairs = -(away.square() / 2 + log_std + log(2 * pi) / 2)
    given_x = of_pairs.diagonal().sum(0)  # (latent, N), summed
    rows = log(len(z))
    of_all = of_pairs.sum(2).logsumexp(1) - rows
    of_each = (of_pairs.logsumexp(1) - rows).sum(1)
    return Parts(given_x - of_all, of_all - of_each, of_each - StandardNormal().log_density(z))
