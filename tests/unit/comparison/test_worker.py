"""Workers and executors: what crosses to them, and what is known of one that ends without a word."""

import json
from concurrent.futures import Executor, Future
from dataclasses import replace

import pytest
from toy_components import RECIPE, WithEncoder, toy_registry

from genzoo.comparison import LocalProcesses, train_cells, worker
from genzoo.comparison.cells import Cell
from genzoo.runs import TrainingRequest
from genzoo.runs.job import resolve_job
from genzoo.storage.run_folder import Run


class Killing(Executor):
    """Runs nothing: its workers end by signal 9."""

    def submit(self, fn, /, *args, **more):
        (args[0] / worker.OUTPUT).write_text("Killed")
        future = Future()
        future.set_result(-9)
        return future


def test_a_worker_that_was_killed_is_told_from_one_that_failed(tmp_path):
    request = TrainingRequest(model=WithEncoder(), recipe=RECIPE, steps=2, run=tmp_path / "run", device="cpu")
    job = resolve_job(toy_registry(), request)
    cell = Cell(label="toy", job=job, run=Run(tmp_path / "run"), request=request)
    (outcome,) = train_cells.run_cells([cell], Killing(), tasks=tmp_path / "tasks")
    assert outcome.code == 137
    assert outcome.found == "its process was ended by signal 9 Killed"
    assert (tmp_path / "tasks").is_dir()  # for a person to read


def test_the_processes_of_this_machine_run_tasks_alone():
    with LocalProcesses(1) as executor, pytest.raises(TypeError, match=r"runs only genzoo\.comparison\.run_task"):
        executor.submit(print, "anything")


def test_a_request_crosses_to_a_worker_as_json_with_games_and_recipes_as_values():
    recipe = replace(RECIPE, name="nobody registers this")
    value = TrainingRequest(
        model=WithEncoder(), recipe=recipe, overrides={"training.batch_size": "20"}, run="here", device="cpu", seed=3
    )
    stored = json.loads(json.dumps(value.to_json(name_of=toy_registry().name_of)))
    assert TrainingRequest.from_json(stored, resolve=toy_registry().resolve) == value


def test_what_ends_a_task_of_several_trainings_before_they_begin_is_the_outcome_of_each(tmp_path):
    task = worker.Task(tmp_path / "task")
    task.write([TrainingRequest(model="nobody", run=tmp_path / str(seed), device="cpu") for seed in range(3)])
    assert worker.run_task(task.folder) == 2
    ended = Future()
    ended.set_result(2)
    outcomes = task.outcomes(ended, 3)
    assert [outcome.code for outcome in outcomes] == [2, 2, 2]
    assert "'nobody'" in outcomes[0].found
