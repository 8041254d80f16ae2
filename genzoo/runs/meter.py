"""The meter: the mean losses and watched values between two entries of the log."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genzoo.errors import UnreadableError
from genzoo.types import Losses

_KINDS = ("losses", "watch")
_MOST = 20_000
"""Values in a checkpoint's state, which take half a megabyte; of more, a run that goes on averages its own alone."""


class Meter:
    """Averages the losses and watched values () of steps; nothing leaves the device until they are read."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
        self._restored: dict[tuple[str, str], Tensor] = {}

    def add(self, losses: Losses) -> None:
        """Add the values of one step."""
        for name, value in losses.players.items():
            self._values["losses", name].append(value.detach())
        for name, value in losses.watch.items():
            self._values["watch", name].append(value.detach())

    def read(self, *, clear: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the mean losses and watched values since they were cleared, in one transfer, and clear them."""
        series = self._series()
        means = torch.stack([values.mean() for values in series.values()]).tolist() if series else []
        found = {key: json_number(mean) for key, mean in zip(series, means, strict=True)}
        if clear:
            self._values.clear()
            self._restored.clear()
        losses, watch = ({name: mean for (of, name), mean in found.items() if of == kind} for kind in _KINDS)
        return losses, watch

    def state(self) -> dict[str, dict[str, list[float | str]]]:
        """Return all values since they were cleared, in one transfer, for a checkpoint's JSON; none if many."""
        series = self._series()
        if sum(map(len, series.values())) > _MOST:
            return {}
        numbers = iter(torch.cat(list(series.values())).tolist() if series else [])
        state: dict[str, dict[str, list[float | str]]] = {kind: {} for kind in _KINDS}
        for (kind, name), values in series.items():
            state[kind][name] = [json_number(next(numbers)) for _ in range(len(values))]
        return state

    def restore(self, state: Mapping[str, Any], *, device: torch.device) -> None:
        """Continue from a `state`; raise `UnreadableError` for anything else."""
        try:
            self._restored = {
                (kind, name): torch.tensor([float(value) for value in values], dtype=torch.float64, device=device)
                for kind in _KINDS
                for name, values in state.get(kind, {}).items()
            }
        except (AttributeError, TypeError, ValueError) as error:
            problem = f"a checkpoint's state does not hold the values of the log: {error}"
            raise UnreadableError(problem, "restore it from a copy") from error

    def _series(self) -> dict[tuple[str, str], Tensor]:
        """Return every value since they were cleared, as float64 (steps,) by kind and name."""
        series = dict(self._restored)
        for key, values in self._values.items():
            latest = torch.stack(values).double()
            series[key] = torch.cat([series[key], latest]) if key in series else latest
        return series


def json_number(value: float) -> float | str:
    """Return a number, or its text if it is not finite, as JSON has no such numbers."""
    return value if math.isfinite(value) else str(value)
