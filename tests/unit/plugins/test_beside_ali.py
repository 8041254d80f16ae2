"""BigBiGAN's critic as an option of ALI, and the joint latent regressor: closed forms, and who is reached by what."""

import pytest
import torch
from trainers import bits, doubled, equal, new_trainer, state_of

from genzoo import Joint
from genzoo.games import Hinge, LeastSquares, NonSaturating
from genzoo.types import Round, Verdict
from genzoo_ali.ali import ALI

PLAIN = {"training.batch_size": 8, "architecture.dropout": 0, "game.penalty": "none", "game.objective": "hinge"}


def trainer_of(model, recipe="digits", **overrides):
    return new_trainer(model, recipe=recipe, seed=3, overrides=PLAIN | overrides)


def round_of(on_q, on_p):
    nothing = Joint()
    return Round(nothing, nothing, nothing, Verdict(on_q, on_q), Verdict(on_p, on_p))


# BigBiGAN's critic


def test_at_zero_logits_three_hinges_cost_6_and_the_generator_nothing():
    zeros = torch.zeros(5, 3, dtype=torch.float64)
    game = ALI(unary=True, objective=Hinge())
    assert game.critic_loss(None, None, round_of(zeros, zeros)).item() == pytest.approx(6, abs=1e-12)
    assert game.objective.generator(zeros, zeros).item() == 0


@pytest.mark.parametrize("objective", ["non-saturating", "least-squares", "hinge", "relativistic", "wasserstein"])
def test_the_losses_of_three_scores_are_the_sums_of_what_each_costs_alone(objective):
    trainer = doubled(trainer_of("ali", **{"game.unary": True, "game.objective": objective}))
    game, networks, batch = trainer.settings.game, trainer.networks, trainer.batch()
    has_slopes = game.objective.slopes(torch.zeros(1), torch.zeros(1)) is not None
    reason = "the critic gives several logits per row" if has_slopes else f"the objective {objective} has no slopes"
    assert trainer.per_player_reason == reason
    round, losses = game.play(networks, batch), game.losses(networks, batch, ("critic", "generator"))
    columns = [(round.on_q.logits[:, column], round.on_p.logits[:, column]) for column in range(3)]
    assert len({bits(on_q.float()).sum().item() for on_q, _ in columns}) == 3
    for name, rule in (("critic", game.objective.critic), ("generator", game.objective.generator)):
        assert losses.players[name].item() == pytest.approx(sum(rule(*sides).item() for sides in columns), rel=1e-9)


def test_without_its_unary_scores_a_hinge_critic_costs_what_alis_does_and_4():
    trainer = trainer_of("ali", **{"game.unary": True})
    for critic in (trainer.networks.critic.of_x, trainer.networks.critic.of_z):
        critic.joint.layers[-1].requires_grad_(False)
        for parameter in critic.joint.layers[-1].parameters():
            parameter.zero_()
    game, networks, batch = trainer.settings.game, trainer.networks, trainer.batch()
    round = game.play(networks, batch)
    of_pair = round_of(round.on_q.logits[:, 0], round.on_p.logits[:, 0])
    alone = ALI(objective=Hinge()).critic_loss(networks, batch, of_pair)
    assert game.critic_loss(networks, batch, round).item() == pytest.approx(alone.item() + 4, rel=1e-6)


@pytest.mark.parametrize("objective", [NonSaturating(), LeastSquares()])
def test_a_critic_of_one_score_has_its_loss_untouched(objective):
    on_q, on_p = torch.randn(7), torch.randn(7)
    game = ALI(objective=objective)
    found = game.critic_loss(None, None, round_of(on_q, on_p))
    assert torch.equal(bits(found), bits(objective.critic(on_q, on_p)))


@pytest.mark.parametrize("model", ["bigan", "alice", "alice-implicit"])
@pytest.mark.parametrize("recipe", ["digits", "mixture25"])
def test_what_derives_from_ali_may_have_unary_scores_with_a_penalty_and_goes_on(model, recipe):
    settings = {"training.batch_size": 8, "game.unary": True}
    trainer = new_trainer(model, recipe=recipe, overrides=settings)
    assert trainer.networks.critic.outputs == 3
    before = state_of(trainer.networks)
    losses = [trainer.take_step() for _ in range(2)][-1]
    assert "penalty" in losses.watch
    assert trainer.fault() is None
    after = state_of(trainer.networks)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[1] for name in moved if name.startswith("critic.")} == {"of_pair", "of_x", "of_z"}


def test_alis_unary_scores_are_off_and_it_keeps_its_one_backward_pass():
    trainer = new_trainer("ali", recipe="mixture25-paper", overrides={"dataset.rows": 64, "training.batch_size": 8})
    assert ALI() == ALI(unary=False)
    assert trainer.per_player_reason is None


# The joint latent regressor


def gradients_of(trainer):
    found = trainer.gradient_rule(trainer.networks, trainer.batch(), trainer.players)[1]
    return {name: [gradient.clone() for gradient in part] for name, part in found.items()}


def same(left, right):
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def test_a_joint_latent_regressor_without_weight_is_a_gan_beside_which_an_encoder_learns():
    plain = PLAIN | {"training.one_backward": False, "game.objective": "non-saturating"}
    gan = new_trainer("gan", recipe="digits", seed=3, overrides=plain)
    regressor = trainer_of("joint-latent-regressor", **plain, **{"game.weight": 0})
    for _ in range(3):
        gan.take_step()
        regressor.take_step()
    of_gan, of_both = state_of(gan.networks), state_of(regressor.networks)
    assert equal({name: of_both[name] for name in of_gan}, of_gan)
    untrained = state_of(trainer_of("joint-latent-regressor").networks)
    assert not torch.equal(untrained["encoder.body.layers.0.0.weight"], of_both["encoder.body.layers.0.0.weight"])


def test_the_encoder_feels_neither_critic_nor_data_and_the_critic_no_code():
    light, heavy = (doubled(trainer_of("joint-latent-regressor", **{"game.weight": weight})) for weight in (0.25, 1.25))
    changed = doubled(trainer_of("joint-latent-regressor"))
    draw = changed.stream.batch
    changed.stream.batch = lambda step: draw(step)._replace(x=1 - draw(step).x)
    of_light, of_heavy, of_changed = (gradients_of(trainer) for trainer in (light, heavy, changed))
    assert same(of_light["encoder"], of_changed["encoder"])  # whatever the data
    assert not same(of_light["critic"], of_changed["critic"])
    assert same(of_light["encoder"], of_heavy["encoder"])
    assert same(of_light["critic"], of_heavy["critic"])
    assert not same(of_light["decoder"], of_heavy["decoder"])


def test_its_distance_is_the_mean_square_of_what_the_encoder_misses():
    trainer = doubled(trainer_of("joint-latent-regressor", **{"game.weight": 0.25}))
    game, networks, batch = trainer.settings.game, trainer.networks.eval(), trainer.batch()
    losses = game.losses(networks, batch, ("encoder", "decoder"))
    missed = batch.z - networks.encode(networks.decode(batch.z), batch.noise).mean
    assert losses.players["encoder"].item() == pytest.approx(missed.square().mean().item(), rel=1e-12)
    on_p = networks.judge(Joint(x=networks.decode(batch.z))).logits
    on_q = networks.judge(Joint(x=batch.x)).logits
    of_gan = Hinge().generator(on_q, on_p).item()
    assert losses.players["decoder"].item() == pytest.approx(of_gan + 0.25 * missed.square().mean().item(), rel=1e-9)
