"""One training in memory: its networks, players and batches, and the step that updates them."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import TypeVar

import torch
from torch import Tensor, nn

from genzoo.errors import GenzooWarning, SettingsError, place_of
from genzoo.games.game import STEPS_ASKED, Game, Gradients
from genzoo.games.number_schedules import Constant
from genzoo.nn.interfaces import Networks
from genzoo.nn.layers import GlobalBatchNorm, synchronise
from genzoo.randomness import reseed
from genzoo.storage.tensors import fill
from genzoo.text import nearest
from genzoo.training.batch_statistics import StatisticsOfAverages
from genzoo.training.batches import Stream
from genzoo.training.cast_weights import CastWeights
from genzoo.training.contract import Checked, check_before_the_first_step
from genzoo.training.distributed import Ranks, SingleProcess
from genzoo.training.ema import EMA, update_averages
from genzoo.training.execution import (
    Execution,
    GradientRule,
    Movers,
    Precision,
    Step,
    StepRule,
    arithmetic,
    current_device,
    refuse_unless_possible,
    set_deterministic_products,
    weakly,
)
from genzoo.training.initialization import initial_networks
from genzoo.training.nonfinite import Fault, NonFiniteGuard, raise_flag
from genzoo.training.settings import OptimizerSettings, Settings
from genzoo.types import Batch, Losses, Split

_Copy = TypeVar("_Copy")


class Trainer:
    """A training of one game at some step; independent of the model, and without access to files."""

    def __init__(
        self,
        settings: Settings,
        split: Split,
        *,
        seed: int,
        device: torch.device,
        precision: Precision = "fp32",
        deterministic: bool = False,
        execution: Execution = "eager",
        inherited: dict[str, Tensor] | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        refuse_unless_possible(precision, device)
        if deterministic and device.type == "cuda":
            set_deterministic_products()
        self.settings = settings
        self.precision = precision
        self.deterministic = deterministic
        self.execution = execution
        self.ranks = ranks or SingleProcess()
        self.seed = seed
        self.device = device
        self.step = 0
        self.stream = Stream(
            settings.usable(split),
            settings.dataset.spec,
            batch_size=settings.training.batch_size,
            labelled_rows=settings.training.labelled_rows,
            few_labels=settings.training.labels is not None,
            draws=settings.game.draws,
            prior=settings.prior,
            latent=settings.latent,
            seed=seed,
            device=device,
            # On CPUs, channels-last was measured to be slower for bf16 convolutions, and faster for fp32 ones.
            channels_last=device.type == "cuda" or precision == "fp32",
            ranks=self.ranks,
        )
        self.autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
        self.networks = initial_networks(settings, self.stream.first_images(500), seed=seed, inherited=inherited)
        self._place_networks()
        if self.ranks.size > 1 and settings.training.batch_statistics == "sync":
            synchronise(self.networks)
        self.networks.train()
        self.players = settings.game.players(self.networks)
        self._check()
        check_before_the_first_step(settings, split, self.networks, self.players)
        if self.stream.order.batch_size > len(split.x):
            message = f"a batch holds all {len(split.x):,} training rows, fewer than training.batch_size"
            warnings.warn(message, GenzooWarning, stacklevel=2)
        self.guard = NonFiniteGuard(list(self.players), device=device)
        decay = settings.training.decay
        averaged = [parameter for _, _, parameter in self._averaged()]
        self._ema = None if decay is None else EMA(averaged, decay=decay)
        self._statistics_of_averages = StatisticsOfAverages(self.networks, weakly(self._play_for_statistics))
        self.per_player_reason = settings.per_player_reason(self.networks)
        # On a CPU there are no kernels to launch, and a compiled step casts weights where it uses them.
        casts = precision == "bf16" and device.type == "cuda" and execution != "compiled"
        self._step = Step(
            self.networks,
            self.players,
            gradients=self.checked_rule,
            update=weakly(self.apply_gradients),
            autocast=self.autocast,
            cast_weights=CastWeights(self.networks, self.players, dtype=torch.bfloat16) if casts else None,
            tf32=precision == "tf32",
            deterministic=deterministic,
            device=device,
            name=settings.game.name,
            captured=device.type == "cuda" and execution != "eager",
            to_compile=self.networks if execution == "compiled" else None,
        )
        self.ranks.before_parting(self._step.forget_captures)
        self.optimizers: dict[str, torch.optim.Adam] = {}
        self.build_optimizers()

    @property
    def gradient_rule(self) -> GradientRule:
        """The game's method that takes the gradients: the one-backward one if `per_player_reason` is None."""
        game = self.settings.game
        return game.shared_gradients if self.per_player_reason is None else game.gradients

    @property
    def checked_rule(self) -> GradientRule:
        """The `gradient_rule`, with what it answers checked where players move together for the first time."""
        shared = self.per_player_reason is None
        return Checked(self.gradient_rule, self.settings.game, self.networks, self.players, shared=shared)

    def build_optimizers(self) -> None:
        """Build the optimizers anew for the parameters' current place in memory, and keep the moments' values."""
        self._step.forget_captures()
        moments = self._moments()
        self._strides = {
            name: [parameter.stride() for parameter in parameters] for name, parameters in self.players.items()
        }
        self.optimizers = {name: self._optimizer(name) for name in self.players}
        for name, value in self._moments().items():
            if name in moments:
                value.copy_(moments[name])

    def take_step(self) -> Losses:
        """Take one step: every mover's gradient at the old parameters, then every mover's update."""
        return take_step([self], self._step, self.batch())

    def batch(self) -> Batch:
        """Return the batch of the coming step."""
        return self.batch_at(self.step)

    def batch_at(self, step: int) -> Batch:
        """Return the batch of `step` (counted from 0)."""
        return self.stream.batch(step)._replace(progress=self._progress(step), due=self.settings.game.due(step))

    def movers(self) -> Movers:
        """Return the players that move in the coming step."""
        return tuple(self.settings.game.movers(self.step, tuple(self.players)))

    def reseed(self) -> None:
        """Seed the global generators for what networks draw inside in the coming step."""
        rank = (self.ranks.rank,) if self.ranks.size > 1 else ()
        reseed(self.seed, "step", self.step, *rank)

    def scheduled_rates(self) -> list[tuple[Tensor, OptimizerSettings]]:
        """Return the learning rates () that follow a schedule, as optimizers read them, and the settings of each."""
        return [
            (optimizer.param_groups[0]["lr"], player)
            for name, optimizer in self.optimizers.items()
            if (player := self.settings.training.of(name)).learning_rate_schedule != Constant()
        ]

    def apply_gradients(self, losses: Losses, gradients: Gradients) -> Losses:
        """Update every mover unless any gradient or loss is non-finite; return the losses (), averaged over ranks."""
        losses, gradients = self._of_all_ranks(losses, self._laid_out(gradients))
        self._assign(gradients)
        self.guard.inspect(losses.players, {name: self._gradients_of(name) for name in gradients})
        for name in gradients:
            self.optimizers[name].step()
        return losses

    def wait(self) -> None:
        """Return when the device has done all steps taken."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def averages(self) -> list[EMA]:
        """Return the weights' average, or nothing if none is kept."""
        return [] if self._ema is None else [self._ema]

    def count_step(self) -> None:
        """Count the step just taken."""
        self.step += 1

    def fault(self, *, to_show: bool = False) -> Fault | None:
        """Return the first fault in losses or gradients, else in weights and moments (synchronises with the device).

        With `to_show`, faults in the batch statistics of averaged weights count too, unless there are several ranks,
        which must all reach the same verdict.
        """
        fault = self.guard.fault(self.step) or self._overflow(self._named_state())
        if fault is not None or not to_show or self._ema is None or self.ranks.size > 1:
            return fault
        with self.weights_to_show():
            return self._overflow(
                [(player, f"{name} of the averages", buffer) for player, name, buffer in self._statistics()]
            )

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return all tensors that a checkpoint needs, by file: networks, optimizers, averaged."""
        return self.copied_state(_on_host)

    def copied_state(self, copy: Callable[[dict[str, Tensor]], _Copy]) -> dict[str, _Copy]:
        """Return what `copy` makes of the tensors of every file, which change when it has returned."""
        copies = {"networks": copy(self.networks.state_dict()), "optimizers": copy(self._moments())}
        if self._ema is not None:
            with self.weights_to_show() as networks:
                copies["averaged"] = copy(networks.state_dict())
        return copies

    def restore(self, tensors: dict[str, dict[str, Tensor]], *, step: int) -> None:
        """Continue from a `state` taken after `step` steps; raise `UnreadableError` if it does not fit."""
        fill(self.networks.state_dict(), tensors["networks"])
        fill(self._moments(), tensors["optimizers"])
        if self._ema is not None:
            self._ema.restore(self._names(), tensors["averaged"])
        self._statistics_of_averages.forget()
        self.step = step
        self.guard.restart()

    def broadcast(self, step: int) -> None:
        """Have all ranks continue from the first rank's tensors, which are those after `step` steps."""
        averages = [] if self._ema is None else self._ema.tensors
        self.ranks.broadcast([*self.networks.state_dict().values(), *self._moments().values(), *averages])
        self._statistics_of_averages.forget()
        self.step = step

    @contextmanager
    def weights_to_show(self) -> Iterator[Networks]:
        """Yield the networks, with their averaged weights if an average is kept, and batch statistics of those."""
        if self._ema is None:
            yield self.networks
            return
        with self._ema.shown(), self._statistics_of_averages.shown(self.step):
            yield self.networks

    def _progress(self, step: int) -> Tensor:
        """Return the share of the horizon that is behind the training before `step`, a tensor () on the device."""
        return torch.full((), self.settings.training.progress(step), device=self.device)

    def _play_for_statistics(self, number: int) -> None:
        """Compute the losses of a training step's rows, so that batch norms see them; `number` counts from 0."""
        with current_device(self.device), arithmetic(self.device), self.autocast:
            reseed(self.seed, "statistics", number)
            self.settings.game.losses(self.networks, self.batch_at(number), tuple(self.players))

    def _averaged(self) -> list[tuple[str, str, Tensor]]:
        """Return player, name and tensor of every parameter that is averaged."""
        players = self.settings.training.averaged_players or tuple(self.players)
        return [entry for entry in self._trained() if entry[0] in players]

    def _of_all_ranks(self, losses: Losses, gradients: Gradients) -> tuple[Losses, Gradients]:
        if self.ranks.size == 1:
            return losses, gradients
        # A number that is non-finite on any rank is non-finite in the mean, so all guards reach the same verdict.
        scalars = [*losses.players.values(), *losses.watch.values()]
        mean = iter(self.ranks.average([*scalars, *(tensor for part in gradients.values() for tensor in part)]))
        return (
            Losses({name: next(mean) for name in losses.players}, {name: next(mean) for name in losses.watch}),
            {name: tuple(next(mean) for _ in part) for name, part in gradients.items()},
        )

    def _laid_out(self, gradients: Gradients) -> Gradients:
        """Return the gradients in their parameters' memory layout, which all ranks share."""
        return {
            name: tuple(map(laid_out, values, self.players[name], self._strides[name]))
            for name, values in gradients.items()
        }

    def _assign(self, gradients: Gradients) -> None:
        for name, values in gradients.items():
            for parameter, gradient in zip(self.players[name], values, strict=True):
                parameter.grad = gradient

    def _gradients_of(self, name: str) -> list[Tensor]:
        return [parameter.grad for parameter in self.players[name] if parameter.grad is not None]

    def _optimizer(self, name: str) -> torch.optim.Adam:
        training = self.settings.training
        settings = training.of(name)
        optimizer = torch.optim.Adam(
            self.players[name],
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=training.epsilon,
            fused=True,
            capturable=self.device.type == "cuda",
        )
        if settings.learning_rate_schedule != Constant():
            # A captured step reads the rate from this tensor, which `take_step` fills. Adam's constructor
            # would fetch it from the device to check it.
            optimizer.param_groups[0]["lr"] = torch.full((), settings.learning_rate, device=self.device)
        optimizer.found_inf = self.guard.flag  # type: ignore[attr-defined]
        for parameter in self.players[name]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return optimizer

    def _overflow(self, named: Sequence[tuple[str, str, Tensor]]) -> Fault | None:
        """Return the first tensor, given with its player and name, that is non-finite; None if all are finite."""
        if not named:
            return None
        flag = torch.zeros((), device=self.device)
        raise_flag(flag, [tensor for *_, tensor in named], unit_scale=torch.ones_like(flag))
        if not flag.item():
            return None
        player, name, _ = next(entry for entry in named if not entry[-1].isfinite().all())
        return Fault(self.step, (player,), name)

    def _named_state(self) -> list[tuple[str, str, Tensor]]:
        """Return player, name and tensor of weights, moments, averages, and batch statistics that all ranks share."""
        weights = [(player, name, parameter.detach()) for player, name, parameter in self._trained()]
        named = [*weights]
        for name, moment in self._moments().items():
            player, _, rest = name.partition("/")
            named.append((player, rest, moment))
        if self._ema is not None:
            averages = zip(self._averaged(), self._ema.tensors, strict=True)
            named += [(player, f"the average of {name}", average) for (player, name, _), average in averages]
        if self.ranks.size == 1 or self.settings.training.batch_statistics == "sync":
            named += self._statistics()
        return named

    def _statistics(self) -> list[tuple[str, str, Tensor]]:
        """Return player, name and tensor of all batch statistics."""
        owners = {name.partition(".")[0]: player for player, name, _ in self._trained()}
        return [
            (owners.get(place.partition(".")[0], "no player"), f"{place}.{name}", buffer)
            for place, module in self.networks.named_modules()
            if isinstance(module, (*_BATCH_NORMS, GlobalBatchNorm))
            for name, buffer in module.named_buffers(recurse=False)
            if buffer.is_floating_point()
        ]

    def _trained(self) -> list[tuple[str, str, Tensor]]:
        """Return player, name and tensor of every trained parameter; one that players share is that of the first."""
        names = self._names()
        owners: dict[int, tuple[str, str, Tensor]] = {}
        for player, parameters in self.players.items():
            for parameter in parameters:
                owners.setdefault(id(parameter), (player, names[id(parameter)], parameter))
        return list(owners.values())

    def _names(self) -> dict[int, str]:
        """Return the parameters' names by identity."""
        return {id(parameter): name for name, parameter in self.networks.named_parameters()}

    def _moments(self) -> dict[str, Tensor]:
        names = self._names()
        return {
            f"{player}/{names[id(parameter)]}/{key}": value
            for player, optimizer in self.optimizers.items()
            for parameter, state in optimizer.state.items()
            for key, value in state.items()
        }

    def _place_networks(self) -> None:
        if self.stream.channels_last:
            self.networks.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            self.networks.to(self.device)

    def _check(self) -> None:
        if not self.players:
            raise SettingsError(
                f"{self.settings.game.name} trains no parameter",
                f"give it a player that has some: {place_of(type(self.settings.game), 'players')}",
            )
        self.settings.game.check_prior(self.settings.prior, self.settings.dataset.spec)
        needs_labels = self.networks.is_conditional and not self.settings.game.takes_few_labels
        if self.settings.training.labels is not None and needs_labels:
            raise SettingsError(
                f"{self.settings.game.name} is given y in every row, and training.labels hides some",
                "leave out training.labels: a conditional model needs all labels",
            )
        for name in (*self.settings.training.players, *self.settings.training.averaged_players):
            if name not in self.players:
                raise SettingsError(
                    f"no player '{name}' in {self.settings.game.name}{nearest(name, self.players)}",
                    f"its players: {', '.join(self.players)}",
                )
        self._refuse_shared_parameters()
        norms = [module for module in self.networks.modules() if isinstance(module, _BATCH_NORMS) and module.training]
        synced = self.settings.training.batch_statistics == "sync"
        if self.stream.smallest_batch // (1 if synced else self.ranks.size) == 1 and norms:
            raise SettingsError(
                f"with training.batch_size={self.settings.training.batch_size} the last batch of an epoch is a "
                "single row, and batch statistics need two",
                "choose another batch size: --set training.batch_size=…",
            )

    def _refuse_shared_parameters(self) -> None:
        """Raise `SettingsError` if two players move one parameter in the same step: one update would undo the other."""
        game, players = self.settings.game, tuple(self.players)
        for pair in combinations(players, 2):
            first, second = ({id(parameter) for parameter in self.players[name]} for name in pair)
            if not first & second or not any(
                set(pair) <= set(game.movers(step, players)) for step in range(STEPS_ASKED)
            ):
                continue
            shared = ", ".join(name for number, name in self._names().items() if number in first & second)
            raise SettingsError(
                f"the players {' and '.join(pair)} of {game.name} move in the same step and share: {shared:.200} "
                f"({self._place_of_sharing(first & second)})",
                "give each player its own parameters, or choose a schedule by which these two take turns",
            )

    def _place_of_sharing(self, shared: set[int]) -> str:
        """Return where players came to share parameters: where networks that share them are made, if such do."""
        game = type(self.settings.game)
        names = Counter(id(parameter) for _, parameter in self.networks.named_parameters(remove_duplicate=False))
        if any(names[number] == 1 for number in shared):
            return place_of(game, "players")
        return place_of(game, "build") if game.add_heads is Game.add_heads else place_of(game)


def laid_out(gradient: Tensor, parameter: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Return a gradient in its parameter's memory layout, whose stride is `stride`.

    The fused optimizers read memory linearly.
    """
    return gradient if gradient.stride() == stride else torch.empty_like(parameter).copy_(gradient)


def take_step(trainers: Sequence[Trainer], step: StepRule, batch: Batch) -> Losses:
    """Take the coming step of trainers that `step` updates together, with random draws seeded by the first one."""
    first = trainers[0]
    with current_device(first.device):
        _set_learning_rates(trainers, batch)
        first.reseed()
        losses = step(batch, first.movers())
        for trainer in trainers:
            trainer.count_step()
        update_averages([average for trainer in trainers for average in trainer.averages()], first.step)
    return losses


def _set_learning_rates(trainers: Sequence[Trainer], batch: Batch) -> None:
    """Set the learning rates of the coming step where they follow a schedule."""
    scheduled = [entry for trainer in trainers for entry in trainer.scheduled_rates()]
    if scheduled and batch.progress is not None:
        progress = batch.progress.view(-1)[0]  # trainers that are updated together are equally far
        schedules = [player.learning_rate_schedule for _, player in scheduled]
        factors = {schedule: schedule.factor(progress) for schedule in set(schedules)}
        rates = torch._foreach_mul(
            [factors[schedule] for schedule in schedules], [player.learning_rate for _, player in scheduled]
        )
        torch._foreach_copy_([rate for rate, _ in scheduled], rates)


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _on_host(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies in the host's memory, for storage."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
