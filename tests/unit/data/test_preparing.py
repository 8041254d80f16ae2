"""Preparing: images become one file that is there whole or not at all, whatever interrupts it."""

import errno
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from photographs import write_pngs
from PIL import Image
from safetensors import safe_open

from genzoo.data import decoding, preparing
from genzoo.data.decoding import Block, ImageFault, ImageTransform, in_blocks, listing
from genzoo.data.preparing import CARD, IMAGES, LABELS, Contents
from genzoo.errors import ResourceError, SettingsError, UnreadableError
from genzoo.storage import files

SHAPE = (3, 4, 5)
TRANSFORM = ImageTransform(size=(5, 4))
ABOUT = {"dataset": "toy", "images": "as given"}
SHORT = ("--steps", 2, "--set", "training.batch_size=4", "--quiet")


@dataclass(frozen=True, kw_only=True)
class Marked(Block):
    """Rows that hold their number in the data set; leaves a file in `marks` whenever it is read."""

    number: int
    first: int
    rows: int
    marks: Path
    faulty: tuple[int, ...] = ()
    seconds: float = 0.0
    deadly: bool = False

    def read(self, out):
        (self.marks / f"{self.number}-{uuid4().hex}").touch()
        if self.deadly and (self.marks / "deadly").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        out[:] = pictures(range(self.first, self.first + self.rows))
        return [ImageFault(row - self.first, f"{row}.png", "broken") for row in self.faulty]


def pictures(rows):
    """Return the images of rows, each of which can be told from all others."""
    numbers = numpy.asarray(list(rows), dtype=numpy.int64).reshape(-1, 1, 1, 1)
    return ((numbers * 31 + 7 * numpy.arange(60).reshape(1, *SHAPE)) % 251).astype(numpy.uint8)


def marked(marks, sizes=(3,) * 10, *, faulty=(), labels=True, identity="one", **more):
    """Return contents of blocks of these sizes, with labels that are the numbers of the rows."""
    marks.mkdir(exist_ok=True)
    blocks, first = [], 0
    for number, rows in enumerate(sizes):
        own = tuple(row for row in faulty if first <= row < first + rows)
        blocks.append(Marked(number=number, first=first, rows=rows, marks=marks, faulty=own, **more))
        first += rows
    validation = test = first // 5
    return Contents(
        blocks=blocks,
        splits={"train": first - validation - test, "validation": validation, "test": test},
        labels=numpy.arange(first) if labels else None,
        class_names=("a", "b"),
        identity=identity,
    )


def make(contents, place, *, jobs=1, shape=SHAPE, about=ABOUT, **more):
    return preparing.prepare(contents, place, shape=shape, about=about, jobs=jobs, **more)


def reads(marks):
    """Return which blocks were read, once per reading, sorted."""
    return sorted(int(path.name.partition("-")[0]) for path in marks.iterdir() if "-" in path.name)


def tensors(place):
    """Return images and labels, read by safetensors itself."""
    found = []
    for name, key in ((IMAGES, "images"), (LABELS, "labels")):
        if (place / name).exists():
            with safe_open(place / name, framework="numpy") as file:
                assert list(file.keys()) == [key]
                found.append(file.get_tensor(key))
        else:
            found.append(None)
    return found


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def image_contents(folder, wanted, *, rows=3, labels=True):
    validation = test = len(wanted) // 5
    return Contents(
        blocks=in_blocks(folder, wanted, TRANSFORM, rows=rows),
        splits={"train": len(wanted) - validation - test, "validation": validation, "test": test},
        labels=numpy.arange(len(wanted)) if labels else None,
        identity=listing(folder, wanted),
    )


def fail(number):
    def failing(*arguments, **more):
        raise OSError(number, os.strerror(number))

    return failing


class Stopped(Exception):
    """Raised where a person would type Ctrl-C."""


def stop_at(rows):
    def report(done, total):
        if done >= rows:
            raise Stopped

    return report


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


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
    assert preparing.read_card(tmp_path / "toy") == card
    preparing.verify_prepared(tmp_path / "toy")


def test_without_labels_there_is_no_file_of_them(tmp_path):
    card = make(marked(tmp_path / "marks", labels=False), tmp_path / "toy")
    assert list(card["files"]) == [IMAGES]
    assert names(tmp_path / "toy") == [CARD, IMAGES]
    preparing.verify_prepared(tmp_path / "toy")


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
    assert preparing.read_card(tmp_path / "toy") == card
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
    preparing.verify_prepared(tmp_path / "toy")


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
    preparing.verify_prepared(tmp_path / "toy")


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
        preparing.verify_prepared(Path(folder) / "toy")


# Interrupted, and gone on with


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return a preparation that nothing disturbed, and its card."""
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


def prepare_marked(folder, seconds, jobs, barrier=None):
    if barrier:
        barrier.wait(60)
    make(marked(folder / "marks", seconds=seconds), folder / "toy", jobs=jobs)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def kill_in_the_middle(folder, jobs):
    """Begin to prepare in another process, kill it, and return the processes that it had started."""
    process = get_context("spawn").Process(target=prepare_marked, args=(folder, 0.1, jobs))
    process.start()
    marks, journal = folder / "marks", folder / ".toy.preparing" / "done.jsonl"
    wait_for(lambda: journal.exists() and len(reads(marks)) >= 4)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (folder / "toy").exists()
    return [int(child) for child in children]


def end(processes):
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_a_kill_it_goes_on(tmp_path, uninterrupted, jobs):
    end(kill_in_the_middle(tmp_path, jobs))
    first = len(reads(tmp_path / "marks"))
    card = make(marked(tmp_path / "marks"), tmp_path / "toy")
    assert card["files"] == uninterrupted["files"]
    assert len(reads(tmp_path / "marks")) < first + 10  # what the journal vouches for is not read again
    assert names(tmp_path) == [".toy.lock", "marks", "toy"]


def test_workers_do_not_outlive_the_process_that_was_killed(tmp_path):
    children = kill_in_the_middle(tmp_path, 2)
    try:
        wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 10)
    finally:
        end(children)


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
    ["files.write_synced", "files.sha256_of", "_sync", "files.write_sealed", "_publish", "files.sync_folder"],
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
            patch.setattr(f"genzoo.data.preparing.{call}", failing)

    with monkeypatch.context() as patch, pytest.raises((ResourceError, KeyboardInterrupt)):
        make(contents, tmp_path / "toy", skip_corrupt=True, report=begin)
    assert done[-1] == 30
    card = make(contents, tmp_path / "toy", skip_corrupt=True)
    assert card["files"] == expected["files"]
    assert card["splits"] == expected["splits"]
    images, labels = tensors(tmp_path / "toy")
    assert numpy.array_equal(images, pictures(labels.tolist()))
    preparing.verify_prepared(tmp_path / "toy")
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


def test_of_two_processes_at_the_same_place_one_decodes_and_both_succeed(tmp_path, uninterrupted):
    context = get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=prepare_marked, args=(tmp_path, 0.03, 1, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert reads(tmp_path / "marks") == list(range(10))
    assert preparing.read_card(tmp_path / "toy")["files"] == uninterrupted["files"]


@pytest.mark.timeout(60)
def test_when_a_worker_is_killed_it_is_told_and_what_is_done_is_kept(tmp_path, uninterrupted):
    contents = marked(tmp_path / "marks")
    contents.blocks[7] = replace(contents.blocks[7], deadly=True)
    (tmp_path / "marks" / "deadly").touch()
    with pytest.raises(ResourceError, match="a decoding process was ended from outside") as caught:
        make(contents, tmp_path / "toy", jobs=2)
    assert caught.value.exit_code == 6
    assert "--jobs 1" in caught.value.remedy
    (tmp_path / "marks" / "deadly").unlink()
    first = reads(tmp_path / "marks")
    assert make(contents, tmp_path / "toy")["files"] == uninterrupted["files"]
    assert len(reads(tmp_path / "marks")) <= len(first) + 10


# Damage


@pytest.mark.parametrize(("name", "place"), [(IMAGES, -1), (IMAGES, 0), (IMAGES, 500), (LABELS, -1)])
def test_one_flipped_bit_is_found(tmp_path, name, place):
    make(marked(tmp_path / "marks"), tmp_path / "toy")
    flip(tmp_path / "toy" / name, place)
    preparing.read_card(tmp_path / "toy")
    with pytest.raises(UnreadableError, match=name) as caught:
        preparing.verify_prepared(tmp_path / "toy")
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
    for use in (preparing.read_card, preparing.verify_prepared, lambda place: make(marked(tmp_path / "marks"), place)):
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
    preparing.verify_prepared(tmp_path / "toy")
    assert names(tmp_path) == [".toy.lock", "marks", "toy"]


def test_a_card_of_a_newer_format_is_told_as_such(tmp_path):
    card = make(marked(tmp_path / "marks"), tmp_path / "toy")
    files.write_sealed(tmp_path / "toy" / CARD, {**card, "schema_version": 2})
    with pytest.raises(UnreadableError, match="newer genzoo"):
        preparing.read_card(tmp_path / "toy")


# The commands


@pytest.fixture
def source(tmp_path):
    """Return a folder of twenty images of 20 × 16."""
    write_pngs(tmp_path / "source", 20, size=(20, 16))
    return tmp_path / "source"


@pytest.fixture
def data(say, tmp_path):
    """Return a folder of data sets, and a function that prepares one there."""
    root = tmp_path / "data"

    def prepare(name, *more):
        return say("data", "prepare", name, "--data", root, "--jobs", 1, *more)

    return root, prepare


def status(say, root, *more):
    found = say("data", "status", "--data", root, "--json", *more).document
    assert found["root"] == str(root)
    return [row for row in found["datasets"] if row["path"]]


def test_a_folder_is_prepared_and_its_state_is_told(say, source, data):
    root, prepare = data
    found = prepare("folder64", "--source", source, "--json").document
    assert found["rows"] == {"train": 16, "validation": 2, "test": 2}
    assert (found["dataset"], found["left_out"]) == ("folder", 0)
    (row,) = status(say, root)
    assert (row["dataset"], row["state"], row["rows"]) == ("folder", "prepared", 20)
    assert row["path"] == found["path"]
    assert (
        row["bytes"] == found["bytes"] == sum(path.stat().st_size for path in Path(row["path"]).glob("*.safetensors"))
    )
    assert tensors(Path(row["path"]))[0].shape == (20, 3, 64, 64)
    said = say("data", "status", "--data", root)
    assert said.code == 0
    assert str(found["path"]) in said.out


def test_a_second_time_it_takes_no_decoding(source, data, monkeypatch):
    _, prepare = data
    first = prepare("folder64", "--source", source, "--json").document
    monkeypatch.setattr(decoding.Image, "open", fail(errno.EIO))
    second = prepare("folder64", "--source", source, "--json").document
    assert {**second, "seconds": 0} == {**first, "seconds": 0}


def test_a_flipped_byte_is_found_by_the_check(say, source, data):
    root, prepare = data
    place = Path(prepare("folder64", "--source", source, "--json").document["path"])
    assert [row["state"] for row in status(say, root, "--check")] == ["prepared"]
    flip(place / IMAGES)
    assert [row["state"] for row in status(say, root)] == ["prepared"]
    (row,) = status(say, root, "--check")
    assert row["state"].startswith("damaged: ")
    assert str(place / IMAGES) in row["state"]


def test_what_was_set_aside_while_it_was_replaced_is_not_listed(say, source, data):
    root, prepare = data
    place = Path(prepare("folder64", "--source", source, "--json").document["path"])
    os.rename(place, place.with_name(f".{place.name}.old"))
    assert status(say, root) == []


def test_a_folder_of_one_image_or_none_is_refused(tmp_path, data):
    write_pngs(tmp_path / "one", 1)
    (tmp_path / "texts").mkdir()
    for number in range(20):
        (tmp_path / "texts" / f"{number}.txt").write_text("not an image")
    for name, count in (("one", "1 image,"), ("texts", "0 images,")):
        said = data[1]("folder64", "--source", tmp_path / name)
        assert said.code == 3
        assert f"{tmp_path / name} has {count} expected at least" in said.err
        assert len(said.err.splitlines()) <= 3


def test_corrupt_images_are_refused_and_then_left_out(source, data):
    _, prepare = data
    (source / "0003.png").write_bytes(b"<html>gone</html>")
    said = prepare("folder64", "--source", source)
    assert said.code == 3
    assert "1 of 20 images cannot be read: 0003.png: not an image" in said.err
    assert "--skip-corrupt" in said.err
    found = prepare("folder64", "--source", source, "--skip-corrupt", "--json").document
    assert found["left_out"] == 1
    assert sum(found["rows"].values()) == 19
    assert len(tensors(Path(found["path"]))[0]) == 19


def test_a_folder_of_nothing_but_corrupt_images_is_refused(tmp_path, data):
    (tmp_path / "source").mkdir()
    for number in range(20):
        (tmp_path / "source" / f"{number}.png").write_bytes(b"<html>gone</html>")
    said = data[1]("folder64", "--source", tmp_path / "source", "--skip-corrupt")
    assert said.code == 3
    assert "20 of 20 images cannot be read" in said.err


def test_grey_images_become_rgb_or_stay_grey(tmp_path, data):
    _, prepare = data
    write_pngs(tmp_path / "grey", 12, size=(16, 16), channels=1)
    settings = ("--source", tmp_path / "grey", "--set", "dataset.size=16")
    rgb = prepare("folder64", *settings, "--json").document
    grey = prepare("folder64", *settings, "--set", "dataset.channels=1", "--json").document
    assert rgb["path"] != grey["path"]
    three, one = (tensors(Path(found["path"]))[0] for found in (rgb, grey))
    assert (three.shape, one.shape) == ((12, 3, 16, 16), (12, 1, 16, 16))
    assert numpy.array_equal(three, one.repeat(3, 1))


def test_images_of_all_sizes_become_the_same(tmp_path, data):
    sizes = [(1, 1), (300, 2), (2, 300), (64, 64), (70, 60), (640, 480)]
    for number in range(12):
        folder = tmp_path / "sizes" / str(number)
        write_pngs(folder, 1, size=sizes[number % len(sizes)])
        os.rename(folder / "0000.png", tmp_path / "sizes" / f"{number}.png")
        folder.rmdir()
    found = data[1]("folder64", "--source", tmp_path / "sizes", "--json").document
    assert found["left_out"] == 0
    assert tensors(Path(found["path"]))[0].shape == (12, 3, 64, 64)


def test_sub_folders_are_classes(tmp_path, data):
    for name, level in (("cats", 10), ("dogs", 200)):
        (tmp_path / "source" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / "source" / name / f"{number}.png")
    found = data[1]("folder64", "--source", tmp_path / "source", "--json").document
    assert found["class_names"] == ["cats", "dogs"]
    images, labels = tensors(Path(found["path"]))
    assert labels.tolist() == (images[:, 0, 0, 0] > 100).astype(int).tolist()
    assert sorted(labels.tolist()) == [0] * 10 + [1] * 10


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("cifar11",), 2, "did you mean 'cifar10'?"),
        (("foldr",), 2, "did you mean 'folder'?"),
        (("digits",), 2, "'digits' needs nothing from elsewhere"),
        (("mixture25",), 2, "'mixture25' needs nothing from elsewhere"),
        (("folder64", "--source", "nowhere"), 3, "nowhere does not exist"),
        (("folder64",), 3, "genzoo data prepare folder"),
        (("cifar10",), 3, "genzoo data fetch cifar10"),
        (("folder64", "--source", "source", "--set", "dataset.size=banana"), 2, "banana"),
        (("folder64", "--source", "source", "--set", "dataset.size=0"), 2, "1 ≤ size ≤ 1024"),
        (("folder64", "--source", "source", "--set", "dataset.channels=2"), 2, "channels"),
        (("folder64", "--source", "source", "--set", "dataset.sise=3"), 2, "did you mean"),
        (("folder64", "--source", "source", "--set", "training.steps=3"), 2, "training"),
        (("folder64", "--source", "source", "--set", "dataset.size"), 2, "expected PATH=VALUE"),
        (("folder64", "--source", "source", "--jobs", "0"), 2, "jobs"),
        (("folder64", "--source", "source/0000.png"), 3, "source/0000.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_meant_is_told(source, data, arguments, code, text):
    said = data[1](*arguments)
    assert said.code == code
    assert text in said.err
    assert 1 <= len(said.err.splitlines()) <= 3
    assert not data[0].exists() or not any(data[0].glob("*/card.json"))


@pytest.fixture
def unseen(monkeypatch):
    """Leave out pictures and scores, which take most of the time of a short training."""
    for name in ("pictures.save_samples", "pictures.save_reconstructions", "metrics.evaluate_model"):
        monkeypatch.setattr(f"genzoo.evaluation.{name}", lambda *arguments, **more: [])


def told(text, beginning):
    """Return the command that a message tells a person to type, as arguments."""
    (line,) = (line for line in text.splitlines() if beginning in line)
    return shlex.split(line[line.index(beginning) :])[1:]


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("recipe", ["folder64", "folder32"])
def test_training_tells_what_to_prepare_and_then_finds_it(say, source, data, recipe):
    train = ("train", "ali", "--recipe", recipe, "--data", data[0], "--run", "run", *SHORT)
    said = say(*train)
    assert said.code == 3
    assert "data sets that need nothing from elsewhere are listed by: genzoo data status" in said.err
    assert not Path("run").exists()
    command = told(said.err, "genzoo data prepare")
    assert say(*[source if word == "PATH" else word for word in command], "--data", data[0]).code == 0
    assert say(*train, "--json").document["step"] == 2


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize(("folder", "settings"), [("data", ("--set", "dataset.channels=1")), ("my data", ())])
def test_what_is_told_after_preparing_can_be_typed(say, source, tmp_path, folder, settings):
    said = say("data", "prepare", "folder32", "--source", source, "--data", tmp_path / folder, *settings)
    assert said.code == 0
    assert say(*told(said.err, "genzoo train"), "--run", "run", *SHORT).code == 0


@pytest.mark.usefixtures("unseen")
def test_a_run_does_not_go_on_with_other_images(say, source, data):
    root, prepare = data
    assert prepare("folder32", "--source", source).code == 0
    assert say("train", "ali", "--recipe", "folder32", "--data", root, "--run", "run", *SHORT).code == 0
    assert say("resume", "run", "--steps", 3, "--data", root, "--quiet").code == 0
    write_pngs(source, 20, size=(20, 16))
    said = prepare("folder32", "--source", source)
    assert (said.code, "--replace" in said.err) == (2, True)
    assert prepare("folder32", "--source", source, "--replace").code == 0
    said = say("resume", "run", "--steps", 4, "--data", root, "--quiet")
    assert said.code == 2
    assert "was trained on other images of 'folder' than are prepared now" in said.err


@pytest.fixture
def many(tmp_path):
    """Return a folder of 800 images that take a few milliseconds each."""
    folder = tmp_path / "many"
    write_pngs(folder, 1, size=(300, 300))
    for number in range(1, 800):
        os.link(folder / "0000.png", folder / f"{number:04}.png")
    return folder


@pytest.fixture
def start(tmp_path, many):
    """Return a function that starts the command in a session of its own, as in a terminal."""
    started = []

    def begin():
        command = [sys.executable, "-m", "genzoo", "data", "prepare", "folder32", "--source", str(many)]
        process = subprocess.Popen(
            [*command, "--data", str(tmp_path / "data"), "--jobs", "2", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_after_ctrl_c_the_same_command_goes_on(tmp_path, start):
    staging = tmp_path / "data" / ".folder-32-rgb.preparing"
    process = start()
    wait_for((staging / "done.jsonl").exists)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "what is done is kept" in err
    assert "Traceback" not in err
    blocks = len((staging / "done.jsonl").read_text().splitlines())
    assert 0 < blocks < 800 / 64
    inode = (staging / IMAGES).stat().st_ino
    process = start()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert sum(found["rows"].values()) == 800
    place = Path(found["path"])
    assert (place / IMAGES).stat().st_ino == inode
    images, _ = tensors(place)
    assert images[0].any()
    assert (images == images[0]).all()
    preparing.verify_prepared(place)


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "the first worker starts"),
        (signal.SIGINT, "the last worker starts"),
        (signal.SIGTERM, "the first worker starts"),
        (signal.SIGTERM, "some images are decoded"),
    ],
)
def test_a_signal_to_all_processes_is_told_as_an_interruption(tmp_path, start, number, moment):
    process = start()
    if moment == "some images are decoded":
        wait_for((tmp_path / "data" / ".folder-32-rgb.preparing" / "done.jsonl").exists)
    else:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        expected = 1 + (1 if "first" in moment else 2)  # one more keeps track of the workers
        wait_for(lambda: len(children.read_text().split()) >= expected)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number, err
    assert "what is done is kept" in err
    assert "Traceback" not in err
