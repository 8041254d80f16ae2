"""Executors: what becomes of a training whose worker is lost, and of tasks that are stopped, cancelled or orphaned."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from toy_components import RECIPE, WithEncoder, toy_registry

from genzoo.comparison import ExecutorFactory, LocalProcesses, TaskExecutor, TaskProcess, train_cells, worker
from genzoo.comparison.cells import Cell
from genzoo.comparison.executors import executor_called
from genzoo.errors import SettingsError, UnreadableError
from genzoo.runs import TrainingRequest
from genzoo.runs.job import resolve_job
from genzoo.runs.signals import end_with_parent
from genzoo.storage.run_folder import Run


class EngineError(Exception):
    """What an engine raises; its text names a machine."""


def cell(folder):
    request = TrainingRequest(model=WithEncoder(), recipe=RECIPE, steps=2, run=folder / "run", device="cpu")
    return Cell(label="toy", job=resolve_job(toy_registry(), request), run=Run(folder / "run"), request=request)


class Losing(Executor):
    """Has its workers end as `ends` says, by an exit code or an exception of an engine, at a step of the log."""

    def __init__(self, folder, ends, steps):
        self.log, self.ends, self.steps, self.tasks = folder / "run" / "metrics.jsonl", iter(ends), iter(steps), []

    def submit(self, fn, folder):
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("a") as log:
            log.write(f'{{"step": {next(self.steps)}}}\n')
        self.tasks.append(folder)
        future, end = Future(), next(self.ends)
        if end == 0:
            worker.Task(folder).write_outcomes([worker.Outcome()])
        if isinstance(end, Exception):
            future.set_exception(end)
        else:
            future.set_result(end)
        return future


def outcome_of(folder, executor, tries=3):
    (outcome,) = train_cells.run_cells([cell(folder)], executor, tasks=folder / "tasks", tries=tries)
    return outcome


def outcome_from(folder, factory):
    """Return how a training ends on an executor that is started for it."""
    where = {"tasks": folder / "tasks", "device": "cpu", "executor": factory}
    (outcome,) = train_cells.train_cells([cell(folder)], folder, callback=None, jobs=None, together=False, **where)
    return outcome


@pytest.mark.parametrize("end", [-signal.SIGKILL, 128 + signal.SIGTERM, EngineError("tcp://10.0.0.1")])
def test_a_lost_training_begins_again_in_a_task_of_its_own(tmp_path, end):
    executor = Losing(tmp_path, [end, end, 0], steps=[0, 0, 0])
    assert outcome_of(tmp_path, executor).code == 0
    assert len(set(executor.tasks)) == 3
    assert not (tmp_path / "tasks").exists()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EngineError("tcp://10.0.0.1"), "EngineError"),
        (FileNotFoundError(2, "not there", "/home/me"), "FileNotFoundError"),
        (ModuleNotFoundError("No module named 'genzoo'"), "ModuleNotFoundError: No module named 'genzoo'"),
    ],
)
def test_a_training_that_is_lost_too_often_says_why_and_names_no_machine(tmp_path, error, text):
    executor = Losing(tmp_path, [error] * 3, steps=[0, 0, 0])
    outcome = outcome_of(tmp_path, executor)
    assert outcome.code == 1
    times = "its worker was lost 3 times without a step between; the last time"
    assert outcome.found == f"{times}: its worker was lost ({text})"
    assert len(executor.tasks) == 3


def test_tries_count_from_the_last_step_that_a_training_got_further(tmp_path):
    ends = [*[-signal.SIGKILL] * 5, 0]
    assert outcome_of(tmp_path, Losing(tmp_path, ends, steps=[1, 1, 2, 2, 3, 3])).code == 0
    other = tmp_path / "other"
    other.mkdir()
    assert outcome_of(other, Losing(other, ends, steps=[5, 1, 2, 2, 3, 3])).code == 137


@pytest.mark.parametrize("end", [SettingsError("no partition", "name another"), 3])
def test_an_error_of_a_training_or_of_its_settings_is_no_loss(tmp_path, end):
    executor = Losing(tmp_path, [end], steps=[0])
    assert outcome_of(tmp_path, executor).code in (2, 3)
    assert len(executor.tasks) == 1


def test_by_default_a_killed_process_of_this_machine_is_a_failure(tmp_path):
    assert outcome_of(tmp_path, Losing(tmp_path, [-signal.SIGKILL], steps=[0]), tries=1).found.startswith(
        "its process was ended by signal 9"
    )


class Queue(TaskExecutor):
    """Begins nothing by itself, and forgets states, as engines do: their futures can be cancelled at any time."""

    def __init__(self):
        super().__init__()
        self.inner, self.is_closed = [], False

    def begin(self, folder):
        assert folder.is_absolute()
        self.inner.append(Future())
        return self.inner[-1]

    def close(self):
        self.is_closed = True


def test_what_has_begun_saves_and_ends_and_what_has_not_is_cancelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks = [worker.Task(tmp_path / name) for name in ("begun", "queued", "ended")]
    for task in tasks:
        task.write([])
    executor = Queue()
    begun, queued, ended = (executor.submit(worker.run_task, task.folder.relative_to(tmp_path)) for task in tasks)
    (tasks[0].folder / worker.OUTPUT).touch()
    executor.inner[2].set_result(0)
    assert not begun.cancel()
    threading.Timer(0.2, lambda: executor.inner[0].set_result(143)).start()
    executor.shutdown(cancel_futures=True)
    assert executor.is_closed
    assert (begun.result(), queued.cancelled(), ended.result()) == (143, True, 0)
    assert executor.inner[1].cancelled()
    assert [task.is_stopped for task in tasks] == [True, True, False]


def test_a_task_that_has_begun_and_is_queued_again_is_cancelled(tmp_path):
    task = worker.Task(tmp_path / "task")
    task.write([])
    future = Queue().submit(worker.run_task, task.folder)
    (task.folder / worker.OUTPUT).touch()
    assert not future.cancel()
    assert TaskProcess(task.folder, {}, patient=True).again() == TaskProcess(task.folder, {}, patient=True)
    assert future.cancel()


def test_a_task_that_is_stopped_before_it_begins_does_not_begin(tmp_path):
    task = worker.Task(tmp_path / "task")
    task.write([])
    task.stop()
    assert TaskProcess(task.folder, {}).run() == worker.STOPPED == 143
    assert not task.has_begun


def test_a_worker_that_does_not_see_the_files_says_so(tmp_path):
    for folder, directory in ((tmp_path / "elsewhere", tmp_path), (tmp_path, tmp_path / "elsewhere")):
        with pytest.raises(UnreadableError, match="a file system that all machines share") as refused:
            TaskProcess(folder, {}, directory).run()
        assert str(tmp_path) not in str(refused.value)


def test_an_orphan_writes_no_outcome(tmp_path):
    task = worker.Task(tmp_path / "task")
    task.write([TrainingRequest(model="nobody", run=tmp_path / "run", device="cpu")])
    assert worker.run_task(task.folder, is_orphan=lambda: True) == 2
    assert not (task.folder / "outcome.json").exists()
    assert worker.run_task(task.folder) == 2
    assert (task.folder / "outcome.json").exists()


def test_a_process_whose_parent_was_another_is_an_orphan(monkeypatch):
    monkeypatch.setattr("genzoo.runs.signals.end_with", lambda parent: None)
    for parent, expected in ((None, False), (os.getppid(), False), (os.getppid() + 1, True)):
        if parent is not None:
            monkeypatch.setenv("GENZOO_PARENT", str(parent))
        assert end_with_parent()() is expected
        assert "GENZOO_PARENT" not in os.environ


def test_a_task_elsewhere_gets_this_ones_variables_threads_and_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENZOO_DATA", "here")
    monkeypatch.setenv("SECRET", "mine")
    process = TaskProcess.elsewhere(tmp_path / "task", cpus=3)
    assert {"GENZOO_DATA": "here", "OMP_NUM_THREADS": "3"}.items() <= process.environment.items()
    assert "SECRET" not in process.environment
    assert (process.directory, process.patient) == (tmp_path, True)


def test_a_training_elsewhere_waits_for_one_that_outlived_its_comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PATIENCE", 0.1)
    held = cell(tmp_path)
    held.run.path.mkdir()
    task = worker.Task(tmp_path / "task")
    task.write([TrainingRequest(model="nobody", run=held.run.path, device="cpu")])
    waits = []
    monkeypatch.setattr("genzoo.runs.session.train_request", lambda request, callback: hold_on())

    def hold_on():
        waits.append(1)
        if len(waits) < 4:
            raise worker.BusyError("in use", "wait")

    assert worker.run_task(task.folder, patience=float("inf")) == 0
    assert len(waits) == 4


def test_settings_of_an_executor_are_paths_below_on():
    assert executor_called("local", {"on.tries": "4"}).tries == 4
    for name, overrides, message in (
        ("locl", {}, "no executor named 'locl'; did you mean 'local'?"),
        ("local", {"on.trise": "4"}, "no setting 'on.trise'; did you mean 'on.tries'?"),
        ("local", {"on.tries": "x"}, "on.tries is 'x', expected a whole number"),
        ("local", {"on.tries": "0"}, "tries is 0, expected at least 1"),
    ):
        with pytest.raises(SettingsError) as refused:
            executor_called(name, overrides)
        assert message in refused.value.found


def test_an_executor_is_started_for_what_waits_and_ended_with_it(tmp_path, monkeypatch):
    started = []

    def processes(jobs):
        started.append(jobs)
        return ThreadPoolExecutor(jobs)

    monkeypatch.setattr("genzoo.comparison.executors.LocalProcesses", processes)
    monkeypatch.setattr("genzoo.comparison.executors.usable_cores", lambda: 8)
    for _ in range(2):
        assert outcome_from(tmp_path, executor_called("local", {})).code == 0
    assert started == [1, 1]


@dataclass(frozen=True, kw_only=True)
class Writing(ExecutorFactory):
    """Has files of its own, and its only worker ends with an exit code."""

    name = "writing"
    run: Path
    end: int

    def start(self, trainings, *, jobs, folder):
        folder.mkdir(parents=True)
        (folder / "log.txt").touch()
        return Losing(self.run, [self.end], steps=[0])


@pytest.mark.parametrize("end", [0, 3])
def test_the_files_of_an_executor_stay_where_a_training_failed(tmp_path, end):
    outcome_from(tmp_path, Writing(run=tmp_path, end=end))
    assert [path.name for path in tmp_path.glob("tasks/executor-*/*")] == (["log.txt"] if end else [])
    assert (tmp_path / "tasks").exists() == bool(end)


def test_the_modules_that_engines_import_on_their_workers_need_no_torch():
    script = "import sys, genzoo.comparison.executors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_processes_of_this_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr("genzoo.comparison.executors.usable_cores", lambda: 8)
    for jobs, expected in ((1, {}), (3, {"OMP_NUM_THREADS": "2"}), (16, {"OMP_NUM_THREADS": "1"})):
        with LocalProcesses(jobs) as executor:
            assert executor._environment == expected
