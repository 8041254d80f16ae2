"""Whether conditional samples are recognised as the class they were asked for."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from genzoo import SettingsError
from genzoo.data import as_input, condition
from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split

_LARGEST = 1024
"""Numbers per x beyond which distances between pixels say little."""


@dataclass(frozen=True, kw_only=True)
class Recognition(Metric):
    """Share of conditional samples that a k-nearest-neighbours classifier puts into the class they were asked for.

    The classifier works on pixels and is fitted on the training split; `recognition/real` is the share of the real
    rows of the measured split that it puts right, about the most that samples like the data could reach.
    """

    name: ClassVar[str] = "recognition"
    neighbours: int = 5
    samples: int = 1000

    def __post_init__(self) -> None:
        if min(self.neighbours, self.samples) < 1:
            raise ValueError("neighbours and samples are expected to be at least 1")

    def obstacle(self, model: Model) -> str | None:
        """Say no to models that are not given classes."""
        if not model.networks.is_conditional:
            return "it is not conditional"
        if not model.data.class_names:
            return "its data have no classes"
        return "its x are too large to compare by their pixels" if prod(model.data.shape) > _LARGEST else None

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Classify as many samples of every class, and the split's real rows."""
        from sklearn.neighbors import KNeighborsClassifier

        if split.labels is None or train.labels is None:
            raise SettingsError("this split has no labels", "choose another: --split …")
        neighbours = min(self.neighbours, len(train.x))
        classifier = KNeighborsClassifier(neighbours).fit(_pixels(as_input(train.x)), train.labels.numpy())
        asked = torch.arange(self.samples) % len(model.data.class_names)
        samples = model.sample(self.samples, seed=seed, y=condition(asked, model.data))
        recognised = (classifier.predict(_pixels(samples)) == asked.numpy()).mean()
        real = (classifier.predict(_pixels(as_input(split.x))) == split.labels.numpy()).mean()
        protocol = {"neighbours": neighbours, "fitted": f"on {len(train.x)} training rows"}
        return [
            Score(
                metric="recognition",
                value=float(recognised),
                protocol=protocol | {"samples": self.samples},
                better="higher",
            ),
            Score(metric="recognition/real", value=float(real), protocol=protocol | {"rows": len(split.x)}),
        ]


def _pixels(x: Tensor) -> NDArray[numpy.float32]:
    pixels: NDArray[numpy.float32] = x.flatten(1).cpu().numpy()
    return pixels
