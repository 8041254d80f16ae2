"""An interrupt of `genzoo.train`: saved while steps are taken, raised at once at any other time."""

import os
import signal
import threading

import pytest
from stopping import files_of
from toy import TOY

import genzoo
from genzoo import Callback, InterruptedRun
from genzoo.runs.callbacks import Callbacks
from genzoo.storage.run_folder import Run

STEPS = TOY["training.steps"]


@pytest.fixture(autouse=True)
def python_handles():
    """Have interrupts raise `KeyboardInterrupt`, as they do in a script or a notebook."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


class InterruptAt(Callback):
    """Interrupts the process after a step, some times in a row, or at the end."""

    def __init__(self, step, *, times=1, at_end=False):
        self.step, self.times, self.at_end = step, times, at_end

    def on_step(self, step):
        if step == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)

    def on_end(self):
        if self.at_end:
            os.kill(os.getpid(), signal.SIGINT)


def train(path, callback=None, **more):
    return genzoo.train("vae", overrides=TOY, run=path, callback=callback, device="cpu", **more)


def test_an_interrupt_saves_and_the_resumed_run_is_the_uninterrupted_one(tmp_path):
    train(tmp_path / "whole")
    with pytest.raises(InterruptedRun, match=f"stopped after step 3 of {STEPS}; all of it is saved") as ended:
        train(tmp_path / "run", InterruptAt(2))  # while the second step ends, so that the third is the last
    assert ended.value.exit_code == 130
    assert Run(tmp_path / "run").step == 3
    genzoo.resume(tmp_path / "run")
    assert files_of(tmp_path / "run", STEPS) == files_of(tmp_path / "whole", STEPS)


def test_a_resumed_training_is_interrupted_alike(tmp_path):
    train(tmp_path / "run")
    with pytest.raises(InterruptedRun):
        genzoo.resume(tmp_path / "run", steps=STEPS + 3, callback=InterruptAt(STEPS + 1))
    assert Run(tmp_path / "run").step == STEPS + 2


def test_a_second_interrupt_is_not_waited_for(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", InterruptAt(3, times=2))
    assert Run(tmp_path / "run").step == 2  # the last checkpoint that was due
    with Run(tmp_path / "run").hold():
        pass  # its lock is free


@pytest.mark.parametrize("callback", [InterruptAt(STEPS), InterruptAt(0, at_end=True)], ids=["last step", "end"])
def test_an_interrupt_with_nothing_left_to_save_is_the_usual_one(tmp_path, callback):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", callback)
    assert Run(tmp_path / "run").step == STEPS
    assert Run(tmp_path / "run").scores == []


def test_an_interrupt_before_the_first_step_is_the_usual_one(tmp_path, monkeypatch):
    monkeypatch.setattr("genzoo.runs.opening.choose_device", lambda name: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_handler_of_the_callers_stays_in_charge(tmp_path):
    heard = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        assert train(tmp_path / "run", InterruptAt(3)).step == STEPS
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert heard == [signal.SIGINT]


def test_a_training_in_another_thread_sets_no_handler(tmp_path):
    runs = []
    thread = threading.Thread(target=lambda: runs.append(train(tmp_path / "run")))
    thread.start()
    thread.join()
    assert runs[0].step == STEPS


# Several callbacks


class Listing(Callback):
    def __init__(self, signal_number=None, save=False):
        self.events, self.signal_number, self.save = [], signal_number, save

    def on_start(self, run, step, steps):
        self.events.append(("start", step, steps))

    def on_note(self, text):
        self.events.append(text)

    def on_step(self, step):
        self.events.append(step)

    def on_log(self, entry):
        self.events.append(entry)

    def on_save(self, step):
        self.events.append(("save", step))

    def on_end(self):
        self.events.append("end")

    def stop_signal(self):
        self.events.append("stop?")
        return self.signal_number

    def wants_save(self):
        self.events.append("save?")
        return self.save


def test_several_callbacks_hear_the_same_and_are_all_asked():
    listing = [Listing(None, True), Listing(15, False), Listing(2, False)]
    together = Callbacks(*listing)
    together.on_start(None, 1, 3)
    for event in (together.on_note, together.on_step, together.on_log, together.on_save):
        event(2)
    together.on_end()
    assert together.stop_signal() == 15
    assert together.wants_save() is True
    expected = [("start", 1, 3), 2, 2, 2, ("save", 2), "end", "stop?", "save?"]
    assert [each.events for each in listing] == [expected] * 3
    assert (Callbacks().stop_signal(), Callbacks().wants_save()) == (None, False)
