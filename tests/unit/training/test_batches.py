"""Batches: the same function of (seed, step), whether rows lie on the device or are read ahead of it."""

import numpy
import pytest
import torch

from genzoo.data.labels import condition, label_frequencies
from genzoo.games import StandardNormal
from genzoo.training.batches import RowsAhead, Stream
from genzoo.types import DataSpec, Split

CLASSES = DataSpec(shape=(1, 4, 4), support="unit", class_names=tuple("abcde"))
ATTRIBUTES = DataSpec(shape=(1, 4, 4), support="unit", attributes=("p", "q", "r"))
PLAIN = DataSpec(shape=(1, 4, 4), support="unit")
ROWS = 23


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
        device=torch.device("cpu"),
        ahead=ahead,
    )


def equal(left, right):
    return all((a is None and b is None) or torch.equal(a, b) for a, b in zip(left, right, strict=True))


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
    rows = RowsAhead(split_of(PLAIN), stream_of(PLAIN, ahead=True).order, torch.device("cpu"), steps=3)
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
