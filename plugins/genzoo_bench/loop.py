"""The start of every loop by hand: the engine's networks at step 0, and the same rows."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch

from genzoo import Game, Networks
from genzoo.data import as_input
from genzoo.games import Players
from genzoo.training import Training
from genzoo.types import Batch


class Contestant(Protocol):
    """The engine's trainer or a loop by hand, to be timed."""

    def take_step(self) -> object:
        """Take one step."""


class Start(NamedTuple):
    """Everything that a loop by hand starts from."""

    game: Game
    networks: Networks
    """Copies for this loop alone, with the engine's initial weights."""
    players: Players
    rows: torch.Tensor
    """(N, *shape) as stored, on the device."""
    y: torch.Tensor | None
    """(N, condition_size) conditions, on the device."""
    latent: int
    training: Training
    bf16: bool

    def optimizers(self, *, fused: bool | None = None) -> dict[str, torch.optim.Adam]:
        """Return an Adam for every player."""
        return {name: self._optimizer(name, parameters, fused) for name, parameters in self.players.items()}

    def _optimizer(self, player: str, parameters: Sequence[torch.Tensor], fused: bool | None) -> torch.optim.Adam:
        settings = self.training.of(player)  # the loops keep the learning rate, whatever its schedule
        return torch.optim.Adam(
            parameters,
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=self.training.epsilon,
            fused=fused,
        )


class Rows:
    """Shuffled batches, drawn the way a loop by hand would."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._position = len(start.rows)

    def draw(self) -> Batch:
        """Return the next batch of N = batch size rows."""
        size, rows, device = self._start.training.batch_size, self._start.rows, self._start.rows.device
        if self._position + size > len(rows):
            self._order, self._position = torch.randperm(len(rows), device=device), 0
        drawn = self._order[self._position : self._position + size]
        self._position += size
        z, noise = (torch.randn(size, self._start.latent, device=device) for _ in range(2))
        y = None if self._start.y is None else self._start.y[drawn]
        return Batch(x=as_input(rows[drawn]), z=z, noise=noise, y=y)
