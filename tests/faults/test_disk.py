"""It never loses a run: disks that are full or fail, and folders that are read-only, taken away or somebody else's."""

import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from fork_server import INTERVAL, STEPS

from genzoo.storage import checkpoints
from genzoo.storage.run_folder import Run
from genzoo.storage.run_lock import SCORES_LOCK

NOBODY = 65534
LONG = 300
"""Seconds after which a child that has not ended is killed: it hangs."""

MIXTURE = {"dataset.rows": 256, "dataset.held_out_rows": 64, "training.batch_size": 32}
NAMES = ("networks.safetensors", "optimizers.safetensors", "state.json")
FULL = re.compile(r"no room to write (.+), ([\d,]+) bytes are needed, ([\d,]+) are free")
ERRORS = {"ENOSPC": errno.ENOSPC, "EDQUOT": errno.EDQUOT, "EIO": errno.EIO}


def is_open(path):
    """Return whether everybody may read what is at `path`."""
    return all(folder.stat().st_mode & 0o5 == 0o5 for folder in (path, *path.parents))


as_root = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(is_open, (Path(sys.prefix).resolve(), Path(checkpoints.__file__).parent))),
    reason="only root can become somebody else, and only where they may import genzoo",
)


def order(**settings):
    """Return the arguments of a training of 12 steps that saves every 3, and logs and draws at its end alone."""
    often = {"log_every": STEPS, "picture_every": STEPS, "checkpoint_every": INTERVAL} | settings
    overrides = MIXTURE | {f"training.{name}": value for name, value in often.items()}
    return {"model": "gan", "recipe": "mixture25-paper", "overrides": overrides}


@pytest.fixture(scope="module")
def server(bare_server, tmp_path_factory):
    bare_server.run("modules", run=tmp_path_factory.mktemp("imports") / "run", **order())
    return bare_server


@pytest.fixture(scope="module")
def expected(server, tmp_path_factory):
    """Return what an uninterrupted run comes to."""
    path = tmp_path_factory.mktemp("uninterrupted") / "run"
    done = server.run("disturbed", run=path, order=order())
    assert ended(done)[0] == 0
    return outcome(path)


@pytest.fixture(scope="module")
def of_full_width(server, tmp_path_factory):
    """Return an uninterrupted run of the paper's networks, which a process of its own trains."""
    path = tmp_path_factory.mktemp("wide") / "run"
    assert ended(server.run("disturbed", run=path, order=order(), width=None))[0] == 0
    return path


@pytest.fixture(scope="module")
def halved(server, tmp_path_factory):
    """Return a function that puts a run in place that was stopped after step 6."""
    known = {}
    root = tmp_path_factory.mktemp("halved")

    def put(path, **settings):
        key = json.dumps(settings)
        if key not in known:
            known[key] = root / str(len(known))
            done = server.run("disturbed", run=known[key], order=order(**settings), stop=6)
            assert ended(done)[0] == 143
        shutil.copytree(known[key], path)
        assert checkpoints.steps(path / "checkpoints") == [3, 6]
        return path

    return put


@pytest.fixture
def mount():
    """Return a function that mounts something on a folder until the test ends."""
    places = []

    def put(path, *options):
        path.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *options, path], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is refused here: {done.stderr.strip()}")
        places.append(path)
        return path

    yield put
    for path in reversed(places):
        subprocess.run(["umount", "--lazy", path], check=True)


def outcome(path):
    """Return the step and the bytes of the tensors of a run's newest checkpoint, its last logged step, its scores."""
    found, faults = checkpoints.newest(path / "checkpoints")
    assert (faults, leftovers(path)) == ([], [])
    tensors = {file.name: file.read_bytes() for file in found.path.glob("*.safetensors")}
    return found.step, tensors, Run(path).read_log()[-1]["step"], Run(path).scores


def ended(done):
    """Return the exit code, the finding and the remedy that a child ended with."""
    assert done["code"] == 0, done
    ends = [line for line in done["told"] if line.startswith("ended ")]
    _, code, said = ends[-1].split(" ", 2)
    return int(code), *json.loads(said)


def last_saved(done):
    """Return the step of the last checkpoint that a child was told is saved."""
    return max((int(line.split()[1]) for line in done["told"] if line.startswith("saved ")), default=0)


def newest_step(path):
    """Return the step of the newest checkpoint of a run, which is whole; 0 without one."""
    found, faults = checkpoints.newest(path / "checkpoints")
    assert faults == []
    return 0 if found is None else found.step


def leftovers(path):
    return [found for found in path.rglob("*") if found.name.startswith(".tmp") or found.name.endswith(".tmp")]


def number(text):
    return int(text.replace(",", ""))


def is_full(found, place):
    """Return whether a finding says that there is no room for `place`, with needed and free bytes."""
    told = FULL.fullmatch(found)
    return told is not None and told[1] == str(place) and number(told[2]) > 0


def size_of(checkpoint):
    return sum((checkpoint / name).stat().st_size for name in NAMES)


def goes_on(server, path, expected, **width):
    """Go on with a run, undisturbed; return whether it ends as the uninterrupted one does."""
    done = server.run("disturbed", run=path, order=order(), kill_after=LONG, **width)
    return ended(done)[0] == 0 and outcome(path) == expected


def is_kept(path, done, *, step):
    """Return whether the checkpoint of `step` is the newest and whole, nothing newer was told, nothing is left over."""
    return newest_step(path) == step >= last_saved(done) and leftovers(path) == []


# Disks that are full


def sizes(path, count):
    """Return limits from no byte to one less than the largest file of a run's newest checkpoint."""
    largest = max(file.stat().st_size for file in (path / "checkpoints" / "step-0000006").iterdir())
    return [0, 1, 511, 4096] + [largest * part // (count - 4) for part in range(1, count - 4)] + [largest - 1]


@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_a_save_that_no_file_may_grow_for_keeps_the_checkpoint_before(server, halved, expected, tmp_path, tally, count):
    limits = sizes(halved(tmp_path / "first"), count)
    server.run("disturbed", run=tmp_path / "whole", order=order())
    needed = size_of(tmp_path / "whole" / "checkpoints" / "step-0000009")
    assert len(set(limits)) == count
    survived = 0
    for limit in limits:
        path = halved(tmp_path / str(limit))
        done = server.run("disturbed", run=path, order=order(), at=9, limit=limit, kill_after=LONG)
        code, found, _ = ended(done)
        kept = code == 6 and is_full(found, path / "checkpoints" / "step-0000009") and is_kept(path, done, step=6)
        kept = kept and number(FULL.fullmatch(found)[2]) == pytest.approx(needed, abs=100)
        survived += kept and goes_on(server, path, expected)
        shutil.rmtree(path)
    tally(
        "a disk that is full while a checkpoint is saved",
        tries=count,
        survived=survived,
        how="RLIMIT_FSIZE at as many sizes, 0 to one byte too few; exit 6 with needed and free bytes, the one before "
        "whole, nothing left over; then bitwise the uninterrupted run",
    )


@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_save_on_a_small_file_system_that_fills_up_keeps_the_checkpoint_before(
    server, halved, expected, mount, tmp_path, tally, count
):
    first = halved(tmp_path / "first")
    used = sum(-(-file.stat().st_size // 4096) * 4096 for file in first.rglob("*") if file.is_file())
    needed = size_of(first / "checkpoints" / "step-0000006")
    survived = 0
    for part in range(count):
        size = used + 65536 + needed * part // count
        path = halved(mount(tmp_path / str(part), "-t", "tmpfs", "-o", f"size={size}", "none") / "run")
        done = server.run("disturbed", run=path, order=order(), kill_after=LONG)
        code, found, _ = ended(done)
        kept = code == 6 and is_full(found, path / "checkpoints" / "step-0000009") and is_kept(path, done, step=6)
        told = FULL.fullmatch(found)
        honest = told is not None and number(told[3]) < number(told[2])
        subprocess.run(["mount", "-o", f"remount,size={size + 4 * needed}", path.parent], check=True)
        survived += kept and honest and goes_on(server, path, expected)
        shutil.rmtree(path)
    tally(
        "a small file system that fills up while a checkpoint is saved",
        tries=count,
        survived=survived,
        how="tmpfs of as many sizes, so that ENOSPC is real; exit 6, free less than needed, the one before whole; "
        "made larger, bitwise the uninterrupted run",
    )


BEFORE_IT_BEGAN = {
    "a run that goes on": [0, 1000],
    "a new run": [0, 1000, 3000],
}


@pytest.mark.parametrize("which", BEFORE_IT_BEGAN)
def test_a_disk_that_was_full_before_a_run_is_told_and_the_run_begins_with_room(
    server, halved, expected, tmp_path, tally, which
):
    limits, survived = BEFORE_IT_BEGAN[which], 0
    for limit in limits:
        path = tmp_path / str(limit)
        step = 0 if which == "a new run" else 6
        if step:
            halved(path)
        done = server.run("disturbed", run=path, order=order(), at=0, limit=limit, kill_after=LONG)
        code, found, _ = ended(done)
        told = FULL.fullmatch(found)
        kept = code == 6 and told is not None and str(path) in told[1] and is_kept(path, done, step=step)
        survived += kept and goes_on(server, path, expected)
    tally(
        f"a disk that was full before {which} began",
        tries=len(limits),
        survived=survived,
        how="RLIMIT_FSIZE, so that the holder's name, the record or the first checkpoint cannot be written; exit 6; "
        "the same again is bitwise the uninterrupted run",
    )


# Disks that fail at any operation


def save(folder, step):
    checkpoints.save(folder, step=step, files=dict.fromkeys(NAMES, bytes(50)), keep=2)


def failing_saves(server, root, *, error=None, lasting=False, step, **more):
    """Yield, for each disk operation of a save, the run's folder, which it was, and the code and finding of the end."""
    (root / "first").mkdir()
    for old in (10, 20):
        save(root / "first" / "checkpoints", old)
    runs = [shutil.copytree(root / "first", root / str(number)) for number in range(25)]
    fault = {"at": 0, "error": error, "lasting": lasting, "armed": False}
    folders = [run / "checkpoints" for run in runs]
    done = server.run("failing_saves", folders=folders, step=step, size=100, fault=fault, kill_after=LONG, **more)
    assert done["code"] == 0, done
    pieces = re.findall(r"((?:failing .*\n)*)ended (\d+) (.*)", "\n".join(done["told"]))
    for run, (failing, code, said) in zip(runs, pieces, strict=True):
        if failing:
            yield run, failing.partition("\n")[0].removeprefix("failing "), int(code), json.loads(said)[0]
    assert not failing, "there are more disk operations than folders"


def is_told(found, error, place):
    """Return whether a finding names the place and what is wrong with the disk."""
    if error == errno.EIO:
        return found == f"cannot write {place}: Input/output error"
    return is_full(found, place)


@pytest.mark.parametrize("step", [30, 20], ids=["a new step", "a step again"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_save_whose_disk_operation_fails_leaves_a_whole_newest_checkpoint(
    server, tmp_path, tally, error, lasting, step
):
    survived, kinds = 0, Counter()
    ends = failing_saves(server, tmp_path, error=ERRORS[error], lasting=lasting, step=step)
    for path, operation, code, found in ends:
        kinds[operation.split()[0]] += 1
        is_said = is_told(found, ERRORS[error], path / "checkpoints" / f"step-{step:07d}")
        is_said = is_said if code == 6 else code == 0 and newest_step(path) == step
        kept = newest_step(path) >= step - 10 and 10 in checkpoints.steps(path / "checkpoints")
        with Run(path).hold():
            clean = leftovers(path) == []
        save(path / "checkpoints", step)
        survived += is_said and kept and clean and newest_step(path) == step
    assert min(kinds[kind] for kind in ("open", "create", "write", "sync", "replace", "mkdir")) >= 1
    tally(
        f"{error} at every disk operation of a save",
        tries=kinds.total(),
        survived=survived,
        how="one open, write, fsync, rename or mkdir fails, or all from there on; told, the newest checkpoint whole, "
        "nothing left over once the run is held again, and saved again",
    )


@pytest.mark.parametrize("step", [30, 20], ids=["a new step", "a step again"])
def test_a_save_whose_disk_operation_fails_leaves_nothing_over(server, tmp_path, step):
    ends = failing_saves(server, tmp_path, error=errno.ENOSPC, lasting=True, step=step)
    assert [operation for path, operation, *_ in ends if leftovers(path)] == []


def test_a_save_whose_folder_is_removed_at_any_disk_operation_is_never_told_as_done(server, tmp_path, tally):
    found_there_and_removed_later = ("sync checkpoints", "replace step-0000010")
    ends = [
        code == 6 and found == f"cannot write {path}/checkpoints/step-0000030: No such file or directory"
        for path, operation, code, found in failing_saves(server, tmp_path, remove=True, step=30)
        if operation not in found_there_and_removed_later
    ]
    assert len(ends) > 20
    tally(
        "a run folder that is removed during a save",
        tries=len(ends),
        survived=sum(ends),
        how="before every disk operation until the checkpoint has its name; exit 6, nothing told as saved",
    )


@pytest.mark.parametrize(
    "ats", [(0, 7, 23, 31, 54, 67), pytest.param(range(300), marks=pytest.mark.slow)], ids=["some", "all"]
)
@pytest.mark.parametrize("error", ["ENOSPC", pytest.param("EIO", marks=pytest.mark.slow)])
def test_a_training_whose_disk_operation_fails_says_so_and_goes_on_as_if_it_had_not(
    server, halved, expected, tmp_path, tally, error, ats
):
    settings = {"log_every": 1, "picture_every": 3}
    survived, places = 0, Counter()
    for at in ats:
        path = halved(tmp_path / str(at), **settings)
        fault = {"at": at, "error": ERRORS[error], "armed": False}
        done = server.run("disturbed", run=path, order=order(**settings), at=8, fault=fault, kill_after=LONG)
        code, found, _ = ended(done)
        if not any(line.startswith("failing ") for line in done["told"]):
            assert code == 0
            break
        place = "" if code == 0 else re.match(r"(?:no room to write|cannot write) (.+?)[:,] ", found)[1]
        places[place.removeprefix(f"{path}/").partition("/")[0]] += 1
        is_said = code == 0 or (code == 6 and is_told(found, ERRORS[error], place) and place.startswith(str(path)))
        kept = newest_step(path) >= max(6, last_saved(done)) and leftovers(path) == []
        survived += is_said and kept and goes_on(server, path, expected)
        shutil.rmtree(path)
    assert places["checkpoints"] > 1
    tally(
        f"{error} at a disk operation of a training",
        tries=places.total(),
        survived=survived,
        how=f"of {', '.join(sorted(place for place in places if place))}; exit 6 that names the file, nothing told as "
        "saved that is not there; then bitwise the uninterrupted run",
    )


# Logs, pictures and scores


def log_steps(path):
    return [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_log_line_that_is_half_written_breaks_nothing(server, halved, expected, tmp_path, tally):
    settings, survived, room = {"log_every": 1}, 0, [0, 1, 120]
    for more in room:
        path = halved(tmp_path / str(more), **settings)
        log = path / "metrics.jsonl"
        size = log.stat().st_size
        done = server.run("disturbed", run=path, order=order(**settings), at=7, limit=size + more, kill_after=LONG)
        code, found, _ = ended(done)
        kept = code == 6 and is_full(found, log) and is_kept(path, done, step=6)
        kept = kept and log.stat().st_size == size + more
        kept = kept and [entry["step"] for entry in Run(path).read_log()] == [1, 2, 3, 4, 5, 6]
        survived += kept and goes_on(server, path, expected) and log_steps(path) == list(range(1, STEPS + 1))
    tally(
        "a disk that fills up within a line of the log",
        tries=len(room),
        survived=survived,
        how="RLIMIT_FSIZE, so that part of a line is written; exit 6; then bitwise, with every step once in the log",
    )


def test_a_picture_that_no_room_is_left_for_ends_the_run_and_is_drawn_afterwards(
    server, halved, expected, tmp_path, tally
):
    settings, survived, limits = {"picture_every": 9}, 0, [1000, 20000]
    for limit in limits:
        path = halved(tmp_path / str(limit), **settings)
        done = server.run(
            "disturbed", run=path, order=order(**settings), at=9, limit=limit, drawn=True, kill_after=LONG
        )
        code, found, _ = ended(done)
        kept = code == 6 and is_full(found, path / "samples" / "0000009.png") and is_kept(path, done, step=6)
        kept = kept and list((path / "samples").iterdir()) == []
        survived += kept and goes_on(server, path, expected) and len(list((path / "samples").iterdir())) == 2
    tally(
        "a disk that is full while a picture is drawn",
        tries=len(limits),
        survived=survived,
        how="RLIMIT_FSIZE; exit 6, no part of a picture; then bitwise, with all pictures",
    )


def test_without_room_for_scores_a_run_ends_saved_and_is_measured_afterwards(server, halved, expected, tmp_path, tally):
    survived, limits = 0, [0, 1000]
    for limit in limits:
        path = halved(tmp_path / str(limit))
        done = server.run("disturbed", run=path, order=order(), at="evaluation", limit=limit, kill_after=LONG)
        code, found, _ = ended(done)
        kept = code == 6 and is_full(found, path / "evaluation.json") and is_kept(path, done, step=12)
        kept = kept and last_saved(done) == 12 and not (path / "evaluation.json").exists()
        survived += kept and goes_on(server, path, expected)
    tally(
        "a disk that is full while scores are written",
        tries=len(limits),
        survived=survived,
        how="RLIMIT_FSIZE; exit 6, the last checkpoint told and whole; then the same scores",
    )


def said(done):
    """Return the exit code of a command and its lines on stderr."""
    assert done["code"] == 0, done
    codes = [int(line.split()[1]) for line in done["told"] if line.startswith("exit ")]
    return codes[0], [line.removeprefix("stderr ") for line in done["told"] if line.startswith("stderr ")]


def contents(folder):
    """Return all files below a folder but the empty one that whoever writes scores locks."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SCORES_LOCK)
    return {path.relative_to(folder): path.read_bytes() for path in found}


COMMANDS = {
    "evaluate": ["evaluate", "run"],
    "sample to a picture": ["sample", "run", "-n", "100", "--out", "new/samples.png"],
    "sample to an array": ["sample", "run", "-n", "1000", "--out", "new/samples.npy"],
    "sample to tensors": ["sample", "run", "-n", "1000", "--out", "new/samples.safetensors"],
    "resume": ["resume", "run", "--quiet"],
    "train": ["train", "gan", "--run", "new/run", "--quiet", "--steps", "4"],
}


def test_a_command_on_a_full_disk_ends_with_6_and_leaves_what_was_there(server, halved, tmp_path, tally):
    before = contents(halved(tmp_path / "run"))
    (tmp_path / "new").mkdir()
    survived = 0
    for words in COMMANDS.values():
        code, lines = said(server.run("command", words=words, folder=tmp_path, limit=0, kill_after=LONG))
        kept = code == 6 and len(lines) <= 3 and lines[0].startswith("error: no room to write ")
        survived += kept and contents(tmp_path / "run") == before and not any(contents(tmp_path / "new").values())
    tally(
        "a command on a full disk",
        tries=len(COMMANDS),
        survived=survived,
        how=f"{', '.join(COMMANDS)}; exit 6 and at most three lines, files as before, none in part",
    )


def options():
    return [word for path, value in order()["overrides"].items() for word in ("--set", f"{path}={value}")]


def genzoo(*words, **more):
    """Type a command in a process of its own."""
    command = [sys.executable, "-m", "genzoo", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


TRAIN = ["train", "gan", "--recipe", "mixture25-paper", "--steps", STEPS, *options(), "--run", "run"]


def is_refused(found, code):
    lines = found.stderr.splitlines()
    return found.returncode == code and found.stdout == "" and len(lines) <= 3 and lines[0].startswith("error: ")


def test_a_training_on_a_disk_that_is_too_small_is_ended_on_a_larger_one(server, of_full_width, mount, tmp_path):
    one = size_of(of_full_width / "checkpoints" / "step-0000012")
    place = mount(tmp_path / "small", "-t", "tmpfs", "-o", f"size={one * 3 // 2}", "none")
    found = genzoo(*TRAIN, "--quiet", cwd=place)
    assert is_refused(found, 6), found
    error = found.stderr.splitlines()[0].removeprefix("error: ")
    # The second to be written finds no room. One that is due while another is written is left out: a slow disk decides.
    assert any(is_full(error, f"run/checkpoints/step-{step:07d}") for step in (6, 9, 12))
    assert newest_step(place / "run") == 3
    assert leftovers(place) == []
    subprocess.run(["mount", "-o", f"remount,size={4 * one}", place], check=True)
    assert goes_on(server, place / "run", outcome(of_full_width), width=None)


@pytest.mark.slow
def test_a_training_where_no_file_may_grow_is_ended_where_it_may(server, of_full_width, tmp_path):
    found = genzoo(
        *TRAIN, "--quiet", cwd=tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**22, 2**22))
    )
    assert is_refused(found, 6), found
    assert is_full(found.stderr.splitlines()[0].removeprefix("error: "), "run/checkpoints/step-0000003")
    assert (newest_step(tmp_path / "run"), leftovers(tmp_path)) == (0, [])
    assert goes_on(server, tmp_path / "run", outcome(of_full_width), width=None)


def typed_to(out, err, *words):
    """Type a command whose results and whose talk go to files; return its exit code."""
    with open(out, "wb") as results, open(err, "wb") as talk:
        command = [sys.executable, "-m", "genzoo", *words]
        return subprocess.run(command, stdout=results, stderr=talk, check=False).returncode


def test_results_that_go_to_a_full_disk_end_a_command_with_6(tmp_path):
    for words in (["runs", "--root", str(tmp_path), "--json"], ["list"]):
        assert typed_to("/dev/full", tmp_path / "err", *words) == 6
        assert (tmp_path / "err").read_text() == (
            "error: the disk is full: [Errno 28] No space left on device\nfree some space, then type the same again\n"
        )


def test_talk_that_goes_to_a_full_disk_changes_no_exit_code(tmp_path):
    assert typed_to(tmp_path / "out", "/dev/full", "resume", "nothing") == 3


# Folders that are taken away, cannot be written, or are somebody else's


@pytest.fixture
def open_place():
    """Return a folder that every user can reach, as those of pytest cannot be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def read_only(path):
    """Return the commands that make a folder read-only for processes that have a file open in it."""
    return [["mount", "--bind", path, path], ["mount", "-o", "remount,bind,ro", path]]


def test_nothing_is_written_below_a_file(server, tmp_path, tally):
    (tmp_path / "file").write_text("in the way")
    ends = []
    for place in ("file", "file/run", "file/runs/run"):
        words = ["train", "gan", "--run", place, "--quiet"]
        code, lines = said(server.run("command", words=words, folder=tmp_path, kill_after=LONG))
        ends.append(code == 6 and len(lines) <= 3 and lines[0].startswith("error: cannot write file"))
    assert contents(tmp_path) == {Path("file"): b"in the way"}
    tally("a run below a file", tries=len(ends), survived=sum(ends), how="exit 6, and the file as before")


def answers(server, folder, *, user=None, **commands):
    """Return whether each command ends with the code that is given with it, in at most three lines."""
    for code, words in commands.values():
        found, lines = said(server.run("command", words=words, folder=folder, user=user, kill_after=LONG))
        yield found == code and len(lines) <= (0 if code == 0 else 3)


READING = {name: (0, words) for name, words in COMMANDS.items() if name.startswith("sample")}
WRITING = {
    "evaluate": (6, COMMANDS["evaluate"]),
    "resume": (6, COMMANDS["resume"]),
    "train again": (6, [*map(str, TRAIN), "--quiet"]),
    "train": (6, ["train", "gan", "--run", "run/run", "--quiet", "--steps", "4"]),
}


def test_on_a_read_only_file_system_what_writes_is_refused_and_what_reads_works(server, halved, mount, tmp_path, tally):
    before = contents(halved(tmp_path / "run"))
    (tmp_path / "new").mkdir()
    mount(tmp_path / "run", "--bind", tmp_path / "run")
    subprocess.run(read_only(tmp_path / "run")[1], check=True)
    ends = list(answers(server, tmp_path, **WRITING, **READING))
    assert contents(tmp_path / "run") == before
    assert len(contents(tmp_path / "new")) == len(READING)
    tally(
        "a run on a read-only file system",
        tries=len(ends),
        survived=sum(ends),
        how=f"{', '.join(WRITING)}: exit 6; {', '.join(READING)}: done",
    )


@as_root
def test_somebody_elses_run_is_refused_by_what_writes_and_read_by_what_reads(server, halved, open_place, tally):
    before = contents(halved(open_place / "run"))
    (open_place / "new").mkdir()
    (open_place / "new").chmod(0o777)
    ends = list(answers(server, open_place, user=NOBODY, **WRITING, **READING))
    assert contents(open_place / "run") == before
    assert len(contents(open_place / "new")) == len(READING)
    tally(
        "a run that may be read and not be written",
        tries=len(ends),
        survived=sum(ends),
        how=f"as another user; {', '.join(WRITING)}: exit 6; {', '.join(READING)}: done",
    )


UNREADABLE = {name: (3, words) for name, words in COMMANDS.items() if name != "train"}
UNREADABLE |= {"runs": (0, ["runs", "--root", "."])}


@as_root
@pytest.mark.parametrize("name", UNREADABLE)
def test_somebody_elses_run_that_may_not_be_read_is_refused_and_hides_no_other(server, halved, open_place, name):
    halved(open_place / "run").chmod(0o700)
    assert all(answers(server, open_place, user=NOBODY, **{name: UNREADABLE[name]}))


@as_root
def test_a_run_that_may_not_be_read_is_no_place_to_train(server, halved, open_place):
    before = contents(halved(open_place / "run"))
    (open_place / "run").chmod(0o700)
    (told,) = answers(server, open_place, user=NOBODY, train=(2, WRITING["train again"][1]))
    assert told
    assert contents(open_place / "run") == before


REMOVED = {
    "removed": [["rm", "-r", "{run}"]],
    "moved": [["mv", "{run}", "{run}-moved"]],
    "replaced by a file": [["rm", "-r", "{run}"], ["touch", "{run}"]],
    "replaced by a link to nowhere": [["rm", "-r", "{run}"], ["ln", "-s", "nowhere", "{run}"]],
}
FIRST = {"a line of the log": 1, "a checkpoint": STEPS}
"""What is written first after a change, by how often there is a line of the log."""


def changed(server, path, commands, *, log_every, user=None):
    """Go on with a run around which something changes after step 8; return how it ended."""
    commands = [[str(word).format(run=path) for word in words] for words in commands]
    given = order(log_every=log_every)
    return server.run("disturbed", run=path, order=given, at=8, commands=commands, user=user, kill_after=LONG)


def is_ended(done):
    """Return whether a run was refused what it wrote first, and told of no checkpoint."""
    code, found, _ = ended(done)
    return code == 6 and found.startswith("cannot write ") and last_saved(done) == 0


def test_a_run_whose_checkpoints_are_removed_makes_the_next_ones_anew(server, halved, expected, tmp_path, tally):
    ends = []
    for first, log_every in FIRST.items():
        path = halved(tmp_path / first, log_every=log_every)
        done = changed(server, path, [["rm", "-r", "{run}/checkpoints"]], log_every=log_every)
        ends.append(ended(done)[0] == 0 and last_saved(done) == STEPS and outcome(path) == expected)
    tally(
        "checkpoints that are removed from under a training",
        tries=len(ends),
        survived=sum(ends),
        how="the next ones are saved in a new folder and whole; bitwise the uninterrupted run",
    )


MADE_ANEW = ("removed", "moved")


def test_a_run_whose_folder_is_taken_away_ends_and_tells_of_no_checkpoint(server, halved, tmp_path, tally):
    ends = []
    for how, commands in REMOVED.items():
        for first, log_every in FIRST.items():
            if how in MADE_ANEW and first == "a checkpoint":
                continue
            path = halved(tmp_path / how / first / "run", log_every=log_every)
            ends.append(is_ended(changed(server, path, commands, log_every=log_every)) and not path.is_dir())
    path = halved(tmp_path / "run")
    commands = [["rm", "-r", "{run}/checkpoints"], ["touch", "{run}/checkpoints"]]
    ends.append(is_ended(changed(server, path, commands, log_every=STEPS)))
    tally(
        "a run folder that is taken away from under a training",
        tries=len(ends),
        survived=sum(ends),
        how=f"{', '.join(REMOVED)}; exit 6 at the first line of the log or checkpoint after it, none told as saved",
    )


@pytest.mark.parametrize("how", MADE_ANEW)
def test_a_run_whose_folder_is_gone_before_a_save_ends_and_tells_of_no_checkpoint(server, halved, tmp_path, how):
    path = halved(tmp_path / "run")
    assert is_ended(changed(server, path, REMOVED[how], log_every=STEPS))


def test_a_run_that_becomes_read_only_ends_and_goes_on_once_it_can_be_written(
    server, halved, expected, mount, tmp_path, tally
):
    mount(tmp_path / "trial", "-t", "tmpfs", "none")
    ends = []
    for first, log_every in FIRST.items():
        path = halved(tmp_path / first / "run", log_every=log_every)
        done = changed(server, path, read_only("{run}"), log_every=log_every)
        subprocess.run(["umount", path], check=True)
        ends.append(is_ended(done) and is_kept(path, done, step=6) and goes_on(server, path, expected))
    tally(
        "a file system that becomes read-only under a training",
        tries=len(ends),
        survived=sum(ends),
        how="a read-only mount on the run folder; exit 6, none told as saved; then bitwise the uninterrupted run",
    )


LOST = [
    ([], 1),
    ([], STEPS),
    ([["chmod", "700", "{run}"]], STEPS),
    ([["chmod", "700", "{run}/.."]], 1),
]
"""What is done before the user changes, and how often there is a line of the log."""


@as_root
def test_a_run_that_loses_its_permissions_ends_and_goes_on_once_it_has_them_again(
    server, halved, expected, open_place, tally
):
    ends = []
    for commands, log_every in LOST:
        path = halved(open_place / str(len(ends)) / "run", log_every=log_every)
        done = changed(server, path, commands, log_every=log_every, user=NOBODY)
        ends.append(is_ended(done) and is_kept(path, done, step=6) and goes_on(server, path, expected))
    tally(
        "permissions that a training loses",
        tries=len(ends),
        survived=sum(ends),
        how="another user from step 8 on, whether the folder can be read or not; exit 6, none told as saved, the one "
        "before whole; then bitwise the uninterrupted run",
    )
