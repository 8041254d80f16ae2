"""Prepared images are compared with their hashes when they are first read, block by block, and only then."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy
import pytest
import torch
from preparations import SHAPE, TRANSFORM, flip, make, marked, pictures

from genzoo.data import checked_rows, prepared_card
from genzoo.data.dataset import as_input
from genzoo.data.prepared import PreparedDataset
from genzoo.data.prepared_card import CARD, IMAGES, LABELS
from genzoo.errors import UnreadableError
from genzoo.storage import files
from genzoo.training.batches import EpochOrder, RowNumbers, RowsAhead, RowsOnDevice
from genzoo.types import DataSpec

ROWS = 30
TRAIN = 18
"""Of the 30 rows; 6 are for validation and 6 for testing."""


@dataclass(frozen=True, kw_only=True)
class Toy(PreparedDataset):
    """The rows of `marked`, prepared."""

    name: ClassVar[str] = "toy"
    origin: ClassVar[str] = "nowhere"
    spec: ClassVar[DataSpec] = DataSpec(shape=SHAPE, support="unit", class_names=("a", "b"))
    transform: ClassVar[object] = TRANSFORM

    def contents(self, source):
        raise NotImplementedError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a folder of data sets with a prepared one, in blocks of 4 rows."""
    monkeypatch.setattr(prepared_card, "_BLOCK_BYTES", 4 * 60)
    make(marked(tmp_path / "marks"), tmp_path / "toy")
    return tmp_path


def invert(root, row):
    """Invert every bit of a row of the file."""
    path = root / "toy" / IMAGES
    content = bytearray(path.read_bytes())
    start = len(content) - (ROWS - row) * 60
    content[start : start + 60] = bytes(255 - byte for byte in content[start : start + 60])
    path.write_bytes(content)


READS = {
    "a slice, as a network reads it": lambda x: as_input(x[0:10]),
    "a row": lambda x: x[9].clone(),
    "a negative row": lambda x: x[-9].clone(),
    "rows by number": lambda x: x.index_select(0, torch.tensor([3, 9])),
    "rows by index": lambda x: x[torch.tensor([3, 9])],
    "everything": lambda x: x.to(torch.float64),
    "an array": lambda x: x.numpy(),
    "an array, asked of numpy": lambda x: numpy.asarray(x),
    "a list of tensors": lambda x: torch.cat([x, x]),
    "a mean": lambda x: x.double().mean(),
    "a copy": lambda x: x.clone(),
    "a view": lambda x: x.flatten(1),
}


@pytest.mark.parametrize("read", READS)
def test_whoever_reads_damaged_rows_is_told_which(root, read):
    whole = READS[read](Toy().load(root).train.x)
    assert type(whole) in (torch.Tensor, numpy.ndarray)
    expected = READS[read](torch.from_numpy(pictures(range(TRAIN))))
    assert numpy.array_equal(numpy.asarray(whole), numpy.asarray(expected))
    invert(root, 9)
    with pytest.raises(UnreadableError, match=r"images\.safetensors is damaged: rows 8 to 11 are other bytes") as told:
        READS[read](Toy().load(root).train.x)
    assert "--replace" in told.value.remedy


def test_rows_beside_a_damaged_block_are_read(root):
    invert(root, 9)
    x = Toy().load(root).train.x
    assert torch.equal(x[0:8].clone(), torch.from_numpy(pictures(range(8))))
    rows = torch.tensor([17, 2, 12])
    assert torch.equal(x.index_select(0, rows), torch.from_numpy(pictures([17, 2, 12])))


def test_rows_of_a_later_split_are_counted_from_their_own_first(root):
    invert(root, 29)
    splits = Toy().load(root)
    assert torch.equal(splits.validation.x.clone(), torch.from_numpy(pictures(range(18, 24))))
    assert torch.equal(splits.test.x.index_select(0, torch.tensor([0, 1])), torch.from_numpy(pictures([24, 25])))
    with pytest.raises(UnreadableError, match="rows 28 to 29"):
        splits.test.x.index_select(0, torch.tensor([5]))


def test_a_block_is_hashed_once_and_none_before_it_is_read(root, monkeypatch):
    hashed = []
    check = checked_rows.hashlib.sha256
    monkeypatch.setattr(checked_rows.hashlib, "sha256", lambda content: hashed.append(len(content)) or check(content))
    x = Toy().load(root).train.x
    hashed.clear()  # those of card and labels
    assert (len(x), tuple(x.shape), x.dtype, x.nbytes) == (TRAIN, (TRAIN, *SHAPE), torch.uint8, TRAIN * 60)
    part = x[2:10].to(torch.device("cpu"))
    assert hashed == []
    for _ in range(2):
        part.index_select(0, torch.tensor([0, 1]))  # rows 2 and 3, of the first block
        assert len(hashed) == 1
    part.float()
    assert len(hashed) == 3


@pytest.mark.parametrize("reader", [RowsOnDevice, RowsAhead])
def test_a_training_ends_at_the_first_batch_with_other_bytes(root, reader):
    invert(root, 0)
    split = Toy().load(root).train
    order = EpochOrder(TRAIN, batch_size=2, seed=0)
    rows = reader(split, RowNumbers(order, torch.device("cpu")), torch.device("cpu"))
    first = next(step for step in range(9) if bool((RowNumbers(order, torch.device("cpu")).of(step) < 4).any()))
    for step in range(first):
        rows.take(step)
    with pytest.raises(UnreadableError, match="rows 0 to 3"):
        rows.take(first)


def test_damaged_labels_are_refused_before_they_are_used(root):
    flip(root / "toy" / LABELS)
    with pytest.raises(UnreadableError, match=r"labels\.safetensors is damaged"):
        Toy().load(root)


def test_a_set_that_was_prepared_before_blocks_were_hashed_is_read_as_it_is(root):
    card = files.read_sealed(root / "toy" / CARD, "a card")
    del card["blocks"]
    files.write_sealed(root / "toy" / CARD, card)
    x = Toy().load(root).train.x
    assert type(x) is torch.Tensor
    assert torch.equal(x, torch.from_numpy(pictures(range(TRAIN))))
    contents = marked(root / "marks")
    assert make(contents, root / "toy") == card
    assert "blocks" in make(contents, root / "toy", replace=True)


@pytest.mark.parametrize(
    "blocks", [5, {}, {"rows": 0, "sha256": ""}, {"rows": 4, "sha256": "0"}, {"rows": "4", "sha256": ""}, None]
)
def test_hashes_that_cannot_be_those_of_the_rows_are_told(root, blocks):
    card = files.read_sealed(root / "toy" / CARD, "a card")
    files.write_sealed(root / "toy" / CARD, json.loads(json.dumps(card | {"blocks": blocks})))
    with pytest.raises(UnreadableError, match="blocks is missing or wrong"):
        Toy().load(root)


def test_a_large_set_has_so_many_hashes_that_its_card_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared_card, "_MOST_BLOCKS", 4)
    path = tmp_path / "rows"
    path.write_bytes(b"header" + bytes(range(30)))
    whole, blocks = prepared_card.hash_rows(path, rows=30, row_bytes=1)
    assert whole == files.sha256_of(path)
    monkeypatch.setattr(prepared_card, "_BLOCK_BYTES", 1)
    _, blocks = prepared_card.hash_rows(path, rows=30, row_bytes=1)
    assert (blocks.rows, len(blocks.sha256)) == (8, 4 * prepared_card.HASH_LENGTH)
    assert 2**15 * (prepared_card.HASH_LENGTH + 1) < files.JSON_LIMIT
