"""Signals to real processes, at every place: what is saved, what is told, how soon it ends, and how it goes on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from contents import tensors_of
from photographs import write_pngs
from processes import wait_for

from genzoo.data.prepared_card import read_card, verify_prepared
from genzoo.storage import checkpoints
from genzoo.storage.checkpoints import steps, verify
from genzoo.storage.run_folder import Run

STEPS = 24
INTERVAL = 5
SETTINGS = {"dataset.rows": 256, "dataset.held_out_rows": 64, "training.batch_size": 32}
STOPS = [signal.SIGINT, signal.SIGTERM]
SOON = 10
"""Seconds in which a process is gone, however busy the machine; the table says how long it took on an idle one."""
STARTING = "genzoo.training.trainer:Trainer.__init__"
STEP = "genzoo.training.trainer:Trainer.take_step"
SAVING = "genzoo.storage.checkpoints:save"
MEASURING = "genzoo.evaluation.scoring:evaluate_model"
DECODING = "genzoo.evaluation.model:Model.decode"
LOOKING = "genzoo.comparison.progress:LogTail._read_on"
PUBLISHING = "os:replace"
REPORTING = "genzoo.cli.progress:_end_if_asked"
LONGER = pytest.param(10, marks=pytest.mark.slow)
LONGER_STOPS = [pytest.param(number, 10, marks=pytest.mark.slow) for number in STOPS]


def assignments(settings):
    return [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]


def training(*, run="run", number_of_steps=STEPS, **settings):
    own = {"training.checkpoint_every": INTERVAL} | {path.replace("__", "."): value for path, value in settings.items()}
    return ["train", "gan", "--steps", str(number_of_steps), *assignments(SETTINGS | own), "--run", run]


@pytest.fixture(scope="module")
def server(bare_server, tmp_path_factory):
    run = tmp_path_factory.mktemp("imports") / "run"
    bare_server.run("modules", run=run, model="gan", recipe="mixture25", overrides=SETTINGS)
    return bare_server


class Ended:
    """A command that was typed: how it ended, what it wrote, and when functions were entered and signals sent."""

    def __init__(self, folder, told):
        self.out, self.err = ((folder / name).read_text() for name in ("out", "err"))
        self.entered, self.left, self.sent = [], [], []
        for kind, what, *times in (line.split() for line in told):
            if kind == "ended":
                self.code, self.time = int(what), float(times[0])
            elif kind == "sent":
                self.sent.append((float(times[0]), float(times[1])))
            else:
                (self.entered if kind == "in" else self.left).append((what, float(times[0])))

    @property
    def facts(self):
        """The JSON document that it wrote."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def shell_code(self):
        """The exit code as a shell tells it."""
        return self.code if self.code >= 0 else 128 - self.code

    @property
    def seconds(self):
        """The time from the last signal to the end."""
        return self.time - self.sent[-1][1]

    @property
    def steps_around(self):
        """The steps one of which is to be saved: the one at work when the last signal came, and the next."""
        return self.steps_around_signal(-1)

    def steps_around_signal(self, number):
        """The step at work when that signal came, and the next."""
        before, after = self.sent[number]
        begun = [time for what, time in self.entered if what == STEP]
        return range(sum(time < before for time in begun), sum(time < after for time in begun) + 2)

    @property
    def saved(self):
        """The step of the last checkpoint that was done when the first signal came; 0 without one."""
        return INTERVAL * sum(what == SAVING and time < self.sent[0][0] for what, time in self.left)

    def is_within(self, function, *, signals=1):
        """Whether all signals came while it was in a call of `function`."""
        calls = zip(
            [time for what, time in self.entered if what == function],
            [time for what, time in self.left if what == function],
            strict=False,  # the last one may not have been left
        )
        return len(self.sent) == signals and any(
            begin < self.sent[0][0] and self.sent[-1][1] < end for begin, end in calls
        )


@pytest.fixture
def type_in(server, tmp_path):
    """Return a function that types a command in the test's folder, with signals at places of it."""

    def call(*words, folder=tmp_path, watched=(), signals=()):
        done = server.run("signalled", folder=folder, words=words, watched=watched, signals=signals)
        assert done["code"] == 0, done
        return Ended(folder, done["told"])

    return call


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    """Return a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = server.run("signalled", folder=folder, words=training())
    assert Ended(folder, done["told"]).code == 0, (folder / "err").read_text()
    return folder / "run"


@pytest.fixture
def copied(finished, tmp_path):
    """Return a copy of the run that nothing disturbed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def scores_of(path):
    return [(score["metric"], score["value"], score["step"]) for score in Run(path).scores]


def retried(attempt, clear):
    """Return what the first attempt gives that is not None; a signal that came too late is sent again, earlier."""
    for shorter in range(8):
        if found := attempt(0.5**shorter):
            return found
        shutil.rmtree(clear)
    raise AssertionError("the signal always came too late")


# Training


PLACES = {
    "before the first step": (STARTING, 1, 1, 0.02),
    "in a step": (STEP, 1, 14, 0.01),
    "in a save": (SAVING, 1, 3, 0.02),
}


def is_saved_and_told(ended, run, number):
    """Whether it ended with a whole checkpoint of the step of the signal or the next, and said so and how to go on."""
    newest, faults = checkpoints.newest(run / "checkpoints")
    assert faults == []
    last_words = [f"stopped after step {newest.step} of {STEPS}; all of it is saved", "go on with: genzoo resume run"]
    return (
        (ended.code, ended.out) == (128 + number, "")
        and newest.step in ended.steps_around
        and newest.step >= 1
        and Run(run).read_log()[-1]["step"] == newest.step
        and ended.err.splitlines()[-2:] == last_words
        and "Traceback" not in ended.err
        and not leftovers(run)
    )


def leftovers(folder):
    return [name for name in contents(folder) if ".tmp" in name]


def goes_on_to(type_in, run, expected):
    """Whether a run that is resumed at once ends bitwise as the other, with the same scores."""
    ended = type_in("resume", run.name, "--quiet")
    assert ended.code == 0, ended.err
    return tensors_of(run) == tensors_of(expected) and scores_of(run) == scores_of(expected)


@pytest.mark.parametrize("tries", [1, LONGER])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", STOPS)
def test_training_is_saved_within_a_step_of_a_signal_and_goes_on_to_the_same_end(
    type_in, finished, tmp_path, tally, number, place, tries
):
    chance = random.Random(f"{number} {place} {tries}")
    run = tmp_path / "run"
    function, least, most, seconds = PLACES[place]

    def stop(factor):
        delay = chance.uniform(0, seconds) * factor if tries > 1 else 0  # so that the only one is where it should be
        moment = [function, chance.randint(least, most), delay, number]
        ended = type_in(*training(), watched=(STARTING, STEP, SAVING), signals=[moment])
        return None if STEPS in ended.steps_around else ended

    survived, during = 0, 0
    for _ in range(tries):
        ended = retried(stop, run)
        during += ended.is_within(SAVING)
        survived += is_saved_and_told(ended, run, number) and goes_on_to(type_in, run, finished)
        shutil.rmtree(run)
    if place == "in a save":
        assert during >= tries / 3
    tally(
        f"{number.name} to a training {place}",
        tries=tries,
        survived=survived,
        how=f"exit {128 + number}; a whole checkpoint of that step or the next; the last lines say how to go on; "
        "resumed, bitwise the uninterrupted run",
    )


def test_a_signal_in_the_last_save_ends_training_as_well(type_in):
    ended = type_in(*training(), watched=[SAVING], signals=[[SAVING, STEPS // INTERVAL + 1, 0, signal.SIGTERM]])
    assert "stopping as soon as all is saved" in ended.err
    assert ended.shell_code == 143


@pytest.mark.parametrize("tries", [1, LONGER])
@pytest.mark.parametrize("place", ["in a step", "in a save"])
@pytest.mark.parametrize("number", STOPS)
def test_a_second_signal_ends_training_soon_and_its_last_checkpoint_goes_on(
    type_in, finished, tmp_path, tally, number, place, tries
):
    chance = random.Random(f"{number} {place} {tries}")
    run = tmp_path / "run"
    function, least, most, seconds = PLACES[place]

    def stop_twice(factor):
        first = [function, chance.randint(least, most), 0, number]
        second = [None, 1, chance.uniform(0, seconds) * factor, number]
        ended = type_in(*training(), watched=(STEP, SAVING), signals=[first, second])
        return None if ended.code == 128 + number else ended  # it was saved before the second came

    survived, seconds_taken = 0, []
    for _ in range(tries):
        ended = retried(stop_twice, run)
        seconds_taken.append(ended.seconds)
        newest, faults = checkpoints.newest(run / "checkpoints")
        kept = not faults and (newest.step if newest else 0) >= ended.saved
        survived += (
            ended.shell_code == 128 + number
            and ended.seconds < SOON
            and "Traceback" not in ended.err
            and kept
            and goes_on_at_once(type_in, run, finished)
        )
        shutil.rmtree(run)
    tally(
        f"{number.name} to a training {place}, twice",
        tries=tries,
        survived=survived,
        how=f"gone after at most {max(seconds_taken):.2f} s; the checkpoint before is whole and the run free; "
        "gone on with, bitwise the uninterrupted run",
    )


def goes_on_at_once(type_in, run, finished):
    """Whether a run goes on to the same end by what a user would type, `resume` or the same command again."""
    if Run(run).step:
        return goes_on_to(type_in, run, finished)
    ended = type_in(*training())
    assert ended.code == 0, ended.err
    return tensors_of(run) == tensors_of(finished)


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPS)
def test_a_second_signal_ends_a_long_step_within_it(type_in, tmp_path, tally, number):
    chance = random.Random(number)
    words = training(number_of_steps=4, training__batch_size=5000, training__checkpoint_every=1, dataset__rows=10000)
    survived, seconds_taken, lengths = 0, [], []
    for _ in range(10):
        signals = [[STEP, 3, 0.1, number], [None, 1, chance.uniform(0.2, 0.4), number]]
        ended = type_in(*words, watched=[STEP], signals=signals)
        begun, done = ([time for what, time in calls if what == STEP] for calls in (ended.entered, ended.left))
        lengths.append(done[1] - begun[1])
        seconds_taken.append(ended.seconds)
        newest, faults = checkpoints.newest(tmp_path / "run" / "checkpoints")
        survived += (ended.shell_code, newest.step, faults, len(begun), len(done)) == (128 + number, 2, [], 3, 2)
        shutil.rmtree(tmp_path / "run")
    tally(
        f"{number.name} within a long step, twice",
        tries=10,
        survived=survived,
        how=f"steps of {min(lengths):.1f} s and more; gone after at most {max(seconds_taken):.2f} s",
    )


# Saving on request


@pytest.mark.parametrize("tries", [1, LONGER])
@pytest.mark.parametrize("place", PLACES)
def test_sigusr1_saves_about_that_step_and_changes_nothing(type_in, finished, tmp_path, tally, place, tries):
    chance = random.Random(f"{place} {tries}")
    run, all_kept = tmp_path / "run", training(training__keep_checkpoints=1000)
    function, least, most, seconds = PLACES[place]
    twice = place == "in a save"
    regular = {*range(INTERVAL, STEPS, INTERVAL), STEPS}

    def ask(factor):
        moment = [function, chance.randint(least, most), chance.uniform(0, seconds / 4) * factor, signal.SIGUSR1]
        again = [[None, 1, chance.uniform(0, 0.003) * factor, signal.SIGUSR1]] if twice else []
        ended = type_in(*all_kept, watched=(STARTING, STEP, SAVING), signals=[moment, *again])
        around = {step for number in range(len(ended.sent)) for step in ended.steps_around_signal(number)}
        told_apart = not regular & around and (not twice or ended.is_within(SAVING, signals=2))
        return (ended, around) if told_apart else None

    survived = 0
    for _ in range(tries):
        ended, around = retried(ask, run)
        found = set(steps(run / "checkpoints"))
        whole = [verify(run / "checkpoints" / f"step-{step:07d}").step for step in found]
        survived += (
            ended.code == 0
            and len(whole) == len(found)
            and 1 <= len(found - regular) <= (2 if twice else 1)  # two signals may be heard after two steps
            and regular < found
            and found - regular <= around
            and not leftovers(run)
            and "stop" not in ended.err
            and tensors_of(run) == tensors_of(finished)
            and scores_of(run) == scores_of(finished)
        )
        shutil.rmtree(run)
    tally(
        f"SIGUSR1 to a training {place}{', twice' if twice else ''}",
        tries=tries,
        survived=survived,
        how=f"{'one or two' if twice else 'one'} more, of that step or the next, whole; bitwise the undisturbed run",
    )


def test_sigusr1_in_the_last_evaluation_changes_nothing(type_in, finished, copied):
    (copied / "evaluation.json").unlink()
    ended = type_in("resume", "run", watched=[MEASURING], signals=[[MEASURING, 1, 0, signal.SIGUSR1]])
    assert (ended.code, len(ended.sent)) == (0, 1)
    assert scores_of(copied) == scores_of(finished)
    assert tensors_of(copied) == tensors_of(finished)


# Measuring and looking


@pytest.mark.parametrize("tries", [1, LONGER])
@pytest.mark.parametrize("number", STOPS)
def test_a_signal_in_the_last_evaluation_ends_it_and_it_is_made_up_for(
    type_in, finished, tmp_path, tally, number, tries
):
    chance = random.Random(f"{number} {tries}")
    run = tmp_path / "run"

    def stop(factor):
        ended = type_in(
            *training(), watched=[MEASURING], signals=[[MEASURING, 1, chance.uniform(0, 0.2) * factor, number]]
        )
        return ended if ended.code else None

    survived, seconds_taken = 0, []
    for _ in range(tries):
        ended = retried(stop, run)
        seconds_taken.append(ended.seconds)
        survived += (
            ended.shell_code == 128 + number
            and ended.out == ""
            and "Traceback" not in ended.err
            and ended.seconds < SOON
            and tensors_of(run) == tensors_of(finished)
            and scores_of(run) in ([], scores_of(finished))
            and goes_on_to(type_in, run, finished)
            and not leftovers(run)
        )
        shutil.rmtree(run)
    tally(
        f"{number.name} in the evaluation at the end of a training",
        tries=tries,
        survived=survived,
        how=f"a shell says {128 + number}; gone after at most {max(seconds_taken):.2f} s; all steps are saved; "
        "resumed, it is measured, with the same scores",
    )


def test_after_a_signal_in_the_last_evaluation_it_is_told_how_to_go_on(type_in, copied):
    (copied / "evaluation.json").unlink()
    ended = type_in("resume", "run", watched=[MEASURING], signals=[[MEASURING, 1, 0, signal.SIGINT]])
    assert ended.shell_code == 130
    assert "genzoo resume run" in ended.err


LOOKS = {
    "evaluate": (("evaluate", "run", "--seed", "1"), MEASURING, 0.2),
    "sample": (("sample", "run", "-n", "20000", "--out", "samples.npy"), DECODING, 0.3),
}


@pytest.fixture(scope="module")
def looked(server, finished, tmp_path_factory):
    """Return what is there after each of LOOKS when nothing disturbed it."""
    found = {}
    for name, (words, *_) in LOOKS.items():
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(finished, folder / "run")
        done = server.run("signalled", folder=folder, words=words)
        assert Ended(folder, done["told"]).code == 0, (folder / "err").read_text()
        found[name] = made(folder)
    return found


def made(folder):
    """Return all that is in a folder but for what the command wrote to its terminal."""
    return {name: content for name, content in contents(folder).items() if name not in ("out", "err")}


@pytest.fixture
def look(type_in, finished, tmp_path):
    """Return a function that types one of LOOKS beside a copy of the run; it gives the end, and what changed."""

    def call(name, *, signals, watched):
        folder = tmp_path / name
        shutil.copytree(finished, folder / "run")
        (folder / "samples.npy").write_bytes(b"an older file")
        before = made(folder)
        ended = type_in(*LOOKS[name][0], folder=folder, watched=watched, signals=signals)
        after = made(folder)
        return ended, {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}

    return call


@pytest.mark.parametrize("tries", [1, LONGER])
@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("number", STOPS)
def test_a_signal_in_a_command_that_looks_leaves_everything_as_it_was(
    look, type_in, looked, tmp_path, tally, number, name, tries
):
    chance = random.Random(f"{number} {name} {tries}")
    words, function, seconds = LOOKS[name]

    def stop(factor):
        moment = [function, 1, chance.uniform(0, seconds) * factor, number]
        ended, changed = look(name, watched=[function, PUBLISHING], signals=[moment])
        published = any(what == PUBLISHING for what, _ in ended.entered)
        return None if published or not ended.code else (ended, changed)

    survived, seconds_taken = 0, []
    for _ in range(tries):
        ended, changed = retried(stop, tmp_path / name)
        seconds_taken.append(ended.seconds)
        untouched = not changed
        again = type_in(*words, folder=tmp_path / name)
        survived += (
            (ended.shell_code, ended.out) == (128 + number, "")
            and "Traceback" not in ended.err
            and ended.seconds < SOON
            and untouched
            and again.code == 0
            and made(tmp_path / name) == {"samples.npy": b"an older file"} | looked[name]
        )
        shutil.rmtree(tmp_path / name)
    tally(
        f"{number.name} to genzoo {name}",
        tries=tries,
        survived=survived,
        how=f"a shell says {128 + number}; gone after at most {max(seconds_taken):.2f} s; no file was touched; "
        "typed again, it makes what it makes undisturbed",
    )


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("number", STOPS)
def test_a_signal_while_a_result_is_written_leaves_the_file_from_before_alone(look, number, name):
    ended, changed = look(name, watched=[PUBLISHING], signals=[[PUBLISHING, 1, 0, number]])
    assert ended.shell_code == 128 + number
    assert changed == set()


@pytest.mark.parametrize("name", LOOKS)
def test_sigusr1_ends_no_command_that_looks(look, name):
    function = LOOKS[name][1]
    ended, _ = look(name, watched=[function], signals=[[function, 1, 0, signal.SIGUSR1]])
    assert ended.code == 0


# Preparing, and comparing


def prepare(*, into, jobs=1):
    words = ["data", "prepare", "folder32", "--source", "many", "--data", into, "--jobs", str(jobs)]
    return [*words, "--json"]


@pytest.mark.parametrize("tries", [1, LONGER])
def test_a_signal_to_the_process_that_prepares_keeps_what_is_done(type_in, tmp_path, tally, tries):
    write_pngs(tmp_path / "many", 1, size=(100, 100))
    for copy in range(1, 400):
        os.link(tmp_path / "many" / "0000.png", tmp_path / "many" / f"{copy:04}.png")
    undisturbed = type_in(*prepare(into="undisturbed"))
    expected = read_card(tmp_path / undisturbed.facts["path"])
    for number in STOPS:
        chance, survived = random.Random(f"{number} {tries}"), 0
        for _ in range(tries):
            moment = [REPORTING, chance.randint(2, 5), 0, number]
            ended = type_in(*prepare(into="data", jobs=2), watched=[REPORTING], signals=[moment])
            (staging,) = (tmp_path / "data").glob(".*.preparing")
            done = len((staging / "done.jsonl").read_text().splitlines())
            again = type_in(*prepare(into="data"))
            place = tmp_path / again.facts["path"]
            verify_prepared(place)
            survived += (
                (ended.code, ended.out) == (128 + number, "")
                and ended.err.splitlines()[-2:]
                == ["preparing folder was stopped; what is done is kept", "go on with the same command"]
                and "Traceback" not in ended.err
                and 0 < done < 400 / 64
                and read_card(place)["files"] == expected["files"]
                and not list((tmp_path / "data").glob(".*.preparing"))
            )
            shutil.rmtree(tmp_path / "data")
        tally(
            f"{number.name} to genzoo data prepare alone, not to its workers",
            tries=tries,
            survived=survived,
            how=f"exit {128 + number}; what is done is kept; the same command goes on to the same file",
        )


COMPARED = {"training.log_every": 1, "training.checkpoint_every": 1000, "training.evaluate_every": 1000}


@pytest.mark.parametrize(("number", "tries"), [(signal.SIGINT, 1), *LONGER_STOPS])
def test_a_signal_to_a_comparison_saves_its_trainings(type_in, tmp_path, tally, number, tries):
    chance, most = random.Random(f"{number} {tries}"), 600
    words = ["--steps", str(most), *assignments(SETTINGS | COMPARED)]
    assert type_in("train", "gan", *words, "--run", "alone", "--quiet").code == 0
    comparison = tmp_path / "comparison"

    def stop(factor):
        moment = [LOOKING, 1, chance.uniform(0, 0.3) * factor, number]
        ended = type_in(
            *("compare", "gan", *words, "--jobs", "1", "--report", "comparison"), watched=[LOOKING], signals=[moment]
        )
        (cell,) = (comparison / "cells").glob("gan-*")
        return None if Run(cell).step == most else (ended, cell)

    survived = 0
    for _ in range(tries):
        ended, cell = retried(stop, comparison)
        newest, faults = checkpoints.newest(cell / "checkpoints")
        saved = (
            (ended.code, ended.out, faults) == (128 + number, "", [])
            and ended.err.splitlines()[-2:]
            == ["the comparison was stopped; every training is saved", "go on with the same command"]
            and "Traceback" not in ended.err
            and not (comparison / "results.json").exists()
            and newest is not None
            and newest.step == Run(cell).read_log()[-1]["step"]
            and not Run(cell).is_running
        )
        again = type_in("resume", str(cell), "--quiet")
        assert again.code == 0, again.err
        survived += saved and tensors_of(cell) == tensors_of(tmp_path / "alone")
        shutil.rmtree(comparison)
    tally(
        f"{number.name} to a comparison",
        tries=tries,
        survived=survived,
        how=f"exit {128 + number}; the training at work is saved at its last logged step; gone on with, bitwise the "
        "same training alone",
    )


# From the shell


@contextmanager
def shell(folder, *words):
    """Yield a process that runs a command."""
    command = [sys.executable, "-m", "genzoo", *words]
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, **more) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_ends_training_after_it_is_saved_and_it_can_be_finished(type_in, tmp_path, number, code):
    endless = training(number_of_steps=1_000_000, training__checkpoint_every=1_000_000, training__log_every=2)
    with shell(tmp_path, *endless) as process:
        wait_for((tmp_path / "run" / "metrics.jsonl").exists, process=process)
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    run = Run(tmp_path / "run")
    (step,) = steps(run.checkpoints)
    assert 1 <= step < 1_000_000
    assert verify(run.checkpoints / f"step-{step:07d}").step == step
    assert err.splitlines()[-2:] == [
        f"stopped after step {step:,} of 1,000,000; all of it is saved",
        "go on with: genzoo resume run",
    ]
    assert run.read_log()[-1]["step"] == step
    ended = type_in("resume", "run", "--steps", str(step + 2), "--json")
    assert ended.facts["step"] == step + 2


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPS)
def test_a_signal_at_a_random_moment_of_the_start_saves_the_first_step(type_in, finished, tmp_path, tally, number):
    chance, run, survived, at = random.Random(number), tmp_path / "run", 0, Counter()
    for _ in range(10):
        with shell(tmp_path, *training()) as process:
            maps = Path(f"/proc/{process.pid}/maps")
            wait_for(lambda maps=maps: "libtorch" in maps.read_text(), process=process)
            time.sleep(chance.uniform(0, 2))
            begun = run.exists()
            process.send_signal(number)
            out, err = process.communicate()
        newest, faults = checkpoints.newest(run / "checkpoints")
        at["begun" if begun else "importing"] += 1
        last_words = [
            f"stopped after step {newest.step} of {STEPS}; all of it is saved",
            "go on with: genzoo resume run",
        ]
        survived += (
            (process.returncode, out, faults) == (128 + number, "", [])
            and err.splitlines()[-2:] == last_words
            and "Traceback" not in err
            and (begun or newest.step == 1)
            and goes_on_to(type_in, run, finished)
        )
        shutil.rmtree(run)
    assert at["importing"] > 0
    tally(
        f"{number.name} to a training that starts, in a process of its own",
        tries=10,
        survived=survived,
        how=f"{at['importing']} of them before the run's folder was made; exit {128 + number}, a step is saved; "
        "resumed, bitwise the uninterrupted run",
    )


def interrupted_import(module, folder, *words):
    """Run a command that is sent SIGINT when it is about to import `module`."""
    script = (
        "import os, runpy, signal, sys\n"
        "def hook(event, arguments):\n"
        f"    if event == 'import' and arguments[0] == {module!r} and not sent:\n"
        "        sent.append(True)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "sent = []\n"
        "sys.addaudithook(hook)\n"
        "runpy.run_module('genzoo', run_name='__main__')\n"
    )
    command = [sys.executable, "-c", script, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_ctrl_c_in_the_very_first_moment_shows_no_traceback(tmp_path):
    found = interrupted_import("genzoo.host.registry", tmp_path, "list")
    assert found.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in found.stderr


def test_ctrl_c_while_torch_is_imported_ends_a_command_that_looks(copied, tmp_path):
    found = interrupted_import("numpy.version", tmp_path, "sample", "run", "--out", "samples.npy")
    assert found.returncode in (130, -signal.SIGINT), found.stderr
    assert not (tmp_path / "samples.npy").exists()


def test_a_second_signal_ends_training_at_once(tmp_path):
    script = (
        "import os, signal, time; from genzoo.runs.signals import stop_on_signals\n"
        "with stop_on_signals() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGINT); assert stop.number == signal.SIGINT\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(30)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode in (-signal.SIGINT, 130)
    assert found.stderr == "stopping as soon as all is saved; once more to stop at once\n"


WITHIN_C = """
import hashlib, os
from genzoo.runs.signals import stop_on_signals
with stop_on_signals():
    os.write(1, b"begun")
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes in which Python handles no signal
"""


@pytest.mark.parametrize("first", STOPS)
def test_a_second_signal_is_heard_within_a_long_call_of_c(first):
    """No handler in Python runs there, so that both signals are heard by the thread that listens for them."""
    second = signal.SIGTERM if first == signal.SIGINT else signal.SIGINT
    with subprocess.Popen([sys.executable, "-c", WITHIN_C], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.read(5) == b"begun"
            times = Path(f"/proc/{process.pid}/stat")
            before = cpu_ticks(times)
            wait_for(lambda: cpu_ticks(times) > before + 5, process=process)
            process.send_signal(first)
            process.send_signal(second)
            assert process.wait(60) in (128 + first, 128 + second)  # the later one that is heard; both may wait at once
        finally:
            process.kill()


def cpu_ticks(stat):
    """Return the time that a process computed, in ticks of the system's clock, see proc(5)."""
    return int(stat.read_text().rpartition(")")[2].split()[11])


def test_the_handlers_from_before_return(say, copied):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert say("resume", copied).code == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
