"""Few labels: which rows keep theirs, and that hidden ones count nowhere."""

import pytest
import torch

from genzoo import SettingsError
from genzoo.data.labels import condition, label_frequencies, labelled_part, with_few_labels
from genzoo.types import DataSpec, Split

ABC = DataSpec(shape=(2,), support="real", class_names=("a", "b", "c"))
LABELS = torch.arange(30).remainder(5).remainder(3)  # twelve of a, twelve of b, six of c
SPLIT = Split(torch.arange(60.0).view(30, 2), LABELS)


def few(labels, *, seed=0, split=SPLIT, spec=ABC):
    return with_few_labels(split, spec, labels=labels, seed=seed)


@pytest.mark.parametrize("labels", [3, 9, 18])
def test_every_class_keeps_equally_many_labels_and_the_others_are_hidden(labels):
    hidden = few(labels)
    assert hidden.x is SPLIT.x
    assert hidden.labels.dtype == torch.int64
    assert [(hidden.labels == number).sum().item() for number in (-1, 0, 1, 2)] == [30 - labels] + [labels // 3] * 3
    usable = hidden.labels >= 0
    assert torch.equal(hidden.labels[usable], LABELS[usable])
    assert torch.equal(SPLIT.labels, LABELS)


def test_the_choice_is_a_function_of_its_seed_and_grows_with_the_number():
    assert torch.equal(few(9).labels, few(9).labels)
    draws = {tuple(few(9, seed=seed).labels.tolist()) for seed in range(20)}
    assert len(draws) == 20
    assert ((few(9).labels < 0) | (few(18).labels >= 0)).all()


def test_hiding_what_is_hidden_already_changes_nothing():
    assert torch.equal(few(9, split=few(9)).labels, few(9).labels)


def test_the_choice_is_the_first_of_every_class_in_a_permutation():
    # each row alone is among the first three of its class with probability 3/12, or 3/6 for class c
    kept = torch.stack([few(9, seed=seed).labels >= 0 for seed in range(2000)]).double().mean(0)
    for row, share in enumerate(kept.tolist()):
        expected = 3 / 12 if LABELS[row] < 2 else 3 / 6
        assert abs(share - expected) < 5 * (expected * (1 - expected) / 2000) ** 0.5


@pytest.mark.parametrize(
    ("labels", "split", "spec", "says"),
    [
        (10, SPLIT, ABC, "training.labels is 10, which cannot be equally many of each of 3 classes\n.*: 9 or 12"),
        (2, SPLIT, ABC, "cannot be equally many of each of 3 classes\n.*: 3"),
        (21, SPLIT, ABC, "21, 7 of each of 3 classes, and class c has 6\nthe most that all classes have: 18"),
        (3, Split(SPLIT.x), ABC, "these data have no classes"),
        (
            2,
            Split(SPLIT.x, torch.ones(30, 2)),
            DataSpec(shape=(2,), support="real", attributes=("p", "q")),
            "no classes",
        ),
    ],
    ids=["no multiple", "fewer than classes", "too many", "no labels", "attributes"],
)
def test_a_number_that_the_data_cannot_give_is_refused(labels, split, spec, says):
    with pytest.raises(SettingsError, match=says) as refused:
        few(labels, split=split, spec=spec)
    assert refused.value.exit_code == 2


def test_a_hidden_label_is_the_zero_vector_as_a_condition():
    y = condition(torch.tensor([2, -1, 0]), ABC)
    assert y.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert y.dtype == torch.float32
    for wrong in (3, -2):
        with pytest.raises((IndexError, RuntimeError)):
            condition(torch.tensor([wrong]), ABC)


def test_hidden_labels_are_left_out_of_frequencies_and_of_the_labelled_part():
    hidden = few(9)
    assert label_frequencies(hidden.labels, ABC) == pytest.approx([1 / 3] * 3)
    assert label_frequencies(LABELS, ABC) == pytest.approx([0.4, 0.4, 0.2])
    part = labelled_part(hidden)
    assert torch.equal(part.x, SPLIT.x[hidden.labels >= 0])
    assert part.labels.min() == 0
    for whole in (SPLIT, Split(SPLIT.x), Split(SPLIT.x, torch.ones(30, 2, dtype=torch.uint8))):
        assert labelled_part(whole) is whole
