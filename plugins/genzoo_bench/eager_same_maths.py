"""The engine's mathematics by hand: every loss from one forward pass, every gradient before anyone steps."""

import torch

from genzoo_bench.loop import Rows


class EagerSameMaths:
    """One backward pass per player, fused Adam, nothing fetched; the engine's precision."""

    name = "eager-same-maths"

    @staticmethod
    def obstacle(game):
        """Return why a game cannot be played this way: any can."""

    def __init__(self, start):
        self._game = start.game
        self._networks = start.networks
        self._players = start.players
        self._rows = Rows(start)
        self._optimizers = start.optimizers(fused=True)
        self._autocast = torch.autocast(start.rows.device.type, dtype=torch.bfloat16, enabled=start.bf16)
        self.losses = []

    def advance(self):
        """Take one step of all players."""
        batch = self._rows.draw()
        with self._autocast:
            losses = self._game.losses(self._networks, batch, tuple(self._players)).players
        last = list(self._players)[-1]
        for name, parameters in self._players.items():
            gradients = torch.autograd.grad(losses[name], parameters, retain_graph=name != last)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
        for optimizer in self._optimizers.values():
            optimizer.step()
        self.losses.append({name: loss.detach() for name, loss in losses.items()})
