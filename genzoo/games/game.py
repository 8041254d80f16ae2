"""Games: the rules by which networks are trained, one loss per player."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from genzoo.components import Component
from genzoo.errors import SettingsError
from genzoo.games.priors import Prior
from genzoo.nn.architecture import Architecture
from genzoo.nn.interfaces import GameNetworks, Networks
from genzoo.types import Batch, DataSpec, Draw, Losses, Picture

Players = Mapping[str, Sequence[Tensor]]
"""Every player's parameters by its name; those of a population of R replicas are (R, *shape of the parameter)."""
Gradients = dict[str, tuple[Tensor, ...]]
"""Every mover's gradient by its name, one tensor per parameter and shaped as it."""
_READ_OR_GIVE_Z = {"encoder", "decoder", "critic"}
"""The networks that z passes through; a game's further parts see x alone."""
STEPS_ASKED = 1000
"""For how many steps a game is asked who moves, where a rule must hold in all of them."""


class Setup(NamedTuple):
    """What a game is to be played with."""

    architecture: Architecture
    data: DataSpec
    prior: Prior
    latent: int
    """The length of z."""


@dataclass(frozen=True, kw_only=True)
class Game(Component):
    """A generative model as rules: which networks, who plays, and what each player minimises."""

    kind: ClassVar[str] = "models"
    inherits: ClassVar[tuple[str, ...]] = ()
    """Networks taken from the run given as `--from`, frozen and kept in inference mode."""
    inherits_from: ClassVar["type[Game] | None"] = None
    """The game that the run given as `--from` must be of; None: any whose networks are there."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings by path that this game uses in place of the recipe's, unless overridden: `{"training.beta1": 0.0}`.

    A value may be a mapping of what is below its path: `{"training.players": {"critic": {"beta1": 0.0}}}`.
    """
    takes_few_labels: ClassVar[bool] = False
    """Whether y enters nothing in rows that are not `Batch.labelled`, without which a conditional game needs all."""
    sampling_obstacle: ClassVar[str | None] = None
    """Why decoded draws from the prior are no samples, as `its prior is not learned`; None: they are samples."""
    priors: ClassVar[tuple[type[Prior], ...]] = (Prior,)
    """The classes of priors that the game can be played with: any, unless its loss assumes one."""

    def leaves_open(self, name: str) -> bool:
        """Return whether a recipe may choose the value of the field `name`: the game has it and has not chosen."""
        declared = [of_class[name] for of_class in map(_fields_by_name, type(self).__mro__) if name in of_class]
        return bool(declared) and getattr(self, name) == declared[-1].default

    def needs(self, setup: Setup) -> str | None:
        """Return what the game lacks to be played so, such as `a prior with categories`; None, the default: nothing.

        It is asked before networks are built and a run folder is made.
        """
        return None

    @property
    def draws(self) -> Mapping[str, Draw]:
        """What its losses draw beside z and noise, by name: `{"t": Draw("uniform")}`, read as `batch.draws["t"]`.

        These depend on seed, name and step alone: they are the same on several ranks, which share a batch's rows, and
        in trainings that run together. What torch's global generators draw is not.
        """
        return {}

    @abstractmethod
    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return the networks that the game is played with."""

    def add_heads(self, networks: Networks, setup: Setup) -> None:
        """Add to the `networks` of `build` those that depend on the prior or on the length of z; by default, none.

        `setup.prior.parts(setup.latent)` says which numbers of z are a category, for a head that has to name it.
        """

    @abstractmethod
    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return one scalar loss () per mover, all from the same forward pass on a batch of N rows."""

    def log_weight(self, networks: Networks, batch: Batch, prior: Prior) -> Tensor | None:
        """Return ln p(x, z) − ln q(z|x) (N,) in nats, for the z that the encoder draws with the batch's noise.

        None, the default, for a game without these densities; see also `likelihood`.
        """
        return None

    def likelihood(self, data: DataSpec) -> str | None:
        """Return what `log_weight` takes p(x|z) to be, for the protocol of scores: `Bernoulli on [0, 1]`."""
        return None

    def log_probability(self, networks: Networks, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        """Return ln P(x) (N,) in nats of images `x` (N, *shape) whose numbers are grey levels, exactly.

        None, the default, for a game without such probabilities. `y` is (N, condition_size) for a conditional game.
        """
        return None

    def pictures(self, networks: Networks, batch: Batch, prior: Prior) -> Mapping[str, Picture]:
        """Return what shows this game beside samples and reconstructions, by name; by default, nothing.

        The `batch` has rows of data that were not trained on, with draws of the prior and of noise. The networks are
        in inference mode. A run draws its pictures when it draws samples, and a comparison at the end.
        """
        return {}

    def check_prior(self, prior: Prior, data: DataSpec) -> None:
        """Raise `SettingsError` if the game cannot be played with `prior`; by default, unless it is among `priors`."""
        if not isinstance(prior, self.priors):
            names = " or ".join(kind.name for kind in self.priors)
            raise SettingsError(
                f"the loss of {self.name} assumes the prior {names}, and prior is {prior.name}",
                f"type: --set prior={self.priors[0].name}",
            )

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

    def due(self, step: int) -> tuple[str, ...]:
        """Return what `step` (counted from 0) does beyond the work of every step, such as a lazy penalty, by name.

        `Batch.due` holds the answer, so that a game can ask it without a value from the device.
        """
        return ()

    def extend(self, networks: Networks, data: DataSpec) -> None:
        """Add the modules of the game's components to the `networks` that `build` returned; by default, none."""

    def compose(self, networks: Networks, setup: Setup, source: Setup) -> None:
        """Put the inherited networks, which `networks` has frozen, into use; their trained weights come later.

        By default, they stay as they are, and `SettingsError` is raised if they read or give a z of another length than
        the game's. A game that wraps them overrides this, and sets `networks.decoder` to a decoder made with them.
        """
        if setup.latent != source.latent and _READ_OR_GIVE_Z & set(self.inherits):
            raise SettingsError(
                f"the latent size is {setup.latent} here and {source.latent} in the run given as --from",
                "name another run, or choose the recipe and settings that it has",
            )

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor | None:
        """Return class logits (N, K) of `x` (N, *shape); by default, None: the game predicts no classes.

        `noise` (N, latent) is standard normal, for a classifier that reads codes.
        """
        return None

    def categorise(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor | None:
        """Return logits (N, K) of categories that the model itself made out, for `x` and `noise` as in `classify`.

        None, the default: it makes out none. Where the prior of z has a part `category`, they are its categories.
        """
        return None

    def gradients(self, networks: GameNetworks, batch: Batch, movers: Players) -> tuple[Losses, Gradients]:
        """Return the losses and every mover's gradient at the current parameters, from one backward pass per mover.

        A game with a faster exact method overrides this. Code that reads the networks must go through `networks.call`,
        which may apply it to many replicas at once.
        """
        losses = networks.call(self.losses, batch, tuple(movers))
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


def _fields_by_name(base: type) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(base)} if is_dataclass(base) else {}


def _trainable(module: Module) -> list[Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
