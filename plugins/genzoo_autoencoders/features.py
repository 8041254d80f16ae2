"""Distances between x and its reconstruction in the hidden layers of a critic or classifier."""

import torch
from torch import Tensor

from genzoo import Joint, SettingsError
from genzoo.nn import JointCritic, at_least_float32


def feature_distances(critic: JointCritic, x: Tensor, again: Tensor) -> dict[str, Tensor]:
    """Return ½‖f(x) − f(x̂)‖² (N,) in every hidden layer f that `critic` names, for x and x̂ (N, *shape)."""
    layers = critic.layers(Joint(x=torch.cat([x, again])))
    if not layers:
        raise SettingsError("the critic names no hidden layers", "choose another recipe, or architecture")
    halves = {name: at_least_float32(layer).flatten(1).chunk(2) for name, layer in layers.items()}
    return {name: (left - right).square().sum(1) / 2 for name, (left, right) in halves.items()}
