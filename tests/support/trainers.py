"""Trainers in memory on toy components, in float32 or float64."""

import math
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import ClassVar

import torch
from toy_components import TRAINING, ToyMixture, ToyNetworks, WithEncoder

from genzoo import runs
from genzoo.games import StandardNormal
from genzoo.host.discovery import registry
from genzoo.nn import interfaces
from genzoo.runs import TrainingRequest
from genzoo.runs.job import resolve_job
from genzoo.training.batches import map_tensors
from genzoo.training.ema import EMA
from genzoo.training.populations import Population
from genzoo.training.settings import Settings
from genzoo.training.trainer import Trainer

CPU = torch.device("cpu")

DATA = ToyMixture()
SMALL = ToyNetworks()


def settings_of(game, *, dataset=DATA, architecture=SMALL, training=TRAINING):
    return Settings(game=game, dataset=dataset, architecture=architecture, prior=StandardNormal(), training=training)


def trainer_on(settings, *, seed=3, source=None, **more):
    """Return a trainer on the training rows of the settings' data; `source` are the settings of the run it is from."""
    return Trainer(replace(settings, source=source), settings.dataset.load(None).train, seed=seed, device=CPU, **more)


def trainer_of(game, *, seed=3, source=None, inherited=None, precision="fp32", ranks=None, **settings):
    """Return a trainer of a game with `settings_of`."""
    chosen = settings_of(game, **settings)
    return trainer_on(chosen, seed=seed, source=source, inherited=inherited, precision=precision, ranks=ranks)


def doubled(trainer):
    """Make a trainer that has not moved yet compute in float64, with the numbers it would have had."""
    trainer.networks.double()
    trainer.build_optimizers()
    if trainer._ema is not None:
        trained = [parameter for group in trainer.players.values() for parameter in group]
        trainer._ema = EMA(trained, decay=trainer.settings.training.decay)
    single = trainer.stream.batch
    trainer.stream.batch = lambda step: map_tensors(torch.Tensor.double, single(step))
    return trainer


def goes_on_bitwise(make, *, stop, steps):
    """Return whether a trainer that is restored after `stop` steps ends bitwise as one that takes all `steps`."""
    whole, stopped, resumed = (make() for _ in range(3))
    for _ in range(steps):
        whole.take_step()
    for _ in range(stop):
        stopped.take_step()
    resumed.restore(stopped.state(), step=stop)
    for _ in range(steps - stop):
        resumed.take_step()
    return equal(state_of(whole.networks), state_of(resumed.networks))


def unlike_alone(make, *, steps, rtol, atol):
    """Return the tensors in which replicas, of the seeds 0 and 1, differ from the same trainings alone, in float64."""
    alone, together = ([doubled(make(seed)) for seed in (0, 1)] for _ in range(2))
    population = Population(together)
    assert population.obstacle() is None
    for _ in range(steps):
        population.take_step()
        for trainer in alone:
            trainer.take_step()
    return [
        name
        for trainer, replica in zip(alone, together, strict=True)
        for name, tensor in state_of(replica.networks).items()
        if not torch.allclose(tensor, state_of(trainer.networks)[name], rtol=rtol, atol=atol)
    ]


@contextmanager
def claimed_row_wise(*kinds):
    """Declare classes of a test as row-wise inside the `with` block."""
    before = set(interfaces._ROW_WISE)
    for kind in kinds:
        interfaces.row_wise(kind)
    yield
    interfaces._ROW_WISE.clear()
    interfaces._ROW_WISE.update(before)


@dataclass(frozen=True, kw_only=True)
class Poisoned(WithEncoder):
    """A game in whose step number `at` something becomes NaN or infinite."""

    name: ClassVar[str] = "poisoned"
    what: str
    at: int
    counter: count = field(default_factory=lambda: count(1), compare=False)

    def gradients(self, networks, batch, movers):
        strikes = next(self.counter) == self.at
        if strikes and self.what == "input x":
            batch.x[0, 0] = math.nan
        if strikes and self.what == "input z":
            batch.z[0, 0] = math.inf
        losses, gradients = super().gradients(networks, batch, movers)
        if strikes and self.what == "loss":
            losses.players["critic"].mul_(math.nan)
        if strikes and self.what == "infinite loss":
            losses.players["generator"].add_(math.inf)
        if strikes and self.what == "gradient":
            gradients["generator"][-1].view(-1)[-1] = math.nan
        if strikes and self.what == "infinite gradient":
            gradients["critic"][0].view(-1)[0] = -math.inf
        return losses, gradients


def learned(trainer):
    """Return copies of all parameters and optimizer states."""
    copies = {name: tensor.detach().clone() for name, tensor in trainer.networks.named_parameters()}
    return copies | {name: tensor.clone() for name, tensor in trainer._moments().items()}


def parameters_of(module):
    """Return copies of the parameters of a module."""
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


def changed(module, before):
    """Return which of the networks' parts have a parameter that is not bitwise what it was."""
    return {
        name.partition(".")[0] for name, tensor in module.named_parameters() if not torch.equal(tensor, before[name])
    }


def state_of(module):
    """Return copies of all parameters and buffers of a module."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def equal(left, right):
    """Say whether two such copies have the same names and, to the bit, the same numbers."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def bits(tensor):
    return tensor.contiguous().view(torch.int32)


def new_trainer(model, *, split=None, **chosen):
    """Return the trainer of a request in memory, on random rows unless there is a `split`."""
    return runs.new_trainer(TrainingRequest(model=model, **chosen), split=split)


def job_of_request(model, *, precision="fp32", **chosen):
    """Return the job that a request resolves to."""
    return resolve_job(registry(), TrainingRequest(model=model, precision=precision, **chosen))
