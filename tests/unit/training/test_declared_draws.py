"""What a game declares to draw: a function of seed, name and step, whatever a training shares its steps with."""

from dataclasses import replace

import pytest
import torch
from toy_components import TRAINING, Bank, Denoiser, OnePlayer
from trainers import doubled, goes_on_bitwise, trainer_of, unlike_alone

from genzoo.randomness import generator
from genzoo.training.distributed import SingleProcess
from genzoo.types import Draw

ROWS = TRAINING.batch_size
LOCAL = replace(TRAINING, batch_statistics="local")


class RankOf(SingleProcess):
    """One of two ranks, which hears nothing of the other."""

    size = 2

    def __init__(self, rank):
        self.rank = rank


def test_a_draw_depends_on_seed_name_and_step_alone():
    trainer = trainer_of(Denoiser(), seed=5)
    for step in (0, 7):
        drawn = trainer.batch_at(step).draws
        assert torch.equal(drawn["t"], torch.rand(ROWS, generator=generator("cpu", 5, "draw t", step)))
        assert torch.equal(drawn["noise"], torch.randn(ROWS, 2, generator=generator("cpu", 5, "draw noise", step)))
        assert torch.equal(drawn["points"], torch.randn(3, 2, generator=generator("cpu", 5, "draw points", step)))


def test_draws_change_nothing_else_that_a_step_draws():
    plain, drawing = trainer_of(OnePlayer()).batch_at(3), trainer_of(Denoiser()).batch_at(3)
    assert plain.draws == {}
    for name in ("x", "z", "noise", "y", "rows"):
        assert torch.equal(getattr(plain, name), getattr(drawing, name))


def test_the_rows_of_a_batch_are_those_of_the_training_split():
    trainer = trainer_of(Bank())
    split = trainer.stream.split
    for step in range(4):  # into the second epoch of 40 rows
        batch = trainer.batch_at(step)
        assert torch.equal(batch.x, split.x[batch.rows])
        assert torch.equal(batch.y.argmax(1), split.labels[batch.rows])


@pytest.mark.parametrize("game", [Denoiser(), Bank()], ids=["draws", "rows"])
def test_a_training_that_draws_and_remembers_goes_on_bitwise(game):
    assert goes_on_bitwise(lambda: trainer_of(game), stop=2, steps=4)


def test_a_replica_draws_what_its_training_alone_does():
    unlike = unlike_alone(lambda seed: trainer_of(Denoiser(), seed=seed), steps=4, rtol=1e-9, atol=1e-12)
    assert unlike == []


def gradients_of(trainer):
    return trainer._step.gradients(trainer.batch(), trainer.movers())[1]["generator"]


def test_two_ranks_share_the_draws_of_one_process():
    whole, first, second = (
        trainer_of(Denoiser(), training=LOCAL, ranks=ranks) for ranks in (None, RankOf(0), RankOf(1))
    )
    batch, parts = whole.batch(), (first.batch(), second.batch())
    for name in ("t", "noise"):
        assert torch.equal(batch.draws[name], torch.cat([part.draws[name] for part in parts]))
    assert all(torch.equal(batch.draws["points"], part.draws["points"]) for part in parts)
    assert torch.equal(batch.rows, torch.cat([part.rows for part in parts]))
    for trainer in (doubled(whole), doubled(first), doubled(second)):
        trainer.networks.eval()  # whose batch statistics are of all ranks otherwise
    for one, left, right in zip(*map(gradients_of, (whole, first, second)), strict=True):
        assert torch.allclose(one, (left + right) / 2, rtol=1e-9, atol=1e-12)
    assert not all(map(torch.equal, gradients_of(first), gradients_of(second)))


def test_a_distribution_that_is_none_is_refused():
    with pytest.raises(ValueError, match="distribution is 'gaussian', expected uniform or normal"):
        Draw("gaussian")
