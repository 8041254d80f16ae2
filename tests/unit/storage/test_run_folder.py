"""Run folders: numbered, held by one process, and read with suspicion."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import RECORD, put_record, record

from genzoo.errors import BusyError, ResourceError, SettingsError, UnreadableError
from genzoo.storage import checkpoints, files, run_lock
from genzoo.storage.record import SourceRecord
from genzoo.storage.run_folder import Run
from genzoo.storage.runs_root import all_runs, claim, claim_exactly

FILES = {"networks.safetensors": b"n" * 50, "optimizers.safetensors": b"o" * 50, "state.json": b'{"schema_version": 1}'}


@pytest.fixture
def run(tmp_path):
    """Return a run with a record and checkpoints of steps 10 and 20."""
    found = claim(tmp_path / "runs", "ali-mixture25-s0")
    found.write_record(record())
    for step in (10, 20):
        checkpoints.save(found.checkpoints, step=step, files=FILES, keep=2)
    return found


def damage(run, step):
    path = run.checkpoints / f"step-{step:07d}" / "networks.safetensors"
    path.write_bytes(b"x" + path.read_bytes()[1:])


# Numbers


def test_runs_are_numbered_from_one(tmp_path):
    root = tmp_path / "new" / "runs"
    assert [claim(root, "ali-mixture25-s0").name for _ in range(3)] == [
        "0001-ali-mixture25-s0",
        "0002-ali-mixture25-s0",
        "0003-ali-mixture25-s0",
    ]


def test_the_next_number_follows_the_highest_whatever_else_is_there(tmp_path):
    for name in ("0041-gan-digits-s0", "0007-toy", "notes", "99-short", "2024", "x0100-toy"):
        (tmp_path / name).mkdir()
    (tmp_path / "0050-a-file").write_text("")
    assert claim(tmp_path, "toy").name == "0051-toy"
    (tmp_path / "12345-toy").mkdir()
    assert claim(tmp_path, "toy").name == "12346-toy"


def test_the_number_of_a_removed_run_in_between_is_not_used_again(tmp_path):
    runs = [claim(tmp_path, "toy") for _ in range(3)]
    runs[1].path.rmdir()
    assert claim(tmp_path, "toy").name == "0004-toy"


@pytest.mark.parametrize("label", ["zoo:ali/../../x", "a b\n", "../up", "ä", "a\0b"])
def test_no_label_leads_out_of_the_folder_of_runs(tmp_path, label):
    found = claim(tmp_path, label)
    assert found.path.parent == tmp_path
    assert re.fullmatch(r"0001-[A-Za-z0-9._-]*", found.name)
    assert found.path.is_dir()


CLAIM_FIVE = (
    "import sys; from pathlib import Path; from genzoo.storage.runs_root import claim\n"
    "sys.stdin.read(1)\n"
    "for _ in range(5): print(claim(Path(sys.argv[1]), 'toy').name)"
)


def test_eight_processes_that_claim_at_once_get_different_numbers(tmp_path):
    command = [sys.executable, "-c", CLAIM_FIVE, str(tmp_path / "runs")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(8)]
    for process in processes:
        process.stdin.write("!")
        process.stdin.flush()
    names = [name for process in processes for name in process.communicate()[0].split()]
    assert sorted(names) == [f"{number:04d}-toy" for number in range(1, 41)]


def test_eight_threads_that_claim_at_once_get_different_numbers(tmp_path):
    names, start = [], threading.Barrier(8)

    def work():
        start.wait()
        names.append(claim(tmp_path, "toy").name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == [f"{number:04d}-toy" for number in range(1, 9)]


def test_a_folder_of_runs_that_cannot_be_there_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"Not a directory|File exists"):
        claim(tmp_path / "file", "toy")
    with pytest.raises(ResourceError):
        claim(tmp_path / "file" / "runs", "toy")


# A folder of one's own choice


def test_a_chosen_folder_is_made_with_its_parents(tmp_path):
    assert claim_exactly(tmp_path / "a" / "b").path.is_dir()
    assert claim_exactly(tmp_path / "a" / "b").exists is False


def test_a_chosen_folder_that_holds_something_else_is_refused_and_left(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(SettingsError, match=r"is not a run \(it holds thesis.tex\)"):
        claim_exactly(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_chosen_folder_that_was_only_locked_before_is_taken(tmp_path):
    (tmp_path / "run.lock").write_text("")
    (tmp_path / "holder.json").write_text("{}")
    assert claim_exactly(tmp_path).path == tmp_path


def test_a_chosen_folder_whose_first_writer_was_killed_is_taken(tmp_path, monkeypatch):
    run = claim_exactly(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr("pathlib.Path.unlink", lambda *arguments, **more: None)  # killed: nothing is cleaned up
        with pytest.raises(KeyboardInterrupt):
            run.write_record(record())
    assert [path.suffix for path in run.path.iterdir()] == [".tmp"]
    assert claim_exactly(run.path) == run


def test_a_chosen_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ResourceError, match="cannot write"):
            claim_exactly(path)


def test_all_runs_are_those_with_a_record_by_name(run, tmp_path):
    claim(tmp_path / "runs", "empty")
    other = claim(tmp_path / "runs", "gan-digits-s1")
    other.write_record(record())
    assert all_runs(tmp_path / "runs") == [run, other]
    assert all_runs(tmp_path / "nowhere") == []


# Holding


HOLD = (
    "import sys; from pathlib import Path; from genzoo.storage.run_folder import Run\n"
    "with Run(Path(sys.argv[1])).hold():\n"
    "    print('held', flush=True); sys.stdin.read(1)"
)


@pytest.fixture
def holder(run):
    """Return another process that holds the run until it reads a letter or is killed."""
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_that_another_process_holds_is_busy_and_the_holder_named(run, holder):
    assert run.is_running
    with pytest.raises(BusyError) as caught, run.hold():
        pass
    assert caught.value.exit_code == 7
    assert caught.value.found == f"{run.path} is in use by process {holder.pid} on {socket.gethostname()}"
    assert holder.poll() is None


def test_a_run_is_free_again_when_its_holder_ends(run, holder):
    holder.communicate("!")
    assert not run.is_running
    with run.hold():
        assert run.is_running
    assert not (run.path / "holder.json").exists()


def test_a_run_is_free_again_when_its_holder_is_killed(run, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (run.path / "holder.json").exists()
    assert not run.is_running
    with run.hold():
        assert json.loads((run.path / "holder.json").read_text())["pid"] == os.getpid()


def test_a_run_that_this_process_holds_is_busy_too(run):
    with run.hold():
        with pytest.raises(BusyError, match=f"process {os.getpid()} on"), run.hold():
            pass
        assert run.is_running  # the second attempt took nothing from the first
    with run.hold():
        pass


def test_a_run_is_free_again_after_a_fault_inside(run):
    with pytest.raises(KeyError), run.hold():
        raise KeyError("inside")
    with run.hold():
        pass


def test_a_busy_run_stays_busy_without_the_name_of_its_holder(run, holder, monkeypatch):
    monkeypatch.setattr(run_lock, "_NAME_WAIT", 0.1)
    (run.path / "holder.json").write_text("damaged")
    with pytest.raises(BusyError, match="in use by another process"), run.hold():
        pass


def test_a_holder_whose_name_comes_just_now_is_named(run, holder, monkeypatch):
    """The name is written between two looks: the first finds none, and the second one that holds the run."""
    looks = iter([{}])
    read = run_lock._holder
    monkeypatch.setattr(run_lock, "_holder", lambda folder: next(looks, None) or read(folder))
    monkeypatch.setattr(run_lock, "is_held", lambda folder: True)
    with pytest.raises(BusyError, match=f"in use by process {holder.pid} on "), run.hold():
        pass


def test_holding_removes_what_a_killed_writer_of_checkpoints_left(run):
    (run.checkpoints / ".tmp-dead").mkdir()
    with run.hold():
        assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-0000010", "step-0000020"]


@pytest.mark.parametrize(
    "content",
    [{}, {"pid": 2**22 + 1}, {"pid": "1"}, {"pid": 2**80}, {"pid": os.getpid(), "host": "elsewhere"}],
    ids=["nobody", "no such process", "no number", "no process number", "another machine"],
)
def test_a_holder_that_is_not_alive_here_does_not_run(run, content):
    files.write_json(run.path / "holder.json", {"schema_version": 1, "host": socket.gethostname(), **content})
    assert not run.is_running


# The record


def test_the_record_returns_as_it_was_written(run):
    assert run.record == record()
    assert {key: value for key, value in run.record.to_json().items() if key in RECORD} == RECORD


def test_what_is_no_run_is_told_apart_from_what_is_not_there(tmp_path):
    with pytest.raises(UnreadableError, match="there is no run folder"):
        _ = Run(tmp_path / "nowhere").record
    with pytest.raises(UnreadableError, match=r"is not a run: it has no run.json"):
        _ = Run(tmp_path).record
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreadableError, match="is a file of no exported model"):
        _ = Run(tmp_path / "file").record


@pytest.mark.parametrize("key", RECORD)
def test_a_record_that_lacks_what_every_record_has_is_refused(run, key):
    for wrong in ({name: RECORD[name] for name in RECORD if name != key}, {**RECORD, key: 1.5}):
        put_record(run.path, wrong)
        with pytest.raises(UnreadableError, match=f"{key} is missing or wrong"):
            _ = run.record


def test_a_record_that_was_edited_is_refused(run):
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"steps": 4', '"steps": 5'))
    with pytest.raises(UnreadableError, match="changed or damaged"):
        _ = run.record


def test_a_record_of_a_newer_genzoo_is_refused(run):
    files.write_sealed(run.path / "run.json", {**RECORD, "schema_version": 2})
    with pytest.raises(UnreadableError, match=r"genzoo 0\.1\.0, a newer one"):
        _ = run.record


def test_a_run_can_be_moved(run, tmp_path):
    record, found = run.record, run.newest_checkpoint()[0]
    moved = Run(shutil.move(run.path, tmp_path / "elsewhere"))
    assert moved.name == "elsewhere"
    assert moved.record == record
    assert moved.newest_checkpoint()[0].sha256 == found.sha256


# Checkpoints of a run


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(run):
    damage(run, 20)
    found, (warning,) = run.newest_checkpoint()
    assert (found.step, run.step) == (10, 20)
    assert "step-0000020" in warning
    assert warning.endswith("; using step 10 instead")


def test_without_a_whole_checkpoint_the_newest_fault_is_told(run):
    for step in (10, 20):
        damage(run, step)
    with pytest.raises(UnreadableError, match=r"no checkpoint of .* is whole: .*step-0000020") as caught:
        run.newest_checkpoint()
    assert caught.value.exit_code == 3


def test_without_any_checkpoint_the_command_that_makes_one_is_told(run):
    shutil.rmtree(run.checkpoints)
    assert run.step == 0
    with pytest.raises(UnreadableError, match="has no checkpoint yet") as caught:
        run.newest_checkpoint()
    assert caught.value.remedy == f"type: genzoo train --config {run.path}/run.json --run {run.path}"


def test_a_source_remembers_what_builds_its_networks_and_no_path(run):
    source = run.as_source()
    assert (source.run, source.step) == (run.name, 20)
    assert source.sha256 == run.newest_checkpoint()[0].sha256
    stored = source.to_json()
    assert stored["record"] == {"recipe": RECORD["recipe"], "settings": RECORD["settings"], "from": None}
    assert SourceRecord.from_json(stored) == replace(source, checkpoint=None)
    assert str(run.path) not in json.dumps(stored)


# The log

ENTRIES = [
    {"step": step, "losses": {"critic": 1.5, "generator": 0.25}, "watch": {"accuracy": 0.5}} for step in (5, 10, 15, 20)
]


@pytest.fixture
def logged(run):
    for entry in ENTRIES:
        run.log(entry)
    return run


def test_the_log_returns_what_was_logged(logged, tmp_path):
    assert logged.read_log() == ENTRIES
    assert claim(tmp_path, "toy").read_log() == []


def test_a_backup_of_hard_links_does_not_grow_with_the_log(logged, tmp_path):
    backup = tmp_path / "backup.jsonl"
    backup.hardlink_to(logged.path / "metrics.jsonl")
    before = backup.read_bytes()
    for step in (25, 30):
        logged.log({"step": step})
    assert backup.read_bytes() == before
    assert [entry["step"] for entry in logged.read_log()] == [5, 10, 15, 20, 25, 30]


def test_a_last_line_that_was_cut_anywhere_is_left_out(logged):
    path = logged.path / "metrics.jsonl"
    content = path.read_bytes()
    last = len(content.splitlines(keepends=True)[-1])
    for missing in range(2, last + 1):
        path.write_bytes(content[:-missing])
        assert logged.read_log() == ENTRIES[:3]


def test_a_last_line_that_only_lacks_its_end_of_line_counts(logged):
    path = logged.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert logged.read_log() == ENTRIES


def test_a_log_that_is_damaged_in_between_is_unreadable(logged):
    path = logged.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"step": 10', b'"step": 1x', 1))
    with pytest.raises(UnreadableError, match="is damaged"):
        logged.read_log()


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (4, 0), (5, 1), (12, 2), (20, 4), (99, 4)])
def test_rewinding_the_log_drops_what_came_after_the_step(logged, step, kept):
    logged.rewind_log(step)
    assert logged.read_log() == ENTRIES[:kept]


def test_after_a_rewind_the_log_goes_on_where_a_torn_line_was(logged):
    path = logged.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    logged.rewind_log(10)
    logged.log(ENTRIES[2])
    assert logged.read_log() == ENTRIES[:3]


def test_rewinding_without_a_log_makes_none(run):
    run.rewind_log(10)
    assert not (run.path / "metrics.jsonl").exists()


@given(
    content=st.binary()
    | st.lists(st.integers() | st.text() | st.none()).map(lambda lines: "\n".join(map(json.dumps, lines)).encode())
)
def test_any_log_is_a_list_of_entries_or_unreadable(bare, content):
    (bare.path / "metrics.jsonl").write_bytes(content)
    try:
        entries = bare.read_log()
    except UnreadableError:
        return
    assert all(isinstance(entry, dict) for entry in entries)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return claim(tmp_path_factory.mktemp("runs"), "bare")


def test_neither_another_process_with_the_number_nor_a_copy_holds_a_run(run, tmp_path):
    """A process number is soon given again, in a container as 1, and a copied folder brings the name of the holder."""
    with run.hold():
        assert run.is_running
        copy = Run(shutil.copytree(run.path, tmp_path / "copy"))
        assert not copy.is_running
        holder = json.loads((run.path / "holder.json").read_text())
    for change, expected in (({}, True), ({"pid": 1}, False), ({"started": "1"}, False)):
        (run.path / "holder.json").write_text(json.dumps(holder | change))
        assert run.is_running is expected
    del holder["lock"], holder["started"]  # of an earlier version
    (run.path / "holder.json").write_text(json.dumps(holder))
    assert run.is_running


def test_where_no_start_of_a_process_is_known_its_number_and_the_lock_tell_who_holds_a_run(run, monkeypatch, tmp_path):
    monkeypatch.setattr(run_lock, "start_of_process", lambda pid: None)  # as without /proc
    with run.hold():
        assert run.is_running
        assert not Run(shutil.copytree(run.path, tmp_path / "copy")).is_running
        holder = json.loads((run.path / "holder.json").read_text())
    (run.path / "holder.json").write_text(json.dumps(holder | {"pid": 2**22 + 1}))  # beyond any that Linux gives
    assert not run.is_running


# Scores


def score(value, *, metric="modes", step=20, **protocol):
    return {"metric": metric, "value": value, "step": step, "protocol": protocol}


def test_scores_return_as_they_were_written(run):
    assert run.scores == []
    run.write_scores([score(25.0), score(0.5, metric="reconstruction")])
    assert run.scores == [score(25.0), score(0.5, metric="reconstruction")]


def test_a_new_score_replaces_the_same_one_and_no_other(run):
    first = [score(1.0), score(2.0, step=10), score(3.0, seed=1), score(4.0, metric="reconstruction")]
    run.write_scores(first)
    run.write_scores([score(5.0), score(6.0, seed=2)])
    assert run.scores == [*first[1:], score(5.0), score(6.0, seed=2)]


def test_evaluations_that_end_at_once_lose_no_score(run, monkeypatch):
    """Eight that have all read the scores before the first one writes would leave the last one's alone."""
    write = files.write_sealed

    def write_late(path, document):
        time.sleep(0.03)
        write(path, document)

    monkeypatch.setattr(files, "write_sealed", write_late)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda seed: Run(run.path).write_scores([score(1.0, seed=seed)]), range(8)))
    assert sorted(each["protocol"]["seed"] for each in run.scores) == list(range(8))


def test_a_process_that_never_ends_writing_scores_is_told(run, monkeypatch):
    monkeypatch.setattr(run_lock, "_WAIT", 0.05)
    with ThreadPoolExecutor(1) as threads, run_lock.scores(run.path), pytest.raises(BusyError, match="scores"):
        threads.submit(run.write_scores, [score(1.0)]).result()


def test_the_order_of_a_protocols_entries_makes_no_other_score(run):
    run.write_scores([score(1.0, seed=1, split="test")])
    run.write_scores([score(2.0, split="test", seed=1)])
    assert run.scores == [score(2.0, seed=1, split="test")]


def test_a_run_may_have_a_name_that_is_no_text(run, tmp_path):
    named = Run(shutil.move(run.path, tmp_path / os.fsdecode(b"run \xff")))
    named.write_scores([score(1.0)])
    assert named.scores == [score(1.0)]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"schema_version": 1}',
        '{"schema_version": 1, "scores": 5}',
        '{"schema_version": 1, "scores": [5]}',
        '{"schema_version": 1, "scores": [{"metric": "modes"}]}',
        '{"schema_version": 1, "scores": [{"metric": "modes", "value": "25", "step": 20, "protocol": {}}]}',
        '{"schema_version": 2, "scores": []}',
    ],
)
def test_scores_that_are_damaged_are_unreadable_and_not_overwritten(run, content):
    (run.path / "evaluation.json").write_text(content)
    with pytest.raises(UnreadableError):
        _ = run.scores
    with pytest.raises(UnreadableError):
        run.write_scores([score(1.0)])
    assert (run.path / "evaluation.json").read_text() == content


# Data


def test_scores_on_other_data_replace_none_and_are_not_the_runs(run):
    run.write_record(record(data="a"))
    old = score(1.0)  # from before scores stored their data
    run.write_scores([old])
    run.write_scores([score(2.0) | {"data": "b"}])
    assert run.scores == [old, score(2.0) | {"data": "b"}]
    run.write_scores([score(3.0) | {"data": "a"}])
    assert run.scores == [score(2.0) | {"data": "b"}, score(3.0) | {"data": "a"}]
    assert run.scores_on_its_data == [score(3.0) | {"data": "a"}]


def test_the_place_of_the_data_is_remembered_relative_to_the_run(run, tmp_path):
    assert run.data_place is None
    run.write_data_place(tmp_path / "data")
    assert run.data_place == tmp_path / "data"
    assert str(tmp_path) not in (run.path / "data.json").read_text()
    run.write_data_place(None)
    assert run.data_place is None


@pytest.mark.parametrize("content", ["no JSON", '{"schema_version": 1}', '{"schema_version": 1, "place": 5}'])
def test_a_damaged_place_of_the_data_says_what_to_do(run, content):
    (run.path / "data.json").write_text(content)
    with pytest.raises(UnreadableError, match=r"data\.json") as refused:
        _ = run.data_place
    assert refused.value.remedy.endswith(f"rm {run.path / 'data.json'}")


def test_rewinding_the_log_drops_a_partial_entry_which_the_one_that_is_due_counts_again(logged):
    partial = {"step": 21, "partial": True}
    logged.log(partial)
    logged.rewind_log(21, keep_partial=True)  # all steps are taken, and no other entry is due
    assert logged.read_log() == [*ENTRIES, partial]
    logged.rewind_log(21)
    assert logged.read_log() == ENTRIES


# A run folder that another one takes the place of


def saved(run, step=30):
    run.save_checkpoint(step=step, content=FILES, keep=5)


WRITES = {
    "a log entry": lambda run: run.log({"step": 30}),
    "a checkpoint": saved,
    "scores": lambda run: run.write_scores([{"metric": "m", "value": 1.0, "step": 20, "protocol": {}}]),
}
LOSSES = {
    "moved, and another run in its place": lambda run: (
        run.path.rename(run.path.with_name("old")),
        shutil.copytree(run.path.with_name("old"), run.path),
    ),
    "its lock removed": lambda run: (run.path / "run.lock").unlink(),
    "its lock replaced": lambda run: ((run.path / "run.lock").unlink(), (run.path / "run.lock").touch()),
}


def names_below(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if ".lock" not in file.name)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_writer_whose_folder_is_no_longer_the_one_that_it_holds_writes_nothing_more(run, loss, write):
    with run.hold():
        WRITES[write](run)  # as long as it holds the folder
        LOSSES[loss](run)
        before = names_below(run.path)
        with pytest.raises(ResourceError, match="no longer the folder that this training holds") as refused:
            WRITES[write](run)
        assert refused.value.exit_code == 6
        assert names_below(run.path) == before
    assert names_below(run.path) == before  # nor takes away the name of the one who holds it now


def test_after_a_loss_the_folder_can_be_held_and_written_again(run):
    with run.hold():
        LOSSES["its lock removed"](run)
    with run.hold():
        saved(run)
    assert run.step == 30


# Checkpoints of other runs


@pytest.mark.parametrize("key", ["run", "seed", "step"])
def test_a_checkpoint_of_another_run_is_passed_over_and_told(run, key):
    run.write_record(record(identity="ours"))
    ours = {"schema_version": 1, "run": "ours", "seed": 0, "step": 20}
    for changes in ({}, {key: "theirs" if key == "run" else 7}):
        content = FILES | {"state.json": files.json_bytes(ours | changes)}
        checkpoints.save(run.checkpoints, step=20, files=content, keep=2)
        newest, told = run.newest_checkpoint()
        assert newest.step == (10 if changes else 20)
        assert [f"its {key} is" in text for text in told] == [True] * len(changes)


def test_checkpoints_from_before_runs_had_an_identity_are_their_own(run):
    run.write_record(record(identity="ours"))
    newest, told = run.newest_checkpoint()
    assert (newest.step, told) == (20, [])


def test_a_number_stands_for_the_run_below_the_folder_of_runs(tmp_path, monkeypatch):
    for name in ("0003-model-data-s0", "0030-model-data-s1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert Run.of("3").path == Path("runs/0003-model-data-s0")
    assert Run.of("0030").path == Path("runs/0030-model-data-s1")
    assert Run.of("3", runs=tmp_path / "runs").path == tmp_path / "runs" / "0003-model-data-s0"
    assert Run.of("7").path == Path("7")
    assert Run.of("runs/x").path == Run.of(Path("runs/x")).path == Path("runs/x")
    assert Run.of(Run(Path("y"))).path == Path("y")
    (tmp_path / "3").mkdir()
    assert Run.of("3").path == Path("3")
