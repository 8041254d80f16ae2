"""Spectral normalisation of a row: the largest singular value of its weight tends to 1, all else stays."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch.linalg import matrix_norm
from torch.nn.utils.parametrizations import spectral_norm
from toy_components import TRAINING, ToyNetworks, WithEncoder
from trainers import doubled, equal, state_of, trainer_of, unlike_alone

from genzoo.evaluation.cards import network_card
from genzoo.games import ZeroCentred
from genzoo.nn import Conv, Linear, ReLU, TableCritic, TableDecoder, TransposedConv
from genzoo.nn.layers import SpectralNorm, normalise_spectrally
from genzoo.nn.table_modules import build

ROWS = {
    "linear": (Linear(width=4), (5,)),
    "linear on images": (Linear(width=4), (3, 2, 2)),
    "conv": (Conv(width=4, kernel=2), (3, 4, 4)),
    "transposed": (TransposedConv(width=4, kernel=2), (3, 4, 4)),
}


@dataclass(frozen=True, kw_only=True)
class Normed(ToyNetworks):
    """Toy networks in which critic and decoder are normalised spectrally."""

    name: ClassVar[str] = "normed"

    def decoder(self, data, *, condition=0):
        hidden = replace(self._hidden, spectral_norm=True)
        return TableDecoder(data, latent=self.latent, table=(hidden, Linear(width=2)), condition=condition)

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        hidden = Linear(width=8, spectral_norm=True, nonlinearity=ReLU())
        return TableCritic(
            data,
            latent=self.latent,
            x_table=(),
            z_table=(),
            joint_table=(hidden, hidden, Linear(width=outputs, spectral_norm=True, bias="none")),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )


def trainer(seed=3, **more):
    return trainer_of(WithEncoder(), architecture=Normed(**more), seed=seed)


def linear_maps(module):
    return [part for part in module.modules() if "Parametrized" in type(part).__name__]


def as_matrix(linear):
    """Return the effective weight with the output maps in front, as the papers define the norm of a convolution."""
    weight = linear.weight.detach()
    return (weight.transpose(0, 1) if "Transpose" in type(linear).__name__ else weight).flatten(1)


@pytest.mark.parametrize("kind", ROWS)
def test_after_enough_forward_passes_the_largest_singular_value_is_one(kind):
    torch.manual_seed(0)
    row, given = ROWS[kind]
    stack = build((replace(row, spectral_norm=True),), given).double()
    (linear,) = linear_maps(stack)
    with torch.no_grad():
        linear.parametrizations.weight.original.mul_(7)
    for _ in range(300):
        stack(torch.zeros(1, *given, dtype=torch.float64))
    stack.eval()
    assert matrix_norm(as_matrix(linear), 2).item() == pytest.approx(1, abs=1e-9)
    original = linear.parametrizations.weight.original.detach()
    direction = original / linear.weight.detach()
    assert direction.std().item() < 1e-9 * direction.mean().item()


@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_weights_and_their_gradients_are_those_of_torchs_own_norm(kind):
    torch.manual_seed(1)
    row, given = ROWS[kind]
    ours, theirs = (row.linear_map(given, bias=True).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    normalise_spectrally(ours)
    spectral_norm(theirs)
    left, right = (part.parametrizations.weight for part in (ours, theirs))
    right[0].load_state_dict(left[0].state_dict())
    for part in (ours, theirs):
        part(torch.ones(2, *given, dtype=torch.float64)).square().sum().backward()
    assert torch.allclose(ours.eval().weight, theirs.eval().weight, rtol=1e-12)
    assert torch.allclose(left.original.grad, right.original.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ROWS)
def test_a_row_costs_what_it_costs_without_and_its_card_says_so(kind):
    row, given = ROWS[kind]
    plain, normed = (network_card(build((one,), given)) for one in (row, replace(row, spectral_norm=True)))
    assert normed["parameters"] == plain["parameters"]
    assert normed["macs"] == plain["macs"]
    (layer,) = normed["layers"]
    assert layer["operation"] == plain["layers"][0]["operation"] + ", spectral norm"
    assert (layer["spectral_norm"], plain["layers"][0]["spectral_norm"]) == (True, False)


@pytest.mark.parametrize("init_std", [0.02, None], ids=["stated", "torch's own"])
def test_the_initial_weights_are_those_of_the_same_networks_without_it(init_std):
    plain = trainer_of(WithEncoder(), architecture=Plain(init_std=init_std)).networks.critic
    normed = trainer(init_std=init_std).networks.critic
    originals = {name: tensor for name, tensor in state_of(normed).items() if name.endswith(("original", "bias"))}
    assert {name.replace("parametrizations.weight.original", "weight") for name in originals} == set(state_of(plain))
    for name, tensor in originals.items():
        assert torch.equal(tensor, state_of(plain)[name.replace("parametrizations.weight.original", "weight")]), name


@dataclass(frozen=True, kw_only=True)
class Plain(Normed):
    """The networks of `Normed` without the norm in the critic."""

    name: ClassVar[str] = "plain"

    def critic(self, data, *, sees="xz", condition=0, outputs=1):
        hidden = Linear(width=8, nonlinearity=ReLU())
        table = (hidden, hidden, Linear(width=outputs, bias="none"))
        return TableCritic(data, latent=self.latent, x_table=(), z_table=(), joint_table=table, sees=sees)


def test_the_start_is_a_function_of_the_seed_and_estimates_the_norm_well():
    first, second, other = (state_of(trainer(seed).networks) for seed in (3, 3, 4))
    assert equal(first, second)
    starts = [name for name in first if name.endswith(("._u", "._v"))]
    assert len(starts) == 2 * 4
    assert not any(torch.equal(first[name], other[name]) for name in starts)
    for linear in linear_maps(trainer().networks.eval()):
        assert matrix_norm(as_matrix(linear), 2).item() == pytest.approx(1, abs=0.1)


def test_the_critic_does_not_couple_rows_and_one_backward_serves_both_players():
    critic = trainer().networks.critic
    assert not critic.couples_rows
    gradients = {}
    for way in (True, False):
        moved = doubled(trainer_of(WithEncoder(), architecture=Normed(), training=replace(TRAINING, one_backward=way)))
        assert (moved.per_player_reason is None) is way
        batch = moved.stream.batch(0)
        _, gradients[way] = moved.gradient_rule(moved.networks, batch, moved.players)
    for player, shared in gradients[True].items():
        for left, right in zip(shared, gradients[False][player], strict=True):
            assert torch.allclose(left, right, rtol=1e-9, atol=1e-14)


def test_a_restored_training_goes_on_bitwise():
    whole, stopped, resumed = trainer(), trainer(), trainer()
    for _ in range(5):
        whole.take_step()
    for _ in range(3):
        stopped.take_step()
    assert not equal(state_of(stopped.networks), state_of(resumed.networks))
    resumed.restore(stopped.state(), step=3)
    for _ in range(2):
        resumed.take_step()
    assert equal(state_of(whole.networks), state_of(resumed.networks))


def test_looking_at_the_networks_does_not_move_the_estimate():
    networks = trainer().networks.eval()
    before = state_of(networks)
    networks.decode(torch.zeros(3, 2))
    assert equal(before, state_of(networks))


def test_showing_averaged_weights_moves_neither_weights_nor_estimate():
    averaged = trainer_of(WithEncoder(), architecture=Normed(), training=replace(TRAINING, averaging=0.9))
    for _ in range(3):
        averaged.take_step()
    before = state_of(averaged.networks)
    with averaged.weights_to_show() as networks:
        assert not equal(before, state_of(networks))
    assert equal(before, state_of(averaged.networks))


def test_the_normalised_weight_has_the_derivatives_of_finite_differences():
    torch.manual_seed(2)
    weight = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    norm = SpectralNorm(weight, dim=1).eval()
    assert torch.autograd.gradcheck(norm, weight)
    assert torch.autograd.gradgradcheck(norm, weight)


def test_a_penalty_is_differentiated_through_the_norm():
    penalised = trainer_of(WithEncoder(penalty=ZeroCentred(weight=10)), architecture=Normed())
    plain = trainer_of(WithEncoder(), architecture=Normed())
    gradients = []
    for each in (penalised, plain):
        each = doubled(each)
        gradients.append(each.gradient_rule(each.networks, each.batch_at(0), each.players)[1]["critic"])
    assert all(gradient.isfinite().all() for gradient in gradients[0])
    assert any(not torch.allclose(left, right) for left, right in zip(*gradients, strict=True))


def test_every_replica_of_a_population_is_the_training_it_would_be_alone():
    assert unlike_alone(trainer, steps=4, rtol=1e-9, atol=1e-12) == []


def test_under_bfloat16_the_estimate_stays_in_float32():
    normed = trainer_of(WithEncoder(), architecture=Normed(), precision="bf16")
    normed.take_step()
    vectors = {name: tensor.dtype for name, tensor in normed.networks.named_buffers() if name.endswith("._u")}
    assert set(vectors.values()) == {torch.float32}
    for linear in linear_maps(normed.networks.eval()):
        assert matrix_norm(as_matrix(linear), 2).item() == pytest.approx(1, abs=0.1)
