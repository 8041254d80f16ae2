"""Agreement of encoder and prior: the codes' distribution, the cycle z → x → z, and the posterior's width."""

from collections.abc import Mapping
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
    """Return the squared maximum mean discrepancy of rows a (N, D) and b (M, D) as they are, which is never negative.

    Kernel exp(−‖u − v‖²/(2·variance)); Gretton et al., 2012, equation 5. Of draws of one distribution it is about
    1/N + 1/M times 1 minus the kernel's mean, and not 0.
    """

    def kernel(left: Tensor, right: Tensor) -> Tensor:
        return (-torch.cdist(left.double(), right.double()).square() / (2 * variance)).exp().mean()

    return (kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)).clamp(min=0).item()  # rounding may take it below 0


def noise_share(codes: Tensor, again: Tensor) -> float:
    """Return E‖z − z′‖² of two codes z, z′ (N, D) of the same rows over that of codes of other rows.

    It is 0 for codes without noise, and 1 for codes that are the same for every row, or do not depend on it. For
    z = a·x + b·noise with x of variance 1 it is b²/(a² + b²), and the mutual information of x and z is −½ ln of it per
    dimension for normal x.
    """
    apart = (codes - again.roll(1, dims=0)).double().square().mean().item()
    return (codes - again).double().square().mean().item() / apart if apart > 0 else 1.0


@dataclass(frozen=True, kw_only=True)
class LatentMatch(Metric):
    """Whether codes of the split are distributed like the prior, and say something about x.

    `latent-match` is the squared MMD of codes and prior draws, with a Gaussian kernel of variance equal to the size of
    z. `latent-match/mean` and `latent-match/std` are the mean absolute differences of the per-dimension means and
    standard deviations. An encoder that ignores x can match the prior exactly, so that these three rank nobody.
    `latent-match/ratio` is the squared distance of two codes of the same x over that of codes of different x, 1 for
    codes that ignore x. `latent-match/both` = `latent-match` / (the same for one point at the prior's mean) +
    `latent-match/ratio`: 0 at best, and about 1 for networks that ignore x in either way.
    """

    name: ClassVar[str] = "latent-match"
    about: ClassVar[Mapping[str, str]] = {
        "latent-match": "Squared distance (MMD) of codes from the prior; an encoder that ignores x may have 0.",
        "latent-match/mean": "Difference of the codes' mean from the prior's, averaged over dimensions.",
        "latent-match/std": "Difference of the codes' standard deviation from the prior's, averaged over dimensions.",
        "latent-match/ratio": "How far two codes of one x lie apart, over codes of different x: 1 if codes ignore x.",
        "latent-match/both": "Distance from the prior over a point's, plus the ratio: 0 at best, 1 if codes ignore x.",
    }
    rows: int = 2000

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without an encoder."""
        return missing(model, "encoder")

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Encode the first rows of the split twice, and draw as many z."""
        x, y = model.rows(split, self.rows)
        codes, again = (model.encode(x, y=y, seed=each).z for each in (seed, seed + 1))
        prior = model.draw_z(len(x), seed=seed)
        distance, of_point = (
            squared_mmd(rows, prior, variance=model.latent) for rows in (codes, prior.mean(0, keepdim=True))
        )
        ratio = noise_share(codes, again)
        protocol = {"rows": len(x), "code": "sampled"}
        with_kernel = protocol | {"kernel": f"Gaussian, variance {model.latent}", "estimate": "never negative"}
        return [
            Score(metric="latent-match", value=distance, protocol=with_kernel),
            Score(
                metric="latent-match/mean", value=(codes.mean(0) - prior.mean(0)).abs().mean().item(), protocol=protocol
            ),
            Score(
                metric="latent-match/std", value=(codes.std(0) - prior.std(0)).abs().mean().item(), protocol=protocol
            ),
            Score(metric="latent-match/ratio", value=ratio, protocol=protocol),
            Score(metric="latent-match/both", value=distance / of_point + ratio, protocol=with_kernel, better="lower"),
        ]


@dataclass(frozen=True, kw_only=True)
class Cycle(Metric):
    """Mean squared error per number of z → x → z.

    `cycle/shuffled` is that of wrong pairs, and `cycle/ratio` the quotient.
    """

    name: ClassVar[str] = "cycle"
    about: ClassVar[Mapping[str, str]] = {
        "cycle": "Mean squared error per number between z and the code of what is decoded from it.",
        "cycle/shuffled": "The same for pairs that do not belong together: the error of an encoder that ignores x.",
        "cycle/ratio": "The error over that of shuffled pairs: 0 at best, 1 if codes ignore x.",
    }
    rows: int = 1000

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without an encoder or samples."""
        return missing(model, "encoder") or model.sampling_obstacle

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
    about: ClassVar[Mapping[str, str]] = {
        "posterior-width": "Standard deviation of the codes of one x: 0 for an encoder without noise.",
    }
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
