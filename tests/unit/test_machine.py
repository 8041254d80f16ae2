"""What stands in for functions that an operating system lacks."""

import os
import subprocess
import sys
import time

import pytest

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
import os, sys
sys.platform = sys.argv[1]
from genzoo.machine import end_with
end_with(int(sys.argv[2]))
print(os.getpid(), flush=True)
import time; time.sleep(60)
"""
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2], str(os.getpid())], stdout=subprocess.PIPE)
sys.stdout.write(child.stdout.readline().decode())
"""


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_process_ends_soon_after_the_one_that_started_it(platform):
    words = [sys.executable, "-c", PARENT, CHILD, platform]
    number = int(subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout)
    deadline = time.monotonic() + 5
    while is_alive(number):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{number}/stat") as file:  # one that ended and was not waited for is no longer alive
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_windows_is_refused_in_one_line():
    script = "import os; os.name = 'nt'; import genzoo"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].endswith("genzoo runs on Linux and macOS; on Windows, install it inside WSL 2")


def test_an_apple_gpu_is_refused_with_the_reason():
    with pytest.raises(SettingsError, match="float64") as refused:
        choose_device("mps")
    assert refused.value.remedy == "type: --device cpu"
