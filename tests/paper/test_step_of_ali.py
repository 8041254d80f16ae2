"""ALI's step on the toy networks of the released scripts, beside the same step in numpy."""

from dataclasses import replace

import pytest
from numpy_step import Reference, assert_equal_to
from trainers import doubled, trainer_of

from genzoo.games import Alternating
from genzoo_ali.ali import ALI
from genzoo_data.mixture import Mixture25
from genzoo_recipes.mixture25 import Mixture25Networks

DATA = Mixture25(rows=40, held_out_rows=16)
NETWORKS = Mixture25Networks()


def ali(*, architecture=NETWORKS, **fields):
    return doubled(trainer_of(ALI(**fields), dataset=DATA, architecture=architecture))


@pytest.mark.parametrize("init_std", [0.02, 0.1], ids=["at the paper's start", "far from equilibrium"])
def test_one_simultaneous_step_of_ali_equals_the_reference(init_std):
    trainer = ali(architecture=replace(NETWORKS, init_std=init_std))
    reference = Reference(trainer.networks)
    expected = reference.take_step(trainer.stream.batch(0))
    losses = trainer.take_step()
    for player in ("critic", "generator"):
        assert losses.players[player].item() == pytest.approx(expected[player], rel=1e-12)
    assert len(reference.moments) == len(list(trainer.networks.parameters())) == 3 + 3 + 2 + 3 * 4 + 2 + 8
    assert_equal_to(reference, trainer)


@pytest.mark.parametrize(
    ("schedule", "movers"),
    [
        ({}, [("critic", "generator")] * 4),
        ({"schedule": Alternating(critic_steps=2)}, [("critic",), ("critic",), ("generator",), ("critic",)]),
    ],
    ids=["simultaneous", "alternating"],
)
def test_four_steps_of_ali_with_a_partial_batch_equal_the_reference_move_by_move(schedule, movers):
    trainer = ali(**schedule)
    reference = Reference(trainer.networks)
    sizes = []
    for step, moving in enumerate(movers):
        batch = trainer.stream.batch(step)
        sizes.append(len(batch.x))
        reference.take_step(batch, moving)
        assert set(trainer.take_step().players) == set(moving)
        assert_equal_to(reference, trainer)
    assert sizes == [16, 16, 8, 16]
