"""Populations: trainings of one game that differ in seed and optimizer, run as one batched program of R replicas."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, TypeVarTuple
from weakref import proxy

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from genzoo.games.game import Gradients, Players
from genzoo.nn.interfaces import Networks
from genzoo.randomness import preserved
from genzoo.training.batches import map_tensors
from genzoo.training.execution import Step, weakly
from genzoo.training.nonfinite import StackedGuard
from genzoo.training.rows import ReplicaRows, stacked
from genzoo.training.settings import apart_from_optimizers, differences
from genzoo.training.stacked_adam import StackedAdam
from genzoo.training.trainer import Trainer, laid_out, take_step
from genzoo.types import Batch, Losses

_Answer = TypeVar("_Answer")
_Values = TypeVarTuple("_Values")


def difference(trainers: Sequence[Trainer]) -> str | None:
    """Return why these trainers cannot be one population, or None if they can."""
    first = trainers[0]
    for other in trainers[1:]:
        if other.step != first.step:
            return f"they are at different steps, {first.step:,} and {other.step:,}"
        if (other.precision, other.deterministic, other.device) != (first.precision, first.deterministic, first.device):
            return "they differ in precision, determinism or device"
        unlike = differences(apart_from_optimizers(first.settings), apart_from_optimizers(other.settings))
        if unlike:
            return f"they differ in {unlike[0]}"
    return None


class Population:
    """R trainers whose parameters and buffers are slices of stacked tensors (R, …), updated by one program.

    Each keeps its own batches, optimizers, guard and averages, and can still be evaluated, saved or trained alone.
    Random numbers drawn inside networks, such as dropout's, differ between replicas and from those of a training alone.

    With `one_update`, one `StackedAdam` updates all replicas; else each replica's fused Adam does. None leaves it to
    the device: a GPU is for few large kernels, while on one CPU core the fused Adams took a quarter of the time.
    """

    def __init__(self, trainers: Sequence[Trainer], *, one_update: bool | None = None) -> None:
        first = trainers[0]
        self.trainers = list(trainers)
        self._parameters = _stacked([dict(trainer.networks.named_parameters()) for trainer in trainers])
        self._buffers = _stacked([dict(trainer.networks.named_buffers()) for trainer in trainers])
        wanted = first.device.type == "cuda" if one_update is None else one_update
        rows = _rows(trainers) if wanted and _have_rows(first.players) else None
        names = {id(parameter): f"networks.{name}" for name, parameter in first.networks.named_parameters()}
        for player, part in (rows or {}).items():
            for parameter, stack in zip(first.players[player], part.parts, strict=True):
                self._parameters[names[id(parameter)]] = stack.detach().requires_grad_(parameter.requires_grad)
        self._players: Players = {
            player: [self._parameters[names[id(parameter)]] for parameter in parameters]
            for player, parameters in first.players.items()
        }
        for trainer in trainers:
            trainer.build_optimizers()
        self._one_update = None if rows is None else _OneUpdate(trainers, rows)
        self._rule = _Rule(copy.deepcopy(first.networks).to("meta"))
        self._step = Step(
            proxy(self),
            self._players,
            gradients=first.checked_rule,
            update=weakly(self._update),
            autocast=first.autocast,
            tf32=first.precision == "tf32",
            deterministic=first.deterministic,
            device=first.device,
            name=first.settings.game.name,
            captured=first.execution != "eager" and first.device.type == "cuda",
        )

    def call(self, rule: Callable[[Networks, *_Values], _Answer], *values: *_Values) -> _Answer:
        """Return `rule(networks, *values)` for all R replicas; tensors in `values` and in the answer are (R, …)."""
        leaves, structure = pytree.tree_flatten(values)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        answers: list[tuple[list[Any], pytree.TreeSpec]] = []

        def replica(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *tensors: Tensor) -> list[Tensor]:
            """Return the tensors in one replica's answer; vmap hides R from everything inside."""
            inner = pytree.tree_unflatten(_with_tensors(leaves, tensors), structure)
            answers.append(pytree.tree_flatten(functional_call(self._rule, parameters | buffers, (rule, *inner))))
            return [leaf for leaf in answers[-1][0] if isinstance(leaf, Tensor)]

        stacked = vmap(replica, randomness="different")(self._parameters, self._buffers, *tensors)
        answer: _Answer = pytree.tree_unflatten(_with_tensors(answers[-1][0], stacked), answers[-1][1])
        return answer

    def obstacle(self) -> str | None:
        """Return why this game cannot run as one batched program, or None; the replicas' state does not change."""
        saved = {name: buffer.clone() for name, buffer in self._buffers.items()}
        try:
            with preserved():
                self._step.gradients(self._batch(), self.trainers[0].movers())
        except Exception as cause:  # vmap raises many types; the caller warns and trains each replica alone
            return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]:.200}"
        finally:
            for name, buffer in saved.items():
                self._buffers[name].copy_(buffer)
        return None

    def take_step(self) -> list[Losses]:
        """Take one step of every replica and return the losses () of each."""
        return _of_each_replica(take_step(self.trainers, self._step, self._batch()), len(self.trainers))

    def _batch(self) -> Batch:
        """Return the replicas' batches as one whose tensors are (R, N, …)."""
        drawn = [trainer.batch() for trainer in self.trainers]
        return map_tensors(lambda *parts: torch.stack(parts), *drawn)

    def _update(self, losses: Losses, gradients: Gradients) -> Losses:
        """Have every replica apply its slice of losses (R,) and of gradients (R, *shape of the parameter)."""
        if self._one_update is not None:
            self._one_update(losses, gradients)
            return losses
        # Products under vmap leave gradients transposed: one copy for all replicas, where each would make its own.
        of_replicas = {
            name: list(zip(*(tensor.unbind() for tensor in map(_as_stacked, part, self._players[name])), strict=True))
            for name, part in gradients.items()
        }
        losses_of_replicas = _of_each_replica(losses, len(self.trainers))
        for number, (trainer, replica_losses) in enumerate(zip(self.trainers, losses_of_replicas, strict=True)):
            trainer.apply_gradients(replica_losses, {name: slices[number] for name, slices in of_replicas.items()})
        return losses


class _OneUpdate:
    """The guards and optimizers of all replicas as one program, on the rows of every player's parameters."""

    def __init__(self, trainers: Sequence[Trainer], rows: dict[str, ReplicaRows]) -> None:
        self._rows = rows
        self._guard = StackedGuard([trainer.guard for trainer in trainers])
        self._adam = StackedAdam(
            {player: [trainer.optimizers[player] for trainer in trainers] for player in rows}, rows
        )

    def __call__(self, losses: Losses, gradients: Gradients) -> None:
        """Update every replica by its losses (R,) and gradients (R, *shape of the parameter) if they are finite."""
        joined = {player: self._rows[player].joined(part) for player, part in gradients.items()}
        self._guard.inspect(losses.players, joined)
        self._adam.step(joined, self._guard.flag)


def _have_rows(players: Players) -> bool:
    """Return whether every parameter can lie in a row of its player's: it has one player, and all have one type."""
    parameters = [parameter for part in players.values() for parameter in part]
    return len({id(parameter) for parameter in parameters}) == len(parameters) and (
        len({parameter.dtype for parameter in parameters}) == 1
    )


def _rows(trainers: Sequence[Trainer]) -> dict[str, ReplicaRows]:
    """Return every player's parameters as rows (R, P)."""
    return {player: ReplicaRows([trainer.players[player] for trainer in trainers]) for player in trainers[0].players}


def _as_stacked(gradient: Tensor, stack: Tensor) -> Tensor:
    return laid_out(gradient, stack, stack.stride())


class _Rule(nn.Module):
    """Networks on the meta device, which `functional_call` gives the parameters and buffers of one replica."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.networks = networks

    def forward(self, rule: Callable[..., _Answer], *values: Any) -> _Answer:
        return rule(self.networks, *values)


def _with_tensors(leaves: Sequence[Any], tensors: Iterable[Tensor]) -> list[Any]:
    """Return `leaves` with their tensors replaced by `tensors`, in order."""
    rest = iter(tensors)
    return [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def _stacked(replicas: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the replicas' tensors stacked as (R, …), by name below `networks`; the replicas' become slices of them."""
    stacks = {}
    for name, first in replicas[0].items():
        stack = stacked([replica[name] for replica in replicas])
        stacks[f"networks.{name}"] = stack.requires_grad_(first.requires_grad)
    return stacks


def _of_each_replica(losses: Losses, count: int) -> list[Losses]:
    """Return the losses () of each replica from the stacked losses (R,)."""
    values = [{name: value.unbind() for name, value in part.items()} for part in losses]
    return [
        Losses(*({name: value[number] for name, value in part.items()} for part in values)) for number in range(count)
    ]
