"""What is estimated of networks before they are trained."""

from trainers import DATA, SMALL

from genzoo import Networks
from genzoo.evaluation.costs import memory_estimate


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
