"""The engine's mathematics by hand: all losses from one forward pass, all gradients before any update."""

import torch
from torch import Tensor

from genzoo import AdversarialGame, Game
from genzoo_bench.loop import Rows, Start


class EagerSameMaths:
    """One backward pass per player, fused Adam, nothing fetched; the engine's precision."""

    name = "eager-same-maths"

    @staticmethod
    def obstacle(game: Game) -> str | None:
        """Return why a game cannot be trained by this loop, or None."""
        if isinstance(game, AdversarialGame) and game.penalty is not None:
            return "it has a penalty, which this loop does not have"
        if isinstance(game, AdversarialGame) and game.augment is not None:
            return "it augments data, which this loop does not do"
        return None

    def __init__(self, start: Start) -> None:
        self._game = start.game
        self._networks = start.networks
        self._players = start.players
        self._step = 0
        self._rows = Rows(start)
        self._optimizers = start.optimizers(fused=True)
        self._autocast = torch.autocast(start.rows.device.type, dtype=torch.bfloat16, enabled=start.bf16)
        self.losses: list[dict[str, Tensor]] = []

    def take_step(self) -> None:
        """Take one step of the players whose turn it is."""
        movers = self._game.movers(self._step, tuple(self._players))
        self._step += 1
        batch = self._rows.draw()
        with self._autocast:
            losses = self._game.losses(self._networks, batch, movers).players
        for name in movers:
            parameters = self._players[name]
            gradients = torch.autograd.grad(losses[name], parameters, retain_graph=name != movers[-1])
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
        for name in movers:
            self._optimizers[name].step()
        self.losses.append({name: loss.detach() for name, loss in losses.items()})
