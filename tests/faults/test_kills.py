"""It never loses a run: processes that are killed, and power that fails, at every moment."""

import os
import pickle
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from contents import tensors_of
from fork_server import INTERVAL, STEPS
from toy import RECORD, record

from genzoo.host.discovery import registry
from genzoo.storage import checkpoints
from genzoo.storage.run_folder import Run

KILLED = -9
CRASHED = 9
LOGGED = 4
"""Steps between two entries of the log where power fails; the first comes after the first checkpoint."""
MIXTURE = {"dataset.rows": 256, "dataset.held_out_rows": 64, "training.batch_size": 32}
DIGITS = {"training.batch_size": 32}
QUICK = {"rectified-flow": {"game.solver.steps": 1}, "autoregressive": {"game.width": 1, "game.layers": 1}}
"""With which models that draw samples slowly are evaluated in as short a time as others."""
NAMES = ("networks.safetensors", "optimizers.safetensors", "state.json")


def own_models():
    """Return the models of genzoo's own plugins that need no other run."""
    entries = [entry for entry in registry().of("models") if entry.plugin.distribution == "genzoo"]
    return sorted(entry.name for entry in entries if not entry.load().inherits)


def arguments_of(model):
    needs_digits = model.startswith("conditional-") or model in ("semi-aae", "autoregressive")
    recipe, overrides = ("digits", DIGITS) if needs_digits else ("mixture25", MIXTURE)
    overrides = overrides | QUICK.get(model, {}) | {"training.checkpoint_every": INTERVAL}
    return {"model": model, "recipe": recipe, "overrides": overrides}


@pytest.fixture(scope="module")
def server(bare_server, tmp_path_factory):
    for model in ("ali", "conditional-ali"):  # so that it has imported what its children use, and they are quick
        bare_server.run("modules", run=tmp_path_factory.mktemp("imports") / model, **arguments_of(model))
    return bare_server


@pytest.fixture(scope="module")
def expected(server, tmp_path_factory):
    """Return a function that gives a model's tensors at the end of an uninterrupted run, and the seconds it took."""
    known = {}
    root = tmp_path_factory.mktemp("uninterrupted")

    def of(model):
        if model not in known:
            done = server.run("train", run=root / model, **arguments_of(model))
            assert done["code"] == 0, done
            assert "saved 12" in done["told"]
            known[model] = tensors_of(root / model), done["seconds"]
        return known[model]

    return of


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def last_saved(done):
    """Return the step of the last checkpoint that a child was told is saved."""
    steps = [int(line.split()[1]) for line in done["told"] if line.startswith("saved ")]
    return max(steps, default=0)


def saves_left(path):
    return (STEPS - Run(path).step) // INTERVAL


def kill(server, path, model, seconds, chance, *, in_save):
    """Begin or go on with a run and kill it at a random moment; check that what was reported saved is there."""
    call = {"run": path, "then": "resume", **arguments_of(model)}
    left = saves_left(path)
    in_save = in_save and left > 0
    for shorter in (1, 2, 4, 8, 16, 32):  # what ends before it is killed is no kill: it is tried again, earlier
        copy = path.with_name(f"{path.name}-before")
        if path.exists():
            shutil.copytree(path, copy)
        if in_save:
            done = server.run("train", in_save=chance.randint(1, left), kill_after=chance.uniform(0, 0.03), **call)
        else:
            done = server.run("train", kill_after=chance.uniform(0, seconds) / shorter, **call)
        if done["code"] == KILLED:
            shutil.rmtree(copy, ignore_errors=True)
            assert (Run(path).step if path.exists() else 0) >= last_saved(done)
            return in_save
        assert done["code"] == 0, done
        shutil.rmtree(path)
        if copy.exists():
            copy.rename(path)
    raise AssertionError(f"{model} was never killed")


def killed_and_ended(server, expected, path, model, number, *, kills):
    """Kill a run so many times, each time going on, then let it end; return whether it is bitwise the other one."""
    chance = random.Random(f"{model} {number}")
    tensors, seconds = expected(model)
    saving = [
        kill(server, path, model, seconds, chance, in_save=(number + again) % 2 == 1 and not again)
        for again in range(kills)
    ]
    done = server.run("train", run=path, then="resume", **arguments_of(model))
    assert done["code"] == 0, done
    assert names(path / "checkpoints")[-2:] == ["step-0000009", "step-0000012"]  # an older one may be half removed
    assert [entry["step"] for entry in Run(path).read_log()][-1] == STEPS
    assert Run(path).scores
    same = tensors_of(path) == tensors
    shutil.rmtree(path)
    return same, any(saving)


@pytest.mark.timeout(3600)  # it trains every model three times, which busy processes beside it make slow
def test_every_model_is_the_same_after_a_kill_at_a_random_moment(server, expected, tmp_path, tally):
    models = own_models()
    assert len(models) >= 8
    ends = [
        killed_and_ended(server, expected, tmp_path / model, model, number, kills=1)
        for number, model in enumerate(models)
    ]
    during = sum(saving for _, saving in ends)
    assert during >= 2  # a save is a smaller part of a training since a thread writes it
    tally(
        "kill -9 of a training at a random moment",
        tries=len(ends),
        survived=sum(same for same, _ in ends),
        how=f"{len(models)} models, {during} of the kills around a save; gone on with, bitwise the uninterrupted run",
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", own_models())
def test_a_model_is_the_same_after_many_kills_at_random_moments(server, expected, tmp_path, tally, model):
    ends = [
        killed_and_ended(server, expected, tmp_path / str(number), model, number, kills=1) for number in range(100, 125)
    ]
    tally(
        f"kill -9 of {model} at a random moment",
        tries=len(ends),
        survived=sum(same for same, _ in ends),
        how=f"{sum(saving for _, saving in ends)} of the kills around a save; bitwise the uninterrupted run",
    )


def nested(server, expected, tmp_path, tally, numbers):
    models = own_models()
    ends = [
        killed_and_ended(server, expected, tmp_path / str(number), models[number % len(models)], number, kills=3)
        for number in numbers
    ]
    tally(
        "kill -9 of a training, of its resume, and of that one's resume",
        tries=len(ends),
        survived=sum(same for same, _ in ends),
        how="then let end; bitwise the uninterrupted run",
    )


def test_a_run_is_the_same_after_three_kills_one_inside_the_other(server, expected, tmp_path, tally):
    nested(server, expected, tmp_path, tally, range(3))


@pytest.mark.slow
def test_ten_runs_are_the_same_after_three_kills_one_inside_the_other(server, expected, tmp_path, tally):
    nested(server, expected, tmp_path, tally, range(10, 20))


# Every operation on the disk


def crash_everywhere(server, root, prepare, check, call, *, place, **arguments):
    """End a process before each of its disk operations, in a fresh folder each; `check` each; return how many.

    `place` turns a folder into the arguments that name it.
    """
    for number in range(500):
        path = root / str(number)
        path.mkdir()
        prepare(path)
        done = server.run(call, crash=number, **arguments, **place(path))
        assert done["code"] in (0, CRASHED), done
        check(path)
        if done["code"] == 0:
            return number + 1
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("step", [30, 20], ids=["a new step", "a step again"])
def test_a_save_that_ends_at_any_disk_operation_leaves_a_whole_newest_checkpoint(server, tmp_path, tally, step):
    found = Counter()

    def prepare(path):
        for old in (10, 20):
            checkpoints.save(path / "checkpoints", step=old, files=dict.fromkeys(NAMES, bytes(50)), keep=2)

    def check(path):
        folder = path / "checkpoints"
        newest, faults = checkpoints.newest(folder)
        assert faults == []
        assert newest is not None
        assert newest.step >= step - 10
        found[newest.step] += 1
        with Run(path).hold():
            again, faults = checkpoints.newest(folder)
            assert faults == []
            assert again == newest or (step == 20 and again.step == 20)  # one that was displaced is put back
        assert [name for name in names(folder) if not name.startswith("step-")] == []

    def place(path):
        return {"folder": path / "checkpoints"}

    points = crash_everywhere(server, tmp_path, prepare, check, "save", place=place, step=step, size=100)
    assert points > 20
    assert found[step] > 1
    assert found[step - 10] >= 1
    tally(
        f"a save of {'a new' if step == 30 else 'the same'} step that ends before any disk operation or within a write",
        tries=points,
        survived=sum(found.values()),
        how="every crash point once; the newest checkpoint is whole and at most one interval old",
    )


def scores_of(value):
    return [{"metric": "modes", "value": value, "step": 3, "protocol": {}}]


WRITERS = {
    "run.json": ("write_record", lambda run: run.record.seed),
    "evaluation.json": ("write_scores", lambda run: run.scores[0]["value"]),
    "metrics.jsonl, a line": ("log", lambda run: [entry["step"] for entry in run.read_log()]),
    "metrics.jsonl, rewound": ("rewind_log", lambda run: [entry["step"] for entry in run.read_log()]),
}
VALUES = {
    "run.json": (RECORD | {"seed": 2}, 1, 2),
    "evaluation.json": (scores_of(2.0), 1.0, 2.0),
    "metrics.jsonl, a line": ({"step": 3, "losses": {"x": 1.5}}, [1, 2], [1, 2, 3]),
    "metrics.jsonl, rewound": (1, [1, 2], [1]),
}


def as_run(path):
    return {"run": path}


def written_run(path):
    run = Run(path)
    run.write_record(record(seed=1))
    run.write_scores(scores_of(1.0))
    for step in (1, 2):
        run.log({"step": step})
    return run


@pytest.mark.parametrize("what", WRITERS)
def test_a_writer_that_ends_at_any_disk_operation_leaves_the_old_or_the_new_file(server, tmp_path, tally, what):
    name, read = WRITERS[what]
    value, old, new = VALUES[what]
    found = []

    def check(path):
        found.append(read(Run(path)))
        run = Run(path)
        run.rewind_log(2)  # as every process that goes on does
        run.log({"step": 4})
        assert [entry["step"] for entry in run.read_log()][-1] == 4

    points = crash_everywhere(server, tmp_path, written_run, check, "method", place=as_run, name=name, value=value)
    assert points >= 4
    assert found[0] == old
    assert found[-1] == new
    tally(
        f"the writer of {what} ends before any disk operation or within a write",
        tries=points,
        survived=sum(content in (old, new) for content in found),
        how="every crash point once; the file is the old or the new one, and is written on",
    )


def test_what_a_killed_writer_leaves_beside_a_file_is_removed_by_the_next_holder(server, tmp_path):
    def check(path):
        with Run(path).hold():
            assert [name for name in names(path) if name.endswith(".tmp")] == []

    crash_everywhere(
        server, tmp_path, written_run, check, "method", place=as_run, name="write_record", value=RECORD | {"seed": 2}
    )


# Power that fails


class File:
    """A file's content, and as much of it as the disk is known to have."""

    def __init__(self):
        self.content = self.synced = b""

    def sync(self):
        self.synced = self.content


class Folder:
    """A folder's entries, and those that the disk is known to have."""

    def __init__(self):
        self.content, self.synced = {}, {}

    def sync(self):
        self.synced = dict(self.content)


class Disk:
    """Files and folders as a process sees them, and as they could be found after the power failed."""

    def __init__(self, root, *, made_folders_are_kept):
        self.root, self.top = root, Folder()
        self.made_folders_are_kept = made_folders_are_kept
        self.saved = 0

    def chain(self, path):
        """Return the folders and files from the top to `path`."""
        found = [self.top]
        for part in Path(path).relative_to(self.root).parts:
            found.append(found[-1].content[part])
        return found

    def do(self, kind, *arguments):
        """Do one operation of a journal."""
        if kind == "saved":
            (self.saved,) = arguments
            return
        path = Path(arguments[0])
        if self.root != path and self.root not in path.parents:
            return
        *_, holder = self.chain(path.parent if path != self.root else path)
        if kind in ("create", "truncate"):
            entry = holder.content.setdefault(path.name, File())
            if kind == "truncate":
                entry.content = b""
        elif kind == "mkdir":
            holder.content[path.name] = Folder()
        elif kind == "write":
            holder.content[path.name].content += arguments[1]
        elif kind == "remove":
            del holder.content[path.name]
        elif kind == "replace":
            *_, target = self.chain(Path(arguments[1]).parent)
            target.content[Path(arguments[1]).name] = holder.content.pop(path.name)
        else:
            assert kind == "sync"
            self.sync(path)

    def sync(self, path):
        chain = self.chain(path)
        chain[-1].sync()
        if self.made_folders_are_kept:  # a journal keeps order: with a later change, it has the folder's own entry
            parts = path.relative_to(self.root).parts
            for holder, name, entry in zip(chain, parts, chain[1:], strict=False):
                if isinstance(entry, Folder):
                    holder.synced[name] = entry

    def after_failure(self, place, choose):
        """Write to `place` what `choose` leaves of everything: `choose(entry)` is what is found of it."""

        def put(folder, path):
            path.mkdir(parents=True)
            for name, entry in choose(folder).items():
                if isinstance(entry, Folder):
                    put(entry, path / name)
                else:
                    (path / name).write_bytes(choose(entry))

        put(self.top, place)


def everything(entry):
    return entry.content


def only_what_was_synced(entry):
    return entry.synced


def names_without_contents(entry):
    return entry.content if isinstance(entry, Folder) else entry.synced


def contents_without_names(entry):
    return entry.synced if isinstance(entry, Folder) else entry.content


def any_of_it(chance):
    def choose(entry):
        if isinstance(entry, Folder):
            return chance.choice((entry.synced, entry.content))
        lost = entry.content[len(entry.synced) :] if entry.content.startswith(entry.synced) else b""
        return chance.choice((entry.synced, entry.content, entry.synced + lost[: len(lost) // 2]))

    return choose


@pytest.fixture(scope="module")
def journal(server, tmp_path_factory):
    """Return the folder above a run, and every operation on the disk of its training, with what it reported saved."""
    root = tmp_path_factory.mktemp("journal")
    arguments = arguments_of("gan")
    arguments["overrides"] |= {"training.log_every": LOGGED}
    done = server.run("train", run=root / "run", journal=root / "journal", **arguments)
    assert done["code"] == 0, done
    operations = pickle.loads((root / "journal").read_bytes())
    (root / "journal").unlink()
    assert Counter(kind for kind, *_ in operations)["saved"] == STEPS // INTERVAL
    return root, operations


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_journal_of_a_training_tells_all_that_is_on_the_disk_in_the_end(journal, tmp_path):
    root, operations = journal
    disk = Disk(root, made_folders_are_kept=True)
    for operation in operations:
        disk.do(*operation)
    disk.after_failure(tmp_path / "found", everything)
    assert contents(tmp_path / "found") == contents(root)


def fail_everywhere(root, operations, tmp_path, *, made_folders_are_kept=True):
    """Yield, for each way that power fails once something is saved, whether that or something newer is found."""
    disk = Disk(root, made_folders_are_kept=made_folders_are_kept)
    chance = random.Random(0)
    ways = [only_what_was_synced, names_without_contents, contents_without_names, any_of_it(chance), any_of_it(chance)]
    for operation in operations:
        disk.do(*operation)
        if not disk.saved:
            continue
        for choose in ways:
            found = tmp_path / "found"
            disk.after_failure(found, choose)
            newest, _ = checkpoints.newest(found / "run" / "checkpoints")
            run = Run(found / "run")
            is_there = newest is not None and newest.step >= disk.saved and run.record.model == "gan"
            yield is_there and has_its_log(run, newest)
            shutil.rmtree(found)


def has_its_log(run, newest):
    """Whether the log has all entries up to a checkpoint; scores that cannot be read raise an error."""
    logged = {entry["step"] for entry in run.read_log()}
    return isinstance(run.scores, list) and logged >= set(range(LOGGED, newest.step + 1, LOGGED))


def test_power_that_fails_at_any_disk_operation_loses_no_reported_checkpoint(journal, tmp_path, tally):
    kept = list(fail_everywhere(*journal, tmp_path))
    assert len(kept) > 200
    tally(
        "power that fails at any disk operation of a training",
        tries=len(kept),
        survived=sum(kept),
        how="a model of the disk that drops what was not synchronised, in five ways; made folders are journalled, "
        "as ext4, XFS and Btrfs do",
    )


@pytest.mark.parametrize("of", ["networks.safetensors", "MANIFEST.json", "checkpoints", "metrics.jsonl"])
def test_without_any_kind_of_synchronisation_a_power_failure_loses_a_checkpoint(journal, tmp_path, of):
    root, operations = journal
    fewer = [operation for operation in operations if operation[0] != "sync" or Path(operation[1]).name != of]
    assert not all(fail_everywhere(root, fewer, tmp_path))


def test_power_that_fails_loses_nothing_where_folders_last_only_once_synchronised(journal, tmp_path):
    assert all(fail_everywhere(*journal, tmp_path, made_folders_are_kept=False))


# Beside it: what a plain loop loses


def killed_saves(server, folder, how, number, size):
    """Kill a process that saves over and over; return the last step that it reported."""
    folder.mkdir()
    done = server.run(
        "save_for_ever",
        folder=folder,
        how=how,
        size=size,
        in_line="saved",
        in_save=2,
        kill_after=random.Random(f"{how} {number}").uniform(0, 0.1),
    )
    assert done["code"] == KILLED, done
    return last_saved(done)


def is_loadable(path):
    try:
        torch.load(path)
    except Exception:
        return False
    return True


@pytest.mark.slow
def test_forty_kills_while_saving_lose_nothing_where_a_plain_loop_loses_its_copy(server, tmp_path, tally):
    size, kept, lost = 2**22, 0, 0
    for number in range(40):
        folder = tmp_path / str(number)
        reported = killed_saves(server, folder, "genzoo", number, size)
        newest, faults = checkpoints.newest(folder)
        kept += newest is not None and newest.step >= reported and not faults
        shutil.rmtree(folder)
        killed_saves(server, folder, "plain", number, size)
        lost += not is_loadable(folder / "state.pt")
        shutil.rmtree(folder)
    tally(
        "kill -9 within a loop that does nothing but save",
        tries=40,
        survived=kept,
        how=f"a state of {size / 2**20:g} MiB, saved over and over",
        plain=f"{lost} of 40 lost their only copy",
    )
    assert lost > 0


@pytest.mark.parametrize("crashes", [(70, 110), pytest.param(range(40, 200), marks=pytest.mark.slow)], ids=str)
def test_killed_at_a_disk_operation_a_run_tells_its_tracker_no_step_twice(server, tmp_path, crashes):
    """What is about to be told when the process ends is missing, and nothing else."""
    order = arguments_of("gan") | {"track": ["csv"]}
    order["overrides"] = order["overrides"] | {"training.log_every": 1}
    killed = 0
    for crash in crashes:
        path = tmp_path / f"{crash}"
        killed += server.run("train", run=path, crash=crash, **order)["code"] == CRASHED
        done = server.run("train", run=path, then="resume", **order)
        assert done["code"] == 0, done
        rows = [line.split(",") for line in (path / "trackers/csv/numbers.csv").read_text().splitlines()[1:]]
        steps = [int(step) for step, name, _ in rows if name == "losses/critic"]
        assert len(set(steps)) == len(steps)
        assert len(set(range(1, STEPS + 1)) - set(steps)) <= 1, crash
        assert [entry["step"] for entry in Run(path).read_log()] == list(range(1, STEPS + 1))
    assert killed == len(crashes)


def test_the_server_was_not_left_with_threads_that_a_fork_would_lose(server):
    assert len(os.listdir(f"/proc/{server.process.pid}/task")) == 1
