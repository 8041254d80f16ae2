"""What test_ranks computes on one process and on several: `compute`; and, as a program that torchrun starts:

rank_worker.py compute DIR: what this rank computed, in DIR/RANK.pt
rank_worker.py slow-saving ARGUMENTS: genzoo ARGUMENTS with checkpoints that take five seconds
"""

import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from trainers import doubled, job_of_request

from genzoo import cli
from genzoo.data.root import data_root
from genzoo.host.discovery import registry
from genzoo.nn import BatchNorm, Linear, Sigmoid, TableCritic, TableDecoder, TableEncoder
from genzoo.nn.layers import GlobalBatchNorm
from genzoo.runs.job import find_recipe
from genzoo.storage import checkpoints
from genzoo.training.distributed import joined
from genzoo.training.trainer import Trainer
from genzoo_recipes.mixture25 import Mixture25Networks

CPU = torch.device("cpu")
STEPS = 20
DIGITS_STEPS = 12
FEW_STEPS = 8
MIXTURE = {"dataset.rows": 1000, "dataset.held_out_rows": 8}  # epochs of 10 steps
PAPER = MIXTURE | {"training.beta1": 0.5}
QUICK = PAPER | {"training.learning_rate": 1e-3}
NO_DROPOUT = {"architecture.dropout": 0.0, "training.batch_size": 32}
STABILISED = {
    "game.objective": "relativistic",
    "game.penalty": "zero-centred",
    "game.penalty.every": 2,
    "game.augment": "diffaugment",
    "game.augment.operations": "",  # what they draw differs from rank to rank
    "game.augment.adaptive": True,
    "game.augment.target": 0.0,
    "game.augment.rows_to_one": 1000,
    "training.learning_rate_schedule": "cosine",
    "training.averaging": "none",
    "training.averaging_half_life": 200,
    "training.horizon": FEW_STEPS,
}
LOCAL = {"training.batch_statistics": "local"}
POISONED_STEP = 3


@dataclass(frozen=True, kw_only=True)
class Smooth(Mixture25Networks):
    """The toy networks without kinks, at which the last bit of a float32 decides where a training goes."""

    name: ClassVar[str] = "smooth"

    def encoder(self, data, *, posterior=None, condition=0):
        chosen = self.choose(posterior)
        head = (Linear(width=2 * self.latent if chosen == "gaussian" else self.latent),)
        return TableEncoder(data, latent=self.latent, posterior=chosen, body=(HIDDEN,) * 2, head=head)

    def decoder(self, data, *, condition=0):
        return TableDecoder(data, latent=self.latent, table=(HIDDEN,) * 4 + (Linear(width=data.shape[0]),))

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        joint = (Linear(width=64, nonlinearity=Sigmoid()),) * 3 + (Linear(width=outputs),)
        return TableCritic(data, latent=self.latent, x_table=(), z_table=(), joint_table=joint, sees=sees)


HIDDEN = Linear(width=64, batch_norm=BatchNorm(eps=1e-4, momentum=0.05), nonlinearity=Sigmoid())
SMOOTH = replace(find_recipe(registry(), "mixture25-paper"), architecture=Smooth(init_std=0.1))
FLOAT32 = {name: (name, SMOOTH, STEPS, PAPER) for name in ("ali", "gan", "vae")}
FLOAT64 = {
    "ali-double": ("ali", "mixture25-paper", STEPS, QUICK | {"training.averaging": 0.9}),
    "gan-double": ("gan", "mixture25-paper", STEPS, QUICK | {"game.schedule": "alternating"}),
    "vae-double": ("vae", "mixture25-paper", STEPS, QUICK),
    "ali-default-double": ("ali", "mixture25", FEW_STEPS, MIXTURE | {"training.horizon": FEW_STEPS}),
    "alice-default-double": ("alice", "mixture25", FEW_STEPS, MIXTURE | {"game.z_weight": 0.5}),
    "ali-stabilised-digits-double": ("ali", "digits", FEW_STEPS, NO_DROPOUT | STABILISED),
    "ali-digits-double": ("ali", "digits", DIGITS_STEPS, NO_DROPOUT),
    "conditional-ali-digits-double": ("conditional-ali", "digits", DIGITS_STEPS, NO_DROPOUT),
}
ROWS_1D, ROWS_2D = (12, 5), (6, 3, 4, 2)


def trainer_of(model, recipe, overrides, ranks):
    job = job_of_request(model, recipe=recipe, seed=3, overrides=overrides, device="cpu")
    splits = job.settings.dataset.load(data_root())
    return Trainer(job.settings, splits.train, seed=3, device=CPU, ranks=ranks)


def state_of(trainer):
    return {f"{part}/{name}": tensor for part, named in trainer.state().items() for name, tensor in named.items()}


def trained(model, recipe, steps, overrides, ranks, *, double=False):
    """Return all tensors after the steps, and the losses of the last one."""
    trainer = trainer_of(model, recipe, overrides, ranks)
    if double:
        doubled(trainer)
    for _ in range(steps):
        losses = trainer.take_step()
    return state_of(trainer) | {f"loss/{name}": value.detach() for name, value in losses.players.items()}


def normalised(shape, ranks):
    """Return what two passes through a batch norm give, its gradients, what it remembers, and an evaluation."""
    numbers = torch.Generator().manual_seed(0)
    x, slope = (2 * torch.randn(2, *shape, generator=numbers, dtype=torch.float64)).add(1)
    own = ranks.local_rows(len(x))
    x, slope = x[own].requires_grad_(), slope[own]
    norm = (nn.BatchNorm1d if x.ndim == 2 else nn.BatchNorm2d)(shape[1], eps=1e-4, momentum=0.05).double()
    with torch.no_grad():
        norm.weight.copy_(torch.randn(shape[1], generator=numbers))
        norm.bias.copy_(torch.randn(shape[1], generator=numbers))
    norm = norm if ranks.size == 1 else GlobalBatchNorm.of(norm)
    norm(x.detach() ** 2)
    out = norm(x)
    (out * slope).sum().backward()
    found = {"out": out.detach(), "x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    return found | norm.state_dict(prefix="state.") | {"evaluated": norm.eval()(x).detach()}


def poisoned(ranks):
    """Return the fault and the state after three steps, in the last of which only one rank has a NaN, and before."""
    trainer = trainer_of("ali", "mixture25-paper", PAPER, ranks)
    whole = trainer.stream.batch

    def batch(step):
        found = whole(step)
        if step == POISONED_STEP - 1 and ranks.rank == ranks.size - 1:
            found.x[0, 0] = math.nan
        return found

    trainer.stream.batch = batch
    for _ in range(POISONED_STEP - 1):
        trainer.take_step()
    before = state_of(trainer)
    trainer.take_step()
    fault = trainer.fault()
    return {"before": before, "after": state_of(trainer), "step": fault.step, "players": fault.players}


def local(ranks):
    """Return the batch norms' classes and the state after a step with batch statistics of each rank's own rows."""
    trainer = trainer_of("ali", "mixture25-paper", PAPER | LOCAL, ranks)
    kinds = {
        type(module) for module in trainer.networks.modules() if isinstance(module, nn.modules.batchnorm._NormBase)
    }
    trainer.take_step()
    return {"kinds": {kind.__name__ for kind in kinds}, "state": state_of(trainer)}


def talk(ranks):
    """Return what the ranks give each other."""
    mine = torch.full((2, 3, 2, 2), ranks.rank + 1.0).contiguous(memory_format=torch.channels_last)
    spread = [torch.full((2, 3), float(ranks.rank)), torch.tensor(ranks.rank), mine.clone(), torch.ones(3, 2).t()]
    spread[3].mul_(ranks.rank + 5)
    ranks.broadcast(spread)
    return {
        "average": ranks.average([mine, torch.tensor(ranks.rank, dtype=torch.float64)]),
        "spread": spread,
        "told": ranks.broadcast_json({"β": [1, None, "ü"]} if ranks.is_first else {}),
        "signals": [ranks.agree_on_signal(15 if ranks.rank == 1 and call == 1 else None) for call in range(4)],
    }


def compute(ranks):
    return {
        **{name: trained(*training, ranks) for name, training in FLOAT32.items()},
        **{name: trained(*training, ranks, double=True) for name, training in FLOAT64.items()},
        "norm1d": normalised(ROWS_1D, ranks),
        "norm2d": normalised(ROWS_2D, ranks),
        "one sync step": trained("ali", "mixture25-paper", 1, PAPER, ranks),
        "local": local(ranks),
        "poisoned": poisoned(ranks),
        "talk": talk(ranks),
    }


def main():
    if sys.argv[1] == "compute":
        with joined(CPU) as ranks:
            torch.save(compute(ranks), Path(sys.argv[2]) / f"{ranks.rank}.pt")
        return
    save = checkpoints.save

    def save_slowly(*arguments, **named):
        time.sleep(5)
        return save(*arguments, **named)

    checkpoints.save = save_slowly
    sys.argv = ["genzoo", *sys.argv[2:]]
    cli.main()


if __name__ == "__main__":
    main()
