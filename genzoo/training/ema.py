"""Averaged weights: an exponential moving average of parameters, and a way to put it in their place."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class EMA:
    """average ← d·average + (1 − d)·parameter after every step t, with d = min(decay, t/(t + 9)).

    The growing d keeps a short run's average to about its latest tenth, instead of its initial weights.
    """

    def __init__(self, parameters: Sequence[Tensor], *, decay: float) -> None:
        self.parameters = list(parameters)
        self.tensors = [parameter.detach().clone() for parameter in parameters]
        """The averages, each in its parameter's shape."""
        self.decay = decay

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Set the parameters to the averages inside the `with` block, and back afterwards."""
        latest = [parameter.detach().clone() for parameter in self.parameters]
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.tensors)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, latest)

    def restore(self, names: Mapping[int, str], stored: Mapping[str, Tensor]) -> None:
        """Take the averages from `stored`; `names` maps the `id` of every parameter to its name there."""
        for average, parameter in zip(self.tensors, self.parameters, strict=True):
            average.copy_(stored[names[id(parameter)]])


@torch.no_grad()
def update_averages(averages: Sequence[EMA], step: int) -> None:
    """Move averages towards their parameters after `step` steps (counted from 1), all of one decay at once."""
    for decay in {average.decay for average in averages}:
        alike = [average for average in averages if average.decay == decay]
        torch._foreach_lerp_(
            [tensor for average in alike for tensor in average.tensors],
            [parameter for average in alike for parameter in average.parameters],
            1 - min(decay, step / (step + 9)),
        )
