"""Two writers of one run: exactly one of them writes, and the other one says who; who was killed holds nothing."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from itertools import cycle, islice
from typing import NamedTuple

import pytest
from fork_server import SMALL
from processes import wait_for
from toy import TOY

from genzoo.storage import files
from genzoo.storage.checkpoints import newest
from genzoo.storage.run_folder import Run

KILLED = -9
STOPPED = 143
BUSY = 7
SOON = 10
"""Seconds in which a process is refused, however busy the machine; the table says how long it took on an idle one."""
KINDS = {"start/start": ("train", "train"), "start/resume": ("train", "resume"), "resume/resume": ("resume", "resume")}


@pytest.fixture(scope="module")
def begun(server, tmp_path_factory):
    """Return a run that was stopped after three steps."""
    path = tmp_path_factory.mktemp("begun") / "gan"
    done = server.run("session", then="train", run=path, more=3, **SMALL)
    assert end_of(done)[0] == STOPPED, done
    return path


def end_of(done):
    """Return the exit code and the finding that a session ended with."""
    assert done["code"] == 0, done
    (line,) = told(done, "ended")
    code, _, text = line.partition(" ")
    return int(code), json.loads(text)[0]


def told(done, word):
    """Return what follows `word` in the lines of a child that begin with it."""
    return [line.removeprefix(f"{word} ") for line in done["told"] if line.startswith(f"{word} ")]


def left_in(path):
    """Return what a run folder holds: its names, the bytes of its tensors, and the steps of its log."""
    found, faults = newest(path / "checkpoints")
    assert faults == []
    tensors = {file.name: file.read_bytes() for file in found.path.glob("*.safetensors")}
    names = sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))
    return names, tensors, [entry["step"] for entry in Run(path).read_log()]


# Races


class Race(NamedTuple):
    """How two sessions on one run folder ended that began at once, and what they left."""

    kind: str
    path: str
    ends: list
    left: tuple


def begin_race(server, path, kind, begun, **more):
    """Have two children write to a run at once; the first to hold it waits for the other one's end."""
    if kind != "start/start":
        shutil.copytree(begun, path)
    jobs = [{"then": then, "run": path, "more": 2, "watch": True, **SMALL, **more} for then in KINDS[kind]]
    return Race(kind, str(path), server.race("session", jobs), left_in(path))


def winner_and_loser(race):
    """Return both in this order; exactly one began to train."""
    started = [bool(told(done, "started")) for done in race.ends]
    assert sorted(started) == [False, True], race
    return sorted(race.ends, key=lambda done: not told(done, "started"))


@pytest.fixture(scope="module")
def races(server, begun, tmp_path_factory):
    """Return fifty races, those of each kind in turn."""
    root = tmp_path_factory.mktemp("races")
    return [begin_race(server, root / str(number), kind, begun) for number, kind in enumerate(islice(cycle(KINDS), 50))]


@pytest.fixture(scope="module")
def alone(server, begun, tmp_path_factory):
    """Return what one writer leaves that has the run for itself, by kind of race."""
    root = tmp_path_factory.mktemp("alone")
    found = {}
    for kind, (then, _) in KINDS.items():
        path = root / then / kind.partition("/")[2]
        if kind != "start/start":
            shutil.copytree(begun, path)
        done = server.run("session", then=then, run=path, more=2, **SMALL)
        assert end_of(done)[0] == STOPPED, done
        found[kind] = left_in(path)
    assert found["start/start"] != found["start/resume"] == found["resume/resume"]
    return found


def survives(race, alone):
    """Return whether one won and left what it leaves alone, and the other one ended soon and wrote nothing."""
    winner, loser = winner_and_loser(race)
    harmless = {f"mkdir {race.path}", f"sync {os.path.dirname(race.path)}", f"create {race.path}/run.lock"}
    return (
        end_of(winner)[0] == STOPPED
        and end_of(loser)[0] == BUSY
        and f"{race.path} is in use by " in end_of(loser)[1]
        and float(told(loser, "took")[0]) < SOON
        and set(told(loser, "wrote")) <= harmless
        and race.left == alone
    )


def test_of_two_that_begin_at_once_one_writes_and_the_other_is_refused(races, alone, tally):
    assert len(races) == 50
    slowest = max(float(told(winner_and_loser(race)[1], "took")[0]) for race in races)
    tally(
        "two processes begin on one run folder at once",
        tries=len(races),
        survived=sum(survives(race, alone[race.kind]) for race in races),
        how="start/start, start/resume, resume/resume; one trains and leaves what it leaves alone; the other one ends "
        f"with 7, after {slowest:.2f} s at most, every file that it opened for writing noted: only run.lock",
    )


def test_a_watched_winner_is_seen_to_write(races):
    for race in races:
        winner, _ = winner_and_loser(race)
        assert any(line.endswith("run.json") for line in told(winner, "wrote"))


def test_two_that_hold_nothing_are_noticed(server, begun, tmp_path):
    race = begin_race(server, tmp_path / "run", "resume/resume", begun, wrong="forgets_its_lock", patience=5)
    assert all(told(done, "started") for done in race.ends)
    with pytest.raises(AssertionError):
        winner_and_loser(race)


def names_the_winner(race):
    winner, loser = winner_and_loser(race)
    return f"in use by process {winner['pid']} on {socket.gethostname()}" in end_of(loser)[1]


def test_the_loser_of_a_race_names_the_winner(races, tally):
    tally(
        "two processes begin on one run folder at once: the loser's message",
        tries=len(races),
        survived=sum(names_the_winner(race) for race in races),
        how="it names the winner's process and machine",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_winner_that_names_itself_a_tenth_of_a_second_late_is_named(server, begun, tmp_path, kind):
    assert names_the_winner(begin_race(server, tmp_path / "run", kind, begun, wrong="names_itself_late"))


def test_the_loser_does_not_name_one_who_was_killed_before(server, begun, tmp_path):
    shutil.copytree(begun, tmp_path / "begun")
    owner = server.run("session", then="resume", run=tmp_path / "begun", in_line="started", in_save=1, kill_after=0)
    assert owner["code"] == KILLED
    assert (tmp_path / "begun" / "holder.json").exists()
    race = begin_race(server, tmp_path / "run", "resume/resume", tmp_path / "begun", wrong="names_itself_late")
    assert names_the_winner(race)


# Whole commands


ORDER = ["gan", "--run", "run"]
for path, value in (TOY | {"training.log_every": 10, "training.checkpoint_every": 60}).items():
    ORDER += ["--set", f"{path}={value}"]
COMMANDS = {
    "start/start": (["train", *ORDER], ["train", *ORDER]),
    "start/resume": (["train", *ORDER], ["resume", "run"]),
    "resume/resume": (["resume", "run"], ["resume", "run"]),
}


def command(folder, words):
    line = [sys.executable, "-m", "genzoo", *words, "--steps", "120", "--quiet"]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def holder_of(path, processes):
    """Wait until one of the processes holds the run, and return it."""
    wait_for((path / "holder.json").exists)
    pid = files.read_json(path / "holder.json", "a holder")["pid"]
    (found,) = [process for process in processes if process.pid == pid]
    return found


def contents(folder):
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def commands_collide(folder, lines):
    """Type two commands at once, and one more while the one that holds the run is paused; return what is not right."""
    run = folder / "run"
    processes = [command(folder, words) for words in lines]
    try:
        winner = holder_of(run, processes)
        winner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, winner.pid, os.WSTOPPED)
        before = contents(run)
        (loser,) = [process for process in processes if process is not winner]
        refused = [loser.communicate()]
        processes.append(command(folder, lines[-1]))
        refused.append(processes[-1].communicate())
        after = contents(run)
        winner.send_signal(signal.SIGCONT)
        _, said = winner.communicate()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    found, faults = newest(run / "checkpoints")
    log = [entry["step"] for entry in Run(run).read_log()]
    named = f"error: run is in use by process {winner.pid} on {socket.gethostname()}\n"
    right = {
        f"the winner: {said}": winner.returncode == 0,
        f"the others: {refused}": [process.returncode for process in (loser, processes[-1])] == [BUSY, BUSY],
        f"the loser: {refused[0]}": refused[0][0] == "" and refused[0][1].startswith("error: run is in use by "),
        f"the third one: {refused[1]}": refused[1][0] == "" and refused[1][1].startswith(named),
        "what the run holds, while paused": before == after,
        "what the run holds": faults == [] and found.step == 120 and log == list(range(10, 121, 10)),
    }
    return [what for what, is_right in right.items() if not is_right]


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        ("start/start", 1),
        ("start/resume", 1),
        *(pytest.param(kind, 4, marks=pytest.mark.slow, id=f"{kind}-often") for kind in COMMANDS),
    ],
)
def test_of_two_commands_at_once_one_ends_with_0_and_the_other_one_with_7(
    say, monkeypatch, tmp_path, tally, kind, times
):
    wrong = []
    for number in range(times):
        folder = tmp_path / str(number)
        folder.mkdir()
        if kind != "start/start":
            monkeypatch.chdir(folder)
            assert say("train", *ORDER, "--steps", 10, "--quiet").code == 0
        wrong.append(commands_collide(folder, COMMANDS[kind]))
    print(wrong)
    tally(
        "two commands on one run folder at once",
        tries=times,
        survived=wrong.count([]),
        how="real commands, the first to hold the run paused; exit 0 and 7, also of a third one, which names the "
        "process and machine; the folder is as it was when they end",
    )


# What is killed holds nothing


@pytest.mark.parametrize("times", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_run_whose_owner_was_killed_is_taken_at_once(server, begun, alone, tmp_path, tally, times):
    survived = 0
    for number in range(times):
        chance = random.Random(number)
        path = shutil.copytree(begun, tmp_path / str(number))
        then = chance.choice(("train", "resume"))
        call = {"run": path, **SMALL}
        owner = server.run(
            "session",
            then=then,
            more=1000,
            in_line="started",
            in_save=1,
            kill_after=chance.choice((0, chance.uniform(0, 0.1))),
            **call,
        )
        assert owner["code"] == KILLED, owner
        assert (path / "holder.json").exists()
        running = Run(path).is_running
        first = Run(path).step
        done = server.run("session", then=chance.choice(("train", "resume")), more=2, **call)
        survived += (
            not running
            and end_of(done)[0] == STOPPED
            and told(done, "started") == [f"{first} {path}"]
            and told(done, "warning") == []
            and not (path / "holder.json").exists()
            and newest(path / "checkpoints")[0].step == first + 2
        )
        shutil.rmtree(path)
    tally(
        "kill -9 of the process that holds a run",
        tries=times,
        survived=survived,
        how="the next process takes it at its first attempt and goes on; nothing is unlocked by hand",
    )


# Runs without a name


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_sixteen_that_begin_at_once_get_folders_of_their_own_and_lose_no_line(server, tmp_path, tally, times):
    survived = 0
    for number in range(times):
        root = tmp_path / str(number)
        jobs = [{"then": "train", "runs": root, "more": 4, "seed": seed, "patience": 0, **SMALL} for seed in range(16)]
        ends = server.race("session", jobs)
        paths = [told(done, "started")[0].removeprefix("0 ") for done in ends]
        names = sorted(path.name for path in root.iterdir() if path.is_dir())
        assert sorted(os.path.basename(path) for path in paths) == names
        assert [int(name[:4]) for name in names] == list(range(1, 17))
        for seed, (done, path) in enumerate(zip(ends, paths, strict=True)):
            text = (root / path / "metrics.jsonl").read_text(encoding="utf-8")
            survived += (
                end_of(done)[0] == STOPPED
                and path.endswith(f"-gan-mixture25-paper-s{seed}")
                and Run(root / path).record.seed == seed
                and [json.loads(line)["step"] for line in text.splitlines()] == [1, 2, 3, 4]
                and text.endswith("\n")
                and newest(root / path / "checkpoints")[0].step == 4
            )
    tally(
        "sixteen trainings without --run begin at once",
        tries=16 * times,
        survived=survived,
        how="sixteen folders with the numbers 1 to 16, each with its own seed, all lines of its log and its checkpoint",
    )
