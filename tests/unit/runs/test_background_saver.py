"""The background saver's states: nothing to report, being written, on disk, failed."""

import signal
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from genzoo.errors import GenzooWarning, ResourceError
from genzoo.runs.background_saver import BackgroundSaver

FULL = ResourceError("no room to write step-0000001")


class Held(Executor):
    """A worker that does what it is given when it is told to."""

    def __init__(self):
        self.jobs = []

    def submit(self, call, /, *arguments, **named):
        self.jobs.append((Future(), call))
        return self.jobs[-1][0]

    def work(self, *, error=None):
        writing, call = self.jobs.pop()
        if error is None:
            writing.set_result(call())
        else:
            writing.set_exception(error)


class Saves(RuleBasedStateMachine):
    """Whatever is started is reported once, in order, as what it became, and never before."""

    def __init__(self):
        super().__init__()
        self.worker, self.told, self.step = Held(), [], 0
        self.saver = BackgroundSaver(self.worker, self.told.append)
        self.expected, self.end = [], None

    @precondition(lambda self: not self.worker.jobs)
    @rule()
    def start(self):
        self.step += 1
        self.asked(lambda: self.saver.start(self.step, lambda: None))
        self.start_again_after_a_failure()

    def start_again_after_a_failure(self):
        if not self.worker.jobs:
            self.saver.start(self.step, lambda: None)

    @precondition(lambda self: self.worker.jobs)
    @rule(fails=st.booleans())
    def work(self, fails):
        self.worker.work(error=FULL if fails else None)
        self.end = FULL if fails else self.step

    @rule()
    def report(self):
        self.asked(self.saver.report)

    @precondition(lambda self: not self.worker.jobs)
    @rule()
    def wait(self):
        self.asked(self.saver.wait)

    def asked(self, call):
        end, self.end = self.end, None
        if end is FULL:
            with pytest.raises(ResourceError) as raised:
                call()
            assert raised.value is FULL
            return
        call()
        self.expected += [] if end is None else [end]

    @invariant()
    def is_told_of_what_is_on_disk_alone(self):
        assert self.told == self.expected
        assert self.saver.is_writing == bool(self.worker.jobs)


TestSaves = Saves.TestCase


def leave(on_save, *saves, then=lambda: None):
    """Start saves, do something, and leave the saver's block."""
    with ThreadPoolExecutor(1) as worker, BackgroundSaver(worker, on_save) as saver:
        for step, save in enumerate(saves, start=1):
            saver.start(step, save)
        then()


def fail():
    raise FULL


def test_a_second_save_is_started_after_the_first_one_is_on_disk():
    order = []
    saves = [lambda step=step: order.append(f"written {step}") for step in (1, 2)]
    leave(lambda step: order.append(f"told {step}"), *saves)
    assert order == ["written 1", "told 1", "written 2", "told 2"]


def test_a_save_is_made_in_another_thread_and_told_in_the_callers():
    threads = []
    leave(lambda step: threads.append(threading.current_thread()), lambda: threads.append(threading.current_thread()))
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


def test_a_failure_that_nobody_has_asked_for_is_raised_on_leaving():
    with pytest.raises(ResourceError, match="no room"):
        leave(print, fail)


def test_beside_another_error_a_failure_is_a_warning():
    def other():
        raise ZeroDivisionError

    with (
        pytest.warns(GenzooWarning, match="could not be saved: no room to write step-0000001"),
        pytest.raises(ZeroDivisionError),
    ):
        leave(print, fail, then=other)


def test_an_interrupt_while_it_waits_to_leave_is_raised_after_the_checkpoint_is_on_disk():
    order, leaving = [], threading.Event()

    def write():
        leaving.wait()
        for _ in range(2):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        order.append("written")

    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            leave(order.append, write, then=leaving.set)
    finally:
        signal.signal(signal.SIGINT, former)
    assert order == ["written", 1]
