"""Games: the rules by which networks are trained, one loss per player."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from genzoo.components import Component
from genzoo.errors import PluginError
from genzoo.nn.architecture import Architecture
from genzoo.nn.interfaces import GameNetworks, Networks
from genzoo.types import Batch, DataSpec, Losses

Players = Mapping[str, Sequence[Tensor]]
"""Every player's parameters by its name; those of a population of R replicas are (R, *shape of the parameter)."""
Gradients = dict[str, tuple[Tensor, ...]]
"""Every mover's gradient by its name, one tensor per parameter and shaped as it."""


@dataclass(frozen=True, kw_only=True)
class Game(Component):
    """A generative model as rules: which networks, who plays, and what each player minimises."""

    kind: ClassVar[str] = "models"
    inherits: ClassVar[tuple[str, ...]] = ()
    """Networks taken from the run given as `--from`, frozen and kept in inference mode."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings by path that this game uses in place of the recipe's, unless overridden: `{"training.beta1": 0.0}`."""

    @abstractmethod
    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return the networks that the game is played with."""

    @abstractmethod
    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return one scalar loss () per mover, all from the same forward pass on a batch of N rows."""

    def latent(self, architecture: Architecture, data: DataSpec) -> int:
        """Return the length of z and of an encoder's noise, at least 1; by default, the architecture's."""
        return architecture.latent

    def players(self, networks: Networks) -> Players:
        """Return the parameters of every player: the critic, and the generator with all other trainable ones."""
        critic = [] if networks.critic is None else _trainable(networks.critic)
        taken = {id(parameter) for parameter in critic}
        others = [parameter for parameter in _trainable(networks) if id(parameter) not in taken]
        return {name: parameters for name, parameters in (("critic", critic), ("generator", others)) if parameters}

    def movers(self, step: int, players: Sequence[str]) -> tuple[str, ...]:
        """Return the players that move in `step` (counted from 0)."""
        return tuple(players)

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor | None:
        """Return class logits (N, K) of `x` (N, *shape); by default, None: the game predicts no classes.

        `noise` (N, latent) is standard normal, for a classifier that reads codes.
        """
        return None

    def gradients(self, networks: GameNetworks, batch: Batch, movers: Players) -> tuple[Losses, Gradients]:
        """Return the losses and every mover's gradient at the current parameters, from one backward pass per mover.

        A game with a faster exact method overrides this. Code that reads the networks must go through `networks.call`,
        which may compile it or apply it to many replicas at once.
        """
        losses = networks.call(self.losses, batch, tuple(movers))
        if not isinstance(losses, Losses):
            raise PluginError(f"{self.name}.losses returned a {type(losses).__name__}, expected genzoo.Losses")
        return losses, per_player(losses, movers)

    def per_player_reason(self, networks: Networks) -> str | None:
        """Return why each player of a run needs its own backward pass; None if `shared_gradients` is exact."""
        return "the game has no critic"

    def shared_gradients(self, networks: GameNetworks, batch: Batch, movers: Players) -> tuple[Losses, Gradients]:
        """Return what `gradients` returns, from one backward pass for all movers where possible.

        A run calls it instead of `gradients` if `per_player_reason` is None.
        """
        return self.gradients(networks, batch, movers)


def per_player(losses: Losses, movers: Players) -> Gradients:
    """Return every mover's gradient of its own loss, from one backward pass per mover.

    A loss is a scalar (), or (R,) for R replicas. A replica's loss depends on its slice of the parameters alone, so the
    gradient of the sum holds each replica's gradient in its slice.
    """
    last = list(movers)[-1]
    return {
        name: torch.autograd.grad(
            losses.players[name], parameters, torch.ones_like(losses.players[name]), retain_graph=name != last
        )
        for name, parameters in movers.items()
    }


def _trainable(module: Module) -> list[Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
