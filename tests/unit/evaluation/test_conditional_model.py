"""A conditional model: what its functions make of a condition, and which conditions they refuse."""

import pytest
import torch
from models import PETS, exact_model

from genzoo import SettingsError
from genzoo.nn import Conv, TableEncoder
from genzoo.types import DataSpec


def random_conditions(*shape):
    return torch.eye(3)[torch.randint(3, shape)]


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 1), (30, 20)])  # the last one is decoded in two parts
def test_every_row_of_a_grid_holds_its_own_z_unless_all_cells_hold_one(rows, columns):
    model, y = exact_model(conditional=True), random_conditions(rows, columns)
    shown, one = model.sample_grid(y, seed=5), model.sample_grid(y, seed=5, one_z=True)
    assert shown.shape == one.shape == (rows, columns, 2)
    z = model.draw_z(rows, seed=5)
    assert len(z.unique(dim=0)) == rows
    assert torch.equal(shown, 2 * z[:, None] + 1 + 10 * y[..., :2])
    assert torch.equal(one, 2 * model.draw_z(1, seed=5) + 1 + 10 * y[..., :2])
    assert torch.equal(model.sample_grid(y, seed=5), shown)
    assert not torch.equal(model.sample_grid(y, seed=6), shown)


def test_a_condition_given_to_an_unconditional_model_is_refused():
    model, x, y = exact_model(), torch.rand(4, 2), random_conditions(4)
    for ask in (
        lambda: model.sample(4, y=y),
        lambda: model.sample_grid(y[None]),
        lambda: model.decode(x, y),
        lambda: model.encode(x, y=y),
        lambda: model.reconstruct(x, y=y),
        lambda: model.interpolate(x, x, y=(y, y)),
    ):
        with pytest.raises(SettingsError, match="takes no condition"):
            ask()


@pytest.mark.parametrize("shape", [(4, 2), (4, 4), (3, 3), (5, 3), (3,), (4, 1, 3)])
def test_a_condition_of_another_shape_is_refused_with_both_shapes(shape):
    model, x, y = exact_model(conditional=True), torch.rand(4, 2), torch.zeros(shape)
    expected = rf"y is \({str(shape)[1:-1]}\), expected \(4, 3\)"
    for ask in (
        lambda: model.sample(4, y=y),
        lambda: model.decode(x, y),
        lambda: model.encode(x, y=y),
        lambda: model.reconstruct(x, y=y),
        lambda: model.interpolate(x, x, y=(y, random_conditions(4))),
        lambda: model.interpolate(x, x, y=(random_conditions(4), y)),
    ):
        with pytest.raises(SettingsError, match=expected):
            ask()


def test_a_grid_of_conditions_of_another_size_is_refused():
    with pytest.raises(SettingsError, match=r"y is \(6, 4\), expected \(6, 3\)"):
        exact_model(conditional=True).sample_grid(torch.zeros(2, 3, 4))


def test_a_conditional_model_does_nothing_but_sample_without_a_condition():
    model, x = exact_model(conditional=True), torch.rand(4, 2)
    for ask in (model.decode, model.encode, model.reconstruct, lambda x: model.interpolate(x, x)):
        with pytest.raises(SettingsError, match="needs labels"):
            ask(x)
    assert model.sample(4).shape == (4, 2)


def test_an_interpolation_walks_from_condition_to_condition_as_well():
    model, a, b = exact_model(conditional=True), torch.rand(5, 2), torch.rand(5, 2)
    y = random_conditions(5), random_conditions(5)
    path = model.interpolate(a, b, steps=4, y=y, seed=2)
    start, end = model.encode(a, y=y[0], seed=2).z, model.encode(b, y=y[1], seed=3).z
    for position in range(5):
        z, along = (left + position / 4 * (right - left) for left, right in ((start, end), y))
        torch.testing.assert_close(path[:, position], 2 * z + 1 + 10 * along[:, :2], rtol=1e-6, atol=1e-5)
    assert torch.equal(path[:, 0], model.reconstruct(a, y=y[0], seed=2))
    torch.testing.assert_close(path[:, -1], model.reconstruct(b, y=y[1], seed=3), rtol=1e-6, atol=1e-5)


def test_an_encoder_takes_a_condition_though_its_body_ends_in_maps():
    data = DataSpec(shape=(1, 4, 4), support="unit", class_names=PETS.class_names)
    body, head = (Conv(width=5, kernel=3),), (Conv(width=4, kernel=2),)
    encoder = TableEncoder(data, latent=2, posterior="gaussian", body=body, head=head, condition=3)
    code = encoder(torch.rand(6, 1, 4, 4), torch.randn(6, 2), random_conditions(6))
    assert code.z.shape == (6, 2)
    assert encoder.features(torch.rand(6, 1, 4, 4), random_conditions(6))["mean"].shape == (6, 2)
