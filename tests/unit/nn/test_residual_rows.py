"""Rows that are residual blocks, and rows without weights: their shapes, sums, sizes and first weights."""

from dataclasses import replace

import pytest
import torch
from toy_components import ToyImages

from genzoo import Networks, SettingsError
from genzoo.evaluation.cards import network_card
from genzoo.nn import BatchNorm, Conv, Linear, Pool, ReLU, Residual, TableCritic, Upsample
from genzoo.nn.table_modules import build
from genzoo.training.initialization import draw_weights
from genzoo.types import Joint

INNER = Conv(width=3, kernel=3, padding=1, nonlinearity=ReLU())
LAST = Conv(width=3, kernel=3, padding=1, starts_at_zero=True)
HALVED = Residual(
    width=5, rows=(replace(INNER, width=5), Pool(width=5, kernel=2)), shortcut=(Conv(width=5, kernel=2, stride=2),)
)


def test_a_block_adds_what_its_rows_and_its_shortcut_give():
    block = build((HALVED,), (3, 4, 4)).layers[0][0]
    x = torch.rand(2, 3, 4, 4)
    by_rows, by_shortcut = (way[0](x) for way in (block.rows, block.shortcut))
    means = by_rows.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((3, 5))
    torch.testing.assert_close(block(x), means + by_shortcut)


def test_rows_without_weights_pass_sum_average_and_repeat():
    x = torch.arange(8.0).view(1, 2, 2, 2)
    given = (2, 2, 2)
    assert torch.equal(build((Pool(width=2),), given)(x), x)
    assert build((Pool(width=2, kernel=2),), given)(x).flatten().tolist() == [1.5, 5.5]
    assert build((Pool(width=2, kernel=2, sums=True),), given)(x).flatten().tolist() == [6.0, 22.0]
    assert torch.equal(build((Upsample(width=2),), given)(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_the_card_counts_the_parameters_and_products_of_all_rows():
    table = HALVED, Residual(width=5, rows=(replace(LAST, width=5),), batch_norm=BatchNorm())
    card = network_card(build(table, (3, 8, 8)))
    first = (3 * 5 * 9 + 5) + (3 * 5 * 4 + 5)
    second = (5 * 5 * 9 + 5) + 2 * 5
    assert [layer["parameters"] for layer in card["layers"]] == [first, second]
    assert card["parameters"] == first + second
    assert card["macs"] == 3 * 5 * 9 * 64 + 3 * 5 * 4 * 16 + 5 * 5 * 9 * 16


@pytest.mark.parametrize("std", [None, 0.5])
def test_a_row_that_starts_at_zero_makes_a_block_the_identity_until_it_is_trained(std):
    table = Residual(width=3, rows=(INNER, LAST)), Pool(width=3, kernel=8)
    critic = TableCritic(
        replace(ToyImages().spec, shape=(3, 8, 8)),
        latent=2,
        x_table=table,
        z_table=(),
        joint_table=(Linear(width=1),),
        sees="x",
    )
    draw_weights(Networks(critic=critic), std=std, seed=0)
    x = torch.rand(2, 3, 8, 8)
    block = critic.x.layers[0][0]
    assert torch.equal(block(x), x)
    inner, last = block.rows[0][0].weight, block.rows[1][0][0].weight
    assert inner.abs().min() > 0
    critic(Joint(x=x)).logits.sum().backward()
    assert last.grad.abs().max() > 0


def test_a_block_whose_ways_differ_is_refused():
    with pytest.raises(SettingsError, match="its rows and shortcut give 3×4×4 and 3×8×8, expected 3 maps of both"):
        build((Residual(width=3, rows=(INNER, Pool(width=3, kernel=2))),), (3, 8, 8))
    with pytest.raises(SettingsError, match="expected a side of at least 3"):
        build((Residual(width=3, rows=(replace(INNER, padding=0),)),), (3, 2, 2))
    with pytest.raises(SettingsError, match="sides that divide by 2"):
        build((Pool(width=3, kernel=2),), (3, 5, 5))
    with pytest.raises(SettingsError, match="expected 3 maps × height × width"):
        build((Upsample(width=3),), (2, 5, 5))
    with pytest.raises(ValueError, match="a row without weights has no bias"):
        Pool(width=3, bias="tied")
