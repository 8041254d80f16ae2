"""What a game watches beside its losses: scalars of the round, the same however the gradients are taken."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from toy_components import TRAINING, WithEncoder
from trainers import equal, learned, trainer_of

from genzoo.games import Relativistic, ZeroCentred
from genzoo.training.populations import Population

WAYS = {
    "one pass": ({}, {}),
    "a pass per player": ({}, {"one_backward": False}),
    "a penalty": ({"penalty": ZeroCentred()}, {}),
    "another objective": ({"objective": Relativistic()}, {}),
}


@dataclass(frozen=True, kw_only=True)
class Watching(WithEncoder):
    """Watches the critic's logits, and how far codes are from draws of the prior."""

    name: ClassVar[str] = "watching"

    def watch(self, networks, batch, round):
        apart = (round.q.z - batch.z).square().mean()
        return {"apart": apart, "on_q": round.on_q.logits.mean(), "on_p": round.on_p.logits.mean()}


@pytest.mark.parametrize(("fields", "training"), WAYS.values(), ids=WAYS)
def test_what_is_watched_is_of_the_round_and_changes_no_number(fields, training):
    training = replace(TRAINING, **training)
    watching, plain = (trainer_of(game(**fields), training=training) for game in (Watching, WithEncoder))
    game, batch = watching.settings.game, watching.batch()
    with torch.no_grad():
        round = game.play(watching.networks, batch)
        expected = {"on_q": round.on_q.logits.mean(), "on_p": round.on_p.logits.mean()}
        expected["apart"] = torch.nn.functional.mse_loss(round.q.z, batch.z)
    watching.restore(plain.state(), step=0)  # the round above has moved batch statistics
    watch = watching.take_step().watch
    plain.take_step()
    for name, value in expected.items():
        assert not watch[name].requires_grad
        assert torch.allclose(watch[name], value, rtol=1e-5, atol=1e-7)
    assert set(watch) - set(expected) == set(game.accuracies(round)) | ({"penalty"} & set(watch))
    assert equal(learned(watching), learned(plain))


def test_every_replica_watches_its_own_round():
    alone, together = ([trainer_of(Watching(), seed=seed) for seed in (0, 1)] for _ in range(2))
    of_replicas = Population(together).take_step()
    for trainer, losses in zip(alone, of_replicas, strict=True):
        watch = trainer.take_step().watch
        assert set(watch) >= {"apart", "on_q", "on_p"}
        for name, value in watch.items():
            assert torch.allclose(losses.watch[name], value, rtol=1e-4, atol=1e-6)
