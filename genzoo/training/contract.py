"""The contract between a plugin's code and a training, checked once: before the first step, and in it.

What a step would do silently with a mistake, such as a loss per row, ends the training with the place of the mistake.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from genzoo.components import Component
from genzoo.data.dataset import Dataset, as_input
from genzoo.errors import GenzooError, PluginError, is_out_of_memory, place_of, warn
from genzoo.games.game import Game, Gradients, Players
from genzoo.games.priors import Prior
from genzoo.nn.interfaces import GameNetworks, JointCritic, Networks
from genzoo.randomness import preserved
from genzoo.text import in_words
from genzoo.training.batches import map_tensors
from genzoo.training.execution import GradientRule, buffers_kept
from genzoo.training.settings import Settings
from genzoo.types import Batch, DataSpec, Draw, Losses, Split, Verdict


def check_before_the_first_step(settings: Settings, split: Split, networks: Networks, players: Players) -> None:
    """Raise `PluginError` if data, prior, draws or players are not as declared; warn of parameters nobody trains."""
    check_rows(settings.dataset, split)
    check_prior(settings.prior, settings.latent)
    check_draws(settings.game)
    check_players(settings.game, networks, players)


def check_rows(dataset: Dataset, split: Split) -> None:
    """Raise `PluginError` unless the rows of a split are as the `spec` of its data set says."""
    fault = _fault_of_rows(dataset.spec, split) or _fault_of_labels(dataset.spec, split)
    if fault is not None:
        raise broken(dataset, "load", fault, "mend `load`, or the `spec` that it follows")


def check_prior(prior: Prior, latent: int, *, rows: int = 4) -> None:
    """Raise `PluginError` unless a draw of the prior is finite, float32 and (rows, latent)."""
    draw = prior.draw(rows, latent, torch.Generator().manual_seed(0))
    if not isinstance(draw, Tensor) or draw.shape != (rows, latent) or draw.dtype != torch.get_default_dtype():
        found = f"it drew {_kind_and_shape(draw)}"
    elif not draw.isfinite().all():
        found = "it drew numbers that are not finite"
    else:
        return
    raise broken(
        prior, "draw", found, f"expected {rows} draws of {latent} numbers: float32 of the shape (rows, latent)"
    )


def check_draws(game: Game) -> None:
    """Raise `PluginError` unless a game declares what it draws by name."""
    for name, draw in game.draws.items():
        if not isinstance(draw, Draw):
            raise broken(game, "draws", f"the draw '{name}' is a {type(draw).__name__}", 'expected Draw("uniform", …)')


def check_players(game: Game, networks: Networks, players: Players) -> None:
    """Raise `PluginError` if a player has no parameters or strange ones; warn of those that no player has."""
    names = {id(parameter): name for name, parameter in networks.named_parameters()}
    for player, parameters in players.items():
        strange = [parameter for parameter in parameters if id(parameter) not in names]
        frozen = [parameter for parameter in parameters if not parameter.requires_grad]
        if not parameters:
            found, remedy = "has no parameters", "leave it out"
        elif strange:
            found, remedy = "has tensors that are no parameters of the networks", "take those of networks.parameters()"
        elif frozen:
            found = f"has parameters that need no gradient: {_first_of([names[id(each)] for each in frozen])}"
            remedy = "leave frozen parameters out"
        elif len({id(parameter) for parameter in parameters}) < len(parameters):
            found, remedy = "has a parameter twice", "give it once"
        else:
            continue
        raise broken(game, "players", f"the player '{player}' {found}", remedy)
    _warn_of_second_critics(game, networks, players)
    trained = {id(parameter) for parameters in players.values() for parameter in parameters}
    idle = [name for name, p in networks.named_parameters() if p.requires_grad and id(p) not in trained]
    if idle:
        place = place_of(type(game), "players", "build")
        warn([f"{place}: no player trains {_first_of(idle)}; freeze what shall stay as it is: requires_grad_(False)"])


def _warn_of_second_critics(game: Game, networks: Networks, players: Players) -> None:
    """Warn of critics beside `Networks.critic` that the generator trains, since the game names no players itself."""
    if networks.critic is None or type(game).players is not Game.players:
        return
    trained = {id(parameter) for parameter in players.get("generator", ())}
    for name, module in networks.named_children():
        if isinstance(module, JointCritic) and trained & {id(parameter) for parameter in module.parameters()}:
            found = f"the player 'generator' trains the critic '{name}'"
            warn([f"{place_of(type(game), 'build')}: {found}; where it is another player's, say so in `players`"])


class Checked:
    """A rule for gradients whose losses are checked where players move together for the first time.

    It looks at what the step computes and changes nothing. Later steps cost the look-up of their movers.
    """

    def __init__(self, rule: GradientRule, game: Game, networks: Networks, players: Players, *, shared: bool) -> None:
        """With `shared`, the critic says that it does not couple rows, and that is checked as well."""
        self._rule = rule
        self._game = game
        self._networks = networks
        self._players = players
        self._shared = shared
        self._passed: set[tuple[str, ...]] = set()

    def __call__(self, networks: GameNetworks, batch: Batch, movers: Players) -> tuple[Losses, Gradients]:
        """Return the losses and every mover's gradient."""
        names = (*movers, *batch.due)
        if names in self._passed:
            return self._rule(networks, batch, movers)
        try:
            losses, gradients = self._rule(networks, batch, movers)
        except GenzooError:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                self._explain(batch, movers, error)
            raise
        check_losses(self._game, losses, movers, shape=self._replicas(movers))
        if self._shared:
            with preserved(), buffers_kept(self._networks):
                check_row_wise(self._game, self._networks, self._alone(batch, movers), tuple(movers))
        self._passed.add(names)
        return losses, gradients

    def _replicas(self, movers: Players) -> tuple[int, ...]:
        """Return (R,) for the stacked parameters of R replicas, and () for a training alone."""
        name = next(iter(movers))
        stacked, alone = movers[name][0], self._players[name][0]
        return tuple(stacked.shape[: stacked.ndim - alone.ndim])

    def _alone(self, batch: Batch, movers: Players) -> Batch:
        """Return the batch of the first replica, or of a training alone."""
        return map_tensors(lambda part: part[0], batch) if self._replicas(movers) else batch

    def _explain(self, batch: Batch, movers: Players, error: Exception) -> None:
        """Raise `PluginError` if the losses of the failed step are to blame, and return otherwise."""
        with preserved(), buffers_kept(self._networks):
            try:
                losses = self._game.losses(self._networks, self._alone(batch, movers), tuple(movers))
            except Exception:
                return  # it fails inside, and the first error says where
            check_losses(self._game, losses, movers)
            check_reached(self._game, losses, {name: self._players[name] for name in movers}, self._networks)


def check_losses(game: Game, losses: Losses, movers: Collection[str], *, shape: tuple[int, ...] = ()) -> None:
    """Raise `PluginError` unless there is one scalar loss per mover, and what is watched are detached scalars.

    Those of R replicas have the `shape` (R,).
    """
    if not isinstance(losses, Losses):
        expected = "expected Losses(players={…}, watch={…})"
        raise broken(game, "losses", f"it returned a {type(losses).__name__}", expected)
    remedy = f"return one loss for each name in `movers`: {', '.join(movers)}"
    for name in (name for name in movers if name not in losses.players):
        raise broken(game, "losses", f"there is no loss for the player '{name}', who moves", remedy)
    for name in (name for name in losses.players if name not in movers):
        raise broken(game, "losses", f"there is a loss for '{name}', who does not move", remedy)
    for name, loss in losses.players.items():
        if not isinstance(loss, Tensor) or loss.shape != shape:
            found = f"the loss of '{name}' is {_kind_and_shape(loss)}, expected a scalar ()"
            raise broken(game, f"{name}_loss generator_cost losses", found, "take its mean over the rows: loss.mean()")
    for name, value in losses.watch.items():
        if not isinstance(value, Tensor) or value.shape != shape:
            found = f"the watched '{name}' is {_kind_and_shape(value)}"
        elif value.requires_grad:
            found = f"the watched '{name}' is a tensor with its graph"
        else:
            continue
        raise broken(game, "accuracies losses", found, "expected a detached scalar: value.mean().detach()")


def check_reached(game: Game, losses: Losses, players: Players, networks: nn.Module) -> None:
    """Raise `PluginError` if the loss of a player does not depend on one of its parameters."""
    names = {id(parameter): name for name, parameter in networks.named_parameters()}
    for player, parameters in players.items():
        loss, methods = losses.players[player], f"{player}_loss losses build"
        if not loss.requires_grad:
            raise broken(game, methods, f"the loss of '{player}' depends on no parameter", "keep its graph attached")
        gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True, retain_graph=True)
        unused = [names[id(each)] for each, slope in zip(parameters, gradients, strict=True) if slope is None]
        if unused:
            remedy = "use them in this loss, leave them to another player, or build the networks without them"
            found = f"the loss of '{player}' does not depend on {_first_of(unused)}"
            raise broken(game, methods, found, remedy)


def check_row_wise(game: Game, networks: Networks, batch: Batch, movers: Sequence[str]) -> None:
    """Raise `PluginError` if a row's verdict depends on other rows, though the critic is declared as row-wise.

    The core's own modules and torch's are trusted.
    """
    critic = networks.critic
    if critic is None or critic.couples_rows or not (claimants := _strangers(critic)):
        return
    coupled: list[bool] = []
    hook = critic.register_forward_hook(lambda _, joint, verdict: coupled.append(_depends_on_others(joint[0], verdict)))
    try:
        game.losses(networks, batch, movers)
    finally:
        hook.remove()
    if any(coupled):
        found = "it is declared with `row_wise`, and the logit of a row depends on other rows"
        places = in_words([place_of(kind, "forward") for kind in claimants], "or")
        raise PluginError(f"{places}: {found}", "leave out `row_wise`: each player then has its own backward pass")


def broken(component: Component, methods: str, found: str, remedy: str) -> PluginError:
    """Return the error that begins with the place of the first of `methods` that a plugin defines."""
    return PluginError(f"{place_of(type(component), *methods.split())}: {found}", remedy)


def _strangers(critic: JointCritic) -> list[type]:
    """Return the classes of the critic's modules that are neither the core's nor torch's."""
    kinds = dict.fromkeys(type(module) for module in critic.modules())
    return [kind for kind in kinds if kind.__module__.partition(".")[0] not in ("genzoo", "torch")]


def _depends_on_others(joint: Sequence[Tensor | None], verdict: Verdict) -> bool:
    """Return whether the first row's logit has a slope at another row of what the critic is shown."""
    parts = [part for part in joint if part is not None and part.requires_grad]
    slopes = torch.autograd.grad(verdict.logits[0].sum(), parts, retain_graph=True, allow_unused=True)
    return any(bool(slope[1:].any()) for slope in slopes if slope is not None)


def _fault_of_rows(spec: DataSpec, split: Split) -> str | None:
    x = split.x
    if not isinstance(x, Tensor) or x.ndim == 0 or x.shape[1:] != spec.shape:
        return f"rows are {_kind_and_shape(x)}, and `spec` says that one x is of the shape {spec.shape}"
    stored = as_input(x[:1]).dtype
    if stored != torch.get_default_dtype():
        return f"rows are stored as {_type_name(x.dtype)}, expected {'uint8' if spec.support == 'unit' else 'float32'}"
    if x.dtype == torch.uint8:
        return None if spec.support == "unit" else "rows are stored as uint8, and `spec` says that x is real"
    if not x.isfinite().all():
        return "rows hold numbers that are not finite"
    if spec.support == "unit" and len(x) and (x.min() < 0 or x.max() > 1):
        return f"rows are from {x.min():g} to {x.max():g}, and `spec` says that x is in [0, 1]"
    return None


def _fault_of_labels(spec: DataSpec, split: Split) -> str | None:
    labels, rows = split.labels, len(split.x)
    if labels is None or not spec.condition_size:
        return None
    expected = (rows,) if spec.class_names else (rows, len(spec.attributes))
    if labels.shape != expected:
        return f"labels are {_kind_and_shape(labels)}, expected the shape {expected}"
    if spec.class_names and labels.dtype != torch.int64:
        return f"labels are {_type_name(labels.dtype)}, expected int64"
    least, most = (-1, len(spec.class_names) - 1) if spec.class_names else (0, 1)
    if rows and not (least <= labels.min() and labels.max() <= most):
        return f"labels are from {labels.min()} to {labels.max()}, expected {least} to {most}"
    return None


def _kind_and_shape(value: object) -> str:
    """Return what a value is, for a sentence: a tensor's shape and type, else its class."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"a tensor of the shape {tuple(value.shape)} and type {_type_name(value.dtype)}"


def _type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_PARAMETERS_NAMED = 4
"""So many parameters are named in a message."""


def _first_of(names: Sequence[str]) -> str:
    others = len(names) - _PARAMETERS_NAMED
    return ", ".join(names[:_PARAMETERS_NAMED]) + (f" and {others} more" if others > 0 else "")
