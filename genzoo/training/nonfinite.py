"""The non-finite guard: it keeps NaN and infinite gradients from the parameters without synchronising with the host."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genzoo.training.rows import stacked


class Fault(NamedTuple):
    """The first loss, gradient or stored tensor that is not finite."""

    step: int
    """Counted from 1."""
    players: tuple[str, ...]
    tensor: str | None = None
    """The weight, moment or statistic that overflowed; None for a loss or gradient, which was not applied."""

    def __str__(self) -> str:
        owners = " and ".join(self.players)
        if self.tensor is None:
            return (
                f"the loss or gradient of {owners} became non-finite in step {self.step:,}; "
                "no parameter was updated with it"
            )
        return f"{self.tensor} of {owners} was non-finite after step {self.step:,}"


def raise_flag(flag: Tensor, tensors: list[Tensor], *, unit_scale: Tensor) -> None:
    """Set `flag`, a float scalar (), to 1 if any number in `tensors` is not finite, without synchronising.

    `unit_scale` is a scalar 1.0 on the flag's device."""
    # It also multiplies every tensor in place by the scale, which is 1.
    torch._amp_foreach_non_finite_check_and_unscale_(tensors, flag, unit_scale)


class NonFiniteGuard:
    """A sticky flag on the device: once a loss or gradient is non-finite, every optimizer skips its updates.

    `flag`, a scalar (), is handed to the fused optimizers as `found_inf`, the interface that gradient scalers use.
    """

    def __init__(self, players: Sequence[str], *, device: torch.device) -> None:
        self.players = list(players)
        self.flag = torch.zeros((), device=device)
        self.flags = torch.zeros(len(self.players), device=device)
        """(players,): whether a player's gradient or loss was non-finite."""
        self.bad_steps = torch.zeros_like(self.flags)
        """(players,): in how many steps since."""
        self._unit_scale = torch.ones((), device=device)

    def inspect(self, losses: Mapping[str, Tensor], gradients: Mapping[str, Sequence[Tensor]]) -> None:
        """Check the losses () and gradients of one step's movers, without synchronising."""
        for name, values in gradients.items():
            flag = self.flags[self.players.index(name)]
            raise_flag(flag, [*values, losses[name].detach()], unit_scale=self._unit_scale)
        torch.amax(self.flags, 0, out=self.flag)
        self.bad_steps.add_(self.flags)

    def restart(self) -> None:
        """Clear all faults, for a return to an earlier step."""
        for tensor in (self.flag, self.flags, self.bad_steps):
            tensor.zero_()

    def fault(self, taken: int) -> Fault | None:
        """Return the first fault in the `taken` steps so far, or None (synchronises with the device)."""
        bad_steps = self.bad_steps.tolist()
        longest = max(bad_steps)
        if not longest:
            return None
        first = tuple(name for name, count in zip(self.players, bad_steps, strict=True) if count == longest)
        return Fault(step=taken - int(longest) + 1, players=first)


class StackedGuard:
    """The guards of R replicas, each raised by its replica alone; their flags become rows of the tensors here."""

    def __init__(self, guards: Sequence[NonFiniteGuard]) -> None:
        self._players = guards[0].players
        self.flag = stacked([guard.flag for guard in guards])
        self._flags = stacked([guard.flags for guard in guards])
        self._bad_steps = stacked([guard.bad_steps for guard in guards])

    def inspect(self, losses: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        """Check the losses (R,) and gradients (R, P) of one step's movers, without synchronising."""
        largest = [torch.linalg.vector_norm(values, torch.inf, dim=1) for values in gradients.values()]
        numbers = torch.stack([*largest, *(losses[name].detach() for name in gradients)])
        # Zero times a number is zero, unless the number is infinite or NaN.
        of_movers = (numbers * 0).view(2, len(gradients), -1).sum(0) != 0
        for name, is_bad in zip(gradients, of_movers, strict=True):
            self._flags[:, self._players.index(name)].masked_fill_(is_bad, 1)
        torch.amax(self._flags, 1, out=self.flag)
        self._bad_steps.add_(self._flags)
