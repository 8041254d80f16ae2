"""Batches: a function of seed and step, whether rows lie on the device or are read ahead of it."""

import numpy
import pytest
import torch

from genzoo.data.labels import condition, label_frequencies
from genzoo.games import StandardNormal
from genzoo.training.batches import RowNumbers, RowsAhead, Stream
from genzoo.types import DataSpec, Split

CLASSES = DataSpec(shape=(1, 4, 4), support="unit", class_names=tuple("abcde"))
ATTRIBUTES = DataSpec(shape=(1, 4, 4), support="unit", attributes=("p", "q", "r"))
PLAIN = DataSpec(shape=(1, 4, 4), support="unit")
ROWS = 23
CPU = torch.device("cpu")


def split_of(spec):
    source = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (ROWS, *spec.shape), dtype=torch.uint8, generator=source)
    if spec.class_names:
        return Split(x, torch.randint(0, 5, (ROWS,), generator=source))
    return Split(x, torch.randint(0, 2, (ROWS, 3), dtype=torch.uint8, generator=source) if spec.attributes else None)


def stream_of(spec, *, ahead, seed=3):
    return Stream(
        split_of(spec),
        spec,
        batch_size=5,
        prior=StandardNormal(),
        latent=2,
        seed=seed,
        device=CPU,
        ahead=ahead,
    )


def equal(left, right):
    return all(torch.equal(a, b) if torch.is_tensor(a) else a == b for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("spec", [CLASSES, ATTRIBUTES, PLAIN], ids=["classes", "attributes", "plain"])
def test_rows_read_ahead_are_those_on_the_device(spec):
    near, far = stream_of(spec, ahead=False), stream_of(spec, ahead=True)
    for step in range(13):  # into the third epoch of five batches
        assert equal(near.batch(step), far.batch(step))


def test_reading_ahead_may_begin_and_jump_anywhere():
    near, far = stream_of(CLASSES, ahead=False), stream_of(CLASSES, ahead=True)
    for step in (7, 8, 2, 3, 40, 4, 5, 4):
        assert equal(near.batch(step), far.batch(step))


def test_the_rows_of_the_next_steps_are_read_before_they_are_asked_for():
    read = []
    numbers = RowNumbers(stream_of(PLAIN, ahead=True).order, CPU)
    rows = RowsAhead(split_of(PLAIN), numbers, CPU, steps=3)
    original = rows._read
    rows._read = lambda step: (read.append(step), original(step))[1]
    rows.take(0)
    rows._reader.submit(lambda: None).result()
    assert read == [0, 1, 2]
    rows.take(1)
    rows._reader.submit(lambda: None).result()
    assert read == [0, 1, 2, 3]


def test_every_row_comes_once_per_epoch_and_the_last_partial_batch_is_kept():
    stream = stream_of(PLAIN, ahead=True)
    batches = [stream.batch(step).x for step in range(stream.order.steps_per_epoch)]
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    found = sorted(map(tuple, torch.cat(batches).mul(255).round().long().flatten(1).tolist()))
    assert found == sorted(map(tuple, split_of(PLAIN).x.long().flatten(1).tolist()))


def test_conditions_are_one_hot_classes_or_the_attributes_themselves():
    labels = split_of(CLASSES).labels
    y = condition(labels, CLASSES)
    assert y.tolist() == numpy.eye(5)[labels.numpy()].tolist()
    attributes = split_of(ATTRIBUTES).labels
    assert condition(attributes, ATTRIBUTES).tolist() == attributes.tolist()
    assert condition(None, PLAIN) is None


def test_frequencies_count_classes_and_attributes():
    labels = torch.tensor([0, 0, 3, 4])
    assert label_frequencies(labels, CLASSES) == [0.5, 0, 0, 0.25, 0.25]
    assert label_frequencies(torch.tensor([[1, 0, 1], [1, 0, 0]], dtype=torch.uint8), ATTRIBUTES) == [1, 0, 0.5]
    assert label_frequencies(None, PLAIN) is None


# What a batch holds


def numbered(*, seed=0, rows=22, batch_size=8, labels=None):
    split = Split(torch.arange(2.0 * rows).view(rows, 2), labels)
    spec = DataSpec(shape=(2,), support="real", class_names=("even", "odd"))
    return Stream(split, spec, batch_size=batch_size, prior=StandardNormal(), latent=2, seed=seed, device=CPU)


def rows_of(batch):
    return (batch.x[:, 0] / 2).long().tolist()


@pytest.mark.parametrize(("rows", "batch_size", "sizes"), [(22, 8, [8, 8, 6]), (24, 8, [8, 8, 8]), (5, 8, [5])])
def test_every_row_occurs_once_per_epoch_and_the_last_partial_batch_is_kept(rows, batch_size, sizes):
    stream = numbered(rows=rows, batch_size=batch_size)
    assert (stream.order.steps_per_epoch, stream.smallest_batch) == (len(sizes), sizes[-1])
    for epoch in range(3):
        batches = [stream.batch(epoch * len(sizes) + position) for position in range(len(sizes))]
        assert [len(batch.x) for batch in batches] == sizes
        assert [len(batch.z) for batch in batches] == [len(batch.noise) for batch in batches] == sizes
        assert sorted(row for batch in batches for row in rows_of(batch)) == list(range(rows))


def epoch_order(stream, epoch):
    return [row for position in range(3) for row in rows_of(stream.batch(3 * epoch + position))]


def test_the_order_is_a_function_of_seed_and_epoch():
    walked, asked = numbered(), numbered()
    orders = [epoch_order(walked, epoch) for epoch in range(4)]
    assert epoch_order(asked, 3) == orders[3]
    assert epoch_order(asked, 1) == orders[1]
    assert len({tuple(order) for order in orders}) == 4
    assert epoch_order(numbered(seed=1), 0) != orders[0]
    assert all(order != sorted(order) for order in orders)


def test_a_batch_is_a_function_of_seed_and_step():
    walked, asked = numbered(), numbered()
    walk = [walked.batch(step) for step in range(7)]
    for step in (6, 0, 4, 4):
        found = asked.batch(step)
        assert all(torch.equal(a, b) for a, b in zip(found[:3], walk[step][:3], strict=True))
    draws = [batch.z[0].tolist() for batch in walk] + [batch.noise[0].tolist() for batch in walk]
    assert len({tuple(draw) for draw in draws}) == 14
    assert not torch.equal(numbered(seed=1).batch(0).z, walk[0].z)


def test_prior_draws_and_noise_are_standard_normal():
    stream = numbered(rows=500, batch_size=500)
    draws = torch.cat([torch.cat([batch.z, batch.noise]) for batch in (stream.batch(step) for step in range(50))])
    # 100,000 draws: five standard errors of the mean and of the variance
    assert abs(draws.mean().item()) < 5 / 100_000**0.5
    assert abs(draws.var().item() - 1) < 5 * (2 / 100_000) ** 0.5


def test_labels_travel_with_their_rows():
    labels = torch.arange(22) % 2
    batch = numbered(labels=labels).batch(1)
    assert batch.y.tolist() == [[1.0, 0.0] if row % 2 == 0 else [0.0, 1.0] for row in rows_of(batch)]
    assert numbered().batch(1).y is None


def test_images_stored_as_bytes_are_divided_by_255():
    spec = DataSpec(shape=(1, 8, 8), support="unit")
    stored = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    stream = Stream(Split(stored), spec, batch_size=3, prior=StandardNormal(), latent=2, seed=0, device=CPU)
    x = stream.batch(0).x
    assert x.dtype == torch.float32
    assert sorted(x[:, 0, 0, 0].tolist()) == pytest.approx([0.0, 0.2, 1.0])
