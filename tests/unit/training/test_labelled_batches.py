"""Batches of few labels: rows as they fall, or a fixed number of labelled ones first."""

from dataclasses import replace

import pytest
import torch
from toy_components import TRAINING, Classifier, Conditional, ToyMixture
from trainers import CPU, goes_on_bitwise, settings_of, trainer_of, trainer_on, unlike_alone

from genzoo import SettingsError
from genzoo.data.labels import with_few_labels
from genzoo.games import StandardNormal
from genzoo.training.batches import Stream
from genzoo.training.distributed import SingleProcess
from genzoo.types import DataSpec, Split

SPEC = DataSpec(shape=(1,), support="real", class_names=("a", "b", "c"))
ROWS = 32
SPLIT = with_few_labels(
    Split(torch.arange(float(ROWS)).view(ROWS, 1), torch.arange(ROWS).remainder(3)), SPEC, labels=9, seed=1
)
USABLE = {row for row in range(ROWS) if SPLIT.labels[row] >= 0}


class Part(SingleProcess):
    """One of several ranks, alone in its process."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size


def stream(*, labelled_rows=0, few_labels=True, ahead=False, batch_size=10, ranks=None, seed=3):
    return Stream(
        SPLIT,
        SPEC,
        batch_size=batch_size,
        prior=StandardNormal(),
        latent=2,
        seed=seed,
        device=CPU,
        ahead=ahead,
        ranks=ranks,
        few_labels=few_labels,
        labelled_rows=labelled_rows,
    )


def rows_of(batch):
    return [int(row) for row in batch.x[:, 0]]


def same(left, right):
    return all(torch.equal(a, b) if torch.is_tensor(a) else a == b for a, b in zip(left, right, strict=True))


def test_without_few_labels_a_batch_says_nothing_of_them():
    assert stream(few_labels=False).batch(0).labelled is None


def test_rows_as_they_fall_are_those_of_a_stream_with_all_labels_and_say_which_may_be_used():
    plain, few = stream(few_labels=False), stream()
    for step in range(9):
        batch = few.batch(step)
        expected = plain.batch(step)
        assert all(torch.equal(getattr(batch, part), getattr(expected, part)) for part in ("x", "z", "noise"))
        assert batch.labelled.dtype == torch.bool
        assert batch.labelled.tolist() == [row in USABLE for row in rows_of(batch)]
        assert torch.equal(batch.y.sum(1), batch.labelled.float())
        assert all(batch.y[i].argmax() == row % 3 for i, row in enumerate(rows_of(batch)) if row in USABLE)


@pytest.mark.parametrize("ahead", [False, True], ids=["on the device", "read ahead"])
@pytest.mark.parametrize("labelled_rows", [1, 4, 9])
def test_labelled_rows_come_first_from_permutations_of_their_own(labelled_rows, ahead):
    drawn, others = [], []
    batches = stream(labelled_rows=labelled_rows, ahead=ahead)
    for step in range(4 * 9):
        batch = batches.batch(step)
        rows = rows_of(batch)
        assert batch.labelled.tolist() == [True] * labelled_rows + [False] * (len(rows) - labelled_rows)
        assert torch.equal(batch.y.sum(1), batch.labelled.float())
        assert len(batch.z) == len(batch.noise) == len(rows)
        drawn += rows[:labelled_rows]
        others.append(rows[labelled_rows:])
    permutations = [drawn[start : start + 9] for start in range(0, len(drawn), 9)]
    assert all(set(permutation) == USABLE for permutation in permutations)
    assert len({tuple(permutation) for permutation in permutations}) == len(permutations)
    epoch = -(-ROWS // (10 - labelled_rows))
    assert sorted(row for part in others[:epoch] for row in part) == list(range(ROWS))


def test_more_labelled_rows_than_labels_are_drawn_again_and_again():
    batch = stream(labelled_rows=20, batch_size=30).batch(1)
    counts = [rows_of(batch)[:20].count(row) for row in USABLE]
    assert sum(counts) == 20
    assert set(counts) <= {1, 2, 3}


def test_rows_read_ahead_are_those_on_the_device_and_a_batch_is_a_function_of_seed_and_step():
    near, far = stream(labelled_rows=4), stream(labelled_rows=4, ahead=True)
    for step in (0, 1, 2, 17, 5, 6, 3):
        assert same(near.batch(step), far.batch(step))
    assert same(stream(labelled_rows=4).batch(6), near.batch(6))
    assert not same(stream(labelled_rows=4, seed=4).batch(6), near.batch(6))


def test_the_smallest_batch_counts_its_labelled_rows():
    batches = stream(labelled_rows=3)
    sizes = [len(batches.batch(step).x) for step in range(batches.order.steps_per_epoch)]
    assert sizes == [10, 10, 10, 10, 3 + 4]
    assert batches.smallest_batch == 7


@pytest.mark.parametrize("ahead", [False, True], ids=["on the device", "read ahead"])
def test_every_rank_has_its_share_of_the_labelled_rows_and_of_the_others(ahead):
    settings = {"labelled_rows": 4, "batch_size": 12, "ahead": ahead}
    alone = stream(**settings)
    parts = [stream(ranks=Part(rank, 2), **settings) for rank in range(2)]
    for step in (0, 1, 2, 3, 1):
        whole, shares = alone.batch(step), [part.batch(step) for part in parts]
        for name in ("x", "z", "noise", "y", "labelled"):
            first, second = (getattr(share, name) for share in shares)
            assert len(first) == len(second) == 6
            joined = torch.cat([first[:2], second[:2], first[2:], second[2:]])
            assert torch.equal(joined, getattr(whole, name)), name


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"labelled_rows": 10}, "labelled_rows is 10, expected fewer than training.batch_size, 10"),
        ({"labelled_rows": 4, "few_labels": False}, "labelled_rows is 4, and training.labels is none"),
        ({"labelled_rows": 3, "ranks": Part(0, 2)}, "labelled_rows is 3, which cannot be divided evenly among 2 ranks"),
    ],
    ids=["whole batch", "all labels", "ranks"],
)
def test_labelled_rows_that_cannot_be_had_are_refused(settings, says):
    with pytest.raises(SettingsError, match=says):
        stream(**settings)


FEW = replace(TRAINING, labels=18, labelled_rows=6)
DATA = ToyMixture(rows=200)


def few_trainer(seed=3, training=FEW):
    return trainer_of(Classifier(), dataset=DATA, training=training, seed=seed)


def test_a_trainer_hides_labels_though_its_split_has_all():
    whole = DATA.load(None).train
    assert (few_trainer().stream.split.labels >= 0).sum() == 18
    assert (whole.labels >= 0).all()
    training = replace(FEW, labelled_rows=0)
    marked = sum(few_trainer(training=training).stream.batch(step).labelled.sum().item() for step in range(13))
    assert marked == 18  # an epoch of 200 rows in batches of 16


def test_a_restored_training_of_few_labels_goes_on_bitwise():
    assert goes_on_bitwise(few_trainer, stop=4, steps=6)


def test_replicas_with_few_labels_are_the_trainings_they_would_be_alone():
    assert unlike_alone(few_trainer, steps=3, rtol=1e-9, atol=1e-12) == []


def test_a_conditional_game_refuses_few_labels():
    with pytest.raises(SettingsError, match=r"toy-conditional is given y in every row.*\n.*needs all labels"):
        trainer_of(Conditional(), dataset=DATA, training=replace(TRAINING, labels=18))


def test_more_labels_than_the_data_have_are_refused_before_training():
    settings = settings_of(Classifier(), dataset=replace(DATA, rows=18), training=replace(TRAINING, labels=90))
    with pytest.raises(SettingsError, match=r"training\.labels is 90"):
        trainer_on(settings)


@pytest.mark.parametrize(("name", "value"), [("labels", 0), ("label_seed", -1), ("labelled_rows", -1)])
def test_settings_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}, expected at least"):
        replace(TRAINING, **{name: value})
