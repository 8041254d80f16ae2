"""The guard between gradients and parameters: nothing non-finite passes, and the host need not be asked."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Fault(NamedTuple):
    """The first non-finite loss or gradient."""

    step: int
    """Counted from 1."""
    players: tuple[str, ...]


class Guard:
    """A sticky flag on the device: once a loss or gradient is non-finite, every optimizer skips its updates.

    `flag` is handed to the fused optimizers as `found_inf`, the interface that gradient scalers use.
    """

    def __init__(self, players: Sequence[str], *, step: int, device: torch.device) -> None:
        self._players = list(players)
        self._start = step
        self.flag = torch.zeros((), device=device)
        self._marks = torch.zeros(len(self._players), device=device)
        self._culprits = torch.zeros_like(self._marks)
        self._sound_steps = torch.zeros((), device=device, dtype=torch.float64)
        self._one = torch.ones((), device=device)

    def inspect(self, losses: Mapping[str, Tensor], gradients: Mapping[str, Sequence[Tensor]]) -> None:
        """Look at everything that the movers of one step would learn from, without synchronising."""
        self._marks.zero_()
        for index, name in enumerate(self._players):
            if name in gradients:
                # Multiplies by one in place, which leaves every number as it is, and marks what is not finite.
                torch._amp_foreach_non_finite_check_and_unscale_(
                    [*gradients[name], losses[name].detach()], self._marks[index], self._one
                )
        self._culprits.addcmul_(self._marks, 1 - self.flag)
        self.flag.copy_(torch.maximum(self.flag, self._marks.amax()))
        self._sound_steps.add_(1 - self.flag)

    def fault(self) -> Fault | None:
        """Return the first fault, if there was one (synchronises with the device)."""
        flag, sound, *culprits = torch.cat(
            [self.flag.double().view(1), self._sound_steps.view(1), self._culprits.double()]
        ).tolist()
        if not flag:
            return None
        names = tuple(name for name, culprit in zip(self._players, culprits, strict=True) if culprit)
        return Fault(step=self._start + int(sound) + 1, players=names)
