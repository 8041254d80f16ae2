"""A training step: against a reference in numpy, averaged, in bfloat16, and under every non-finite number."""

import math
from dataclasses import replace

import numpy
import pytest
import torch
from numpy_step import Reference, assert_equal_to, losses_and_gradients, small_state
from toy_components import (
    GAMES,
    TRAINING,
    ToyImageNetworks,
    ToyImages,
    ToyNetworks,
    WithEncoder,
    WithoutEncoder,
)
from trainers import Poisoned, bits, doubled, equal, learned, settings_of, state_of, trainer_of, trainer_on

from genzoo.errors import SettingsError
from genzoo.games import Alternating, Simultaneous
from genzoo.randomness import preserved
from genzoo.training.nonfinite import Fault


@pytest.mark.parametrize("init_std", [0.02, 0.1], ids=["at the paper's start", "far from equilibrium"])
def test_one_simultaneous_step_equals_the_reference(init_std):
    trainer = doubled(trainer_of(WithEncoder(), architecture=ToyNetworks(init_std=init_std)))
    reference = Reference(trainer.networks)
    expected = reference.take_step(trainer.stream.batch(0))
    losses = trainer.take_step()
    for player in ("critic", "generator"):
        assert losses.players[player].item() == pytest.approx(expected[player], rel=1e-12)
    assert len(reference.moments) == len(list(trainer.networks.parameters())) == 3 + 3 + 2 + 3 * 4 + 2 + 8
    assert_equal_to(reference, trainer)


def test_the_reference_itself_agrees_with_finite_differences():
    random = numpy.random.default_rng(0)
    state, parts = small_state(random), [random.normal(size=(8, 2)) for _ in range(3)]
    _, gradients, _ = losses_and_gradients(state, *parts)
    assert {name for named in gradients.values() for name in named} == state.keys()
    for player, named in gradients.items():
        for name, gradient in named.items():
            direction = random.normal(size=gradient.shape)
            ends = []
            for side in (1e-6, -1e-6):
                moved = state | {name: state[name] + side * direction}
                ends.append(losses_and_gradients(moved, *parts)[0][player])
            slope = (ends[0] - ends[1]) / 2e-6
            assert slope == pytest.approx((gradient * direction).sum(), rel=1e-6, abs=1e-8), name


def test_four_simultaneous_steps_with_a_partial_batch_equal_the_reference():
    trainer = doubled(trainer_of(WithEncoder()))
    reference = Reference(trainer.networks)
    sizes = []
    for step in range(4):
        batch = trainer.stream.batch(step)
        sizes.append(len(batch.x))
        reference.take_step(batch)
        trainer.take_step()
    assert sizes == [16, 16, 8, 16]
    assert_equal_to(reference, trainer)


def test_alternating_steps_equal_the_reference_move_by_move():
    trainer = doubled(trainer_of(WithEncoder(schedule=Alternating(critic_steps=2))))
    reference = Reference(trainer.networks)
    for step, movers in enumerate([("critic",), ("critic",), ("generator",), ("critic",)]):
        reference.take_step(trainer.stream.batch(step), movers)
        losses = trainer.take_step()
        assert tuple(losses.players) == movers
        assert_equal_to(reference, trainer)


def test_every_player_has_its_own_learning_rate_and_betas():
    training = replace(TRAINING, players={"critic": replace(TRAINING.of("critic"), learning_rate=0.0)})
    trainer = trainer_of(WithEncoder(), training=training)
    before = {name: tensor.clone() for name, tensor in trainer.networks.named_parameters()}
    trainer.take_step()
    moved = {
        name.partition(".")[0]
        for name, tensor in trainer.networks.named_parameters()
        if not torch.equal(tensor, before[name])
    }
    assert moved == {"encoder", "decoder"}


# Averaged weights


def test_averaged_weights_follow_the_formula():
    trainer = doubled(trainer_of(WithEncoder(), training=replace(TRAINING, averaging=0.3)))
    average = {name: tensor.detach().clone() for name, tensor in trainer.networks.named_parameters()}
    for step in range(1, 5):
        trainer.take_step()
        decay = min(0.3, step / (step + 9))  # 0.1, 2/11, 0.25, 0.3
        for name, tensor in trainer.networks.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * tensor.detach()
    state = trainer.state()
    for name, expected in average.items():
        torch.testing.assert_close(state["averaged"][name], expected, rtol=0, atol=1e-15)
        assert not torch.equal(state["averaged"][name], state["networks"][name])
    assert len(state["networks"].keys() - average.keys()) == 3 * (2 + 4)


def test_averaged_weights_are_shown_with_batch_statistics_of_their_own():
    """They are the mean over 20 batches of the batches' means and unbiased variances, with the averages as weights."""
    trainer = trainer_of(WithEncoder(), training=replace(TRAINING, averaging=0.3))
    for _ in range(4):
        trainer.take_step()
    raw = trainer.state()["networks"]
    with trainer.weights_to_show() as networks:
        shown = {name: buffer.clone() for name, buffer in networks.named_buffers()}
        linear = networks.decoder.stack.layers[0][0]
        outputs = [linear(trainer.batch_at(number).z).detach() for number in range(20)]
    expected = torch.stack([batch.mean(0) for batch in outputs]).mean(0)
    torch.testing.assert_close(shown["decoder.stack.layers.0.1.running_mean"], expected, rtol=1e-4, atol=1e-7)
    expected = torch.stack([batch.var(0) for batch in outputs]).mean(0)
    torch.testing.assert_close(shown["decoder.stack.layers.0.1.running_var"], expected, rtol=1e-4, atol=1e-9)
    assert all(torch.equal(tensor, raw[name]) for name, tensor in trainer.networks.state_dict().items())
    averaged = trainer.state()["averaged"]
    assert all(torch.equal(averaged[name], buffer) for name, buffer in shown.items())
    assert {norm.momentum for norm in trainer.networks.modules() if isinstance(norm, torch.nn.BatchNorm1d)} == {0.05}


def test_batch_statistics_of_averages_are_taken_once_per_step_and_anew_for_other_weights(monkeypatch):
    trainer = trainer_of(WithEncoder(), training=replace(TRAINING, averaging=0.3))
    played, losses = [], WithEncoder.losses
    monkeypatch.setattr(WithEncoder, "losses", lambda *arguments: played.append(1) or losses(*arguments))

    def shown():
        played.clear()
        with trainer.weights_to_show() as networks:
            return {name: buffer.clone() for name, buffer in networks.named_buffers()}, len(played)

    trainer.take_step()
    state = trainer.state()
    first, again = shown(), shown()
    assert first[1] == again[1] == 0  # the state took them
    assert all(torch.equal(again[0][name], buffer) for name, buffer in first[0].items())
    trainer.take_step()
    later, plays = shown()
    assert plays == 20
    assert not torch.equal(
        later["decoder.stack.layers.0.1.running_mean"], first[0]["decoder.stack.layers.0.1.running_mean"]
    )
    trainer.restore(state, step=2)  # other weights, and the number of the step at hand
    restored, plays = shown()
    assert plays == 20
    assert all(torch.equal(restored[name], buffer) for name, buffer in first[0].items())


def test_looking_at_averaged_weights_changes_no_later_step():
    looking, plain = (trainer_of(WithEncoder(), training=replace(TRAINING, averaging=0.3)) for _ in range(2))
    for _ in range(3):
        for trainer in (looking, plain):
            trainer.take_step()
        with looking.weights_to_show():
            pass
    left, right = looking.state()["networks"], plain.state()["networks"]
    assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_the_average_may_be_of_one_player_and_its_half_life_in_rows():
    training = replace(TRAINING, averaging_half_life=32, averaged_players=("generator",))
    trainer = trainer_of(WithEncoder(), training=training)
    assert training.decay == 0.5**0.5  # batches of 16
    for _ in range(2):
        trainer.take_step()
    state = trainer.state()
    for name, parameter in trainer.networks.named_parameters():
        assert torch.equal(state["averaged"][name], parameter) == name.startswith("critic")


def test_two_ways_to_say_the_half_life_are_refused():
    with pytest.raises(ValueError, match="set one of them"):
        replace(TRAINING, averaging=0.9, averaging_half_life=100)


def test_an_average_of_an_unknown_player_is_refused():
    with pytest.raises(SettingsError, match="no player 'decoder'"):
        trainer_of(WithEncoder(), training=replace(TRAINING, averaging=0.9, averaged_players=("decoder",)))


def test_looking_at_averaged_weights_puts_the_raw_ones_back():
    trainer = trainer_of(WithEncoder(), training=replace(TRAINING, averaging=0.5))
    trainer.take_step()
    raw = trainer.state()["networks"]
    with trainer.weights_to_show() as shown:
        assert not torch.equal(shown.decoder.stack.layers[0][0].weight, raw[FIRST])
    assert all(torch.equal(tensor, raw[name]) for name, tensor in trainer.networks.state_dict().items())


FIRST = "decoder.stack.layers.0.0.weight"


def test_no_average_is_kept_unless_asked_for():
    assert set(trainer_of(WithEncoder()).state()) == {"networks", "optimizers"}


# Precision


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
def test_bf16_computes_in_bf16_and_keeps_losses_and_weights_in_float32(game):
    trainer = trainer_of(game, precision="bf16")
    seen = []
    trainer.networks.decoder.stack.layers[1].register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    for _ in range(2):
        losses = trainer.take_step()
        assert {loss.dtype for loss in losses.players.values()} == {torch.float32}
        assert {value.dtype for value in losses.watch.values()} == {torch.float32}
        assert all(torch.isfinite(loss) for loss in losses.players.values())
    assert seen == [torch.bfloat16] * 2
    assert {parameter.dtype for parameter in trainer.networks.parameters()} == {torch.float32}
    assert trainer.fault() is None


def test_bf16_and_float32_start_from_the_same_loss():
    full, half = (trainer_of(WithEncoder(), precision=name).take_step() for name in ("fp32", "bf16"))
    for player in ("critic", "generator"):
        # logits are within 0.03 of 0 here, and bfloat16 keeps 8 bits
        assert half.players[player].item() == pytest.approx(full.players[player].item(), abs=0.03 * 2**-7)


# The guard


CULPRITS = {
    "loss": ("critic",),
    "infinite loss": ("generator",),
    "gradient": ("generator",),
    "infinite gradient": ("critic",),
    "input x": ("critic", "generator"),
    "input z": ("critic", "generator"),
    "parameter": ("critic", "generator"),
}


@pytest.mark.parametrize("at", [1, 3, 6])
@pytest.mark.parametrize("what", CULPRITS)
def test_nothing_non_finite_reaches_a_parameter_and_the_fault_is_named(what, at):
    trainer = trainer_of(Poisoned(what=what, at=at), training=replace(TRAINING, batch_size=8))
    before = learned(trainer)
    for step in range(1, 7):
        if step == at:
            if what == "parameter":
                with torch.no_grad():
                    trainer.networks.critic.joint.layers[1][0].weight[3, 4] = math.nan
            frozen = learned(trainer)
        trainer.take_step()
        if step == at - 1:
            assert trainer.fault() is None
            assert not torch.equal(before[FIRST], learned(trainer)[FIRST])
        if step >= at:
            after = learned(trainer)
            assert all(torch.equal(bits(after[name]), bits(tensor)) for name, tensor in frozen.items())
            assert trainer.fault() == Fault(step=at, players=CULPRITS[what])


def test_the_guard_of_an_alternating_game_names_the_mover_alone():
    game = Poisoned(what="input x", at=2, schedule=Alternating())
    trainer = trainer_of(game)
    for _ in range(3):
        trainer.take_step()
    assert trainer.fault() == Fault(step=2, players=("generator",))


def test_a_restored_trainer_counts_faults_from_the_first_step_of_the_run():
    settings = settings_of(Poisoned(what="loss", at=5), training=replace(TRAINING, averaging=0.9))
    trainer = trainer_on(settings)
    trainer.take_step()
    trainer.take_step()
    trainer.restore(trainer.state(), step=2)
    for _ in range(3):
        assert trainer.fault() is None
        trainer.take_step()
    assert trainer.fault() == Fault(step=5, players=("critic",))


def test_batch_statistics_of_averages_that_overflow_are_a_fault_where_they_would_be_shown():
    trainer = trainer_of(WithEncoder(), training=replace(TRAINING, averaging=0.9))
    trainer.take_step()
    assert trainer.fault(to_show=True) is None
    trainer.take_step()
    before = state_of(trainer.networks)
    for average in trainer._ema.tensors:
        average.fill_(1e30)  # finite, and its square is not
    assert trainer.fault() is None
    fault = trainer.fault(to_show=True)
    assert (fault.step, fault.players) == (2, ("generator",))
    assert fault.tensor.endswith("of the averages")
    assert equal(state_of(trainer.networks), before)


def test_finite_steps_pass_the_guard_unchanged():
    gradients = torch.tensor([1e-38, 3e38, -0.0, 5.0])
    trainer = trainer_of(WithEncoder())
    trainer.guard.inspect({"critic": torch.tensor(1.0)}, {"critic": [gradients]})
    assert torch.equal(bits(gradients), bits(torch.tensor([1e-38, 3e38, -0.0, 5.0])))
    assert trainer.fault() is None


def test_simultaneous_is_the_default_schedule():
    assert WithEncoder().schedule == WithoutEncoder().schedule == Simultaneous()


def test_what_a_network_draws_inside_is_a_function_of_seed_and_step():
    # the critic of images has dropout: a step must not depend on what was drawn before it, anywhere
    settings = settings_of(WithoutEncoder(), dataset=ToyImages(), architecture=ToyImageNetworks())
    quiet, noisy = trainer_on(settings), trainer_on(settings)
    with preserved():
        for _ in range(3):
            quiet.take_step()
            torch.rand(11)
    with preserved():
        for _ in range(3):
            noisy.take_step()
    assert equal(state_of(quiet.networks), state_of(noisy.networks))
    other = trainer_on(replace(settings, architecture=ToyImageNetworks(dropout=0.0)))
    with preserved():
        first = other.take_step().players["critic"]
    assert first != trainer_on(settings).take_step().players["critic"]
