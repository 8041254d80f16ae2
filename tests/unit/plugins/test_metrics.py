"""Metrics on models whose scores are known beforehand."""

import math
from dataclasses import dataclass, replace

import numpy
import pytest
import torch
from models import Identity, Same, identity_model

from genzoo import Networks
from genzoo.components import to_json
from genzoo.evaluation import Model, Score
from genzoo.evaluation.metrics import evaluate_model
from genzoo.storage.scores import main_scores
from genzoo.types import DataSpec, Mixture, Split, Splits
from genzoo_data.digits import Digits
from genzoo_data.mixture import Mixture25
from genzoo_metrics.latent import Cycle
from genzoo_metrics.memorization import NearestNeighbour
from genzoo_metrics.modes import Modes, relative_width
from genzoo_metrics.reconstruction import Reconstruction

DATA = Mixture25(rows=10, held_out_rows=10_000)
GRID = [-4.0, -2.0, 0.0, 2.0, 4.0]


@dataclass(frozen=True, kw_only=True)
class Sampler(Model):
    """A model whose samples are given."""

    points: torch.Tensor

    def sample(self, count, *, seed=0, y=None):
        return self.points[:count]


def sampler(points, spec=None):
    plain = identity_model(spec or DATA.spec)
    return Sampler(**vars(plain), points=torch.as_tensor(points, dtype=torch.float32))


def modes_scores(points, spec=None, **settings):
    split = DATA.load(None).test
    scores = Modes(**settings).measure(sampler(points, spec), split, train=split, seed=0)
    return {score.metric: score for score in scores}


def modes(points, **settings):
    """Return the paper's count and the strict one."""
    scores = modes_scores(points, **settings)
    return scores["modes"].value, scores["modes/strict"].value


def quality(points, **settings):
    """Return the three headline scores and the smallest number of high-quality samples on a component."""
    scores = modes_scores(points, **settings)
    headlines = [name for name, score in scores.items() if score.headline]
    assert headlines == ["modes/divergence", "modes/high-quality", "modes/counted"]
    names = ["modes/high-quality", "modes/counted", "modes/divergence", "modes/least"]
    return tuple(scores[name].value for name in names)


def test_all_25_modes_are_covered_by_true_samples():
    # a component missed by 10,000 fair draws has probability 25·(24/25)^10,000 < 10⁻¹⁷⁵
    assert modes(DATA.load(None).test.x) == (25.0, 25.0)


def test_one_mode_is_covered_by_a_point_mass():
    assert modes(torch.zeros(10_000, 2)) == (1.0, 1.0)
    assert modes(torch.tensor([[4.0, -2.0]]).expand(100, 2)) == (1.0, 1.0)


def test_every_mode_counts_once_however_many_samples_it_has():
    assert modes([[x, y] for x in GRID[:3] for y in GRID[:4]]) == (12.0, 12.0)
    assert modes([[x, y] for x in GRID[:3] for y in GRID[:4]] * 3 + [[0.01, 0.02]]) == (12.0, 12.0)


@pytest.mark.parametrize(
    ("point", "strict"),
    [
        ([0.149, 0.0], 1.0),  # 2.98 σ
        ([0.151, 0.0], 0.0),  # 3.02 σ
        ([0.106, 0.106], 1.0),  # 2.998 σ along the diagonal
        ([0.107, 0.107], 0.0),  # 3.026 σ
        ([0.9, -0.9], 0.0),
        ([70.0, 80.0], 0.0),
    ],
)
def test_a_stray_point_counts_for_the_paper_and_not_for_the_strict_variant(point, strict):
    assert modes([point]) == (1.0, strict)


def test_a_stray_point_counts_for_the_nearest_mean():
    # (1.01, 0) is nearest to (2, 0), which the second sample covers too
    assert modes([[1.01, 0.0], [2.0, 0.0]]) == (1.0, 1.0)
    assert modes([[0.99, 0.0], [2.0, 0.0]]) == (2.0, 1.0)


def test_modes_draws_as_many_samples_as_it_says():
    points = torch.zeros(10_000, 2)
    points[9_999] = 4.0
    assert modes(points)[0] == 2.0
    assert modes(points, samples=9_999)[0] == 1.0


def test_modes_knows_any_mixture():
    spec = replace(DATA.spec, mixture=Mixture(means=((0.0, 0.0), (10.0, 0.0), (0.0, 10.0)), std=1.0))
    scores = modes_scores([[0.0, 2.9], [7.1, 0.0], [0.0, 13.1]], spec)
    assert (scores["modes"].value, scores["modes/strict"].value) == (3.0, 2.0)


def test_samples_that_are_no_numbers_cover_nothing():
    nothing = [[float("nan"), float("nan")]] * 4
    assert modes(nothing) == (0.0, 0.0)
    # all elsewhere, where the mixture has e = exp(−9/2): with m = (1 + e)/2, ½(ln(1/m) + e·ln(e/m) + (1 − e)·ln 2)
    e = math.exp(-4.5)
    m = (1 + e) / 2
    expected = (math.log(1 / m) + e * math.log(e / m) + (1 - e) * math.log(2)) / 2
    assert quality(nothing) == (0.0, 0.0, pytest.approx(expected, rel=1e-12), 0.0)
    assert quality([*nothing, [0.0, 0.0]])[0] == 1 / 5


def test_true_samples_are_of_high_quality_and_spread_evenly():
    share, counted, divergence, least = quality(DATA.load(None).test.x)
    # the squared distance over σ² has two degrees of freedom: within 3 σ with probability 1 − exp(−9/2)
    assert share == pytest.approx(1 - math.exp(-4.5), abs=5 * (0.011 / 10_000) ** 0.5)
    assert counted == 25
    # to second order the divergence is χ²/(8·samples), and χ² has 25 degrees of freedom: five standard deviations
    assert divergence < (25 + 5 * 50**0.5) / (8 * 10_000)
    assert least == pytest.approx(10_000 * share / 25, abs=5 * (10_000 / 25) ** 0.5)


def test_uniform_noise_has_all_modes_of_the_lenient_count_and_loses_by_every_headline():
    noise = torch.rand(10_000, 2, generator=torch.Generator().manual_seed(0)) * 10 - 5
    share, counted, divergence, least = quality(noise)
    real = quality(DATA.load(None).test.x)
    assert modes(noise) == (25.0, 25.0)
    expected = 25 * math.pi * 0.15**2 / 100  # the discs' part of the square: 1.8 %
    assert share == pytest.approx(expected, abs=5 * (expected / 10_000) ** 0.5)
    assert share < real[0] / 40
    assert counted == 0 < real[1]  # about 7 samples on each, of 20
    assert divergence > 0.6 > 1000 * real[2]
    assert least < 20 < real[3]


def test_a_mode_is_counted_from_20_samples_of_10_000_on():
    def points(of_last):
        return [[-4.0, -4.0]] * (1000 - of_last) + [[4.0, 4.0]] * of_last

    assert quality(points(2))[1] == 2
    assert quality(points(1))[1] == 1
    assert quality(points(1), samples=500)[1] == 1


def test_the_divergence_is_that_from_the_shares_of_the_true_mixture():
    inside = 1 - math.exp(-4.5)

    def term(p, q):
        return sum(part * math.log(2 * part / (p + q)) for part in (p, q) if part) / 2

    # all on one of 25
    expected = term(1, inside / 25) + 24 * term(0, inside / 25) + term(0, 1 - inside)
    assert quality([[0.0, 0.0]] * 30) == (1.0, 1.0, pytest.approx(expected, rel=1e-12), 0.0)
    # evenly on all, and none elsewhere
    expected = 25 * term(1 / 25, inside / 25) + term(0, 1 - inside)
    assert quality([[x, y] for x in GRID for y in GRID] * 3) == (1.0, 25.0, pytest.approx(expected, rel=1e-9), 3.0)
    # a quarter elsewhere
    smeared = [[x, y] for x in GRID for y in GRID] * 3 + [[1.0, 1.0]] * 25
    expected = 25 * term(0.03, inside / 25) + term(0.25, 1 - inside)
    assert quality(smeared) == (0.75, 25.0, pytest.approx(expected, rel=1e-12), 3.0)


def test_a_model_that_collapsed_to_a_mean_and_noise_are_far_from_the_mixture():
    noise = torch.rand(10_000, 2, generator=torch.Generator().manual_seed(0)) * 10 - 5
    collapsed = 0.05 * torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
    assert quality(collapsed)[0] > 0.98
    assert min(quality(collapsed)[2], quality(noise)[2]) > 0.5


def test_an_identity_reconstructs_without_error():
    split = DATA.load(None).test
    found = {
        score.metric: score.value
        for score in Reconstruction().measure(identity_model(DATA.spec), split, train=split, seed=0)
    }
    x = split.x.numpy().astype(numpy.float64)
    shuffled = numpy.mean((numpy.roll(x, 1, axis=0) - x) ** 2)
    assert found["reconstruction"] == 0.0
    assert found["reconstruction/ratio"] == 0.0
    assert found["reconstruction/shuffled"] == pytest.approx(shuffled, rel=1e-6)
    # two independent draws differ by 2·(8 + 0.0025) in the mean; five standard errors of 20,000 numbers
    assert shuffled == pytest.approx(16.005, abs=5 * 16.005 * (2 / 20_000) ** 0.5)


@dataclass(frozen=True, kw_only=True)
class Reconstructor(Model):
    """A model whose reconstructions are given."""

    answers: torch.Tensor

    def reconstruct(self, x, *, y=None, seed=0):
        return self.answers


def ratio_of(x, answers):
    """Return the score reconstruction/ratio of these reconstructions."""
    model = Reconstructor(**vars(identity_model(DATA.spec)), answers=answers)
    return Reconstruction().measure(model, Split(x), train=Split(x), seed=0)[2]


def drawn(seed, *, share, rows=200):
    """Return normal rows (200, 2), and others that are the given share of them and noise, with a mean of their own."""
    x, noise = torch.randn(2, rows, 2, generator=torch.Generator().manual_seed(seed))
    return x, share * x + noise + 1


def test_reconstructions_of_nothing_fail_on_either_side_of_a_ratio_of_1():
    scores = [ratio_of(*drawn(seed, share=0)) for seed in range(40)]
    assert {score.value < 1 for score in scores} == {True, False}
    # two standard errors below 1 lies 1 of 44 draws that say nothing of x
    assert sum(score.failure is None for score in scores) <= 5
    assert next(score.failure for score in scores if score.failure and score.value < 1)
    assert all(ratio_of(*drawn(seed, share=0.5)).failure is None for seed in range(40))
    constant = torch.ones(200, 2)
    assert ratio_of(drawn(0, share=0)[0], constant).failure.endswith("(reconstruction/ratio 1 ± 0)")
    assert ratio_of(constant[:1], constant[:1] + 1).failure is None  # one row has no other to compare with


def test_the_standard_error_of_the_ratio_is_how_far_it_varies_over_draws():
    scores = [ratio_of(*drawn(seed, share=0, rows=100)) for seed in range(500)]
    failures = [score.failure for score in scores if score.failure]
    errors = [float(text.rpartition(" ± ")[2].rstrip(")")) for text in failures]
    # the standard deviation of 500 draws has a relative error of 1/√1000
    assert numpy.mean(errors) == pytest.approx(numpy.std([score.value for score in scores]), rel=5 / 1000**0.5)


def test_images_are_compared_in_the_unit_range():
    split = Digits().load(None).test
    found = {
        s.metric: s.value for s in Reconstruction().measure(identity_model(Digits().spec), split, train=split, seed=0)
    }
    x = split.x.numpy().astype(numpy.float64) / 255
    expected = numpy.mean((numpy.roll(x, 1, axis=0) - x) ** 2)
    assert found["reconstruction"] == 0.0
    assert found["reconstruction/shuffled"] == pytest.approx(expected, rel=1e-6)


def test_a_noisy_identity_is_off_by_the_noise():
    split = DATA.load(None).test
    scores = Reconstruction().measure(identity_model(DATA.spec, blur=0.5), split, train=split, seed=3)
    error, shuffled, ratio = (score.value for score in scores)
    # blur² = ¼ times the mean of 20,000 squared normals, which has a standard error of √(2/20,000)
    assert error == pytest.approx(0.25, abs=5 * 0.25 * (2 / 20_000) ** 0.5)
    assert ratio == pytest.approx(error / shuffled, rel=1e-12)
    again = Reconstruction().measure(identity_model(DATA.spec, blur=0.5), split, train=split, seed=3)
    other = Reconstruction().measure(identity_model(DATA.spec, blur=0.5), split, train=split, seed=4)
    assert again == scores
    assert other[0].value != error


def test_of_data_without_classes_the_first_score_is_one_that_can_be_compared_with_1():
    splits = Splits(*(Split(torch.randn(20, 2, generator=torch.Generator().manual_seed(seed))) for seed in range(3)))
    model = identity_model(DataSpec(shape=(2,), support="real"), blur=0.1)
    metrics = [Cycle(), NearestNeighbour(), Reconstruction()]
    scores = [to_json(score) for score in evaluate_model(model, splits, metrics, split_name="test", seed=0)]
    assert {score["metric"] for score in scores} >= {"cycle", "nearest-neighbour"}
    assert [score["metric"] for score in main_scores(scores)] == ["reconstruction/ratio", "cycle", "reconstruction"]


def test_rows_that_are_all_alike_are_measured_without_a_crash():
    split = Split(torch.ones(4, 2))
    scores = Reconstruction().measure(identity_model(DATA.spec), split, train=split, seed=0)
    assert [score.value for score in scores[:2]] == [0.0, 0.0]


def test_scores_carry_their_protocol():
    model = replace(identity_model(DATA.spec), weights="averaged")
    scores = evaluate_model(model, DATA.load(None), [Reconstruction(), Modes(samples=50)], split_name="test", seed=7)
    assert all(isinstance(score, Score) for score in scores)
    common = {"seed": 7, "weights": "averaged", "batch_norm": "running"}
    by_name = {score.metric: score.protocol for score in scores}
    for name in ("reconstruction", "reconstruction/shuffled", "reconstruction/ratio"):
        assert by_name[name] == common | {"split": "test", "rows": 10_000, "code": "sampled", "range": "real"}
    assert by_name["modes"] == common | {
        "split": None,
        "samples": 50,
        "covered": "any sample whose nearest mean it is",
    }
    assert by_name["modes/strict"]["covered"] == "any sample within 3 standard deviations"
    assert by_name["modes/counted"] == common | {
        "split": None,
        "samples": 50,
        "high quality": "within 3 standard deviations of a mean",
        "counted": "at least 20 high-quality samples per 10,000",
    }
    assert by_name["modes/least"]["over"] == "high-quality samples"
    assert by_name["modes/divergence"]["over"] == "high-quality samples of every mode, and all others"


def test_the_width_of_samples_is_that_over_the_true_ones():
    """Draws of the mixture have width 1, those of half the standard deviation about half, the means themselves 0."""
    mixture, rows = DATA.spec.mixture, DATA.load(None).test.x.double()
    means = torch.tensor(mixture.means, dtype=torch.float64)
    assert relative_width(rows, mixture) == pytest.approx(1, abs=0.02)
    nearest = means[torch.cdist(rows, means).argmin(1)]
    # all of them count at half the deviation: E r² is 2·(std/2)², over (2 − 9·e^(−9/2)/(1 − e^(−9/2)))·std²
    expected = math.sqrt(0.5 / (2 - 9 * math.exp(-4.5) / (1 - math.exp(-4.5))))
    assert relative_width((nearest + rows) / 2, mixture) == pytest.approx(expected, abs=0.02)
    assert relative_width(means, mixture) == 0
    assert math.isnan(relative_width(means + 1, mixture))


def test_what_cannot_be_measured_is_said():
    model = identity_model(DATA.spec)
    no_encoder = replace(model, networks=Networks(decoder=Same((2,))))
    no_decoder = replace(model, networks=Networks(encoder=Identity()))
    assert Reconstruction().obstacle(model) is Modes().obstacle(model) is None
    assert Reconstruction().obstacle(no_encoder) == "it has no encoder"
    assert Reconstruction().obstacle(no_decoder) == "it has no decoder"
    assert Modes().obstacle(no_encoder) is None
    assert Modes().obstacle(no_decoder) == "it has no decoder"
    assert Modes().obstacle(identity_model(Digits().spec)) == "the modes of its data are not known"


# The data behind the metrics


def test_mixture25_has_the_papers_means_and_spread_in_three_different_splits():
    splits = Mixture25(rows=100_000, held_out_rows=10_000).load(None)
    assert [len(split.x) for split in splits] == [100_000, 10_000, 10_000]
    means = torch.tensor([[x, y] for x in GRID for y in GRID])
    away = (splits.train.x - means[splits.train.labels]).double()
    assert abs(away.mean().item()) < 5 * 0.05 / 200_000**0.5
    assert away.var().item() == pytest.approx(0.0025, rel=5 * (2 / 200_000) ** 0.5)
    counts = torch.bincount(splits.train.labels, minlength=25)
    assert (counts - 4000).abs().max() < 5 * (100_000 * 0.04 * 0.96) ** 0.5
    assert not torch.equal(splits.validation.x, splits.test.x)
    assert not torch.equal(splits.train.x[:10_000], splits.validation.x)


def test_digits_are_split_by_class_and_keep_their_grey_values():
    splits = Digits().load(None)
    assert sum(len(split.x) for split in splits) == 1797
    shares = [torch.bincount(split.labels, minlength=10) / len(split.labels) for split in splits]
    assert all((share - shares[0]).abs().max() < 0.01 for share in shares)
    assert splits.train.x.shape[1:] == (1, 8, 8)
    assert set(splits.train.x.unique().tolist()) == {round(value * 255 / 16) for value in range(17)}


def test_distances_far_below_the_size_of_x_are_exact():
    source = torch.Generator().manual_seed(0)
    training = 4 + torch.rand(200, 2, generator=source)
    apart = 1e-4 * torch.arange(1, 102) / 51  # the median is that of the 51st: 1e-4
    rows = training[:101] + torch.stack([apart, torch.zeros(101)], dim=1)
    expected = torch.cdist(rows.double(), training.double(), compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    split, model = Split(rows, None), identity_model(DATA.spec)
    by_name = {
        score.metric: score.value
        for score in NearestNeighbour().measure(model, split, train=Split(training, None), seed=0)
    }
    assert by_name["nearest-neighbour/held-out"] == pytest.approx(expected.median().item(), rel=1e-4)
