"""What is estimated of networks before they are trained, and what a step costs."""

import torch
from toy_components import WithEncoder
from trainers import DATA, SMALL, trainer_of

from genzoo import Losses, Networks
from genzoo.evaluation.costs import forward_macs, memory_estimate


class OneSided(Networks):
    """Networks whose critic sees samples alone."""

    def rows_per_update(self, part):
        return 1


def step_bytes(kind, **parts):
    return memory_estimate(kind(**parts), 10)[1]


def test_a_step_is_taken_to_keep_the_outputs_of_a_network_as_often_as_it_sees_a_row():
    critic, decoder = SMALL.critic(DATA.spec), SMALL.decoder(DATA.spec)
    assert step_bytes(Networks, critic=critic) == 2 * step_bytes(OneSided, critic=critic) > 0
    assert step_bytes(Networks, decoder=decoder) == step_bytes(OneSided, decoder=decoder) > 0
    both = step_bytes(Networks, critic=critic, decoder=decoder)
    assert both == step_bytes(Networks, critic=critic) + step_bytes(Networks, decoder=decoder)


class WithHead(WithEncoder):
    """Has a network that is no layer table, which reads the codes of three times as many rows as the batch has."""

    name = "with-head"

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.head = torch.nn.Linear(architecture.latent, 5)
        return networks

    def losses(self, networks, batch, movers):
        losses = super().losses(networks, batch, movers)
        seen = networks.head(batch.z.repeat(3, 1)).square().mean()
        return Losses({name: loss + seen for name, loss in losses.players.items()}, losses.watch)


def products(network):
    """Return the multiply-accumulates of a network of linear maps for one row."""
    return sum(module.weight.numel() for module in network.modules() if isinstance(module, torch.nn.Linear))


def test_multiply_accumulates_are_those_of_every_network_as_often_as_the_losses_call_it():
    plain, headed = trainer_of(WithEncoder()), trainer_of(WithHead())
    networks, rows = plain.networks, plain.settings.training.batch_size
    expected = rows * (products(networks.encoder) + products(networks.decoder) + 2 * products(networks.critic))
    assert forward_macs(plain) == expected > 0
    assert forward_macs(headed) == expected + 3 * rows * headed.settings.latent * 5


def test_counting_does_not_change_the_training():
    counted, plain = trainer_of(WithEncoder()), trainer_of(WithEncoder())
    forward_macs(counted)
    before, after = (trainer.take_step().players for trainer in (plain, counted))
    assert all(torch.equal(before[name], after[name]) for name in before)
