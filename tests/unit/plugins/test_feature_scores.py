"""Scores of feature vectors and of class probabilities, against closed forms."""

import math

import pytest
import torch

from genzoo_metrics.feature_scores import class_score, frechet_distance, neighbourhoods


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(rows):
    """Return rows with sample mean 0 and sample covariance 1, to rounding."""
    centred = rows - rows.mean(0)
    return torch.linalg.qr(centred).Q * (len(rows) - 1) ** 0.5


def test_the_distance_of_a_whitened_sample_to_its_double_is_the_shift_and_the_dimension():
    x, m = whitened(normal(500, 8)), normal(8, seed=1)
    assert frechet_distance(x, 2 * x + m) == pytest.approx(float(m.square().sum()) + 8, rel=1e-10)


def test_the_distance_of_axes_with_other_widths_is_the_squared_difference_of_the_widths():
    x = whitened(normal(500, 3))
    widths = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    assert frechet_distance(x, x * widths) == pytest.approx(0.25 + 0 + 4, rel=1e-10)


@pytest.mark.parametrize("rows", [500, 5])  # of 8 numbers: with 5 rows the covariance has rank 4
def test_a_set_has_no_distance_to_itself(rows):
    x = normal(rows, 8)
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-10)


def test_rows_that_are_not_finite_have_no_distance():
    x = normal(20, 2)
    assert math.isnan(frechet_distance(x, x * math.inf))


def test_a_set_overlaps_itself_entirely():
    x = normal(200, 8)
    assert neighbourhoods(x, x, neighbours=5) == (1, 1, 1, 1)


def test_sets_far_apart_do_not_overlap():
    x = normal(50, 3)
    assert neighbourhoods(x, x + 100, neighbours=5) == (0, 0, 0, 0)


def test_neighbourhoods_on_a_line():
    # Radii of the real rows 0, 1, 3 and 7 to their first neighbour: 1, 1, 2 and 4. Of the generated rows 0.5, 6 and
    # 20, 21: 5.5, 5.5, 1 and 1. Balls are open: 0.5 lies in those of 0 and 1, 6 in that of 7, the others in none.
    real, generated = (torch.tensor(rows).unsqueeze(1) for rows in ([0.0, 1.0, 3.0, 7.0], [0.5, 6.0, 20.0, 21.0]))
    scores = neighbourhoods(real, generated, neighbours=1)
    assert scores.precision == 2 / 4
    assert scores.recall == 1  # 0, 1 and 3 lie in the ball of 0.5, and 7 in that of 6
    assert scores.density == 3 / 4
    assert scores.coverage == 3 / 4  # nothing lies within 2 of 3
    # 3 is 1 away from 2 and 4, which so lie on the edge of its ball and not in it
    edge = neighbourhoods(torch.tensor([[3.0], [4.0]]), torch.tensor([[2.0], [2.0]]), neighbours=1)
    assert (edge.precision, edge.coverage) == (0, 0)


def test_the_class_score_is_between_one_and_the_number_of_classes():
    certain = torch.eye(10) * 1000
    assert class_score(certain.repeat(3, 1)) == pytest.approx(10, rel=1e-12)
    assert class_score(certain[:1].repeat(5, 1)) == pytest.approx(1, rel=1e-12)
    assert class_score(torch.zeros(7, 10)) == pytest.approx(1, rel=1e-12)
    # two classes of probabilities ¾ and ¼, and the other way round: ln ¾·2 weighted ¾ and ln ¼·2 weighted ¼
    mixed = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log()
    assert class_score(mixed) == pytest.approx(math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5)), rel=1e-6)
