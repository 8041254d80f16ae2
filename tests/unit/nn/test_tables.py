"""Layer tables against the paper's numbers, against hand computation, and against the modules they become."""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given, settings
from torch import nn
from toy_components import ToyImageNetworks, ToyImages, ToyMixture, ToyNetworks

from genzoo import SettingsError
from genzoo.evaluation.cards import network_card
from genzoo.nn import (
    BatchNorm,
    Conv,
    Identity,
    LeakyReLU,
    Linear,
    Maxout,
    ReLU,
    Sigmoid,
    TableCritic,
    TableDecoder,
    TableEncoder,
    TransposedConv,
)
from genzoo.nn.layers import UncountedBatchNorm1d, UncountedBatchNorm2d
from genzoo.nn.table_modules import build
from genzoo.nn.tables import lay_out
from genzoo.types import DataSpec

BN = BatchNorm(eps=1e-4, momentum=0.05)
LRELU = LeakyReLU(0.1)
MAXOUT = Maxout(pieces=2, counted="before")
CIFAR10 = DataSpec(shape=(3, 32, 32), support="unit")


class Printed(NamedTuple):
    """One line of a table as `ali-facts.md` prints it, beside the row that says the same."""

    row: object
    output: tuple[int, ...]
    parameters: int
    macs: int


def conv(width, kernel, stride=1, **settings):
    return Conv(width=width, kernel=kernel, stride=stride, **settings)


def tconv(width, kernel, stride=1, **settings):
    return TransposedConv(width=width, kernel=kernel, stride=stride, **settings)


hidden = {"batch_norm": BN, "nonlinearity": LRELU}

ENCODER = (
    Printed(conv(32, 5, **hidden), (32, 28, 28), 2_464, 1_881_600),
    Printed(conv(64, 4, 2, **hidden), (64, 13, 13), 32_896, 5_537_792),
    Printed(conv(128, 4, **hidden), (128, 10, 10), 131_328, 13_107_200),
    Printed(conv(256, 4, 2, **hidden), (256, 4, 4), 524_800, 8_388_608),
    Printed(conv(512, 4, **hidden), (512, 1, 1), 2_098_176, 2_097_152),
    Printed(conv(512, 1, **hidden), (512, 1, 1), 263_168, 262_144),
    Printed(conv(128, 1), (128, 1, 1), 65_664, 65_536),
)
DECODER = (
    Printed(tconv(256, 4, **hidden), (256, 4, 4), 262_656, 262_144),
    Printed(tconv(128, 4, 2, **hidden), (128, 10, 10), 524_544, 8_388_608),
    Printed(tconv(64, 4, **hidden), (64, 13, 13), 131_200, 13_107_200),
    Printed(tconv(32, 4, 2, **hidden), (32, 28, 28), 32_832, 5_537_792),
    Printed(tconv(32, 5, **hidden), (32, 32, 32), 25_664, 20_070_400),
    Printed(conv(32, 1, **hidden), (32, 32, 32), 1_088, 1_048_576),
    Printed(conv(3, 1, nonlinearity=Sigmoid(), bias="untied"), (3, 32, 32), 3_168, 98_304),
)


def critic_x(maxout=MAXOUT, bias="tied"):
    shapes = ((32, 5, 1, 0.2), (64, 4, 2, 0.5), (128, 4, 1, 0.5), (256, 4, 2, 0.5), (512, 4, 1, 0.5))
    return tuple(
        conv(width, kernel, stride, input_dropout=dropout, nonlinearity=maxout, bias=bias)
        for width, kernel, stride, dropout in shapes
    )


def critic_z(maxout=MAXOUT):
    return tuple(conv(512, 1, input_dropout=drop, nonlinearity=maxout, bias="none") for drop in (0.2, 0.5))


def critic_xz(maxout=MAXOUT):
    middle = conv(1024, 1, input_dropout=0.5, nonlinearity=maxout)
    return (middle, middle, conv(1, 1, input_dropout=0.5))


CRITIC_X = tuple(
    Printed(row, *numbers)
    for row, numbers in zip(
        critic_x(),
        (
            ((16, 28, 28), 2_432, 1_881_600),
            ((32, 13, 13), 16_448, 2_768_896),
            ((64, 10, 10), 65_664, 6_553_600),
            ((128, 4, 4), 262_400, 4_194_304),
            ((256, 1, 1), 1_049_088, 1_048_576),
        ),
        strict=True,
    )
)
CRITIC_Z = tuple(
    Printed(row, *numbers)
    for row, numbers in zip(critic_z(), (((256, 1, 1), 32_768, 32_768), ((256, 1, 1), 131_072, 131_072)), strict=True)
)
CRITIC_XZ = tuple(
    Printed(row, *numbers)
    for row, numbers in zip(
        critic_xz(),
        (((512, 1, 1), 525_312, 524_288), ((512, 1, 1), 525_312, 524_288), ((1, 1, 1), 513, 512)),
        strict=True,
    )
)


@pytest.mark.parametrize(
    ("table", "shape", "parameters", "macs"),
    [
        pytest.param(ENCODER, (3, 32, 32), 3_118_496, 31_340_032, id="encoder"),
        pytest.param(DECODER, (64, 1, 1), 981_152, 48_513_024, id="decoder"),
        pytest.param(CRITIC_X, (3, 32, 32), 1_396_032, 16_446_976, id="D(x)"),
        pytest.param(CRITIC_Z, (64, 1, 1), 163_840, 163_840, id="D(z)"),
        pytest.param(CRITIC_XZ, (512, 1, 1), 1_051_137, 1_049_088, id="D(x,z)"),
    ],
)
def test_every_line_of_the_cifar10_tables_is_as_printed(table, shape, parameters, macs):
    stack = build(tuple(line.row for line in table), shape)
    found = [(card.output, card.parameters, card.macs) for card in stack.cards]
    assert found == [(line.output, line.parameters, line.macs) for line in table]
    assert [sum(p.numel() for p in layer.parameters()) for layer in stack.layers] == [line.parameters for line in table]
    assert sum(card.parameters for card in stack.cards) == parameters
    assert sum(card.macs for card in stack.cards) == macs
    x = torch.rand(2, *shape)
    for layer, line in zip(stack.layers, table, strict=True):
        x = layer(x)
        assert x.shape == (2, *line.output)


AFTER = Maxout(pieces=2, counted="after")


@pytest.mark.parametrize(
    ("tables", "parts", "total", "macs"),
    [
        pytest.param(
            (critic_x(), critic_z(), critic_xz()),
            (1_396_032, 163_840, 1_051_137),
            2_611_009,
            17_659_904,
            id="canonical",
        ),
        pytest.param(
            (critic_x(bias="untied"), critic_z(), critic_xz()),
            (1_448_352, 163_840, 1_051_137),
            2_663_329,
            17_659_904,
            id="untied-biases",
        ),
        pytest.param(
            (critic_x(AFTER), critic_z(AFTER), critic_xz(AFTER)),
            (5_577_344, 589_824, 4_199_425),
            10_366_593,
            66_809_856,
            id="widths-after-maxout",
        ),
    ],
)
def test_the_cifar10_critic_and_its_variants_have_the_published_sizes(tables, parts, total, macs):
    x_table, z_table, joint_table = tables
    with torch.device("meta"):
        critic = TableCritic(CIFAR10, latent=64, x_table=x_table, z_table=z_table, joint_table=joint_table)
    found = [network_card(part)["parameters"] for part in (critic.x, critic.z, critic.joint)]
    assert tuple(found) == parts
    card = network_card(critic)
    assert (card["parameters"], card["macs"]) == (total, macs)
    assert sum(p.numel() for p in critic.parameters()) == total
    assert critic.joint.given == ((1024, 1, 1) if tables[0][0].nonlinearity == AFTER else (512, 1, 1))


def test_untied_biases_of_the_cifar10_critic_are_53312_numbers_in_place_of_992():
    counts = {}
    for bias in ("tied", "untied"):
        stack = build(critic_x(bias=bias), (3, 32, 32))
        counts[bias] = sum(p.numel() for name, p in stack.named_parameters() if name.endswith("bias"))
    assert counts == {"tied": 32 + 64 + 128 + 256 + 512, "untied": 53_312}


def test_the_cifar10_encoder_and_decoder_fit_together():
    rows = [line.row for line in ENCODER]
    encoder = TableEncoder(CIFAR10, latent=64, posterior="gaussian", body=tuple(rows[:-1]), head=(rows[-1],))
    decoder = TableDecoder(CIFAR10, latent=64, table=tuple(line.row for line in DECODER))
    assert (network_card(encoder)["parameters"], network_card(encoder)["macs"]) == (3_118_496, 31_340_032)
    assert (network_card(decoder)["parameters"], network_card(decoder)["macs"]) == (981_152, 48_513_024)
    code = encoder(torch.rand(2, 3, 32, 32), torch.randn(2, 64))
    assert code.z.shape == code.mean.shape == code.log_std.shape == (2, 64)
    assert decoder(code.z).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("data", "architecture"),
    [(ToyMixture().spec, ToyNetworks()), (ToyImages().spec, ToyImageNetworks())],
    ids=["vectors", "images"],
)
def test_the_layers_of_every_network_account_for_all_its_parameters(data, architecture):
    for network in (architecture.encoder(data), architecture.decoder(data), architecture.critic(data)):
        card = network_card(network)
        assert sum(p.numel() for p in network.parameters()) == card["parameters"]
        assert sum(layer["parameters"] for layer in card["layers"]) == card["parameters"]
        assert sum(layer["macs"] for layer in card["layers"]) == card["macs"]


def test_a_network_with_parameters_outside_its_tables_has_no_macs():
    network = nn.Sequential(build((Linear(width=3),), (2,)), nn.Linear(3, 1))
    assert network_card(network)["parameters"] == 9 + 4
    assert network_card(network)["macs"] is None


def test_maxout_takes_the_maximum_of_channels_2i_and_2i_plus_1():
    row = Conv(width=4, kernel=1, nonlinearity=MAXOUT, bias="none")
    stack = build((row,), (4, 1, 2))
    with torch.no_grad():
        stack.get_parameter("layers.0.0.weight").copy_(torch.eye(4).view(4, 4, 1, 1))
    x = torch.tensor([[[[1.0, 8.0]], [[2.0, 7.0]], [[3.0, 5.0]], [[-4.0, 6.0]]]])
    assert stack(x).tolist() == [[[[2.0, 8.0]], [[3.0, 6.0]]]]


def test_maxout_of_five_pieces_groups_five_neighbouring_units():
    stack = build((Linear(width=2, nonlinearity=Maxout(pieces=5), bias="none"),), (10,))
    with torch.no_grad():
        stack.get_parameter("layers.0.0.weight").copy_(torch.eye(10))
    assert stack(torch.tensor([[0.0, 4, 1, 2, 3, -5, -9, -8, -6, -7]])).tolist() == [[4.0, -5.0]]


def test_input_dropout_acts_on_the_input_and_dropout_just_before_the_nonlinearity():
    # With ones everywhere and p = ½ the kept elements become 2, so where the zeros come from can be read off:
    # an input that is dropped is missing from every unit, a unit that is dropped is 0 whatever the input.
    torch.manual_seed(0)
    x = torch.ones(2000, 4)
    on_input = build((Linear(width=2, input_dropout=0.5, bias="none"),), (4,))
    before = build((Linear(width=2, dropout=0.5, bias="none"),), (4,))
    for stack in (on_input, before):
        with torch.no_grad():
            for weight in stack.parameters():
                weight.fill_(1)
    outputs = on_input(x)
    assert torch.equal(outputs[:, 0], outputs[:, 1])
    assert set(outputs.unique().tolist()) == {0.0, 2.0, 4.0, 6.0, 8.0}
    outputs = before(x)
    assert set(outputs.unique().tolist()) == {0.0, 8.0}
    assert not torch.equal(outputs[:, 0], outputs[:, 1])
    # 4,000 fair coins: five standard deviations are 5·√(4000/4) ≈ 158
    assert abs((outputs == 0).sum().item() - 2000) < 158
    assert torch.equal(on_input.eval()(x), before.eval()(x))


def test_dropout_before_the_nonlinearity_is_before_maxout_and_after_batch_norm():
    stack = build((Linear(width=4, batch_norm=BN, dropout=0.5, nonlinearity=MAXOUT),), (3,))
    kinds = [type(module) for module in list(stack.layers[0])[:-1]]
    assert kinds == [nn.Linear, UncountedBatchNorm1d, nn.Dropout]
    x = torch.randn(8, 3)
    assert stack.logits(x).shape == (8, 4)
    assert stack(x).shape == (8, 2)


def test_batch_norm_takes_its_epsilon_and_momentum_and_drops_the_bias():
    stack = build((conv(6, 3, batch_norm=BN), Linear(width=5, batch_norm=BatchNorm(eps=1e-3, momentum=0.5))), (2, 4, 4))
    convolution, norm, _ = stack.layers[0]
    assert (type(norm), norm.eps, norm.momentum, convolution.bias) == (UncountedBatchNorm2d, 1e-4, 0.05, None)
    linear, norm, _ = stack.layers[1]
    assert (type(norm), norm.eps, norm.momentum) == (UncountedBatchNorm1d, 1e-3, 0.5)
    assert [c.parameters for c in stack.cards] == [6 * 2 * 9 + 12, 6 * 4 * 5 + 10]
    assert (linear[1].in_features, linear[1].bias) == (24, None)


@pytest.mark.parametrize("momentum", [0.05, None])
@pytest.mark.parametrize(
    ("ours", "torchs"), [(UncountedBatchNorm1d, nn.BatchNorm1d), (UncountedBatchNorm2d, nn.BatchNorm2d)]
)
def test_a_batch_norm_is_torchs_to_the_bit_but_for_a_count_that_only_means_over_batches_read(ours, torchs, momentum):
    norms = [kind(3, eps=1e-4, momentum=momentum) for kind in (ours, torchs)]
    for norm in norms:
        norm.load_state_dict(norm.state_dict() | {"num_batches_tracked": torch.tensor(7)})
    shape = (5, 3) if ours is UncountedBatchNorm1d else (5, 3, 2, 2)
    for _ in range(2):
        x = torch.randn(shape)
        assert torch.equal(*(norm(x) for norm in norms))
    for name in ("running_mean", "running_var"):
        assert torch.equal(*(norm.get_buffer(name) for norm in norms))
    assert [int(norm.num_batches_tracked) for norm in norms] == [7 if momentum else 9, 9]
    assert torch.equal(*(norm.eval()(x) for norm in norms))


def test_an_untied_bias_is_one_value_per_map_and_position():
    stack = build((conv(2, 1, bias="untied"),), (1, 2, 2))
    with torch.no_grad():
        stack.get_parameter("layers.0.0.weight").zero_()
        stack.get_parameter("layers.0.1.bias").copy_(torch.arange(8.0).view(2, 2, 2))
    assert torch.equal(stack(torch.rand(3, 1, 2, 2)), torch.arange(8.0).view(2, 2, 2).expand(3, 2, 2, 2))


def test_the_output_bias_starts_at_the_clipped_log_odds_of_the_mean_image():
    decoder = TableDecoder(CIFAR10, latent=64, table=tuple(line.row for line in DECODER))
    images = torch.rand(5, 3, 32, 32)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = 0.0, 1.0
    decoder.start_at_mean(images)
    bias = decoder.stack.get_parameter("layers.6.1.bias")
    mean = images.double().mean(0)
    expected = (mean / (1 - mean)).log()
    expected[0, 0, 0], expected[0, 0, 1] = -16.11809555, 16.11809555  # log((1 − 10⁻⁷)/10⁻⁷)
    torch.testing.assert_close(bias.double(), expected, rtol=1e-6, atol=1e-6)


def test_a_row_that_does_not_fit_is_refused_with_its_number_and_both_shapes():
    table = (conv(32, 5), conv(64, 4, 2))
    with pytest.raises(SettingsError) as refused:
        build(table, (3, 31, 31))  # 31 → 27, and (27 − 4)/2 is not whole: 26 or 28 would be
    assert "row 2" in refused.value.found
    assert "32×27×27" in refused.value.found
    assert "26 or 28" in refused.value.found


def test_a_kernel_larger_than_its_input_is_refused():
    with pytest.raises(SettingsError, match=r"row 1 .*3×4×4.*at least 5"):
        lay_out((conv(8, 5),), (3, 4, 4))


def test_a_convolution_of_a_vector_is_refused():
    with pytest.raises(SettingsError, match=r"row 2 .*input 7: expected maps × height × width"):
        lay_out((Linear(width=7), conv(8, 1)), (3,))


def test_a_transposed_convolution_that_leaves_nothing_is_refused():
    with pytest.raises(SettingsError, match=r"row 1 .*3×1×1"):
        lay_out((TransposedConv(width=8, kernel=2, padding=1),), (3, 1, 1))


def test_a_table_with_the_wrong_output_is_refused_with_both_shapes():
    with pytest.raises(SettingsError, match=r"row 1 .*5×4×4.*3×4×4"):
        build((conv(5, 1),), (2, 4, 4), gives=(3, 4, 4))
    with pytest.raises(SettingsError, match=r"empty table.*2×4×4.*3×4×4"):
        build((), (2, 4, 4), gives=(3, 4, 4))


def test_a_decoder_whose_table_ends_wrongly_for_the_support_is_refused():
    table = tuple(line.row for line in DECODER)
    with pytest.raises(SettingsError, match="row 7 ends in sigmoid, expected linear"):
        TableDecoder(DataSpec(shape=(3, 32, 32), support="real"), latent=64, table=table)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(width=0),
        lambda: Linear(width=3, nonlinearity=Maxout(pieces=2, counted="before")),
        lambda: Linear(width=3, dropout=1.0),
        lambda: Linear(width=3, input_dropout=-0.1),
        lambda: conv(3, 0),
        lambda: conv(3, 1, 0),
        lambda: Conv(width=3, kernel=1, padding=-1),
    ],
    ids=["width", "pieces", "dropout", "input-dropout", "kernel", "stride", "padding"],
)
def test_rows_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"expected|does not divide"):
        make()


@dataclass(frozen=True)
class EvenReLU(ReLU):
    """A nonlinearity of a plugin, which takes even widths alone."""

    def check(self, width):
        if width % 2:
            raise ValueError(f"width {width} is odd")


def test_a_row_asks_its_nonlinearity_whether_the_width_will_do():
    assert Linear(width=4, nonlinearity=EvenReLU()).width == 4
    with pytest.raises(ValueError, match="width 3 is odd"):
        Linear(width=3, nonlinearity=EvenReLU())


@pytest.mark.parametrize("pieces", [0, -1])
def test_maxout_of_no_pieces_is_refused(pieces):
    with pytest.raises(ValueError, match="pieces"):
        Linear(width=3, nonlinearity=Maxout(pieces=pieces))


nonlinearities = st.sampled_from(
    [
        Identity(),
        ReLU(),
        LeakyReLU(0.2),
        Sigmoid(),
        Maxout(pieces=2, counted="before"),
        Maxout(pieces=3, counted="after"),
    ]
)


@st.composite
def rows(draw):
    common = {
        "width": 2 * draw(st.integers(1, 3)),
        "batch_norm": draw(st.sampled_from([None, BN])),
        "input_dropout": draw(st.sampled_from([0.0, 0.3])),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "nonlinearity": draw(nonlinearities),
        "bias": draw(st.sampled_from([None, "none", "tied", "untied"])),
    }
    kind = draw(st.sampled_from([Conv, Conv, TransposedConv, TransposedConv, Linear]))
    if kind is Linear:
        return Linear(**common)
    shape = {"kernel": draw(st.integers(1, 4)), "stride": draw(st.integers(1, 3)), "padding": draw(st.integers(0, 1))}
    return kind(**common, **shape)


def fits(table, shape):
    """Say whether every size of a table divides exactly, by a computation of its own."""
    for row in table:
        if isinstance(row, Linear):
            shape = ("vector",)
            continue
        if shape == ("vector",):
            return False
        sides = []
        for side in shape[-2:]:
            if isinstance(row, Conv):
                span = side + 2 * row.padding - row.kernel
                if span < 0 or span % row.stride:
                    return False
                sides.append(span // row.stride + 1)
            else:
                sides.append(row.stride * (side - 1) + row.kernel - 2 * row.padding)
                if sides[-1] < 1:
                    return False
        shape = (0, *sides)
    return True


@settings(max_examples=150, deadline=None)
@given(
    table=st.lists(rows(), min_size=1, max_size=3).map(tuple),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
)
def test_what_a_table_predicts_is_what_its_module_does(table, shape):
    if not fits(table, shape):
        with pytest.raises(SettingsError, match=r"row \d .* does not fit its input"):
            lay_out(table, shape)
        return
    cards = lay_out(table, shape)
    assume(max(prod(card.output) for card in cards) < 5000)
    stack = build(table, shape).eval()
    assert len(stack.layers) == len(cards) == len(table)
    x = torch.randn(2, *shape)
    for layer, card in zip(stack.layers, cards, strict=True):
        assert x.shape[1:] == card.given
        x = layer(x)
        assert x.shape == (2, *card.output)
        assert sum(p.numel() for p in layer.parameters()) == card.parameters
        assert torch.isfinite(x).all()
    assert stack(torch.randn(2, *shape)).shape == (2, *stack.output)
    for layer, card in zip(stack.layers, cards, strict=True):
        weight = next(m for m in layer.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)).weight
        applied = (
            prod(card.given[1:]) if isinstance(card.row, TransposedConv) else prod(card.row.map_shape(card.given)[1:])
        )
        assert card.macs == weight.numel() * applied
