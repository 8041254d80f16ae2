"""Long runs: memory, descriptors, threads and disk stay flat over many steps, trainings and sessions; lists are quick.

What they measured is in docs/reliability.md.
"""

import gc
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from toy import TOY
from toy_components import RECIPE, TRAINING, ToyNetworks, WithoutEncoder

import genzoo
from genzoo.comparison import ComparisonCallback
from genzoo.runs import Callback
from genzoo.storage.files import JSON_LIMIT
from genzoo.storage.run_folder import Run

pytestmark = pytest.mark.slow

MIB = 2**20


class Look(NamedTuple):
    """What this process takes at a moment."""

    resident: float
    """In MiB."""
    descriptors: int
    threads: int

    @classmethod
    def now(cls):
        """Return what it takes after what nobody refers to is freed."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        descriptors = len(list(Path("/proc/self/fd").iterdir())) - 1  # without that of the listing
        return cls(pages * os.sysconf("SC_PAGE_SIZE") / MIB, descriptors, len(list(Path("/proc/self/task").iterdir())))


@pytest.mark.timeout(7200)
def test_over_200_000_steps_memory_descriptors_threads_and_disk_stay_flat(tmp_path, tally):
    steps, every = 200_000, 20_000
    looks, checkpoints = {}, {}

    class Watch(Callback):
        def on_step(self, step):
            if step % every == 0:
                looks[step] = Look.now()

        def on_save(self, step):
            checkpoints[step] = sum(path.stat().st_size for path in (tmp_path / "run" / "checkpoints").rglob("*"))

    began = time.monotonic()
    training = replace(TRAINING, steps=steps, batch_size=4, checkpoint_every=1000, picture_every=every // 2)
    small = replace(RECIPE, architecture=ToyNetworks(width=4), training=training)
    run = genzoo.train(WithoutEncoder(), recipe=small, run=tmp_path / "run", device="cpu", callback=Watch())
    minutes = (time.monotonic() - began) / 60

    first, *_, last = looks.values()
    later = [look.resident for step, look in looks.items() if step >= 2 * every]
    log = run.path / "metrics.jsonl"
    pictures = list(run.path.glob("samples/*.png"))
    sizes = list(checkpoints.values())[2:]
    flat = {
        "memory": max(later) - later[0] < 16,
        "descriptors": max(look.descriptors for look in looks.values()) <= first.descriptors,
        "threads": max(look.threads for look in looks.values()) <= first.threads,
        "checkpoints": max(sizes) - min(sizes) < 4096,  # the length of numbers in JSON
        "log": len(run.read_log()) == steps // 100 and log.stat().st_size < 512 * steps // 100,
        "pictures": len(pictures) == 2 * steps // every,
    }
    assert all(flat.values()), (flat, looks, len(pictures))
    how = (
        f"{minutes:.0f} min; {first.resident:.0f} MiB after {every:,} steps, {last.resident:.0f} after {steps:,}, "
        f"{first.descriptors} descriptors and {first.threads} threads throughout; {len(checkpoints)} saves, two kept; "
        f"log {log.stat().st_size * 100 // steps} B an entry; {len(pictures)} pictures"
    )
    tally("200,000 steps of a toy: memory, descriptors, threads and disk", tries=len(flat), survived=len(flat), how=how)


@pytest.mark.timeout(7200)
def test_300_trainings_of_a_comparison_in_its_own_process_stay_flat(tmp_path, tally):
    count, looks = 300, {}
    small = {"dataset.rows": 64, "dataset.held_out_rows": 32, "training.batch_size": 8}

    class Watch(ComparisonCallback):
        def on_training_end(self, number, run, error):
            assert error is None, error
            looks[len(looks) + 1] = Look.now()

    with ThreadPoolExecutor(1) as executor:
        where = {"report": tmp_path, "executor": executor, "device": "cpu"}
        genzoo.compare(["gan"], seeds=count, steps=2, overrides=small, callback=Watch(), **where)
    before, after = looks[count // 3], looks[count]
    flat = {
        "memory": after.resident - before.resident < 16,
        "descriptors": after.descriptors <= before.descriptors,
        "threads": after.threads <= before.threads,
        "tasks": not (tmp_path / "tasks").exists(),
    }
    assert all(flat.values()), (flat, looks[1], before, after)
    how = (
        f"{before.resident:.0f} MiB after {count // 3}, {after.resident:.0f} after {count}; "
        f"{after.descriptors} descriptors and {after.threads} threads"
    )
    tally(f"{count} trainings of a comparison in its own process", tries=len(flat), survived=len(flat), how=how)


def test_2_000_run_folders_are_listed_within_a_second(tmp_path, tally):
    first = genzoo.train("gan", overrides=TOY, run=tmp_path / "runs" / "0001-gan", device="cpu")
    small = {
        path.relative_to(first.path): path.read_bytes()
        for path in first.path.rglob("*")
        if path.is_file() and path.suffix not in (".png", ".safetensors")
    }
    for number in range(2, 2001):
        for name, content in small.items():
            place = tmp_path / "runs" / f"{number:04}-gan" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    command = [sys.executable, "-P", "-m", "genzoo", "runs"]
    walls, processors = [], []
    for _ in range(5):
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True)
        walls.append(time.monotonic() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert sum(" done " in line for line in done.stdout.splitlines()) == 2000
    # Other processes make the clock on the wall late, and not the processor's.
    is_quick = min(processors) < 1
    how = f"{min(processors):.2f} s of processor time, {min(walls):.2f} s by the clock (the least of five)"
    tally("2,000 run folders under genzoo runs", tries=1, survived=int(is_quick), how=how)


@pytest.mark.timeout(3600)
def test_100_resumes_of_a_run_stay_flat(tmp_path, tally):
    path = tmp_path / "run"
    genzoo.train("gan", overrides=TOY, run=path, device="cpu")
    looks, records = {}, {}
    for number in range(1, 101):
        genzoo.resume(path, steps=4 + 2 * number, device="cpu")
        if number % 10 == 0:
            looks[number], records[number] = Look.now(), (path / "run.json").stat().st_size
    run = Run(path)
    before, after = looks[20], looks[100]
    grows = (records[100] - records[10]) / 90
    flat = {
        "steps": [entry["step"] for entry in run.read_log()] == list(range(2, 205, 2)),
        "sessions": len(run.record.sessions) == 101,
        "memory": after.resident - before.resident < 16,
        "descriptors": after.descriptors <= before.descriptors,
        "threads": after.threads <= before.threads,
        "disk": len(list(run.checkpoints.iterdir())) == 2 and not list(path.rglob("*.tmp")),
        "record": grows * 1000 < JSON_LIMIT,
    }
    assert all(flat.values()), (flat, looks)
    how = (
        f"{before.resident:.0f} MiB after 20, {after.resident:.0f} after 100; {after.descriptors} descriptors, "
        f"{after.threads} threads ({threading.active_count()} of Python); run.json grows by {grows:.0f} B a session"
    )
    tally("100 resumes of one run", tries=len(flat), survived=len(flat), how=how)
