"""One Adam for all replicas: bitwise torch's own, a replica that is not finite is skipped alone, each can be saved."""

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import ClassVar

import pytest
import torch
from toy_components import TRAINING, OnePlayer, ToyImageNetworks, ToyImages, WithEncoder, WithoutEncoder
from trainers import doubled, equal, learned, settings_of, trainer_of, trainer_on

from genzoo.games import Alternating
from genzoo.games.number_schedules import LinearSchedule
from genzoo.training.nonfinite import Fault, NonFiniteGuard, StackedGuard
from genzoo.training.populations import Population
from genzoo.training.rows import ReplicaRows
from genzoo.training.settings import PlayerTraining
from genzoo.training.stacked_adam import StackedAdam

SHAPES = ((5, 7), (3,), (2, 3, 2, 2), (1,))
STEPS = 15
# Powers of these betas are exact up to 7¹⁵ / 8¹⁵, in whatever way they are computed.
SEVERAL = (
    {"lr": 1e-3, "betas": (0.5, 0.875), "eps": 1e-8},
    {"lr": 3.7e-4, "betas": (0.0, 0.5), "eps": 1e-8},
    {"lr": 0.02, "betas": (0.75, 0.75), "eps": 1e-3},
    {"lr": 0.0, "betas": (0.875, 0.875), "eps": 1e-5},
)
SAME = torch.zeros(len(SEVERAL))


def adam(parameters, **chosen):
    """Return an Adam whose state is there before its first step."""
    optimizer = torch.optim.Adam(parameters, **chosen)
    for parameter in parameters:
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.zeros(()), **moments}
    return optimizer


def adams(dtype, chosen=SEVERAL, **more):
    """Return an Adam of every replica on parameters of its own, the same ones at every call."""
    source = torch.Generator().manual_seed(0)
    return [
        adam([torch.randn(shape, dtype=dtype, generator=source).requires_grad_() for shape in SHAPES], **each, **more)
        for each in chosen
    ]


def parameters_of(optimizer):
    return optimizer.param_groups[0]["params"]


def drawn_gradients(steps, dtype):
    """Yield the gradients (R, *shape) of every step, over six orders of magnitude."""
    source = torch.Generator().manual_seed(1)
    draw = partial(torch.randn, dtype=dtype, generator=source)
    for _ in range(steps):
        yield [draw(len(SEVERAL), *shape) * 10 ** (2 * draw(len(SEVERAL), *(1,) * len(shape))) for shape in SHAPES]


def step_apart(optimizers, gradients):
    for number, optimizer in enumerate(optimizers):
        for parameter, gradient in zip(parameters_of(optimizer), gradients, strict=True):
            parameter.grad = gradient[number].clone()
        optimizer.step()


def together(optimizers):
    """Return the rows of the optimizers' parameters, and one Adam in place of them all."""
    rows = ReplicaRows([parameters_of(optimizer) for optimizer in optimizers])
    return rows, StackedAdam({"player": optimizers}, {"player": rows})


def state_of(optimizer):
    """Return copies of the parameters and of the moments."""
    states = [optimizer.state[parameter] for parameter in parameters_of(optimizer)]
    tensors = [*parameters_of(optimizer), *(tensor for state in states for tensor in state.values())]
    return {str(number): tensor.detach().clone() for number, tensor in enumerate(tensors)}


# The arithmetic


@pytest.mark.parametrize("how", [{"foreach": False}, {"foreach": True}], ids=["one by one", "foreach"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_replica_is_bitwise_that_of_torchs_own_adam(dtype, how):
    apart, stacked = adams(dtype, **how), adams(dtype, **how)
    rows, one = together(stacked)
    for gradients in drawn_gradients(STEPS, dtype):
        step_apart(apart, gradients)
        one.step({"player": rows.joined(gradients)}, SAME)
        for ours, theirs in zip(stacked, apart, strict=True):
            assert equal(state_of(ours), state_of(theirs))


def test_in_float32_it_is_as_near_to_exact_arithmetic_as_the_fused_adam_of_a_training_alone():
    exact, fused, stacked = adams(torch.float64), adams(torch.float32, fused=True), adams(torch.float32)
    for precise, *others in zip(exact, fused, stacked, strict=True):
        for parameter, *rounded in zip(*map(parameters_of, (precise, *others)), strict=True):
            parameter.data.copy_(rounded[0].detach())
            rounded[1].data.copy_(rounded[0].detach())
    rows, one = together(stacked)
    for gradients in drawn_gradients(200, torch.float32):
        step_apart(exact, [gradient.double() for gradient in gradients])
        step_apart(fused, gradients)
        one.step({"player": rows.joined(gradients)}, SAME)
    for number in range(len(SEVERAL)):
        truth, alone, ours = (
            torch.cat([parameter.detach().double().flatten() for parameter in parameters_of(optimizers[number])])
            for optimizers in (exact, fused, stacked)
        )
        # A step rounds a weight once more than it rounds the update, which is smaller.
        assert (ours - truth).abs().max() <= 2 * (alone - truth).abs().max() + 2**-24 * truth.abs().max()


def test_a_rate_that_lies_on_the_device_is_read_in_every_step():
    apart, stacked = adams(torch.float64), adams(torch.float64)
    rates = [torch.tensor(0.0) for _ in (0, 1)]
    for optimizer, rate in zip((*stacked[:2],), rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
    rows, one = together(stacked)
    for number, gradients in enumerate(drawn_gradients(4, torch.float64)):
        for optimizer, rate in zip(apart, rates, strict=False):
            rate.fill_(2.0**-number)
            optimizer.param_groups[0]["lr"] = 2.0**-number
        step_apart(apart, gradients)
        one.step({"player": rows.joined(gradients)}, SAME)
    assert all(equal(state_of(ours), state_of(theirs)) for ours, theirs in zip(stacked, apart, strict=True))


def test_a_skipped_replica_stays_as_it_is_and_the_others_do_not_notice():
    apart, stacked = adams(torch.float64), adams(torch.float64)
    rows, one = together(stacked)
    for number, gradients in enumerate(drawn_gradients(4, torch.float64)):
        step_apart([apart[0], *apart[2:]], [gradient[[0, 2, 3]] for gradient in gradients])
        if number < 2:
            step_apart([apart[1]], [gradient[[1]] for gradient in gradients])
        else:
            for gradient, worst in zip(gradients, (math.nan, math.inf, -math.inf, 1.0), strict=True):
                gradient[1] = worst
        one.step({"player": rows.joined(gradients)}, torch.tensor([0.0, float(number >= 2), 0.0, 0.0]))
    assert all(equal(state_of(ours), state_of(theirs)) for ours, theirs in zip(stacked, apart, strict=True))


def test_a_replica_that_was_skipped_before_its_first_step_keeps_its_weights():
    (optimizer,) = adams(torch.float32, SEVERAL[:1])
    before = state_of(optimizer)
    rows, one = together([optimizer])
    one.step({"player": torch.full_like(rows.whole, math.nan)}, torch.ones(1))
    assert equal(state_of(optimizer), before)


@pytest.mark.parametrize("beta2", [0.0, 1e-20, 0.1, 0.3, 0.499, 0.999, math.nextafter(1, 0)])
def test_skipping_keeps_second_moments_to_the_bit_for_every_beta(beta2):
    (optimizer,) = adams(torch.float64, [{"lr": 1e-3, "betas": (0.5, beta2)}])
    rows, one = together([optimizer])
    one.step({"player": rows.joined([gradient[:1] for gradient in next(drawn_gradients(1, torch.float64))])}, SAME[:1])
    before = state_of(optimizer)
    one.step({"player": torch.full_like(rows.whole, math.inf)}, torch.ones(1))
    assert equal(state_of(optimizer), before)


# Rows


def test_tensors_become_views_of_their_replicas_row_and_begin_at_multiples_of_16_bytes():
    replicas = [[torch.randn(shape) for shape in SHAPES] for _ in range(3)]
    before = [[tensor.clone() for tensor in tensors] for tensors in replicas]
    rows = ReplicaRows(replicas)
    for number, (tensors, values) in enumerate(zip(replicas, before, strict=True)):
        assert all(torch.equal(tensor, value) for tensor, value in zip(tensors, values, strict=True))
        assert all(tensor.data_ptr() % 16 == rows.whole.data_ptr() % 16 for tensor in tensors)
        ends = [tensor.data_ptr() + 4 * tensor.numel() for tensor in tensors]
        assert all(end <= after.data_ptr() for end, (_, after) in zip(ends, pairwise(tensors), strict=False))
        rows.whole[number].fill_(number)
        assert all((tensor == number).all() for tensor in tensors)


def test_joined_values_lie_where_the_parts_do():
    rows = ReplicaRows([[torch.zeros(shape) for shape in SHAPES] for _ in range(3)])
    values = [torch.randn(3, *shape) for shape in SHAPES]
    values[0] = values[0].transpose(1, 2).contiguous().transpose(1, 2)
    rows.whole.copy_(rows.joined(values))
    assert all(torch.equal(part, value) for part, value in zip(rows.parts, values, strict=True))
    assert rows.whole.sum().item() == pytest.approx(sum(value.sum().item() for value in values), abs=1e-4)


# The guard


def guards(count=3):
    return [NonFiniteGuard(["critic", "generator"], device=torch.device("cpu")) for _ in range(count)]


def finite():
    return {name: torch.full((3,), 3e38) for name in ("critic", "generator")}, {
        name: torch.full((3, 9), -3e38) for name in ("critic", "generator")
    }


@pytest.mark.parametrize("worst", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 8), (2, None)])
@pytest.mark.parametrize("player", ["critic", "generator"])
def test_one_number_raises_the_flag_of_its_replica_and_player_alone(worst, place, player):
    each = guards()
    stacked = StackedGuard(each)
    stacked.inspect(*finite())
    losses, gradients = finite()
    replica, column = place
    if column is None:
        losses[player][replica] = worst
    else:
        gradients[player][replica, column] = worst
    stacked.inspect(losses, gradients)
    stacked.inspect(*finite())
    expected = [Fault(step=2, players=(player,)) if number == replica else None for number in range(3)]
    assert [guard.fault(3) for guard in each] == expected
    assert [guard.flag.item() for guard in each] == stacked.flag.tolist() == [float(n == replica) for n in range(3)]


def test_a_restarted_guard_clears_its_own_row():
    each = guards()
    stacked = StackedGuard(each)
    losses, gradients = finite()
    stacked.inspect(losses | {"critic": torch.full((3,), math.nan)}, gradients)
    each[1].restart()
    stacked.inspect(*finite())
    assert [guard.fault(2) is None for guard in each] == [False, True, False]


# Populations

SCHEDULED = replace(TRAINING, learning_rate_schedule=LinearSchedule(warm_up=0.5), averaging=0.9, horizon=6)
DIFFERENT = (
    TRAINING,
    replace(TRAINING, learning_rate=3e-3, beta1=0.0, beta2=0.9),
    replace(TRAINING, players={"generator": PlayerTraining(learning_rate=1e-4, beta1=0.75)}),
)


def replicas(game, trainings=DIFFERENT, *, double=True, **more):
    made = [trainer_of(game, seed=seed, training=training, **more) for seed, training in enumerate(trainings)]
    return [doubled(trainer) for trainer in made] if double else made


@dataclass(frozen=True, kw_only=True)
class Sharing(WithEncoder):
    """A game whose players take turns at the decoder's last bias."""

    name: ClassVar[str] = "toy-sharing"

    def players(self, networks):
        players = super().players(networks)
        return players | {"critic": [*players["critic"], players["generator"][-1]]}


GAMES = {
    "two players": (WithEncoder(), DIFFERENT, {}),
    "taking turns": (WithoutEncoder(schedule=Alternating(critic_steps=2)), DIFFERENT, {}),
    "one player": (OnePlayer(), DIFFERENT[:2], {}),
    "schedules and averages": (WithEncoder(), (SCHEDULED, replace(SCHEDULED, learning_rate=1e-2)), {}),
    "averages of their own": (WithEncoder(), (SCHEDULED, replace(SCHEDULED, averaging=0.5)), {}),
    "images": (
        WithEncoder(),
        DIFFERENT[:2],
        {"dataset": ToyImages(), "architecture": ToyImageNetworks(dropout=0.0)},
    ),
    "a parameter of both players": (Sharing(schedule=Alternating()), DIFFERENT, {}),
}


def flat(trainer):
    return {f"{part}/{name}": tensor for part, named in trainer.state().items() for name, tensor in named.items()}


def assert_close(trainers, others):
    for trainer, other in zip(trainers, others, strict=True):
        expected = flat(other)
        assert flat(trainer).keys() == expected.keys()
        for name, tensor in flat(trainer).items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-11, atol=1e-11, msg=name)


@pytest.mark.parametrize("what", GAMES)
def test_replicas_updated_together_are_their_trainings_alone(what):
    game, trainings, more = GAMES[what]
    joint, alone = (replicas(game, trainings, **more) for _ in range(2))
    population = Population(joint, one_update=True)
    assert population.obstacle() is None
    for _ in range(6):
        population.take_step()
        for trainer in alone:
            trainer.take_step()
    assert_close(joint, alone)
    assert [trainer.fault() for trainer in joint] == [None] * len(joint)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_replica_that_is_no_number_is_the_only_one_that_stands_still(number):
    sick, well = (replicas(WithEncoder(), double=False) for _ in range(2))
    for trainers in (sick, well):
        population = Population(trainers, one_update=True)
        population.take_step()
        if trainers is sick:
            with torch.no_grad():
                next(sick[number].networks.decoder.parameters())[0, 0] = math.nan
            stood = learned(sick[number])
        for _ in range(3):
            population.take_step()
    for index in range(3):
        if index != number:
            assert equal(flat(sick[index]), flat(well[index]))
    assert [trainer.fault() is None for trainer in sick] == [index != number for index in range(3)]
    assert sick[number].fault() == Fault(step=2, players=("critic", "generator"))
    for name, tensor in learned(sick[number]).items():
        torch.testing.assert_close(tensor, stood[name], rtol=0, atol=0, equal_nan=True)


def test_what_one_of_them_saved_is_what_a_training_alone_goes_on_with():
    joint, alone = (replicas(WithEncoder(), double=False) for _ in range(2))
    population = Population(joint, one_update=True)
    population.take_step()
    population.take_step()
    for trainer, other in zip(joint, alone, strict=True):
        other.restore(trainer.state(), step=2)
        trainer.take_step()
        other.take_step()
        assert equal(flat(trainer), flat(other))


def test_replicas_that_are_restored_go_on_together_to_the_same_bits():
    first, second = (replicas(WithEncoder(), (SCHEDULED, SCHEDULED), double=False) for _ in range(2))
    whole, again = (Population(trainers, one_update=True) for trainers in (first, second))
    for _ in range(3):
        whole.take_step()
    for trainer, other in zip(first, second, strict=True):
        other.restore(trainer.state(), step=3)
    for population in (whole, again):
        population.take_step()
    assert all(equal(flat(ours), flat(theirs)) for ours, theirs in zip(second, first, strict=True))


def test_on_a_cpu_every_replica_is_updated_by_its_own_fused_adam():
    left, chosen = (replicas(WithEncoder(), double=False) for _ in range(2))
    for population in (Population(left), Population(chosen, one_update=False)):
        population.take_step()
    assert all(parameter.grad is not None for trainer in left for parameter in trainer.networks.parameters())
    assert all(equal(flat(ours), flat(theirs)) for ours, theirs in zip(left, chosen, strict=True))


def test_a_single_training_follows_its_schedule():
    trainer = trainer_on(settings_of(WithEncoder(), training=SCHEDULED))
    rates = []
    for _ in range(6):
        trainer.take_step()
        rates.append(trainer.optimizers["critic"].param_groups[0]["lr"].item())
    # progress is step / 6: the warm-up multiplies with 2 · progress until 1, and the line falls from 1 to 0
    expected = [1e-3 * (1 - step / 6) * min(1, step / 3) for step in range(6)]
    assert rates == pytest.approx(expected, rel=1e-6)
