"""Populations: trainings of one game that differ in seed and optimizer, played as one batched program."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from genzoo.games.game import Gradients
from genzoo.nn.interfaces import JointCritic
from genzoo.randomness import preserved
from genzoo.training.execution import Captured, Movers, arithmetic
from genzoo.training.settings import apart_from_optimizers, differences
from genzoo.training.trainer import Trainer
from genzoo.types import Batch, Losses

_Found = TypeVar("_Found")


def difference(trainers: Sequence[Trainer]) -> str | None:
    """Return what trainers have not in common and would need to, to be a population; None where nothing is missing."""
    first = trainers[0]
    for other in trainers[1:]:
        if other.step != first.step:
            return f"they stand at different steps, {first.step:,} and {other.step:,}"
        if (other.precision, other.device) != (first.precision, first.device):
            return "they differ in precision or device"
        unlike = differences(apart_from_optimizers(first.settings), apart_from_optimizers(other.settings))
        if unlike:
            return f"they differ in {unlike[0]}"
    return None


class Population:
    """Trainers whose parameters and buffers are slices of stacked ones, so that one program moves them all.

    Each keeps its own batches, optimizers, guard and averages, and can be looked at, stored or trained alone as before.
    What a network draws inside, such as dropout, differs between replicas and from what each would draw alone.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        first = trainers[0]
        self.trainers = list(trainers)
        self._parameters = _stacked([dict(trainer.networks.named_parameters()) for trainer in trainers])
        self._buffers = _stacked([dict(trainer.networks.named_buffers()) for trainer in trainers])
        names = {id(parameter): f"networks.{name}" for name, parameter in first.networks.named_parameters()}
        self._players = {
            player: [self._parameters[names[id(parameter)]] for parameter in parameters]
            for player, parameters in first.players.items()
        }
        for trainer in trainers:
            trainer.build_optimizers()
        self._rule = _Rule(copy.deepcopy(first.networks).to("meta"))
        captured = first.execution != "eager" and first.device.type == "cuda"
        self._step_rule = Captured(self._play, name=first.settings.game.name) if captured else self._play

    @property
    def critic(self) -> JointCritic | None:
        """The critic of any replica, to be asked what it is, not what it thinks."""
        critic: JointCritic | None = self._rule.networks.critic
        return critic

    def call(self, rule: Callable[..., _Found], *values: Any) -> _Found:
        """Return `rule(networks, *values)` of every replica; all tensors have the replicas in front."""
        leaves, shape = pytree.tree_flatten(values)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        answered: list[Any] = []

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *own: Tensor) -> list[Tensor]:
            rest = iter(own)
            inner = pytree.tree_unflatten([next(rest) if isinstance(leaf, Tensor) else leaf for leaf in leaves], shape)
            found, answer = pytree.tree_flatten(functional_call(self._rule, parameters | buffers, (rule, *inner)))
            answered[:] = [answer, found]
            return [leaf for leaf in found if isinstance(leaf, Tensor)]

        stacked = iter(vmap(one, randomness="different")(self._parameters, self._buffers, *tensors))
        answer, found = answered
        filled = [next(stacked) if isinstance(leaf, Tensor) else leaf for leaf in found]
        return pytree.tree_unflatten(filled, answer)  # type: ignore[no-any-return]

    def obstacle(self) -> str | None:
        """Return why this game cannot be played by replicas together, or None; leave no trace in them."""
        kept = {name: buffer.clone() for name, buffer in self._buffers.items()}
        try:
            with preserved():
                self._gradients(self._batch(), self.trainers[0].movers())
        except Exception as cause:  # whatever a rule does that cannot be batched; it is named, and each is played alone
            return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]:.200}"
        finally:
            for name, buffer in kept.items():
                self._buffers[name].copy_(buffer)
        return None

    def take_step(self) -> list[Losses]:
        """Take one step of every replica and return the losses of each."""
        first = self.trainers[0]
        batch = self._batch()
        with arithmetic(first.device):
            first.reseed()
            losses = self._step_rule(batch, first.movers())
        for trainer in self.trainers:
            trainer.count_step()
        return _apart(losses, len(self.trainers))

    def _batch(self) -> Batch:
        drawn = [trainer.stream.batch(trainer.step) for trainer in self.trainers]
        parts = zip(*drawn, strict=True)
        return Batch(*(None if part[0] is None else torch.stack(part) for part in parts))  # type: ignore[arg-type]

    def _play(self, batch: Batch, movers: Movers) -> Losses:
        losses, gradients = self._gradients(batch, movers)
        own = {name: list(zip(*(one.unbind() for one in part), strict=True)) for name, part in gradients.items()}
        for number, (trainer, lost) in enumerate(zip(self.trainers, _apart(losses, len(self.trainers)), strict=True)):
            trainer.apply_gradients(lost, {name: part[number] for name, part in own.items()})
        return losses

    def _gradients(self, batch: Batch, movers: Movers) -> tuple[Losses, Gradients]:
        first = self.trainers[0]
        players: Any = {name: self._players[name] for name in movers}
        networks: Any = self
        with first.autocast:
            return first.settings.game.gradients(networks, batch, players)


class _Rule(nn.Module):
    """Networks without values of their own, whose rules are called with a replica's."""

    def __init__(self, networks: nn.Module) -> None:
        super().__init__()
        self.networks: Any = networks

    def forward(self, rule: Callable[..., _Found], *values: Any) -> _Found:
        return rule(self.networks, *values)


def _stacked(replicas: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return every tensor of the replicas stacked, by its name below `networks`, and make the replicas' its slices."""
    found = {}
    for name, some in replicas[0].items():
        own = [replica[name] for replica in replicas]
        together = torch.stack([tensor.detach() for tensor in own]).contiguous()
        for tensor, part in zip(own, together.unbind(), strict=True):
            tensor.data = part
        found[f"networks.{name}"] = together.requires_grad_(some.requires_grad)
    return found


def _apart(losses: Losses, count: int) -> list[Losses]:
    values = [{name: value.unbind() for name, value in part.items()} for part in losses]
    return [
        Losses(*({name: value[number] for name, value in part.items()} for part in values)) for number in range(count)
    ]
