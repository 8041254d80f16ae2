"""What every loop here starts from: the engine's own networks at step 0, and the same rows."""

from typing import Any, NamedTuple

import torch

from genzoo import Game, Networks
from genzoo.data import as_input
from genzoo.types import Batch


class Start(NamedTuple):
    """A training about to begin, for a loop to carry out."""

    game: Game
    networks: Networks
    """The loop's own, with the weights that the engine begins with."""
    players: dict[str, list[torch.nn.Parameter]]
    rows: torch.Tensor
    """(N, *shape) as stored, on the device."""
    y: torch.Tensor | None
    """(N, condition_size) conditions, on the device."""
    latent: int
    training: Any
    """The recipe's settings: batch_size, learning rates, betas."""
    bf16: bool

    def optimizers(self, **options):
        """Return an Adam for every player."""
        return {
            name: torch.optim.Adam(
                parameters,
                lr=self.training.of(name).learning_rate,
                betas=(self.training.of(name).beta1, self.training.of(name).beta2),
                eps=self.training.epsilon,
                **options,
            )
            for name, parameters in self.players.items()
        }


class Rows:
    """Shuffled batches, as a loop by hand draws them."""

    def __init__(self, start):
        self._start = start
        self._position = len(start.rows)

    def draw(self):
        """Return the next batch."""
        size, rows, device = self._start.training.batch_size, self._start.rows, self._start.rows.device
        if self._position + size > len(rows):
            self._order, self._position = torch.randperm(len(rows), device=device), 0
        chosen = self._order[self._position : self._position + size]
        self._position += size
        z, noise = (torch.randn(size, self._start.latent, device=device) for _ in range(2))
        y = None if self._start.y is None else self._start.y[chosen]
        return Batch(x=as_input(rows[chosen]), z=z, noise=noise, y=y)
