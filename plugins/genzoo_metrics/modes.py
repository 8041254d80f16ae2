"""Mode coverage of a known mixture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Mixture, Split

_COUNTED = 20
"""The least number of high-quality samples, of every 10,000, on a component that is counted."""


@dataclass(frozen=True, kw_only=True)
class Modes(Metric):
    """How samples are spread over the components of the true mixture.

    A sample is of high quality if it lies within 3 standard deviations of a mean, as in papers on 2-D grids.
    `modes/divergence` is the Jensen–Shannon divergence, in nats, of the histogram of samples from that of the true
    mixture, over the components' high-quality samples and one more place for all others; neither noise nor a collapsed
    model comes near 0. `modes/high-quality` is the share of high-quality samples, of which a model that has collapsed
    to a mean has all. `modes/counted` is the number of components with at least 20 of them per 10,000 samples, and
    `modes/least` the smallest number on any component. `modes` is the count of the ALI
    paper, section 4.5: components that any sample is nearest to. A stray point counts, so uniform noise scores all.
    `modes/strict` is the number of components with any high-quality sample. `modes/width` is the root mean square
    distance of high-quality samples from their mean over that of the true mixture: 1 if they are as wide, 0 if every
    component is a point.
    """

    name: ClassVar[str] = "modes"
    about: ClassVar[Mapping[str, str]] = {
        "modes/divergence": "How far samples are from the true shares on modes and elsewhere, in nats: 0 if equal.",
        "modes/high-quality": "Share of samples within three standard deviations of a mode of the true mixture.",
        "modes/counted": "Modes with at least 20 such samples per 10,000.",
        "modes": "Modes that any sample is nearest to, as the ALI paper counts; noise has all of them.",
        "modes/strict": "Modes with any sample within three standard deviations; noise has all of them.",
        "modes/least": "The smallest number of such samples on any mode.",
        "modes/width": "How wide samples spread around their modes, over the data: 1 is right, below 1 too narrow.",
    }
    measures_held_out: ClassVar[bool] = True
    samples: int = 10_000

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without samples, and for data whose true modes are unknown."""
        return model.sampling_obstacle or (None if model.data.mixture else "the modes of its data are not known")

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Return the scores of samples; one that is not finite is of low quality and of no component."""
        assert model.data.mixture is not None
        x = model.sample(self.samples, seed=seed).double().cpu()
        near, close = component_counts(x, model.data.mixture)
        protocol = {"samples": len(x), "split": None}
        quality = protocol | {"high quality": "within 3 standard deviations of a mean"}
        share, counted = float(close.sum()) / len(x), float((close * 10_000 >= _COUNTED * len(x)).sum())
        counting = quality | {"counted": f"at least {_COUNTED} high-quality samples per 10,000"}
        over = quality | {"over": "high-quality samples"}
        nearest = protocol | {"covered": "any sample whose nearest mean it is"}
        strict = protocol | {"covered": "any sample within 3 standard deviations"}
        counts = torch.cat([close, len(x) - close.sum(0, keepdim=True)]).double()
        divergence = jensen_shannon(counts / len(x), true_shares(model.data.mixture))
        places = quality | {"over": "high-quality samples of every mode, and all others"}
        return [
            Score(metric="modes/divergence", value=divergence, protocol=places, better="lower", headline=True),
            Score(metric="modes/high-quality", value=share, protocol=quality, better="higher", headline=True),
            Score(metric="modes/counted", value=counted, protocol=counting, better="higher", headline=True),
            Score(metric="modes", value=float((near > 0).sum()), protocol=nearest, better="higher"),
            Score(metric="modes/strict", value=float((close > 0).sum()), protocol=strict, better="higher"),
            Score(metric="modes/least", value=float(close.min()), protocol=over, better="higher"),
            Score(metric="modes/width", value=relative_width(x, model.data.mixture), protocol=over),
        ]


def relative_width(x: Tensor, mixture: Mixture) -> float:
    """Return the width of the high-quality samples among x (N, D) over the true one; NaN if there are none.

    For r²/std² of D numbers, which is chi-squared with D degrees of freedom and distribution function F_D, the true
    mean below 9 is D·F_{D+2}(9)/F_D(9).
    """
    distance = torch.cdist(x[x.isfinite().all(dim=1)], torch.tensor(mixture.means, dtype=torch.float64)).amin(1)
    close = distance[distance <= 3 * mixture.std]
    size = x.shape[1]
    true = mixture.std**2 * size * _within_three(size + 2) / _within_three(size)
    return float((close.square().mean() / true).sqrt())


def _within_three(degrees: int) -> Tensor:
    """Return the probability () that chi-squared with so many degrees of freedom is below 9."""
    below: Tensor = torch.special.gammainc(torch.tensor(degrees / 2).double(), torch.tensor(4.5).double())
    return below


def true_shares(mixture: Mixture) -> Tensor:
    """Return the shares (K + 1,) of a mixture's draws within 3 standard deviations of every mean, and elsewhere.

    The components are equally likely, and far from each other.
    """
    means = torch.tensor(mixture.means)
    close = _within_three(means.shape[1])
    return torch.cat([(close / len(means)).expand(len(means)), (1 - close)[None]])


def component_counts(x: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Return how many of x (N, D) are nearest to every mean (K,), and of these, within 3 standard deviations (K,)."""
    means = torch.tensor(mixture.means, dtype=torch.float64)
    distance, nearest = torch.cdist(x[x.isfinite().all(dim=1)], means).min(dim=1)
    close = nearest[distance <= 3 * mixture.std]
    return torch.bincount(nearest, minlength=len(means)), torch.bincount(close, minlength=len(means))


def jensen_shannon(p: Tensor, q: Tensor) -> float:
    """Return the Jensen–Shannon divergence in nats, at most ln 2, of two distributions (K,)."""
    middle = (p + q) / 2
    return float((torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).nansum() / 2)
