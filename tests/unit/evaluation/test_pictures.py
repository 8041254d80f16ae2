"""Pictures: where the images of a grid lie, and what a scatter plot says of points beyond its frame."""

from itertools import pairwise

import numpy
import pytest
import torch
from contents import pixels
from matplotlib.axes import Axes
from models import identity_model

from genzoo.evaluation.drawing import Panel, pairs_png
from genzoo.evaluation.pictures import save_grid, save_interpolations, save_panels
from genzoo.types import DataSpec

SIDE, GAP, SEAM, GREY = 128, 12, 2, 128


def test_groups_of_a_grid_are_set_apart_on_grey(tmp_path):
    levels = [20 * number for number in range(12)]
    images = torch.tensor(levels)[:, None, None, None].expand(-1, 1, 16, 16) / 255
    save_grid(tmp_path / "a.png", images, columns=6, group=3)
    grid = pixels(tmp_path / "a.png")[..., 1]
    for row in range(2):
        expected = []
        for column in range(6):
            expected += [GREY] * (SEAM if column % 3 else GAP) + [levels[6 * row + column]] * SIDE
        assert grid[GAP + row * (SIDE + GAP)].tolist() == [*expected, *[GREY] * GAP]
    assert grid.shape[0] == 2 * SIDE + 3 * GAP
    assert (grid[GAP + SIDE : 2 * GAP + SIDE] == GREY).all()


def test_the_ends_of_an_interpolation_are_set_apart_from_what_lies_between(tmp_path):
    model = identity_model(DataSpec(shape=(1, 16, 16), support="unit"))
    ends = torch.full((2, 1, 16, 16), 0.2), torch.full((2, 1, 16, 16), 0.8)
    save_interpolations(tmp_path / "a.png", model, *ends, steps=2, seed=0)
    levels = [51, 51, 128, 204, 204]  # 0.2, then 0.2, 0.5 and 0.8 as decoded, and 0.8
    grid = pixels(tmp_path / "a.png")[..., 0]
    expected = []
    for number, level in enumerate(levels):
        expected += [GREY] * (SEAM if number in (2, 3) else GAP) + [level] * SIDE
    assert grid[GAP].tolist() == [*expected, *[GREY] * GAP]


def test_headings_stand_above_their_columns_and_within_their_width(tmp_path):
    images = torch.zeros(4, 1, 128, 128)
    save_grid(tmp_path / "plain.png", images, columns=2)
    save_grid(tmp_path / "headed.png", images, columns=2, headings=("1", "a class with a long name"))
    plain, headed = pixels(tmp_path / "plain.png"), pixels(tmp_path / "headed.png")
    top = len(headed) - len(plain)
    assert top > 10
    assert (headed[top + GAP :] == plain[GAP:]).all()  # the pictures are as they were, only lower
    written = (headed[: top + GAP] != GREY).any(axis=(0, 2))
    columns = [slice(GAP, GAP + SIDE), slice(2 * GAP + SIDE, 2 * GAP + 2 * SIDE)]
    assert [written[column].any() for column in columns] == [True, True]
    assert sum(written[column].sum() for column in columns) == written.sum()


@pytest.mark.parametrize(("count", "size", "side", "pairs"), [(1, 8, 64, 4), (5, 8, 64, 4), (4, 64, 128, 3)])
def test_every_pair_says_which_is_the_original(tmp_path, count, size, side, pairs):
    (tmp_path / "a.png").write_bytes(pairs_png(torch.zeros(count, 1, size, size), torch.ones(count, 1, size, size)))
    grid = pixels(tmp_path / "a.png")
    top = (grid[:, GAP] != GREY).argmax(axis=0)[0]  # where the first original begins
    written = (grid[:top] != GREY).any(axis=(0, 2))
    starts = [GAP + pair * (2 * side + SEAM + GAP) + place * (side + SEAM) for pair in range(pairs) for place in (0, 1)]
    headed = [bool(written[start : start + side].any()) for start in starts]
    assert headed == [pair < count for pair in range(pairs) for _ in ("original", "decoded")]


@pytest.mark.parametrize("size", [8, 32, 64, 128])
def test_headings_are_read_where_the_whole_picture_is_as_wide_as_a_telephone(tmp_path, size):
    (tmp_path / "a.png").write_bytes(pairs_png(torch.zeros(8, 1, size, size), torch.ones(8, 1, size, size)))
    grid = pixels(tmp_path / "a.png")
    top = (grid[:, GAP] != GREY).argmax(axis=0)[0]
    ink = (grid[:top] != GREY).any(axis=(1, 2)).sum()
    assert ink * 360 / grid.shape[1] >= 7  # of letters with parts above and below the line


def test_a_row_that_is_not_full_is_no_wider_than_its_images(tmp_path):
    save_grid(tmp_path / "a.png", torch.zeros(2, 1, 128, 128), columns=8, group=2)
    assert pixels(tmp_path / "a.png").shape == (SIDE + 2 * GAP, 2 * SIDE + SEAM + 2 * GAP, 3)


@pytest.mark.parametrize(("width", "factor"), [(4, 8), (8, 8), (28, 5), (32, 4), (64, 2), (100, 2), (128, 1), (200, 1)])
def test_images_are_magnified_by_whole_factors_up_to_8_to_128_pixels(tmp_path, width, factor):
    images = torch.rand(2, 3, 5, width)
    save_grid(tmp_path / "a.png", images, columns=2)
    grid = pixels(tmp_path / "a.png")
    assert grid.shape == (5 * factor + 2 * GAP, 2 * width * factor + 3 * GAP, 3)
    first = grid[GAP : GAP + 5 * factor : factor, GAP : GAP + width * factor : factor]
    assert abs(torch.tensor(first).permute(2, 0, 1) / 255 - images[0]).max() <= 0.51 / 255


def test_a_scatter_plot_says_how_many_points_lie_outside(tmp_path, monkeypatch):
    titles = []
    write = Axes.set_title
    monkeypatch.setattr(Axes, "set_title", lambda axes, text, **how: (titles.append(text), write(axes, text, **how)))
    inside = torch.rand(100, 2)
    outside = inside.clone()
    outside[:30, 1] = -7
    save_panels(tmp_path / "a.png", [Panel("near", inside, None, 4), Panel("far", outside, None, 4)])
    assert titles == ["near", "far (30% outside)"]


def test_classes_that_follow_each_other_are_told_apart_by_their_lightness(tmp_path):
    lightness = []
    for label in range(4):
        points, labels = torch.zeros(400, 2), torch.full((400,), label)
        points[0], labels[0] = 9, 24  # the last of the classes, which lies outside
        save_panels(tmp_path / "a.png", [Panel("x", points, labels, 1)])
        colours, counts = numpy.unique(pixels(tmp_path / "a.png")[..., :3].reshape(-1, 3), axis=0, return_counts=True)
        shown = colours[numpy.where(numpy.ptp(colours, axis=1) > 20, counts, 0).argmax()].tolist()
        lightness.append((max(shown) + min(shown)) / 2)
    assert min(abs(first - second) for first, second in pairwise(lightness)) > 30


def test_walks_in_a_plane_are_lines_in_the_colour_of_their_ends(tmp_path):
    a, b = torch.tensor([[-1.0, -1.0], [-1.0, 1.0]]), torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    model = identity_model(DataSpec(shape=(2,), support="real"))
    save_interpolations(tmp_path / "a.png", model, a, b, steps=2, seed=0)
    grid = pixels(tmp_path / "a.png")[..., :3].astype(int)
    coloured = numpy.ptp(grid, axis=2) > 20
    height, width = coloured.shape
    for half in (coloured[:, : width // 2], coloured[:, width // 2 :]):
        rows = half.sum(axis=1) > width / 4  # a line from side to side
        assert rows[: height // 2].any()
        assert rows[height // 2 :].any()
        across = half[: height // 2].any(axis=0)
        first, last = numpy.flatnonzero(across)[[0, -1]]
        assert across[first : last + 1].all()
