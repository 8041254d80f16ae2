"""Averaged weights: an exponential moving average of parameters, and the moments when it stands in for them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class Averages:
    """average ← decay·average + (1 − decay)·parameter, after every step."""

    def __init__(self, parameters: Sequence[Tensor], *, decay: float) -> None:
        self._parameters = list(parameters)
        self._averages = [parameter.detach().clone() for parameter in parameters]
        self._decay = decay

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the parameters."""
        torch._foreach_lerp_(self._averages, self._parameters, 1 - self._decay)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the parameters have the averages' values while inside."""
        kept = [parameter.detach().clone() for parameter in self._parameters]
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._averages)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._parameters, kept)

    def restore(self, names: Mapping[int, str], stored: Mapping[str, Tensor]) -> None:
        """Take the averages from `stored`, where `names` tells the parameters' names by identity."""
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            average.copy_(stored[names[id(parameter)]])
