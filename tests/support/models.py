"""Models whose answers are known beforehand, and data that they are of."""

from dataclasses import dataclass
from typing import ClassVar

import numpy
import torch
from torch import nn
from toy_components import WithEncoder

from genzoo import Networks
from genzoo.evaluation import Model
from genzoo.games import StandardNormal
from genzoo.nn import Decoder, Encoder
from genzoo.types import Code, DataSpec

CPU = torch.device("cpu")
PETS = DataSpec(shape=(2,), support="real", class_names=("cat", "dog", "rabbit"))
HEADS = DataSpec(shape=(2,), support="real", attributes=("Hat", "Beard", "Glasses"))


class Identity(Encoder):
    """z = x, flattened, plus `blur`·noise."""

    def __init__(self, blur=0.0):
        super().__init__()
        self.blur = blur

    def forward(self, x, noise, y=None):
        return Code(z=x.flatten(1) + self.blur * noise)


class Same(Decoder):
    """x = z in the data's shape."""

    def __init__(self, shape):
        super().__init__(support="real")
        self.shape = shape

    def logits(self, z, y=None):
        return z.view(len(z), *self.shape)


def identity_model(spec, *, blur=0.0):
    latent = int(numpy.prod(spec.shape))
    return Model(
        game=WithEncoder(),
        networks=Networks(encoder=Identity(blur), decoder=Same(spec.shape)),
        data=spec,
        prior=StandardNormal(),
        latent=latent,
        label_frequencies=None,
        device=CPU,
    )


@dataclass(frozen=True, kw_only=True)
class WithoutSamples(WithEncoder):
    """A game whose prior draws are no codes."""

    name: ClassVar[str] = "without-samples"
    sampling_obstacle: ClassVar[str | None] = "its prior is not learned"


class Shifted(Encoder):
    """z = x + noise (+ the first two conditions), number by number."""

    def forward(self, x, noise, y=None):
        z = x + noise if y is None else x + noise + y[:, :2]
        return Code(z=z, mean=x, log_std=torch.zeros_like(x))


class Doubled(Decoder):
    """x = 2·z + 1 (+ ten times the first two conditions), number by number."""

    def __init__(self):
        super().__init__(support="real")

    def logits(self, z, y=None):
        return 2 * z + 1 if y is None else 2 * z + 1 + 10 * y[:, :2]


def exact_model(*, conditional=False, **changes):
    """Return a model of PETS in the plane, with changes of its fields."""
    networks = Networks(encoder=Shifted(), decoder=Doubled(), embedder=nn.Identity() if conditional else None)
    settings = {
        "game": WithEncoder(),
        "networks": networks,
        "data": PETS,
        "prior": StandardNormal(),
        "latent": 2,
        "label_frequencies": [0.5, 0.3, 0.2] if conditional else None,
        "device": CPU,
    }
    return Model(**settings | changes)
