"""Fields: velocities of x and a time, for vectors and images of any size."""

import pytest
import torch
from torch import nn
from toy_components import ToyImageNetworks, ToyNetworks

from genzoo.nn import DenseField, UNetField
from genzoo.nn.interfaces import Networks
from genzoo.training.initialization import draw_weights
from genzoo.types import DataSpec

VECTORS = DataSpec(shape=(3,), support="real")


def images(*shape):
    return DataSpec(shape=shape, support="unit")


FIELDS = [
    (DenseField, VECTORS),
    (DenseField, images(1, 8, 8)),
    (UNetField, images(1, 8, 8)),
    (UNetField, images(3, 16, 12)),
    (UNetField, images(2, 7, 5)),
]


def moved(field):
    """Return the field with outputs other than 0."""
    for parameter in field.last.parameters():
        nn.init.normal_(parameter, std=0.3)
    return field.double()


def at(data, rows=4):
    torch.manual_seed(1)
    return torch.randn(rows, *data.shape, dtype=torch.float64), torch.rand(rows, dtype=torch.float64)


@pytest.mark.parametrize(("kind", "data"), FIELDS)
def test_a_field_is_0_at_first_and_then_a_velocity_of_every_row_by_itself_at_its_time(kind, data):
    field, (x, t) = kind(data), at(data)
    assert torch.equal(field(x.float(), t.float()), torch.zeros_like(x).float())
    moved(field)
    whole = field(x, t)
    assert whole.shape == x.shape
    alone = torch.cat([field(x[n : n + 1], t[n : n + 1]) for n in range(len(x))])
    torch.testing.assert_close(alone, whole, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(field(x, 1 - t), whole)


@pytest.mark.parametrize(("kind", "data"), FIELDS[1:3])
def test_a_field_reads_a_condition(kind, data):
    field, (x, t) = moved(kind(data, condition=5)), at(data)
    y = torch.eye(5, dtype=torch.float64)[:4]
    assert not torch.allclose(field(x, t, y), field(x, t, y.flip(0)))


@pytest.mark.parametrize(("shape", "halvings"), [((3, 64, 64), 3), ((1, 8, 8), 1), ((1, 28, 28), 2), ((1, 7, 8), 0)])
def test_a_u_net_halves_sides_while_they_are_even_and_4_remain(shape, halvings):
    assert len(UNetField(images(*shape)).shrink) == halvings


def test_an_architecture_offers_a_u_net_for_images_and_a_dense_field_for_vectors():
    assert type(ToyImageNetworks().field(images(1, 8, 8))) is UNetField
    assert type(ToyNetworks().field(VECTORS)) is DenseField


def test_a_field_keeps_its_start_whatever_the_architecture_draws():
    networks = Networks(field=UNetField(images(1, 8, 8)))
    before = {name: tensor.clone() for name, tensor in networks.state_dict().items()}
    draw_weights(networks, std=0.02, seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in networks.state_dict().items())
