"""Saving while training goes on: what is copied, what is left out, what waits, what fails, and what time is logged."""

import json
import threading
import time
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from toy_components import TRAINING, WithEncoder
from trainers import Poisoned, settings_of, trainer_on

from genzoo.errors import DivergedError, InterruptedRun, ResourceError
from genzoo.runs import engine as engine_module
from genzoo.runs.callbacks import Callback
from genzoo.runs.engine import Engine, Requests, run_to_end
from genzoo.runs.intervals import SaveTimer
from genzoo.storage import checkpoints
from genzoo.storage.run_folder import Run

NEVER = replace(TRAINING, steps=6, log_every=1000, picture_every=1000, checkpoint_minutes=None)


class Teller(Callback):
    """Notes what is told, in order, and asks for a save after a step."""

    def __init__(self, *, ask_after=None):
        self.told, self.step, self.ask_after = [], 0, ask_after

    def on_step(self, step):
        self.step = step
        self.told.append(f"step {step}")

    def on_save(self, step):
        assert threading.current_thread() is threading.main_thread()
        self.told.append(f"saved {step}")

    def wants_save(self):
        return self.step + 1 == self.ask_after


def engine_of(path, callback=None, *, training=NEVER, game=None, evaluate=lambda model: None):
    path.mkdir(exist_ok=True)
    settings = settings_of(game or WithEncoder(), training=training)
    return Engine(trainer_on(settings), Run(path), settings.dataset.load(None), callback or Callback(), evaluate)


@pytest.fixture
def disk(monkeypatch):
    """Return a disk on which a save takes until its `room` is set, and fails if it has an `error`."""

    real, slow = checkpoints.save, SimpleNamespace(room=threading.Event(), error=None)

    def save(*arguments, **named):
        assert slow.room.wait(60)
        if slow.error is not None:
            raise slow.error
        return real(*arguments, **named)

    monkeypatch.setattr(checkpoints, "save", save)
    yield slow
    slow.room.set()


class Then(Teller):
    """Does something after a step."""

    def __init__(self, step, do, **more):
        super().__init__(**more)
        self.at, self.do = step, do

    def on_step(self, step):
        super().on_step(step)
        if step == self.at:
            self.do()


def saved(path):
    return checkpoints.steps(path / "checkpoints")


def test_steps_are_taken_while_a_checkpoint_is_written_and_one_that_falls_due_meanwhile_is_left_out(tmp_path, disk):
    teller = Then(5, disk.room.set)
    engine_of(tmp_path, teller, training=replace(NEVER, checkpoint_every=2)).train()
    assert teller.told[:5] == [f"step {step}" for step in range(1, 6)]
    assert [line for line in teller.told if "saved" in line] == ["saved 2", "saved 6"]
    assert saved(tmp_path) == [2, 6]


def test_a_checkpoint_that_is_asked_for_waits_for_the_one_before(tmp_path, disk):
    def soon():
        threading.Timer(0.2, disk.room.set).start()

    teller = Then(3, soon, ask_after=4)
    engine_of(tmp_path, teller, training=replace(NEVER, checkpoint_every=2, keep_checkpoints=9)).train()
    assert teller.told[:5] == ["step 1", "step 2", "step 3", "step 4", "saved 2"]
    assert "saved 4" in teller.told
    assert saved(tmp_path) == [2, 4, 6]


@pytest.mark.parametrize("decay", [None, 0.9])
def test_a_checkpoint_that_is_written_late_holds_the_tensors_of_its_step(tmp_path, disk, decay):
    training = replace(NEVER, averaging=decay)
    alone = trainer_on(settings_of(WithEncoder(), training=training))
    for _ in range(2):
        alone.take_step()
    engine_of(tmp_path, Then(5, disk.room.set), training=replace(training, checkpoint_every=2)).train()
    expected = alone.state()
    for part, tensors in expected.items():
        stored = load_file(tmp_path / "checkpoints" / "step-0000002" / f"{part}.safetensors")
        assert stored.keys() == tensors.keys()
        assert all(torch.equal(stored[name], tensor) for name, tensor in tensors.items())
    assert set(expected) == {"networks", "optimizers"} | ({"averaged"} if decay else set())


@pytest.mark.parametrize("error", [ResourceError("no room", "free some"), MemoryError()], ids=["disk", "memory"])
def test_a_failure_to_write_is_raised_after_the_next_step_as_if_it_had_been_waited_for(tmp_path, disk, error):
    disk.error = error
    disk.room.set()

    def until_it_has_failed():
        while engine._saver._unreported and not engine._saver._unreported[1].done():
            time.sleep(0.001)

    teller = Then(3, until_it_has_failed)
    engine = engine_of(tmp_path, teller, training=replace(NEVER, checkpoint_every=2))
    with pytest.raises(ResourceError, match=r"no room|out of memory with training\.batch_size"):
        engine.train()
    assert teller.told in ([f"step {step}" for step in range(1, last)] for last in (3, 4))
    assert saved(tmp_path) == []


def test_a_failure_of_the_last_save_is_raised_before_the_run_is_told_as_ended(tmp_path, disk):
    ended = []

    class Ending(Callback):
        def on_end(self):
            ended.append(True)

    disk.error = ResourceError("no room")
    disk.room.set()
    with pytest.raises(ResourceError, match="no room"):
        engine_of(tmp_path, Ending()).train()
    assert ended == []


def test_a_signal_waits_for_the_checkpoint_before_and_for_its_own(tmp_path, disk):
    class Stopped(Then):
        def stop_signal(self):
            return 15 if self.step == 3 else None

    def soon():
        threading.Timer(0.2, disk.room.set).start()

    stopped = Stopped(3, soon)
    with pytest.raises(InterruptedRun, match="stopped after step 4 of 6; all of it is saved"):
        engine_of(tmp_path, stopped, training=replace(NEVER, checkpoint_every=2)).train()
    assert saved(tmp_path) == [2, 4]
    assert stopped.told[-2:] == ["saved 2", "saved 4"]


class Broken(Exception):
    """What a callback of somebody raises."""


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt])
def test_no_thread_writes_any_more_when_a_training_has_ended_by_an_error(tmp_path, disk, error):
    def end():
        threading.Timer(0.2, disk.room.set).start()
        raise error

    before = set(threading.enumerate())
    teller = Then(3, end)
    with pytest.raises(error):
        engine_of(tmp_path, teller, training=replace(NEVER, checkpoint_every=2)).train()
    assert saved(tmp_path) == [2]
    assert teller.told[-1] == "saved 2"
    left = set(threading.enumerate()) - before
    assert [thread for thread in left if "ThreadPool" in thread.name] == []
    assert len(left) <= 1  # the timer may be ending


def test_a_run_that_diverges_while_a_checkpoint_is_written_says_that_it_has_it(tmp_path, disk):
    teller = Then(4, lambda: threading.Timer(0.2, disk.room.set).start())
    training = replace(NEVER, checkpoint_every=2)
    with pytest.raises(DivergedError, match="last checkpoint: step 2"):
        engine_of(tmp_path, teller, training=training, game=Poisoned(what="gradient", at=4)).train()
    assert "saved 2" in teller.told


def test_engines_that_are_trained_together_each_save_and_none_is_left_out_for_another(tmp_path):
    tellers = [Teller() for _ in range(3)]
    training = replace(NEVER, checkpoint_every=3)
    engines = [engine_of(tmp_path / str(number), teller, training=training) for number, teller in enumerate(tellers)]
    failed = run_to_end(engines, lambda: [engine.trainer.take_step() for engine in engines])
    assert failed == {}
    assert [saved(tmp_path / str(number)) for number in range(3)] == [[3, 6]] * 3


class Later(Executor):
    """A worker whose work is done when so many steps have been taken, and at once after the last one."""

    def __init__(self, *, takes, steps):
        self.takes, self.steps, self.step, self.jobs = takes, steps, 0, []

    def submit(self, call, /, *arguments, **named):
        self.jobs.append((self.step + self.takes, call, Future()))
        self.go_on_to(self.step)
        return self.jobs[-1][-1]

    def go_on_to(self, step):
        self.step = step
        for due, call, future in self.jobs:
            if not future.done() and (due <= step or step == self.steps):
                future.set_result(call())

    def shutdown(self, wait=True, **named):
        assert all(future.done() for *_, future in self.jobs)


def lost_in_kills(folder, monkeypatch, *, takes, **settings):
    """Return how much a kill after each of 40 steps loses; a step takes a second, and writing takes so many."""
    steps, lost = 40, []
    worker = Later(takes=takes, steps=steps)

    class Killer(Callback):
        def on_step(self, step):
            lost.append(step - max(saved(folder), default=0))  # before the disk goes on
            worker.go_on_to(step)

    monkeypatch.setattr(engine_module, "ThreadPoolExecutor", lambda count: worker)
    monkeypatch.setattr(engine_module, "SaveTimer", partial(SaveTimer, clock=lambda: worker.step))
    engine_of(folder, Killer(), training=replace(NEVER, steps=steps, **settings)).train()
    return lost


@pytest.mark.parametrize("takes", [0, 1, 3, 9])
@pytest.mark.parametrize("every", [1, 4])
def test_what_a_kill_loses_is_at_most_the_interval_and_twice_what_is_trained_while_one_is_written(
    tmp_path, monkeypatch, every, takes
):
    lost = lost_in_kills(tmp_path, monkeypatch, takes=takes, checkpoint_every=every)
    assert max(lost) <= every + 2 * takes
    if takes <= every:
        assert max(lost) <= every + takes


# By time


@pytest.mark.parametrize("takes", [0, 1, 3, 9])
@pytest.mark.parametrize("seconds", [1, 4])
def test_what_a_kill_loses_is_at_most_the_minutes_a_step_and_the_time_of_writing_one(
    tmp_path, monkeypatch, seconds, takes
):
    lost = lost_in_kills(tmp_path, monkeypatch, takes=takes, checkpoint_minutes=seconds / 60)
    assert max(lost) == max(seconds, takes) + takes + 1


def test_a_checkpoint_is_saved_when_the_minutes_are_over_and_without_any_at_the_end_alone(tmp_path):
    for name, minutes, expected in (("often", 1e-9, {6}), ("never", 0, {6}), ("none", None, {6}), ("late", 10, {6})):
        training = replace(NEVER, checkpoint_minutes=minutes, keep_checkpoints=9)
        engine_of(tmp_path / name, training=training).train()
        steps = set(saved(tmp_path / name))
        assert steps == expected if name != "often" else steps > expected


@pytest.mark.parametrize("draw", [False, True])
@pytest.mark.parametrize("save", [False, True])
@pytest.mark.parametrize("signal", [None, 1, 2, 15])
def test_requests_are_the_same_after_they_were_a_number(signal, save, draw):
    asked = Requests(signal, save, draw)
    assert Requests.of(asked.number) == asked
    of_all = Requests.of(max(asked.number or 0, Requests(None, True, True).number))
    assert (of_all.signal, of_all.save or signal is not None) == (signal, True)


# What the log says of time


def test_the_log_tells_time_on_the_wall_beside_that_of_training(tmp_path):
    training = replace(NEVER, log_every=1, evaluate_every=2)
    engine_of(tmp_path, training=training, evaluate=lambda model: time.sleep(0.3)).train()
    log = Run(tmp_path).read_log()
    paused = [entry["wall_seconds"] - entry["seconds"] for entry in log]
    assert paused[2] - paused[1] >= 0.299
    assert paused[4] - paused[3] >= 0.299
    assert log[2]["wall_steps_per_second"] < min(1 / 0.299, log[2]["steps_per_second"])
    assert log[0]["wall_seconds"] >= log[0]["seconds"]


def test_time_on_the_wall_goes_on_in_a_resumed_run_and_is_that_of_training_in_older_ones(tmp_path):
    engine_of(tmp_path, training=replace(NEVER, evaluate_every=2), evaluate=lambda model: time.sleep(0.2)).train()
    (path,) = (tmp_path / "checkpoints").glob("step-*")
    state = json.loads((path / "state.json").read_text())
    assert state["wall_seconds"] >= state["seconds"] + 0.399
    older = {name: value for name, value in state.items() if name != "wall_seconds"}
    for content, least in ((state, state["wall_seconds"]), (older, state["seconds"])):
        (path / "state.json").write_text(json.dumps(content))
        engine = engine_of(tmp_path, training=replace(NEVER, steps=8))
        engine.restore(checkpoints.Checkpoint(path=path, step=6, sha256="", names=frozenset()))
        engine.train()
        assert least <= Run(tmp_path).read_log()[-1]["wall_seconds"] < least + 60
