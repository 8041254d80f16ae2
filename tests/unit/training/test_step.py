"""The step: against a reference in numpy that shares no code with genzoo, and under every non-finite number."""

import math
from dataclasses import replace

import numpy
import pytest
import torch
from trainers import TRAINING, Poisoned, bits, doubled, learned, settings_of, trainer_of

from genzoo.games import Alternating, Simultaneous
from genzoo.training.nonfinite import Fault
from genzoo_ali.ali import ALI
from genzoo_gan.gan import GAN
from genzoo_recipes.mixture25 import Mixture25Networks
from genzoo_vae.vae import VAE

TOY = Mixture25Networks()


# The reference: the toy networks, both losses, their gradients and Adam, written out by hand.

HIDDEN = {
    "encoder": ["encoder.body.layers.0", "encoder.body.layers.1"],
    "decoder": [f"decoder.stack.layers.{number}" for number in range(4)],
}
OUTPUT = {"encoder": "encoder.head.layers.0", "decoder": "decoder.stack.layers.4"}
MAXOUT = [f"critic.joint.layers.{number}" for number in range(3)]
LOGIT = "critic.joint.layers.3"
EPSILON = 1e-4


def forward_mlp(state, part, h):
    """Run linear → batch norm over the minibatch → ReLU, some times, then linear; keep what backward needs."""
    kept = []
    for name in HIDDEN[part]:
        a = h @ state[f"{name}.0.weight"].T
        mean, variance = a.mean(0), ((a - a.mean(0)) ** 2).mean(0)
        normal = (a - mean) / numpy.sqrt(variance + EPSILON)
        b = state[f"{name}.1.weight"] * normal + state[f"{name}.1.bias"]
        kept.append((h, normal, variance, b, mean))
        h = numpy.maximum(b, 0)
    name = f"{OUTPUT[part]}.0"
    return h @ state[f"{name}.weight"].T + state[f"{name}.bias"], (kept, h)


def backward_mlp(state, part, kept, slope):
    kept, last = kept
    name = f"{OUTPUT[part]}.0"
    gradients = {f"{name}.weight": slope.T @ last, f"{name}.bias": slope.sum(0)}
    slope = slope @ state[f"{name}.weight"]
    for name, (h, normal, variance, b, _) in reversed(list(zip(HIDDEN[part], kept, strict=True))):
        slope = slope * (b > 0)
        gradients[f"{name}.1.weight"] = (slope * normal).sum(0)
        gradients[f"{name}.1.bias"] = slope.sum(0)
        slope = slope * state[f"{name}.1.weight"]
        slope = (slope - slope.mean(0) - normal * (slope * normal).mean(0)) / numpy.sqrt(variance + EPSILON)
        gradients[f"{name}.0.weight"] = slope.T @ h
        slope = slope @ state[f"{name}.0.weight"]
    return gradients


def forward_critic(state, pairs):
    h, kept = pairs, []
    for name in MAXOUT:
        a = h @ state[f"{name}.0.weight"].T + state[f"{name}.0.bias"]
        pieces = a.reshape(len(a), -1, 5)
        kept.append((h, pieces.argmax(2)))
        h = pieces.max(2)
    logits = h @ state[f"{LOGIT}.0.weight"].T + state[f"{LOGIT}.0.bias"]
    return logits[:, 0], (kept, h)


def backward_critic(state, kept, slope):
    """Return the gradients of the critic's parameters and of its input, for a slope per logit."""
    kept, last = kept
    slope = slope[:, None]
    gradients = {f"{LOGIT}.0.weight": slope.T @ last, f"{LOGIT}.0.bias": slope.sum(0)}
    slope = slope @ state[f"{LOGIT}.0.weight"]
    for name, (h, winners) in reversed(list(zip(MAXOUT, kept, strict=True))):
        spread = numpy.zeros((*slope.shape, 5))
        numpy.put_along_axis(spread, winners[:, :, None], slope[:, :, None], axis=2)
        spread = spread.reshape(len(slope), -1)
        gradients[f"{name}.0.weight"] = spread.T @ h
        gradients[f"{name}.0.bias"] = spread.sum(0)
        slope = spread @ state[f"{name}.0.weight"]
    return gradients, slope


def sp(t):
    return numpy.log1p(numpy.exp(t))


def sigmoid(t):
    return 1 / (1 + numpy.exp(-t))


def losses_and_gradients(state, x, z, noise):
    """Return L_d, L_g and every gradient of a round of ALI (equation 4), all at `state`."""
    rows = len(x)
    codes, encoder_kept = forward_mlp(state, "encoder", numpy.concatenate([x, noise], 1))
    samples, decoder_kept = forward_mlp(state, "decoder", z)
    pairs = numpy.concatenate([numpy.concatenate([x, codes], 1), numpy.concatenate([samples, z], 1)])
    logits, critic_kept = forward_critic(state, pairs)
    q, p = logits[:rows], logits[rows:]
    losses = {"critic": sp(-q).mean() + sp(p).mean(), "generator": sp(q).mean() + sp(-p).mean()}
    critic, _ = backward_critic(state, critic_kept, numpy.concatenate([-sigmoid(-q), sigmoid(p)]) / rows)
    _, by_pairs = backward_critic(state, critic_kept, numpy.concatenate([sigmoid(q), -sigmoid(-p)]) / rows)
    encoder = backward_mlp(state, "encoder", encoder_kept, by_pairs[:rows, 2:])
    decoder = backward_mlp(state, "decoder", decoder_kept, by_pairs[rows:, :2])
    statistics = {
        name: (mean, variance * rows / (rows - 1))
        for part, kept in (("encoder", encoder_kept), ("decoder", decoder_kept))
        for name, (_, _, variance, _, mean) in zip(HIDDEN[part], kept[0], strict=True)
    }
    return losses, {"critic": critic, "generator": {**encoder, **decoder}}, statistics


class Reference:
    """ALI on the toy networks with an Adam per player, in numpy."""

    def __init__(self, networks):
        self.state = {name: tensor.numpy().copy() for name, tensor in networks.state_dict().items()}
        self.moments = {}

    def take_step(self, batch, movers=("critic", "generator")):
        losses, gradients, statistics = losses_and_gradients(self.state, *(part.numpy() for part in batch[:3]))
        for name, (mean, variance) in statistics.items():
            for key, value in (("running_mean", mean), ("running_var", variance)):
                key = f"{name}.1.{key}"
                self.state[key] = 0.95 * self.state[key] + 0.05 * value
            self.state[f"{name}.1.num_batches_tracked"] += 1
        for player in movers:
            for name, gradient in gradients[player].items():
                self._adam(f"{player}/{name}", name, gradient)
        return losses

    def _adam(self, key, name, g):
        m, v, t = self.moments.get(key, (0.0, 0.0, 0))
        m, v, t = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2, t + 1
        self.moments[key] = (m, v, t)
        self.state[name] = self.state[name] - 1e-3 * (m / (1 - 0.5**t)) / (numpy.sqrt(v / (1 - 0.999**t)) + 1e-8)


def assert_equal_to(reference, trainer):
    """Compare networks and Adam states to 1e-9 of the largest element of each tensor."""
    state = trainer.state()
    assert state["networks"].keys() == reference.state.keys()
    for name, expected in reference.state.items():
        close(state["networks"][name].numpy(), expected, name)
    moments = state["optimizers"]
    assert {key.rpartition("/")[0] for key in moments} >= reference.moments.keys()
    for key, (m, v, t) in reference.moments.items():
        close(moments[f"{key}/exp_avg"].numpy(), m, key)
        close(moments[f"{key}/exp_avg_sq"].numpy(), v, key)
        assert moments[f"{key}/step"].item() == t


def close(found, expected, name):
    assert found.shape == numpy.shape(expected)
    assert numpy.abs(found - expected).max() <= 1e-9 * numpy.abs(expected).max(), name


@pytest.mark.parametrize("init_std", [0.02, 0.1], ids=["at the paper's start", "far from equilibrium"])
def test_one_simultaneous_step_of_ali_equals_the_reference(init_std):
    trainer = doubled(trainer_of(settings_of(ALI(), architecture=replace(TOY, init_std=init_std))))
    reference = Reference(trainer.networks)
    expected = reference.take_step(trainer.stream.batch(0))
    losses = trainer.take_step()
    for player in ("critic", "generator"):
        assert losses.players[player].item() == pytest.approx(expected[player], rel=1e-12)
    assert len(reference.moments) == len(list(trainer.networks.parameters())) == 3 + 3 + 2 + 3 * 4 + 2 + 8
    assert_equal_to(reference, trainer)


def small_state(random, hidden=6, units=4):
    """Return random parameters for the reference's networks, with few units."""
    state = {}

    def linear(name, given, gives, bias):
        state[f"{name}.0.weight"] = random.normal(size=(gives, given)) / given**0.5
        if bias:
            state[f"{name}.0.bias"] = random.normal(size=gives)

    for part, given in (("encoder", 4), ("decoder", 2)):
        for name in HIDDEN[part]:
            linear(name, given, hidden, bias=False)
            state[f"{name}.1.weight"] = random.normal(size=hidden)
            state[f"{name}.1.bias"] = random.normal(size=hidden)
            given = hidden
        linear(OUTPUT[part], hidden, 2, bias=True)
    for number, name in enumerate(MAXOUT):
        linear(name, units if number else 4, 5 * units, bias=True)
    linear(LOGIT, units, 1, bias=True)
    return state


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
    trainer = doubled(trainer_of(settings_of(ALI(), architecture=TOY)))
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
    trainer = doubled(trainer_of(settings_of(ALI(schedule=Alternating(critic_steps=2)), architecture=TOY)))
    reference = Reference(trainer.networks)
    for step, movers in enumerate([("critic",), ("critic",), ("generator",), ("critic",)]):
        reference.take_step(trainer.stream.batch(step), movers)
        losses = trainer.take_step()
        assert tuple(losses.players) == movers
        assert_equal_to(reference, trainer)


def test_every_player_has_its_own_learning_rate_and_betas():
    training = replace(TRAINING, players={"critic": replace(TRAINING.of("critic"), learning_rate=0.0)})
    trainer = trainer_of(settings_of(ALI(), training=training))
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
    trainer = doubled(trainer_of(settings_of(ALI(), training=replace(TRAINING, averaging=0.3))))
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
    buffers = state["networks"].keys() - average.keys()
    assert len(buffers) == 3 * 3
    for name in buffers:
        assert torch.equal(state["averaged"][name], state["networks"][name])


def test_looking_at_averaged_weights_puts_the_raw_ones_back():
    trainer = trainer_of(settings_of(ALI(), training=replace(TRAINING, averaging=0.5)))
    trainer.take_step()
    raw = trainer.state()["networks"]
    with trainer.weights_to_show() as shown:
        assert not torch.equal(shown.decoder.stack.layers[0][0].weight, raw[FIRST])
    assert all(torch.equal(tensor, raw[name]) for name, tensor in trainer.networks.state_dict().items())


FIRST = "decoder.stack.layers.0.0.weight"


def test_no_average_is_kept_unless_asked_for():
    assert set(trainer_of(settings_of(ALI())).state()) == {"networks", "optimizers"}


# Precision


@pytest.mark.parametrize("game", [ALI(), GAN(), VAE()], ids=lambda game: game.name)
def test_bf16_computes_in_bf16_and_keeps_losses_and_weights_in_float32(game):
    trainer = trainer_of(settings_of(game), precision="bf16")
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
    full, half = (trainer_of(settings_of(ALI()), precision=name).take_step() for name in ("fp32", "bf16"))
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
    trainer = trainer_of(settings_of(Poisoned(what=what, at=at), training=replace(TRAINING, batch_size=8)))
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
    trainer = trainer_of(settings_of(game))
    for _ in range(3):
        trainer.take_step()
    assert trainer.fault() == Fault(step=2, players=("generator",))


def test_a_restored_trainer_counts_faults_from_the_first_step_of_the_run():
    settings = settings_of(Poisoned(what="loss", at=5), training=replace(TRAINING, averaging=0.9))
    trainer = trainer_of(settings)
    trainer.take_step()
    trainer.take_step()
    trainer.restore(trainer.state(), step=2)
    for _ in range(3):
        assert trainer.fault() is None
        trainer.take_step()
    assert trainer.fault() == Fault(step=5, players=("critic",))


def test_finite_steps_pass_the_guard_unchanged():
    gradients = torch.tensor([1e-38, 3e38, -0.0, 5.0])
    trainer = trainer_of(settings_of(ALI()))
    trainer._guard.inspect({"critic": torch.tensor(1.0)}, {"critic": [gradients]})
    assert torch.equal(bits(gradients), bits(torch.tensor([1e-38, 3e38, -0.0, 5.0])))
    assert trainer.fault() is None


def test_simultaneous_is_the_default_schedule():
    assert ALI().schedule == GAN().schedule == Simultaneous()
