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
        self._parameters = list(parameters)
        self.tensors = [parameter.detach().clone() for parameter in parameters]
        """The averages, each in its parameter's shape."""
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the parameters after `step` steps (counted from 1)."""
        torch._foreach_lerp_(self.tensors, self._parameters, 1 - min(self._decay, step / (step + 9)))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Set the parameters to the averages inside the `with` block, and back afterwards."""
        latest = [parameter.detach().clone() for parameter in self._parameters]
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self.tensors)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._parameters, latest)

    def restore(self, names: Mapping[int, str], stored: Mapping[str, Tensor]) -> None:
        """Take the averages from `stored`; `names` maps the `id` of every parameter to its name there."""
        for average, parameter in zip(self.tensors, self._parameters, strict=True):
            average.copy_(stored[names[id(parameter)]])
