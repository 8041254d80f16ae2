"""Models whose answers are known beforehand."""

import numpy
import torch

from genzoo import Networks
from genzoo.evaluation import Model
from genzoo.games import StandardNormal
from genzoo.nn import Decoder, Encoder
from genzoo.types import Code

CPU = torch.device("cpu")


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
        networks=Networks(encoder=Identity(blur), decoder=Same(spec.shape)),
        data=spec,
        prior=StandardNormal(),
        latent=latent,
        label_frequencies=None,
        device=CPU,
    )
