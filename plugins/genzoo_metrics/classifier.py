"""A small classifier of labelled images, in whose features and answers samples and reconstructions are measured.

It needs no download: it is fitted on the training split from a fixed seed, in a few seconds, once per process.
"""

import hashlib
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from genzoo import SettingsError
from genzoo.data import as_input, labelled_part
from genzoo.evaluation import Model
from genzoo.types import DataSpec, Split

_SEED = 0
_EPOCHS = 30
_BATCH = 64
_LEARNING_RATE = 1e-3
_FEATURES = 64
_MOST_ROWS = 2500
"""The largest number of training rows that it is fitted on."""
_LARGEST = 784
"""The largest number of values per image for which it is fitted in under a minute."""
_SMALLEST_SIDE = 4
"""The side that two poolings bring down to 1."""
_fitted: dict[str, "Classifier"] = {}
"""The classifiers of this process, by a hash of what they were fitted on."""


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A fitted classifier, on the CPU: two convolutions (32 and 64 maps) with pooling, 64 units, and class logits."""

    body: nn.Module
    head: nn.Module
    rows: int
    """The number of training rows that it was fitted on."""

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Return the 64 units (N, 64), float64, of images x (N, C, H, W) in [0, 1]."""
        return torch.cat([self.body(part) for part in torch.split(x.float().cpu(), 500)]).double()

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Return class logits (N, K), float64, of images x (N, C, H, W) in [0, 1]."""
        return self.head(self.features(x).float()).double()  # type: ignore[no-any-return]

    def predict(self, x: Tensor) -> Tensor:
        """Return the classes (N,) of images x (N, C, H, W) in [0, 1]."""
        return self.logits(x).argmax(1)

    def protocol(self, split: Split) -> dict[str, Any]:
        """Return how it was fitted, and its accuracy on a split, for the protocol of a score."""
        fitted = f"{_EPOCHS} epochs on {self.rows} training rows, seed {_SEED}"
        split = labelled_part(split)
        if split.labels is None:
            return {"classifier": fitted, "classifier accuracy": None}
        accuracy = (self.predict(as_input(split.x)) == split.labels).double().mean().item()
        return {"classifier": fitted, "classifier accuracy": round(accuracy, 4)}


def obstacle(model: Model) -> str | None:
    """Return why a model's data cannot have a small classifier, or None if they can."""
    data = model.data
    if not data.class_names:
        return "its data have no classes"
    if not data.is_image:
        return "its x are no images"
    if prod(data.shape) > _LARGEST:
        return f"its images are too large for a small classifier: {prod(data.shape):,} numbers, at most {_LARGEST}"
    if min(data.shape[1:]) < _SMALLEST_SIDE:
        return f"its images are smaller than {_SMALLEST_SIDE}×{_SMALLEST_SIDE}"
    return None


def classifier_of(train: Split, data: DataSpec) -> Classifier:
    """Return the classifier fitted on the labelled rows of the training split."""
    if train.labels is None:
        raise SettingsError(
            "the training split has no labels, and a classifier needs them", "leave out metrics of classes: --metric M"
        )
    x, labels = labelled_part(train)
    assert labels is not None
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(_SEED))[:_MOST_ROWS].sort().values
    x, labels = x[chosen].contiguous(), labels[chosen].contiguous()
    key = hashlib.sha256(x.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    if key not in _fitted:
        _fitted[key] = _fit(as_input(x), labels, classes=len(data.class_names))
    return _fitted[key]


def _fit(x: Tensor, labels: Tensor, *, classes: int) -> Classifier:
    """Return a classifier fitted with Adam on images x (N, C, H, W) and labels (N,); leave the random state alone."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(_SEED)
        body, head = _body(x.shape[1:]), nn.Linear(_FEATURES, classes)
        optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=_LEARNING_RATE)
        for _ in range(_EPOCHS):
            for rows in torch.split(torch.randperm(len(x)), _BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(head(body(x[rows])), labels[rows]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return Classifier(body=body, head=head, rows=len(x))


def _body(shape: torch.Size) -> nn.Module:
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (height // 4) * (width // 4), _FEATURES),
        nn.ReLU(),
    )
