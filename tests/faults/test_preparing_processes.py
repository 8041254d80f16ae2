"""Preparing in several processes: killed, signalled and at the same place, it loses nothing and leaves nothing."""

import concurrent.futures.process
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from photographs import write_pngs
from preparations import make, marked, names, reads, tensors
from processes import wait_for

from genzoo.data.prepared_card import IMAGES, read_card, verify_prepared
from genzoo.errors import ResourceError


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the card of a preparation that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return make(marked(folder / "marks"), folder / "toy")


def prepare_half(folder, jobs):
    """Prepare five blocks, and wait in those after them for the kill."""
    contents = marked(folder / "marks")
    contents.blocks[5:] = [replace(block, seconds=600) for block in contents.blocks[5:]]
    make(contents, folder / "toy", jobs=jobs)


def kill_in_the_middle(folder, jobs):
    """Begin to prepare in another process, kill it, and return the processes that it had started."""
    process = get_context("spawn").Process(target=prepare_half, args=(folder, jobs))
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
        wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    finally:
        end(children)


def prepare_with_another(folder, barrier):
    barrier.wait(300)
    make(marked(folder / "marks", seconds=0.03), folder / "toy")


def test_of_two_processes_at_the_same_place_one_decodes_and_both_succeed(tmp_path, uninterrupted):
    context = get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=prepare_with_another, args=(tmp_path, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert reads(tmp_path / "marks") == list(range(10))
    assert read_card(tmp_path / "toy")["files"] == uninterrupted["files"]


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


def test_what_the_pools_own_thread_meets_while_it_ends_workers_is_not_shown(tmp_path, monkeypatch):
    """Before Python 3.13 it iterates over workers while another is added, which was a traceback beside the message."""
    manager = concurrent.futures.process._ExecutorManagerThread
    real, seen = manager.terminate_broken, []

    def meeting_another(thread, cause):
        real(thread, cause)
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(manager, "terminate_broken", meeting_another)
    monkeypatch.setattr(threading, "excepthook", seen.append)
    contents = marked(tmp_path / "marks")
    contents.blocks[0] = replace(contents.blocks[0], deadly=True)
    (tmp_path / "marks" / "deadly").touch()
    with pytest.raises(ResourceError, match="a decoding process was ended from outside"):
        make(contents, tmp_path / "toy", jobs=2)
    assert seen == []
    other = threading.Thread(target=int, args=("no number",))
    other.start()
    other.join()
    assert [kind.exc_type for kind in seen] == [ValueError]


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
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert "what is done is kept" in err
    assert "Traceback" not in err
    blocks = len((staging / "done.jsonl").read_text().splitlines())
    assert 0 < blocks < 800 / 64
    inode = (staging / IMAGES).stat().st_ino
    process = start()
    out, err = process.communicate()
    assert process.returncode == 0, err
    found = json.loads(out)
    assert sum(found["rows"].values()) == 800
    place = Path(found["path"])
    assert (place / IMAGES).stat().st_ino == inode
    images, _ = tensors(place)
    assert images[0].any()
    assert (images == images[0]).all()
    verify_prepared(place)


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
    _, err = process.communicate()
    assert process.returncode == 128 + number, err
    assert "what is done is kept" in err
    assert "Traceback" not in err
