"""What a step costs: operations and memory."""

from math import prod

from torch.utils.flop_counter import FlopCounterMode

from genzoo.nn.interfaces import Networks
from genzoo.nn.table_modules import Stack
from genzoo.randomness import preserved
from genzoo.training.execution import buffers_kept
from genzoo.training.trainer import Trainer


def memory_estimate(networks: Networks, rows: int) -> tuple[int, int | None]:
    """Return the bytes of weights, gradients and Adam's moments, and an estimate of those that a step keeps.

    A step on a batch of `rows` rows keeps the float32 outputs of every row of the layer tables, three for each (linear
    map, norm, nonlinearity), as often as a network sees a row of the batch; None without tables.
    """
    # Four float32 numbers per parameter: the weight, its gradient and Adam's two moments.
    stored = 16 * sum(parameter.numel() for parameter in networks.parameters())
    values = sum(
        prod(card.output) * networks.rows_per_update(name.partition(".")[0])
        for name, stack in networks.named_modules()
        if isinstance(stack, Stack)
        for card in stack.cards
    )
    # Three float32 numbers per output.
    return stored, 12 * values * rows or None


def step_flops(trainer: Trainer) -> int:
    """Return the FLOPs of a step's products and convolutions, two per multiply-accumulate, backward passes included.

    They are counted in a rehearsal of the step as it is written, which does not change the trainer.
    """
    movers = {name: trainer.players[name] for name in trainer.movers()}
    with preserved(), buffers_kept(trainer.networks), trainer.autocast, FlopCounterMode(display=False) as counted:
        trainer.gradient_rule(trainer.networks, trainer.batch(), movers)
    return int(counted.get_total_flops())


def forward_macs(trainer: Trainer) -> int:
    """Return the multiply-accumulates of the losses of a step's batch, without the backward passes to the weights.

    They are counted like those of `step_flops`, for all players, with whatever the first step of a training does.
    """
    with preserved(), buffers_kept(trainer.networks), FlopCounterMode(display=False) as counted:
        trainer.settings.game.losses(trainer.networks, trainer.batch_at(0), tuple(trainer.players))
    return int(counted.get_total_flops()) // 2
