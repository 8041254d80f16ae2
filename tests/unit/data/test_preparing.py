"""Preparing in one process: images become one file that is there whole or not at all, whatever interrupts it."""

import errno
import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from photographs import write_pngs
from PIL import Image
from preparations import (
    ABOUT,
    SHAPE,
    Stopped,
    fail,
    flip,
    image_contents,
    make,
    marked,
    names,
    pictures,
    reads,
    stop_at,
    tensors,
)
from safetensors import safe_open

from genzoo.data import PreparedDataset, decoding, staging
from genzoo.data.prepared_card import CARD, IMAGES, LABELS, NAMES, read_card, verify_prepared
from genzoo.errors import ResourceError, SettingsError, UnreadableError
from genzoo.storage import files
from genzoo.types import DataSpec


class Toy(PreparedDataset):
    """The data set that is prepared as `toy`."""

    name = "toy"
    transform = None

    @property
    def spec(self):
        return DataSpec(shape=SHAPE, support="unit")

    def contents(self, source):
        raise NotImplementedError


# What is made


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("jobs", [1, None])
def test_the_images_are_the_sources_in_their_order(tmp_path, rows, jobs):
    wanted, pixels = write_pngs(tmp_path / "source")
    make(image_contents(tmp_path / "source", wanted, rows=rows), tmp_path / "toy", jobs=jobs if rows > 1 else 1)
    images, labels = tensors(tmp_path / "toy")
    assert images.dtype == numpy.uint8
    assert numpy.array_equal(images, pixels)
    assert labels.tolist() == list(range(10))
    assert names(tmp_path / "toy") == [CARD, IMAGES, LABELS]
    assert names(tmp_path) == [".toy.lock", "source", "toy"]


def test_the_card_says_what_is_there_and_where_it_came_from(tmp_path):
    wanted, _ = write_pngs(tmp_path / "source")
    card = make(image_contents(tmp_path / "source", wanted), tmp_path / "toy")
    assert card["splits"] == {"train": [0, 6], "validation": [6, 8], "test": [8, 10]}
    assert card["left_out"] == {"count": 0, "names": []}
    assert (card["shape"], card["class_names"]) == (list(SHAPE), [])
    assert {key: card[key] for key in ABOUT} == ABOUT
    for name in (IMAGES, LABELS):
        content = (tmp_path / "toy" / name).read_bytes()
        assert card["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert read_card(tmp_path / "toy") == card
    verify_prepared(tmp_path / "toy")


def test_the_names_of_files_are_kept_in_the_order_of_the_rows_without_those_left_out(tmp_path):
    wanted, _ = write_pngs(tmp_path / "source")
    odd = os.fsdecode(b"\xff\n.png")
    os.rename(tmp_path / "source" / wanted[2], tmp_path / "source" / odd)
    wanted[2] = odd
    (tmp_path / "source" / wanted[7]).write_bytes(b"broken")
    contents = replace(image_contents(tmp_path / "source", wanted), names=wanted)
    card = make(contents, tmp_path / "toy", skip_corrupt=True)
    lines = (tmp_path / "toy" / NAMES).read_text(encoding="ascii").splitlines()
    assert [json.loads(line) for line in lines] == [*wanted[:7], *wanted[8:]]
    assert set(card["files"]) == {IMAGES, LABELS, NAMES}
    verify_prepared(tmp_path / "toy")
    parts = [Toy().file_names(tmp_path, split) for split in ("train", "validation", "test")]
    assert parts == [wanted[:6], wanted[6:7], wanted[8:]]


@pytest.mark.parametrize("content", [b'"a.png"\n', b"not JSON\n" * 10, b"3\n" * 10])
def test_names_that_are_not_those_of_the_rows_are_refused(tmp_path, content):
    wanted, _ = write_pngs(tmp_path / "source")
    make(replace(image_contents(tmp_path / "source", wanted), names=wanted), tmp_path / "toy")
    (tmp_path / "toy" / NAMES).write_bytes(content)
    card = files.read_sealed(tmp_path / "toy" / CARD, "a card")
    card["files"][NAMES]["bytes"] = len(content)
    files.write_sealed(tmp_path / "toy" / CARD, card)
    with pytest.raises(UnreadableError, match=NAMES):
        Toy().file_names(tmp_path, "train")


def test_a_set_without_names_has_none(tmp_path):
    make(marked(tmp_path / "marks"), tmp_path / "toy")
    assert Toy().file_names(tmp_path, "train") == []


def test_without_labels_there_is_no_file_of_them(tmp_path):
    card = make(marked(tmp_path / "marks", labels=False), tmp_path / "toy")
    assert list(card["files"]) == [IMAGES]
    assert names(tmp_path / "toy") == [CARD, IMAGES]
    verify_prepared(tmp_path / "toy")


def test_when_power_fails_the_journal_lists_no_block_whose_images_are_not_on_disk(tmp_path, monkeypatch):
    """A model of the disk: of a file that is written in place, what was last synchronised is found again."""
    real, on_disk, moments = os.fsync, {}, []
    staging_folder = tmp_path / ".toy.preparing"

    def sync(descriptor):
        real(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.name in (IMAGES, "done.jsonl"):
            on_disk[path.name] = path.read_bytes()
            moments.append({IMAGES: bytes(os.path.getsize(staging_folder / IMAGES)), **on_disk})

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(staging, "_SECONDS_BETWEEN_SYNCS", 0)
    plans = []
    report = lambda done, total: plans.append((staging_folder / "plan.json").read_bytes()) if done else None  # noqa: E731
    expected = make(marked(tmp_path / "marks"), tmp_path / "toy", report=report)
    monkeypatch.setattr(os, "fsync", real)
    assert len(moments) >= 20
    for number, found in enumerate(moments):
        place = tmp_path / str(number)
        (place / ".toy.preparing").mkdir(parents=True)
        for name, content in {**found, "plan.json": plans[0]}.items():
            (place / ".toy.preparing" / name).write_bytes(content)
        assert make(marked(tmp_path / "marks"), place / "toy")["files"] == expected["files"]


def test_the_images_are_mapped_and_not_read(tmp_path):
    make(marked(tmp_path / "marks"), tmp_path / "toy")
    with safe_open(tmp_path / "toy" / IMAGES, framework="pt") as file:
        images = file.get_tensor("images")
    assert str(tmp_path / "toy" / IMAGES) in Path("/proc/self/maps").read_text()
    assert numpy.array_equal(images[7:9].numpy(), pictures([7, 8]))


def test_one_process_and_two_make_the_same_file(tmp_path):
    wanted, _ = write_pngs(tmp_path / "source", 20)
    contents = image_contents(tmp_path / "source", wanted)
    cards = [make(contents, tmp_path / f"toy{jobs}", jobs=jobs) for jobs in (1, 2)]
    assert cards[0]["files"] == cards[1]["files"]


def test_the_report_counts_rows_up_to_all(tmp_path):
    counts = []
    make(marked(tmp_path / "marks", (2, 3, 4)), tmp_path / "toy", report=lambda *count: counts.append(count))
    assert counts == [(0, 9), (2, 9), (5, 9), (9, 9)]


def test_what_is_prepared_already_is_not_decoded_again(tmp_path, monkeypatch):
    wanted, _ = write_pngs(tmp_path / "source")
    contents = image_contents(tmp_path / "source", wanted)
    card = make(contents, tmp_path / "toy")
    before = (tmp_path / "toy" / IMAGES).stat()
    monkeypatch.setattr(decoding.Image, "open", fail(errno.EIO))
    assert make(contents, tmp_path / "toy") == card
    assert (tmp_path / "toy" / IMAGES).stat() == before


# Sources that change


def test_a_changed_source_replaces_what_is_there_only_if_told_to(tmp_path):
    wanted, pixels = write_pngs(tmp_path / "source")
    card = make(image_contents(tmp_path / "source", wanted), tmp_path / "toy")
    changed = 255 - pixels[3]
    Image.fromarray(changed.transpose(1, 2, 0)).save(tmp_path / "source" / wanted[3])
    contents = image_contents(tmp_path / "source", wanted)
    with pytest.raises(SettingsError, match="was prepared from something else") as caught:
        make(contents, tmp_path / "toy")
    assert caught.value.exit_code == 2
    assert "--replace" in caught.value.remedy
    assert read_card(tmp_path / "toy") == card
    assert numpy.array_equal(tensors(tmp_path / "toy")[0], pixels)
    replaced = make(contents, tmp_path / "toy", replace=True)
    assert replaced["fingerprint"] != card["fingerprint"]
    assert numpy.array_equal(tensors(tmp_path / "toy")[0][3], changed)
    assert names(tmp_path) == [".toy.lock", "source", "toy"]


def test_other_settings_or_other_splits_are_something_else(tmp_path):
    contents = marked(tmp_path / "marks")
    make(contents, tmp_path / "toy")
    with pytest.raises(SettingsError):
        make(contents, tmp_path / "toy", about={**ABOUT, "images": "otherwise"})
    with pytest.raises(SettingsError):
        make(replace(contents, splits={"train": 30, "validation": 0, "test": 0}), tmp_path / "toy")


def test_while_something_is_replaced_the_former_is_there_until_the_end(tmp_path):
    make(marked(tmp_path / "marks"), tmp_path / "toy")
    with pytest.raises(Stopped):
        make(marked(tmp_path / "marks", identity="two"), tmp_path / "toy", replace=True, report=stop_at(30))
    verify_prepared(tmp_path / "toy")


def test_a_folder_that_nobody_prepared_is_not_replaced(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "thesis.txt").write_text("three years of work")
    for more in ({}, {"replace": True}):
        with pytest.raises((SettingsError, UnreadableError)):
            make(marked(tmp_path / "marks"), tmp_path / "toy", **more)
    assert (tmp_path / "toy" / "thesis.txt").read_text() == "three years of work"


# Images that cannot be read


def test_images_that_cannot_be_read_are_counted_and_named(tmp_path):
    wanted, _ = write_pngs(tmp_path / "source")
    (tmp_path / "source" / wanted[4]).write_bytes(b"<html>gone</html>")
    (tmp_path / "source" / wanted[8]).write_bytes(b"")
    with pytest.raises(UnreadableError) as caught:
        make(image_contents(tmp_path / "source", wanted), tmp_path / "toy")
    assert caught.value.exit_code == 3
    assert caught.value.found.startswith("2 of 10 images cannot be read: 0004.png: not an image")
    assert "0008.png: not an image" in caught.value.found
    assert "--skip-corrupt" in caught.value.remedy
    assert not (tmp_path / "toy").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_leaving_them_out_needs_no_image_decoded_again(tmp_path, jobs):
    contents = marked(tmp_path / "marks", faulty=(0, 5, 17, 18, 29))
    with pytest.raises(UnreadableError, match="5 of 30 images"):
        make(contents, tmp_path / "toy", jobs=jobs)
    assert reads(tmp_path / "marks") == list(range(10))
    card = make(contents, tmp_path / "toy", jobs=jobs, skip_corrupt=True)
    assert reads(tmp_path / "marks") == list(range(10))
    kept = [row for row in range(30) if row not in (0, 5, 17, 18, 29)]
    images, labels = tensors(tmp_path / "toy")
    assert labels.tolist() == kept
    assert numpy.array_equal(images, pictures(kept))
    assert card["splits"] == {"train": [0, 15], "validation": [15, 20], "test": [20, 25]}  # 18 − 3, 6 − 1, 6 − 1
    assert card["left_out"] == {"count": 5, "names": [f"{row}.png" for row in (0, 5, 17, 18, 29)]}
    assert names(tmp_path / "toy") == [CARD, IMAGES, LABELS]
    verify_prepared(tmp_path / "toy")


def test_what_was_prepared_without_them_is_what_is_asked_for_without_a_word_on_them(tmp_path):
    contents = marked(tmp_path / "marks", faulty=(4,))
    card = make(contents, tmp_path / "toy", skip_corrupt=True)
    assert make(contents, tmp_path / "toy", skip_corrupt=True) == card


def test_images_that_could_not_be_read_for_a_while_are_read_again(tmp_path):
    wanted, pixels = write_pngs(tmp_path / "source")
    contents = image_contents(tmp_path / "source", wanted)
    os.rename(tmp_path / "source", tmp_path / "unplugged")
    with pytest.raises(UnreadableError, match="10 of 10 images cannot be read"):
        make(contents, tmp_path / "toy")
    os.rename(tmp_path / "unplugged", tmp_path / "source")
    make(contents, tmp_path / "toy")
    assert numpy.array_equal(tensors(tmp_path / "toy")[0], pixels)


def test_however_many_cannot_be_read_all_are_counted_and_some_named(tmp_path):
    contents = marked(tmp_path / "marks", (40,) * 4, faulty=range(5, 155))
    with pytest.raises(UnreadableError) as caught:
        make(contents, tmp_path / "toy")
    assert caught.value.found == (
        "150 of 160 images cannot be read: 5.png: broken; 6.png: broken; 7.png: broken; and 147 more"
    )
    left_out = make(contents, tmp_path / "toy", skip_corrupt=True)["left_out"]
    assert left_out == {"count": 150, "names": [f"{row}.png" for row in range(5, 105)]}
    assert tensors(tmp_path / "toy")[1].tolist() == [*range(5), *range(155, 160)]


def test_a_data_set_of_which_nothing_can_be_read_is_none(tmp_path):
    contents = marked(tmp_path / "marks", (2, 2), faulty=range(4))
    with pytest.raises(UnreadableError, match="4 of 4 images cannot be read"):
        make(contents, tmp_path / "toy", skip_corrupt=True)
    assert not (tmp_path / "toy").exists()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_is_kept_is_what_can_be_read_in_order(data):
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    rows = sum(sizes)
    faulty = data.draw(st.sets(st.integers(0, rows - 1)))
    stops = data.draw(st.lists(st.integers(1, rows), max_size=2))
    kept = [row for row in range(rows) if row not in faulty]
    assume(kept)
    with tempfile.TemporaryDirectory() as folder:
        contents = marked(Path(folder) / "marks", sizes, faulty=tuple(faulty))
        for stop in stops:
            with pytest.raises(Stopped):
                make(contents, Path(folder) / "toy", report=stop_at(stop))
        card = make(contents, Path(folder) / "toy", skip_corrupt=True)
        images, labels = tensors(Path(folder) / "toy")
        assert labels.tolist() == kept
        assert numpy.array_equal(images, pictures(kept))
        start = 0
        for name, number in contents.splits.items():
            expected = len([row for row in kept if start <= row < start + number])
            first, last = card["splits"][name]
            assert last - first == expected
            start += number
        assert card["left_out"]["count"] == len(faulty)
        verify_prepared(Path(folder) / "toy")


# Interrupted, and gone on with


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the card of a preparation that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return make(marked(folder / "marks"), folder / "toy")


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_was_done_before_an_interruption_is_not_done_again(tmp_path, uninterrupted, jobs):
    contents = marked(tmp_path / "marks", seconds=0 if jobs == 1 else 0.02)
    with pytest.raises(Stopped):
        make(contents, tmp_path / "toy", jobs=jobs, report=stop_at(12))
    assert not (tmp_path / "toy").exists()
    before = reads(tmp_path / "marks")
    counts = []
    card = make(contents, tmp_path / "toy", jobs=jobs, report=lambda *count: counts.append(count))
    assert counts[0] == (12, 30)
    assert len(reads(tmp_path / "marks")) == len(before) + (10 - 12 // 3)
    assert set(reads(tmp_path / "marks")) == set(range(10))
    if jobs == 1:
        assert before == [0, 1, 2, 3]
    assert card["files"] == uninterrupted["files"]
    assert names(tmp_path) == [".toy.lock", "marks", "toy"]


def test_a_torn_last_line_of_the_journal_is_passed_over(tmp_path, uninterrupted):
    contents = marked(tmp_path / "marks")
    with pytest.raises(Stopped):
        make(contents, tmp_path / "toy", report=stop_at(12))
    with (tmp_path / ".toy.preparing" / "done.jsonl").open("a") as journal:
        journal.write('[7, [[0, "x')
    assert make(contents, tmp_path / "toy")["files"] == uninterrupted["files"]
    assert reads(tmp_path / "marks") == list(range(10))


def test_what_is_done_after_a_torn_line_is_not_done_again(tmp_path, uninterrupted):
    contents = marked(tmp_path / "marks")
    for rows in (9, 21):
        with pytest.raises(Stopped):
            make(contents, tmp_path / "toy", report=stop_at(rows))
        with (tmp_path / ".toy.preparing" / "done.jsonl").open("a") as journal:
            journal.write('[7, [[0, "x')
    assert make(contents, tmp_path / "toy")["files"] == uninterrupted["files"]
    assert reads(tmp_path / "marks") == list(range(10))


DAMAGES = {
    "plan.json": [b"", b"{", b"[]", b'{"schema_version": 99}', b"\xff", None],
    "done.jsonl": [
        *(b"{\n", b"[1]\n", b"7\n", b"\xff\n", b"[99, []]\n", b"[-1, []]\n", b"[true, []]\n", b'["1", []]\n'),
        *(b'[1, [["0", "x", "y"]]]\n', b'[1, [[0, "x"]]]\n', b'[1, [[3, "x", "y"]]]\n'),
    ],
    IMAGES: [b"", None],
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, content) for name, contents in DAMAGES.items() for content in contents]
)
def test_a_damaged_preparation_is_begun_anew(tmp_path, uninterrupted, name, content):
    """It could not be gone on with, nor replaced, and the remedy was a copy that nobody has."""
    contents = marked(tmp_path / "marks")
    with pytest.raises(Stopped):
        make(contents, tmp_path / "toy", report=stop_at(12))
    path = tmp_path / ".toy.preparing" / name
    path.unlink() if content is None else path.write_bytes(content)
    assert make(contents, tmp_path / "toy")["files"] == uninterrupted["files"]
    assert names(tmp_path) == [".toy.lock", "marks", "toy"]


@pytest.mark.parametrize("kind", ["dangling", "looping"])
def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(tmp_path, kind):
    wanted, _ = write_pngs(tmp_path / "source")
    (tmp_path / "source" / wanted[3]).unlink()
    (tmp_path / "source" / wanted[3]).symlink_to("nowhere.png" if kind == "dangling" else wanted[3])
    with pytest.raises(UnreadableError, match=wanted[3]):
        make(image_contents(tmp_path / "source", wanted), tmp_path / "toy")
    card = make(image_contents(tmp_path / "source", wanted), tmp_path / "toy", skip_corrupt=True)
    assert card["left_out"] == {"count": 1, "names": [wanted[3]]}


def test_names_that_are_no_text_or_hold_control_codes_are_escaped(tmp_path):
    """A folder named by another alphabet ended the preparation after everything was decoded."""
    contents = marked(tmp_path / "marks", faulty=(4,))
    strange = (os.fsdecode(b"caf\xe9"), "\x1b]0;x\x07", "straße")
    make(replace(contents, class_names=strange, notes=strange), tmp_path / "toy", skip_corrupt=True)
    card = read_card(tmp_path / "toy")
    assert card["class_names"] == card["notes"] == ["caf\\udce9", "\\x1b]0;x\\x07", "straße"]
    pngs, _ = write_pngs(tmp_path / "source")
    name = "\x1b]0;x\x07.png"
    (tmp_path / "source" / name).write_bytes(b"no image")
    with pytest.raises(UnreadableError) as told:
        make(image_contents(tmp_path / "source", [*pngs, name]), tmp_path / "other")
    assert "\\x1b]0;x\\x07.png" in told.value.found
    assert told.value.found.isprintable()


def test_what_was_begun_from_something_else_is_not_gone_on_with(tmp_path, uninterrupted):
    with pytest.raises(Stopped):
        make(marked(tmp_path / "others", (5,) * 6, faulty=(0, 1), identity="two"), tmp_path / "toy", report=stop_at(10))
    (tmp_path / ".toy.preparing" / "rubbish").touch()
    assert make(marked(tmp_path / "marks"), tmp_path / "toy")["files"] == uninterrupted["files"]
    assert reads(tmp_path / "marks") == list(range(10))
    assert names(tmp_path / "toy") == [CARD, IMAGES, LABELS]


def test_what_was_begun_in_other_blocks_is_not_taken_for_done(tmp_path, uninterrupted):
    with pytest.raises(Stopped):
        make(marked(tmp_path / "marks", (2,) * 15), tmp_path / "toy", report=stop_at(10))
    assert make(marked(tmp_path / "marks"), tmp_path / "toy")["files"] == uninterrupted["files"]


@pytest.mark.parametrize("faulty", [(), (4, 5, 20)], ids=["all readable", "some not"])
@pytest.mark.parametrize(
    "call",
    [
        "staging.files.write_synced",
        "staging.files.sha256_of",
        "staging._sync",
        "staging.files.write_sealed",
        "preparing._publish",
        "preparing.files.sync_folder",
    ],
)
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_an_interruption_of_the_last_steps_is_made_good(tmp_path, monkeypatch, faulty, call, fault):
    expected = make(marked(tmp_path / "marks", faulty=faulty), tmp_path / "expected", skip_corrupt=True)
    contents, done = marked(tmp_path / "marks", faulty=faulty), []

    def failing(*arguments, **more):
        raise fault

    def begin(count, total):
        done.append(count)
        if count == total:  # everything is decoded; the last steps begin
            patch.setattr(f"genzoo.data.{call}", failing)

    with monkeypatch.context() as patch, pytest.raises((ResourceError, KeyboardInterrupt)):
        make(contents, tmp_path / "toy", skip_corrupt=True, report=begin)
    assert done[-1] == 30
    card = make(contents, tmp_path / "toy", skip_corrupt=True)
    assert card["files"] == expected["files"]
    assert card["splits"] == expected["splits"]
    images, labels = tensors(tmp_path / "toy")
    assert numpy.array_equal(images, pictures(labels.tolist()))
    verify_prepared(tmp_path / "toy")
    assert names(tmp_path / "toy") == [CARD, IMAGES, LABELS]


# No room, no worker, not alone


def test_without_room_nothing_is_begun_and_the_needed_bytes_are_told(tmp_path, monkeypatch, uninterrupted):
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", fail(errno.ENOSPC))
        with pytest.raises(ResourceError) as caught:
            make(marked(tmp_path / "marks"), tmp_path / "toy")
    assert caught.value.exit_code == 6
    assert f" {uninterrupted['files'][IMAGES]['bytes']:,} bytes are needed" in caught.value.found
    assert names(tmp_path) == [".toy.lock", "marks"]
    assert reads(tmp_path / "marks") == []
    assert make(marked(tmp_path / "marks"), tmp_path / "toy")["files"] == uninterrupted["files"]


def test_a_place_that_cannot_be_there_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "toy", tmp_path / "file" / "below" / "toy"):
        with pytest.raises(ResourceError, match=r"cannot write .*: (Not a directory|File exists)") as caught:
            make(marked(tmp_path / "marks"), place)
        assert caught.value.exit_code == 6


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_in_which_nothing_can_be_written_is_told(tmp_path, monkeypatch, number):
    opening = os.open

    def forbidding(path, flags, *more, **others):
        if flags & os.O_CREAT and Path(path).parent == tmp_path:
            fail(number)()
        return opening(path, flags, *more, **others)

    monkeypatch.setattr(os, "open", forbidding)
    with pytest.raises(ResourceError) as caught:
        make(marked(tmp_path / "marks"), tmp_path / "toy")
    assert str(tmp_path) in caught.value.found


# Damage


@pytest.mark.parametrize(("name", "place"), [(IMAGES, -1), (IMAGES, 0), (IMAGES, 500), (LABELS, -1)])
def test_one_flipped_bit_is_found(tmp_path, name, place):
    make(marked(tmp_path / "marks"), tmp_path / "toy")
    flip(tmp_path / "toy" / name, place)
    read_card(tmp_path / "toy")
    with pytest.raises(UnreadableError, match=name) as caught:
        verify_prepared(tmp_path / "toy")
    assert caught.value.exit_code == 3


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def remove(path):
    path.unlink()


DAMAGE = [(cut, IMAGES), (lengthen, IMAGES), (remove, IMAGES), (cut, LABELS), (remove, LABELS), (flip, CARD)]


@pytest.mark.parametrize(
    ("damage", "name"), [*DAMAGE, (remove, CARD)], ids=lambda value: getattr(value, "__name__", value)
)
def test_what_is_damaged_is_refused_and_named(tmp_path, damage, name):
    make(marked(tmp_path / "marks"), tmp_path / "toy")
    damage(tmp_path / "toy" / name)
    for use in (read_card, verify_prepared, lambda place: make(marked(tmp_path / "marks"), place)):
        with pytest.raises(UnreadableError, match=name) as caught:
            use(tmp_path / "toy")
        assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("damage", "name"), [*DAMAGE, (flip, IMAGES)], ids=lambda value: getattr(value, "__name__", value)
)
def test_what_is_damaged_is_prepared_again_if_told_to(tmp_path, uninterrupted, damage, name):
    make(marked(tmp_path / "marks"), tmp_path / "toy")
    damage(tmp_path / "toy" / name)
    card = make(marked(tmp_path / "marks"), tmp_path / "toy", replace=True)
    assert card["files"] == uninterrupted["files"]
    verify_prepared(tmp_path / "toy")
    assert names(tmp_path) == [".toy.lock", "marks", "toy"]


def test_a_card_of_a_newer_format_is_told_as_such(tmp_path):
    card = make(marked(tmp_path / "marks"), tmp_path / "toy")
    files.write_sealed(tmp_path / "toy" / CARD, {**card, "schema_version": 2})
    with pytest.raises(UnreadableError, match=r"genzoo 0\.1\.0, a newer one"):
        read_card(tmp_path / "toy")
