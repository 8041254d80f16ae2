"""What stands in for functions that an operating system lacks."""

import os
import subprocess
import sys

import pytest
from processes import wait_for

from genzoo.errors import SettingsError
from genzoo.machine import reserve, usable_cores
from genzoo.training.devices import choose_device


@pytest.fixture(params=["with posix_fallocate", "without"])
def disk(request, monkeypatch):
    if request.param == "without":
        monkeypatch.delattr(os, "posix_fallocate")


def test_a_reserved_file_has_its_size_and_what_was_in_it(disk, tmp_path):
    place = tmp_path / "file"
    with place.open("wb") as file:
        file.write(b"header")
        file.flush()
        reserve(file.fileno(), 3 * 2**20 + 5)
    assert place.read_bytes() == b"header" + bytes(3 * 2**20 - 1)
    assert place.stat().st_blocks * 512 >= 3 * 2**20  # room was taken, not only the size set


def test_a_full_disk_is_noticed_without_posix_fallocate(monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    with open("/dev/full", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        reserve(file.fileno(), 2**20)


def test_without_affinities_all_cores_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7})
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 11)
    assert usable_cores() == 11


CHILD = """
import os, signal, sys, time
from genzoo.machine import end_with
received = []
signal.signal(signal.SIGTERM, lambda *_: received.append(1))
end_with(int(sys.argv[2]))
print(os.getpid(), flush=True)
deadline = time.monotonic() + 60
while not received and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.5)
open(sys.argv[1], "w").write(str(len(received)))
"""
PARENT = """
import os, subprocess, sys, threading, time
for _ in range(12):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
def start():
    command = [sys.executable, "-c", sys.argv[1], sys.argv[2], str(os.getpid())]
    print(subprocess.Popen(command, stdout=subprocess.PIPE).stdout.readline().decode(), flush=True)
    time.sleep(60)
threading.Thread(target=start).start()
"""


def test_a_process_is_asked_once_to_end_when_all_threads_of_the_one_that_started_it_are_killed(tmp_path):
    for number in range(4):
        path = tmp_path / str(number)
        words = [sys.executable, "-c", PARENT, CHILD, str(path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as parent:
            assert parent.stdout.readline().strip().isdigit()
            parent.kill()
        wait_for(lambda path=path: path.exists() and path.read_text())
        assert path.read_text() == "1"


def test_windows_is_refused_in_one_line():
    script = "import os; os.name = 'nt'; import genzoo"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].endswith("genzoo runs on Linux and macOS; on Windows, install it inside WSL 2")


def test_an_apple_gpu_is_refused_with_the_reason():
    with pytest.raises(SettingsError, match="float64") as refused:
        choose_device("mps")
    assert refused.value.remedy == "type: --device cpu"
