"""Whether a classifier recognises conditional samples as the class they were drawn for."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from genzoo import SettingsError
from genzoo.data import as_input, condition, labelled_part
from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split

_LARGEST = 1024
"""The largest number of values per x for which distances between pixels are meaningful."""


@dataclass(frozen=True, kw_only=True)
class Recognition(Metric):
    """Share of conditional samples that a k-nearest-neighbours classifier assigns to the class they were drawn for.

    The classifier works on pixels and is fitted on the training split; `recognition/real` is its accuracy on the
    real rows of the measured split, about the most that samples distributed like the data could reach.
    """

    name: ClassVar[str] = "recognition"
    about: ClassVar[Mapping[str, str]] = {
        "recognition": "Share of conditional samples that a classifier of pixels puts into their class.",
        "recognition/real": "The same classifier's accuracy on real rows, about the most that samples can reach.",
    }
    neighbours: int = 5
    samples: int = 1000

    def __post_init__(self) -> None:
        if min(self.neighbours, self.samples) < 1:
            raise ValueError("neighbours and samples are expected to be at least 1")

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models that have no samples or are not conditional on classes, and for large x."""
        if model.sampling_obstacle is not None:
            return model.sampling_obstacle
        if not model.networks.is_conditional:
            return "it is not conditional"
        if not model.data.class_names:
            return "its data have no classes"
        return "its x are too large to compare by their pixels" if prod(model.data.shape) > _LARGEST else None

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Classify equally many samples of every class, and the real rows of the split."""
        from sklearn.neighbors import KNeighborsClassifier

        train, split = labelled_part(train), labelled_part(split)
        if split.labels is None or train.labels is None:
            raise SettingsError("this split has no labels", "choose another: --split …")
        neighbours = min(self.neighbours, len(train.x))
        classifier = KNeighborsClassifier(neighbours).fit(_pixels(as_input(train.x)), train.labels.numpy())
        classes = torch.arange(self.samples) % len(model.data.class_names)
        samples = model.sample(self.samples, seed=seed, y=condition(classes, model.data))
        recognised = (classifier.predict(_pixels(samples)) == classes.numpy()).mean()
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
