"""Everything that can happen to a run, in any order: what was reported as saved is there, or its loss is told."""

import json
import random
import shutil
import sys
from collections import Counter
from errno import EDQUOT, EIO, ENOSPC
from functools import partial

import pytest
from fork_server import INTERVAL, SMALL, WRONG
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from genzoo.errors import UnreadableError
from genzoo.storage import checkpoints

STATE_MACHINE = settings(
    derandomize=True,
    deadline=None,
    database=None,
    stateful_step_count=7,
    phases=(Phase.generate,),
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
KILLED, CRASHED = -9, 9
STOPPED, UNREADABLE, FULL, BUSY = 143, 3, 6, 7
STEPS = 40
NAMES = ("networks.safetensors", "optimizers.safetensors", "state.json", checkpoints.MANIFEST)

KINDS = (
    "trained",
    "saved when asked",
    "killed at any time",
    "killed in a save",
    "ended before a disk operation",
    *(f"a file of a checkpoint is {how}" for how in ("flipped", "cut", "emptied", "removed")),
    "the log is damaged",
    "the record is damaged",
    "a limit of the size of files",
    "the disk is full",
    "a second process is refused",
    "the loss of a checkpoint is told",
)
"""What every test of sequences must have seen, a few times at least."""

SEEDS = st.integers(0, 2**16 - 1)
THEN = st.sampled_from(("train", "resume"))
MORE = st.integers(1, 5)
AFTER = st.integers(0, 4)
PERCENT = st.integers(0, 100)


def flipped(content, chance):
    bit = chance.randrange(8 * len(content))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


CHANGES = {
    "flipped": flipped,
    "cut": lambda content, chance: content[: chance.randrange(len(content) - 1)],
    "emptied": lambda content, chance: b"",
    "removed": lambda content, chance: None,
}


def change(path, how, chance):
    """Do something to a file, unless there is nothing of it to change; return what it held before, or None."""
    content = path.read_bytes() if path.exists() else b""
    if len(content) < 2:
        return None
    put(path, CHANGES[how](content, chance))
    return content


def put(path, content):
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def held(path):
    return path.read_bytes() if path.exists() else None


def told(done, word):
    return [line.removeprefix(f"{word} ") for line in done["told"] if line.startswith(f"{word} ")]


def end_of(done):
    """Return the exit code and the finding of a session, or None where it was killed."""
    for line in told(done, "ended"):
        code, _, text = line.partition(" ")
        return int(code), json.loads(text)[0]
    assert done["code"] in (KILLED, CRASHED), done
    return None


def tensors_of(path):
    return {file.name: file.read_bytes() for file in path.glob("*.safetensors")}


def steps_in(log):
    """Return the steps of the whole lines that a log begins with."""
    found = []
    for line in (held(log) or b"").decode(errors="replace").splitlines():
        try:
            found.append(json.loads(line)["step"])
        except (ValueError, KeyError):
            break
    return found


def contents(folder):
    """Return what a run folder holds, but for what says who held it and what a killed writer left."""
    return {
        str(path.relative_to(folder)): path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
        if path.name not in ("run.lock", "holder.json") and ".tmp" not in str(path.relative_to(folder))
    }


class Before:
    """What was known before a session: where it has to begin, and what it finds."""

    def __init__(self, life, then):
        present = checkpoints.steps(life.folder)
        whole = set(present) - life.damaged
        if present and (life.path / "run.json").exists():
            self.start = max(whole, default=None)
        else:
            self.start = 0 if then == "train" else None
        self.passed_over = [] if self.start is None else [step for step in present if step > self.start]
        self.names_the_loss = bool(present) and not whole
        self.log = steps_in(life.log)
        self.contents = contents(life.path)


class Life(RuleBasedStateMachine):
    """A run, and what users, other processes, kills and the disk do to it; `wrong` is a fault of those who write it.

    Nothing that is drawn depends on how anything ended: the moment of a kill is never the same twice.
    """

    def __init__(self, server, begun, expected, root, tried, faults, wrong):
        super().__init__()
        self.faults = faults
        self.server, self.begun, self.expected, self.tried, self.wrong = server, begun, expected, tried, wrong
        tried["sequences"] += 1
        self.path = root / str(tried["sequences"])
        self.folder, self.log = self.path / "checkpoints", self.path / "metrics.jsonl"
        self.reported, self.originals, self.sound_log = set(), {}, True

    def teardown(self):
        if isinstance(fault := sys.exc_info()[1], AssertionError):
            self.faults.append(str(fault).partition("\n")[0])
        shutil.rmtree(self.path, ignore_errors=True)

    def chance(self, seed):
        """Return chances that differ from one moment of a sequence to the next, as hypothesis likes to draw zeros."""
        return random.Random(f"{seed} {sorted(self.reported)} {len(self.originals)}")

    def place(self, step):
        return self.folder / f"step-{step:07d}"

    @property
    def damaged(self):
        """The steps of the checkpoints that have been damaged."""
        return {step for (step, name), content in self.originals.items() if held(self.place(step) / name) != content}

    def forget_damage(self, step):
        self.originals = {key: content for key, content in self.originals.items() if key[0] != step}

    def is_whole(self, step):
        """Return whether a checkpoint is verified and has the bytes of the uninterrupted run."""
        try:
            checkpoints.verify(self.place(step))
        except UnreadableError:
            return False
        assert tensors_of(self.place(step)) == self.expected[step], f"step {step} is not that of the uninterrupted run"
        return True

    # Sessions

    def job(self, then, more, **how):
        return {"then": then, "run": self.path, "more": more, "wrong": self.wrong, **SMALL, **how}

    def session(self, then, more, *, may_fail=False, saves=(), after=0, limit=None, **how):
        """Have a process go on with the run, and check all that it told and left; return how it ended."""
        before = Before(self, then)
        job = self.job(then, more, saves=saves, after=after, limit=limit)
        done = self.server.run("session", **job, **how)
        end = self.check(done, before, more, saves=saves, may_fail=may_fail)
        if done["code"] == 0 and not may_fail:
            self.tried["milliseconds"] = round(1000 * done["seconds"])
        return done, end

    def check(self, done, before, more, *, saves=(), may_fail=False):
        """Check what a session told and left against what was known before it; return how it ended."""
        end, start = end_of(done), before.start
        started = [int(line.split()[0]) for line in told(done, "started")]
        saved = [int(step) for step in told(done, "saved")]
        self.take_note(done, saved)
        if start is None:
            assert started == saved == []
            if end is not None:
                self.check_refusal(end, before, may_fail)
            return end
        due = [
            step
            for step in range(start + 1, start + more + 1)
            if step % INTERVAL == 0 or step - start in saves or step == start + more
        ]
        assert started in ([], [start]), (started, start)
        assert saved == due[: len(saved)], (saved, due)
        if started:
            warned = told(done, "warning")
            assert len(warned) == len(before.passed_over), (warned, before.passed_over)
            for step, line in zip(reversed(before.passed_over), warned, strict=True):
                assert str(self.place(step)) in line, (step, line)
        if end is None:
            return None
        code, finding = end
        if code == UNREADABLE and not self.sound_log:
            assert str(self.log) in finding
            assert saved == []
            self.log.unlink()
            self.tried["a damaged log is refused"] += 1
            return end
        assert code == STOPPED or (may_fail and code == FULL), end
        if code == STOPPED:
            assert saved == due
            self.check_log(before, start, more)
        if not may_fail:
            assert not [*self.folder.glob(".tmp-*"), *self.path.glob(".*.tmp"), *self.path.glob("holder.json")]
        return end

    def check_refusal(self, end, before, may_fail):
        code, finding = end
        assert code == UNREADABLE or (may_fail and code == FULL), end
        assert contents(self.path) == before.contents
        if before.names_the_loss and code == UNREADABLE:
            newest = max(self.damaged)
            assert str(self.place(newest)) in finding, end
            self.tried["the loss of all is told"] += 1
            shutil.rmtree(self.path)
            self.reported, self.originals, self.sound_log = set(), {}, True

    def check_log(self, before, start, more):
        steps = steps_in(self.log)
        if self.sound_log:
            assert steps == [step for step in before.log if step <= start] + list(range(start + 1, start + more + 1))

    def take_note(self, done, saved):
        """Take note of what was reported as saved, and of damaged checkpoints that are made anew or told as lost."""
        for step in saved:
            self.reported.add(step)
            self.forget_damage(step)
        for step in self.damaged:
            if not self.place(step).exists():
                if any(str(self.place(step)) in line for line in told(done, "warning")):
                    self.reported.discard(step)
                    self.tried["the loss of a checkpoint is told"] += 1
                self.forget_damage(step)
            elif self.is_whole(step):
                self.forget_damage(step)

    # What happens

    @initialize(step=st.sampled_from((4, 5, 0)))
    def begin(self, step):
        if step:
            shutil.copytree(self.begun[step], self.path)
            self.reported.update((3, step))

    @rule(then=THEN, more=MORE)
    def go_on(self, then, more):
        _, (code, _) = self.session(then, more)
        self.tried["trained"] += code == STOPPED

    @rule(then=THEN, more=MORE, saves=st.sets(st.integers(1, 4), min_size=1))
    def save_when_asked(self, then, more, saves):
        _, (code, _) = self.session(then, more, saves=sorted(saves))
        self.tried["saved when asked"] += code == STOPPED and min(saves) <= more

    @rule(then=THEN, more=MORE, part=PERCENT)
    def kill_at_any_time(self, then, more, part):
        done, _ = self.session(then, more, kill_after=part / 100 * 0.8 * self.tried["milliseconds"] / 1000)
        self.tried["killed at any time"] += done["code"] == KILLED

    @rule(then=THEN, more=st.integers(2, 5), which=st.integers(1, 2), part=PERCENT)
    def kill_in_a_save(self, then, more, which, part):
        after = part / 100 * 0.005
        done, _ = self.session(then, more, saves=(1,), in_line="saving", in_save=which, kill_after=after)
        self.tried["killed in a save"] += done["code"] == KILLED

    @rule(then=THEN, more=MORE, number=st.integers(0, 100))
    def end_before_a_disk_operation(self, then, more, number):
        done, _ = self.session(then, more, crash=number)
        self.tried["ended before a disk operation"] += done["code"] == CRASHED

    @rule(seed=SEEDS)
    def damage_the_newest_checkpoint(self, seed):
        self.damage_a_checkpoint(checkpoints.steps(self.folder)[-1:], self.chance(seed))

    @rule(seed=SEEDS)
    def damage_any_checkpoint(self, seed):
        self.damage_a_checkpoint(checkpoints.steps(self.folder), self.chance(seed))

    def damage_a_checkpoint(self, steps, chance):
        if steps:
            step, name, how = chance.choice(steps), chance.choice(NAMES), chance.choice(list(CHANGES))
            content = change(self.place(step) / name, how, chance)
            if content is not None:
                self.originals.setdefault((step, name), content)
                self.tried[f"a file of a checkpoint is {how}"] += 1

    @rule(seed=SEEDS)
    def damage_the_log(self, seed):
        chance = self.chance(seed)
        how = chance.choice(list(CHANGES))
        if change(self.log, how, chance) is not None:
            self.sound_log = self.sound_log and how != "flipped"
            self.tried["the log is damaged"] += 1

    @rule(seed=SEEDS, then=THEN)
    def damage_the_record(self, seed, then):
        record, chance = self.path / "run.json", self.chance(seed)
        if not record.exists() or not checkpoints.steps(self.folder):
            return
        how = chance.choice(list(CHANGES))
        content = change(record, how, chance)
        before = contents(self.path)
        code, finding = end_of(self.server.run("session", **self.job(then, 1)))
        assert code == (2 if how == "removed" and then == "train" else UNREADABLE), (code, finding)
        assert str(record if how != "removed" else self.path) in finding
        assert contents(self.path) == before
        put(record, content)
        self.tried["the record is damaged"] += 1

    @rule(then=THEN, more=MORE, after=AFTER, limit=st.sampled_from((0, 60, 500, 2000, 3000, 5000, 9000)))
    def let_no_file_grow(self, then, more, after, limit):
        _, (code, _) = self.session(then, more, may_fail=True, after=after, limit=limit)
        self.tried["a limit of the size of files"] += code == FULL

    @rule(
        then=THEN,
        more=MORE,
        after=AFTER,
        number=st.integers(0, 40),
        error=st.sampled_from((ENOSPC, EDQUOT, EIO)),
        lasting=st.booleans(),
    )
    def fill_the_disk(self, then, more, after, number, error, lasting):
        fault = {"at": number, "error": error, "lasting": lasting, "armed": False}
        _, (code, _) = self.session(then, more, may_fail=True, after=after, fault=fault)
        self.tried["the disk is full"] += code == FULL

    @rule(first=THEN, second=THEN, more=MORE)
    def write_from_two_processes(self, first, second, more):
        both = [Before(self, first), Before(self, second)]
        patience = 60 if self.wrong is None else 1
        ends = self.server.race("session", [self.job(then, more, patience=patience) for then in (first, second)])
        assert all(done["code"] == 0 for done in ends), ends
        winners = [number for number, done in enumerate(ends) if told(done, "started")]
        assert len(winners) <= 1, ends
        for number, (done, before) in enumerate(zip(ends, both, strict=True)):
            if number in winners:
                self.check(done, before, more)
                continue
            code, finding = end_of(done)
            assert told(done, "saved") == []
            assert code == BUSY or (code == UNREADABLE and before.start is None), ends
            assert str(self.path) in finding
            self.tried["a second process is refused"] += code == BUSY
        assert winners or None in (both[0].start, both[1].start), ends

    # What is promised

    @invariant()
    def what_was_reported_is_there_or_its_loss_is_told(self):
        present = checkpoints.steps(self.folder)
        for step in present:
            assert self.is_whole(step) != (step in self.damaged), f"step {step}, damaged: {self.damaged}"
        for step in self.reported - set(present):
            assert sum(newer > step for newer in present) >= 2, f"step {step} was reported and is not in {present}"
            self.reported.discard(step)


def have_everything_happen(life, chance):
    """Have each thing happen once, in some order, however rarely hypothesis draws it."""
    happenings = [
        lambda then: life.go_on(then, 2),
        lambda then: life.save_when_asked(then, 2, {1}),
        lambda then: life.kill_at_any_time(then, 2, chance.randrange(100)),
        lambda then: life.kill_in_a_save(then, 2, 1, chance.randrange(30)),
        lambda then: life.end_before_a_disk_operation(then, 2, chance.randrange(60)),
        lambda then: life.damage_the_newest_checkpoint(chance.randrange(100)),
        lambda then: life.damage_any_checkpoint(chance.randrange(100)),
        lambda then: life.damage_the_log(chance.randrange(100)),
        lambda then: life.damage_the_record(chance.randrange(100), then),
        lambda then: life.let_no_file_grow(then, 2, chance.randrange(3), 60),
        lambda then: life.fill_the_disk(then, 2, chance.randrange(3), chance.randrange(5), ENOSPC, True),
        lambda then: life.write_from_two_processes(then, "train", 2),
    ]
    life.begin(chance.choice((4, 5)))
    for happen in chance.sample(happenings, len(happenings)):
        happen(chance.choice(("train", "resume")))
        life.what_was_reported_is_there_or_its_loss_is_told()
    life.teardown()


@pytest.fixture(scope="module")
def begun(server, tmp_path_factory):
    """Return runs that were stopped after four and after five steps."""
    paths = {step: tmp_path_factory.mktemp("begun") / "gan" for step in (4, 5)}
    for step, path in paths.items():
        done = server.run("session", then="train", run=path, more=step, **SMALL)
        assert end_of(done)[0] == STOPPED, done
        assert checkpoints.steps(path / "checkpoints") == [3, step]
    return paths


@pytest.fixture(scope="module")
def expected(server, tmp_path_factory):
    """Return the bytes of the tensors after every step of an uninterrupted run."""
    path = tmp_path_factory.mktemp("uninterrupted") / "gan"
    every = {"training.checkpoint_every": 1, "training.keep_checkpoints": STEPS}
    order = SMALL | {"overrides": SMALL["overrides"] | every}
    done = server.run("session", then="train", run=path, more=STEPS, **order)
    assert end_of(done)[0] == STOPPED, done
    found = {step: tensors_of(path / "checkpoints" / f"step-{step:07d}") for step in range(1, STEPS + 1)}
    assert len({content["networks.safetensors"] for content in found.values()}) == STEPS
    return found


@pytest.fixture
def live(server, begun, expected, tmp_path):
    """Return a function that tries sequences; it returns how often what was tried, and the faults that were found."""

    def call(*, sequences, wrong=None):
        tried, faults = Counter(milliseconds=200), []
        life = partial(Life, server, begun, expected, tmp_path, tried, faults, wrong)
        if wrong is None:
            for seed in range(6):
                have_everything_happen(life(), random.Random(seed))
        try:
            run_state_machine_as_test(life, settings=settings(STATE_MACHINE, max_examples=sequences))
        except (AssertionError, Flaky) as error:
            if not faults:
                raise
            faults.append(f"{error} {getattr(error, '__notes__', '')}")
        return tried, faults

    return call


@pytest.mark.parametrize("sequences", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_whatever_happens_a_reported_checkpoint_is_loadable_or_its_loss_is_told(live, tally, sequences):
    tried, faults = live(sequences=sequences)
    assert faults == []
    del tried["milliseconds"]
    lived = tried.pop("sequences")
    print(f"\n{lived} sequences: {', '.join(f'{name}: {count}' for name, count in sorted(tried.items()))}")
    assert lived >= sequences
    assert {kind: tried[kind] for kind in KINDS if tried[kind] < 3} == {}
    tally(
        "random sequences of training, saving, kills, damage, full disks and a second process",
        tries=lived,
        survived=lived,
        how=f"hypothesis, {sum(tried[kind] for kind in KINDS)} faults and sessions; after each, every checkpoint is "
        "bitwise that of the uninterrupted run, or was damaged and is told",
    )


@pytest.mark.parametrize("wrong", [name for name in WRONG if name != "names_itself_late"])
def test_a_fault_of_a_writer_is_found(live, wrong):
    tried, faults = live(sequences=100, wrong=wrong)
    assert faults
    print(f"\n{wrong}: found in sequence {tried['sequences']}: {faults[0]:.100}")
