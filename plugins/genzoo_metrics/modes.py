"""Mode coverage of a known mixture."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split


@dataclass(frozen=True, kw_only=True)
class Modes(Metric):
    """Components of the true mixture that samples reach (section 4.5).

    `modes`: every sample goes to its most responsible component (equal Gaussians: the nearest mean), and a
    component is covered if any sample went there, which is lenient: a stray point counts. `modes/strict`: a
    component is covered if any sample lies within 3 standard deviations of its mean.
    """

    name: ClassVar[str] = "modes"
    measures_held_out: ClassVar[bool] = True
    samples: int = 10_000

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models without a decoder, and for data whose true modes are unknown."""
        if model.networks.decoder is None:
            return "it has no decoder to sample from"
        return None if model.data.mixture else "the modes of its data are not known"

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Return the number of components covered, from 0 to the number of components."""
        x = model.sample(self.samples, seed=seed).double().cpu()
        x = x[x.isfinite().all(dim=1)]
        mixture = model.data.mixture
        assert mixture is not None
        distance, nearest = torch.cdist(x, torch.tensor(mixture.means, dtype=torch.float64)).min(dim=1)
        close = distance <= 3 * mixture.std
        protocol = {"samples": self.samples, "split": None}
        return [
            Score(
                metric="modes",
                value=float(len(set(nearest.tolist()))),
                protocol=protocol | {"covered": "any sample whose nearest mean it is"},
                better="higher",
                headline=True,
            ),
            Score(
                metric="modes/strict",
                value=float(len(set(nearest[close].tolist()))),
                protocol=protocol | {"covered": "any sample within 3 standard deviations"},
                better="higher",
            ),
        ]
