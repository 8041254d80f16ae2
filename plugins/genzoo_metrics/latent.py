"""Agreement of encoder and prior: the codes' distribution, the cycle z → x → z, and the posterior's width."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split


def missing(model: Model, *parts: str) -> str | None:
    """Return the first of these networks that a model lacks, as an obstacle, or None."""
    lacking = [part for part in parts if getattr(model.networks, part) is None]
    return f"it has no {lacking[0]}" if lacking else None


def squared_mmd(a: Tensor, b: Tensor, *, variance: float) -> float:
    """Return the unbiased squared maximum mean discrepancy of rows a (N, D) and b (M, D).

    Kernel exp(−‖u − v‖²/(2·variance)); Gretton et al., 2012, equation 3. It may be negative, and is 0 on average if
    both have the same distribution.
    """

    def kernel(left: Tensor, right: Tensor) -> Tensor:
        return (-torch.cdist(left.double(), right.double()).square() / (2 * variance)).exp()

    # The diagonal of a kernel matrix within one sample is 1 and is left out, which makes the estimate unbiased.
    within = [(kernel(rows, rows).sum() - len(rows)) / (len(rows) * (len(rows) - 1)) for rows in (a, b)]
    return (within[0] + within[1] - 2 * kernel(a, b).mean()).item()


@dataclass(frozen=True, kw_only=True)
class LatentMatch(Metric):
    """Distance of the aggregate posterior (codes of the split) from the prior: unbiased squared MMD, and moments.

    The kernel is Gaussian with variance equal to the size of z. `latent-match/mean` and `latent-match/std` are the
    mean absolute differences of the per-dimension means and standard deviations.
    """

    name: ClassVar[str] = "latent-match"
    rows: int = 2000

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without an encoder."""
        return missing(model, "encoder")

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Encode the first rows of the split, and draw as many z."""
        x, y = model.rows(split, self.rows)
        codes, prior = model.encode(x, y=y, seed=seed).z, model.draw_z(len(x), seed=seed)
        mean = (codes.mean(0) - prior.mean(0)).abs().mean().item()
        std = (codes.std(0) - prior.std(0)).abs().mean().item()
        protocol = {"rows": len(x), "code": "sampled"}
        with_kernel = protocol | {"kernel": f"Gaussian, variance {model.latent}"}
        distance = squared_mmd(codes, prior, variance=model.latent)
        return [
            Score(metric="latent-match", value=distance, protocol=with_kernel, better="lower"),
            Score(metric="latent-match/mean", value=mean, protocol=protocol, better="lower"),
            Score(metric="latent-match/std", value=std, protocol=protocol, better="lower"),
        ]


@dataclass(frozen=True, kw_only=True)
class Cycle(Metric):
    """Mean squared error per number of z → x → z.

    `cycle/shuffled` is that of wrong pairs, and `cycle/ratio` the quotient.
    """

    name: ClassVar[str] = "cycle"
    rows: int = 1000

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without an encoder or a decoder."""
        return missing(model, "encoder", "decoder")

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Decode draws from the prior and encode them again."""
        z = model.draw_z(self.rows, seed=seed)
        y = model.draw_y(self.rows, seed=seed) if model.networks.is_conditional else None
        recovered = model.encode(model.decode(z, y), y=y, seed=seed).z
        error = (z - recovered).double().square().mean().item()
        shuffled = (z.roll(1, dims=0) - recovered).double().square().mean().item()
        values = {"cycle": error, "cycle/shuffled": shuffled, "cycle/ratio": error / shuffled}
        protocol = {"split": None, "rows": self.rows, "code": "sampled"}
        return [
            Score(metric=name, value=value, protocol=protocol, better=None if "shuffled" in name else "lower")
            for name, value in values.items()
        ]


@dataclass(frozen=True, kw_only=True)
class PosteriorWidth(Metric):
    """Standard deviation of z given x, averaged over rows and dimensions; 0 for a deterministic encoder."""

    name: ClassVar[str] = "posterior-width"
    rows: int = 500
    draws: int = 8

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without an encoder."""
        return missing(model, "encoder")

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Encode the first rows of the split several times."""
        x, y = model.rows(split, self.rows)
        codes = torch.stack([model.encode(x, y=y, seed=seed + draw).z for draw in range(self.draws)])
        width = codes.double().std(0).mean().item()
        return [Score(metric="posterior-width", value=width, protocol={"rows": len(x), "draws": self.draws})]
