"""Inference after the fact, BiGAN and WGAN-GP: what is frozen stays bit-identical, what is unseen stays unseen."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
import trainers
from trainers import equal, state_of

import genzoo
from genzoo import Game, Losses, Networks, SettingsError
from genzoo.components import from_json, to_json
from genzoo.games import OneCentred
from genzoo.host.discovery import registry
from genzoo.training import Training
from genzoo_ali.ali import ALI
from genzoo_ali.bigan import BiGAN
from genzoo_ali.inference_after import InverseMapping, PostHocALI
from genzoo_data.mixture import Mixture25
from genzoo_gan.gan import GAN
from genzoo_gan.wgan_gp import WGANGP
from genzoo_recipes.mixture25 import Mixture25Networks
from genzoo_vae.vae import VAE

DATA = Mixture25(rows=60, held_out_rows=16)


def trainer_of(game, *, source=None, seed=0, **training):
    """Return a trainer on the toy task, from the run of the trainer `source` where there is one."""
    return trainers.trainer_of(
        game,
        seed=seed,
        source=None if source is None else source.settings,
        inherited=None if source is None else source.networks.state_dict(),
        dataset=DATA,
        architecture=Mixture25Networks(),
        training=Training(steps=6, batch_size=20, learning_rate=1e-3, **training),
    )


@pytest.fixture(scope="module", params=[GAN(), VAE(), ALI()], ids=lambda game: game.name)
def source(request):
    trainer = trainer_of(request.param, seed=3)
    for _ in range(3):
        trainer.take_step()
    return trainer


@pytest.mark.parametrize("game", [PostHocALI(), InverseMapping()], ids=lambda game: game.name)
def test_the_decoder_of_another_run_stays_bit_identical_with_its_statistics(game, source):
    trainer = trainer_of(game, source=source)
    before = state_of(source.networks.decoder)
    assert any("running_mean" in name for name in before)
    assert equal(state_of(trainer.networks.decoder), before)
    encoder = state_of(trainer.networks.encoder)
    for _ in range(6):
        trainer.take_step()
    assert equal(state_of(trainer.networks.decoder), before)
    assert not trainer.networks.decoder.training
    assert not equal(state_of(trainer.networks.encoder), encoder)
    assert trainer.fault() is None


def test_post_hoc_ali_trains_a_new_critic_and_an_encoder_alone(source):
    trainer = trainer_of(PostHocALI(), source=source)
    own = {id(parameter) for group in trainer.players.values() for parameter in group}
    assert set(trainer.players) == {"critic", "generator"}
    assert own == {id(p) for part in (trainer.networks.critic, trainer.networks.encoder) for p in part.parameters()}


def test_an_inverse_mapping_sees_no_data_and_minimises_the_distance_of_z(source):
    trainer = trainer_of(InverseMapping(), source=source)
    batch = trainer.stream.batch(0)
    game, networks = trainer.settings.game, trainer.networks
    with torch.no_grad():
        loss = game.losses(networks, batch, ("generator",)).players["generator"]
        other = game.losses(networks, batch._replace(x=batch.x + 100), ("generator",)).players["generator"]
        again = networks.encode(networks.decode(batch.z), batch.noise).z
    assert torch.equal(loss, other)
    torch.testing.assert_close(loss, ((batch.z - again) ** 2).sum(1).mean())


def test_without_a_source_there_is_nothing_to_inherit(say):
    for name in ("post-hoc-ali", "inverse-mapping"):
        said = say("train", name, "--steps", 1)
        assert said.code == 2
        assert "add: --from RUN" in said.err


@dataclass(frozen=True, kw_only=True)
class CodesAlone(Game):
    """A game whose only network is an encoder."""

    name: ClassVar[str] = "codes-alone"

    def build(self, architecture, data):
        return Networks(encoder=architecture.encoder(data))

    def losses(self, networks, batch, movers):
        return Losses(players={"generator": networks.encode(batch.x, batch.noise).z.square().mean()}, watch={})


@pytest.mark.parametrize("game", [PostHocALI(), InverseMapping()], ids=lambda game: game.name)
def test_a_source_without_a_decoder_is_refused(game):
    with pytest.raises(SettingsError, match="the run given as --from is of codes-alone: no decoder"):
        trainer_of(game, source=trainer_of(CodesAlone()))


def test_bigan_is_ali_with_a_deterministic_encoder():
    trainer = trainer_of(BiGAN())
    assert trainer.networks.encoder.posterior == "point"
    batch = trainer.stream.batch(0)
    with torch.no_grad():
        one = trainer.networks.eval().encode(batch.x, batch.noise).z
        other = trainer.networks.encode(batch.x, batch.noise + 1).z
    assert torch.equal(one, other)


def test_wgan_gp_moves_the_critic_five_times_for_each_move_of_the_decoder():
    game = WGANGP()
    movers = [game.movers(step, ("critic", "generator")) for step in range(12)]
    assert movers == ([("critic",)] * 5 + [("generator",)]) * 2
    assert dict(game.defaults) == {"training.beta1": 0.0, "training.beta2": 0.9}


def test_the_penalty_of_wgan_gp_is_that_of_a_linear_critic():
    class Linear(genzoo.nn.JointCritic):
        def __init__(self, weight):
            super().__init__()
            self.weight = torch.nn.Parameter(weight)

        def forward(self, joint):
            return genzoo.types.Verdict(joint.x @ self.weight, joint.x)

    trainer = trainer_of(WGANGP())
    networks, game, batch = trainer.networks, trainer.settings.game, trainer.batch()
    networks.critic = Linear(torch.tensor([3.0, 4.0]))
    critic = {"critic": game.players(networks)["critic"]}
    losses, gradients = game.gradients(networks, batch, critic)
    plain, without = game.gradients(networks, batch._replace(due=()), critic)
    # the slope of x·w is w everywhere, of length 5: λ·(5 − 1)² = 160
    assert (losses.players["critic"] - plain.players["critic"]).item() == pytest.approx(160, rel=1e-5)
    (slope,) = (new - old for new, old in zip(gradients["critic"], without["critic"], strict=True))
    # d/dw λ(‖w‖ − 1)² = 2λ(‖w‖ − 1)·w/‖w‖
    torch.testing.assert_close(slope, 2 * 10 * 4 * torch.tensor([0.6, 0.8]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weight", [3.0, 3, 0.0])
def test_a_record_of_wgan_gp_from_when_its_penalty_was_a_number_loads_as_the_same_game(weight):
    stored = to_json(WGANGP()) | {"penalty": weight}
    del stored["augment"]
    game = from_json(Game, stored, resolve=registry().resolve)
    assert game == WGANGP(penalty=OneCentred(weight=weight))


def test_wgan_gp_trains():
    trainer = trainer_of(WGANGP(), beta1=0.0, beta2=0.9)
    for _ in range(6):
        losses = trainer.take_step()
    assert set(losses.players) == {"generator"}
    assert trainer.fault() is None
