"""The random state that a caller of genzoo has: torch's, numpy's and Python's."""

import random

import numpy
import torch


def global_draws():
    return torch.rand(3).tolist(), numpy.random.rand(3).tolist(), [random.random() for _ in range(3)]


def state():
    kind, keys, *rest = numpy.random.get_state()
    return torch.get_rng_state().tolist(), (kind, keys.tolist(), *rest), random.getstate()
