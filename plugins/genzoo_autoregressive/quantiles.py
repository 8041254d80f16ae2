"""Whole numbers as codes: by a distribution function of each given those before it, and back by its inverse."""

import torch
from torch import Tensor


def code_of(log_probabilities: Tensor, index: Tensor, noise: Tensor) -> Tensor:
    """Return z (N, numbers) of the whole numbers `index` (N, numbers), by ln P (N, numbers, K) of all that could be.

    z lies where `noise` (N, numbers) says, within the interval that the number has under its distribution function.
    So if P is right, z is standard normal.
    """
    probabilities, chosen = log_probabilities.double().exp(), index.unsqueeze(-1)
    width = probabilities.gather(-1, chosen).squeeze(-1)
    upper = probabilities.cumsum(-1).gather(-1, chosen).squeeze(-1)
    place = upper - width * torch.special.ndtr(-noise.double())
    z: Tensor = torch.special.ndtri(place.clamp(1e-15, 1 - 1e-15))
    return z.to(noise.dtype)


def index_of(log_probabilities: Tensor, z: Tensor) -> Tensor:
    """Return the whole numbers (N,), from 0 to K − 1, in whose intervals `z` (N,) lies, by their ln P (N, K)."""
    upper, place = log_probabilities.double().exp().cumsum(-1), torch.special.ndtr(z.double())
    indices: Tensor = (place.unsqueeze(-1) >= upper[:, :-1]).sum(1)
    return indices
