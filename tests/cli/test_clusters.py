"""Clusters: comparisons by submitit, Dask and Ray give the numbers of local ones, also where workers are killed."""

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import wait_for

import genzoo
from genzoo.comparison import run_task
from genzoo.comparison.cells import cell_of
from genzoo.comparison.train_cells import run_cells
from genzoo.comparison.worker import Outcome, Task
from genzoo.errors import SettingsError, UnreadableError
from genzoo.runs import TrainingRequest
from genzoo.storage.run_folder import Run

SETTINGS = {
    "dataset.rows": 200,
    "dataset.held_out_rows": 300,
    "training.batch_size": 20,
    "training.log_every": 10,
    "training.checkpoint_every": 25,
    "training.picture_every": 100_000,
}
STEPS = 300
OPTIONS = [word for path, value in SETTINGS.items() for word in ("--set", f"{path}={value}")]
LIBRARIES = {"slurm": "submitit", "ray": "ray", "dask": "distributed"}


def engine(name):
    return genzoo.find("executor", name)


def numbers(folder):
    """Return the losses of all log entries, the weights' hashes and the scores of every training below a folder."""
    numbers = {}
    for path in sorted((folder / "cells").iterdir()):
        run = Run(path)
        log = [(entry["step"], entry["losses"]) for entry in run.read_log()]
        files = json.loads((run.newest_checkpoint()[0].path / "MANIFEST.json").read_text())["files"]
        hashes = {name: file["sha256"] for name, file in files.items() if name.endswith(".safetensors")}
        numbers[path.name] = log, hashes, [(score["metric"], score["value"]) for score in run.final_scores]
    return numbers


def sessions(folder):
    """Return in how many sessions each training below a folder was made."""
    return [len(json.loads((path / "run.json").read_text())["sessions"]) for path in (folder / "cells").iterdir()]


@contextmanager
def comparing(folder, *words, seeds=1):
    """Yield `genzoo compare` as a process, a session of its own as in a terminal."""
    command = ["compare", "gan", "--steps", STEPS, "--seeds", seeds, "--device", "cpu", "--report", folder, *OPTIONS]
    program = [sys.executable, "-m", "genzoo", *map(str, command), *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(program, **pipes, start_new_session=True, cwd=folder.parent)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def training_under_way(folder):
    """Return the process of a training once it has taken a few steps."""
    seen = []

    def is_under_way(run):
        return run.is_running and 30 <= max((entry["step"] for entry in run.read_log()), default=0) < STEPS // 2

    wait_for(lambda: seen.extend(filter(is_under_way, map(Run, folder.glob("cells/*")))) or seen, seconds=500)
    return json.loads((seen[0].path / "holder.json").read_text())["pid"]


def has_left_nothing(comparison):
    """Return whether no process of a comparison's session goes on; its trainings have sessions of their own."""
    command = ["ps", "--sid", str(comparison.pid), "-o", "stat="]
    states = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return all(state.startswith("Z") for state in states)


def ends_well(process):
    """Wait for a comparison, and check that it wrote its table and nothing else to stdout, as engines may."""
    stdout, stderr = process.communicate(timeout=800)
    wait_for(lambda: has_left_nothing(process), seconds=10)
    assert process.returncode == 0, stderr
    assert stdout.startswith("| score "), stdout
    assert stdout.rstrip().endswith("report.html")


def parent_of(pid):
    return int(re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Return the numbers of a comparison of two seeds in processes of this machine."""
    folder = tmp_path_factory.mktemp("local") / "report"
    with comparing(folder, seeds=2) as process:
        ends_well(process)
    return numbers(folder)


# The components


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_is_not_installed_is_named_with_its_extra(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    with pytest.raises(
        SettingsError, match=rf"--on {name} needs {LIBRARIES[name]}\ntype: pip install 'genzoo\[{name}\]'"
    ):
        engine(name)().start(1, jobs=None, folder=tmp_path)


def test_a_number_of_jobs_is_refused_for_a_cluster_that_runs(tmp_path):
    with pytest.raises(SettingsError, match="--jobs is for workers that are started here"):
        engine("dask")(address="tcp://127.0.0.1:9").start(1, jobs=2, folder=tmp_path)


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    import distributed

    def refuse(address):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(UnreadableError, match=r"no Dask cluster answers at tcp://127\.0\.0\.1:9"):
        engine("dask")(address="tcp://127.0.0.1:9").start(1, jobs=None, folder=tmp_path)


def test_settings_of_an_engine_are_read_below_on_and_not_by_trainings(say):
    said = say("compare", "gan", "--on", "slurm", "--set", "on.partitoin=gpu")
    assert said.code == 2
    assert "no setting 'on.partitoin'; did you mean 'on.partition'?" in said.err
    said = say("compare", "gan", "--on", "slrum")
    assert said.code == 2
    assert "no executor named 'slrum'; did you mean 'slurm'?" in said.err
    said = say("reproduce", "ali/mode-coverage", "--on", "dask", "--set", "on.cpus=none")
    assert said.code == 2
    assert "on.cpus is 'none', expected a whole number" in said.err


def test_without_slurm_its_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="there is no Slurm on this machine"):
        engine("slurm")().start(1, jobs=None, folder=tmp_path)


SBATCH = """#!/bin/sh
cp "$1" "$(dirname "$0")/sent.sh"
echo "Submitted batch job 7"
"""
SACCT = """#!/bin/sh
echo "JobID|State|NodeList"
echo "7_0|RUNNING|a"
echo "7_1|RUNNING|a"
"""


def test_slurm_is_sent_one_array_with_its_options(tmp_path, monkeypatch):
    """As far as that can be seen without Slurm: what submitit would have it run, and that it is asked for the end."""
    for name, text in {"sbatch": SBATCH, "srun": "#!/bin/sh\n", "sacct": SACCT, "scancel": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    slurm = engine("slurm")(partition="gpu", gpus=1, cpus=4, minutes=90, options={"constraint": "a100"})
    executor = slurm.start(2, jobs=1, folder=tmp_path / "jobs")
    tasks = [Task(tmp_path / str(number)) for number in range(2)]
    for task in tasks:
        task.write([])
        executor.submit(run_task, task.folder)
    wait_for((tmp_path / "sent.sh").exists)
    executor.shutdown(cancel_futures=True)
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", (tmp_path / "sent.sh").read_text(), re.MULTILINE))
    expected = {"array": "0-1%1", "partition": "gpu", "gpus-per-node": "1", "cpus-per-task": "4", "time": "90"}
    assert expected.items() <= options.items()
    assert (options["constraint"], options["signal"]) == ("a100", "USR1@120")
    assert "export SUBMITIT_PREEMPT_SIGNAL=USR1" in (tmp_path / "sent.sh").read_text()


@pytest.mark.slow
def test_a_job_of_submitit_gives_the_numbers_of_a_training_in_this_process(tmp_path):
    def trained(name, executor):
        request = TrainingRequest(model="gan", steps=20, overrides=SETTINGS, device="cpu", metrics=())
        cell = cell_of("gan", request, tmp_path / name)
        with executor:
            (outcome,) = run_cells([cell], executor, tasks=tmp_path / name / "tasks")
        assert outcome == Outcome()
        return numbers(tmp_path / name)

    slurm = engine("slurm")(cluster="local").start(1, jobs=None, folder=tmp_path / "jobs")
    assert trained("sent", slurm) == trained("here", ThreadPoolExecutor(1))


# Whole comparisons

ENGINES = [
    pytest.param(("--on", "slurm", "--set", "on.cluster=local"), id="slurm"),
    pytest.param(("--on", "dask"), id="dask"),
    pytest.param(("--on", "ray"), id="ray"),
]


@pytest.fixture
def on(request):
    """Return the words that name an engine, if its library is installed."""
    pytest.importorskip(LIBRARIES[request.param[1]])
    return request.param


every_engine = pytest.mark.parametrize("on", ENGINES, indirect=True)


@pytest.mark.slow
@every_engine
def test_an_engine_gives_the_numbers_of_processes_of_this_machine(local, tmp_path, on):
    folder = tmp_path / "report"
    with comparing(folder, *on, "--jobs", 2, seeds=2) as process:
        ends_well(process)
    assert numbers(folder) == local
    assert sessions(folder) == [1, 1]
    assert not (folder / "tasks").exists()


@pytest.mark.slow
@every_engine
def test_a_training_whose_worker_is_killed_goes_on_in_another(local, tmp_path, on):
    folder = tmp_path / "report"
    with comparing(folder, *on, "--jobs", 2, seeds=2) as process:
        worker = parent_of(training_under_way(folder))
        assert worker != process.pid
        os.kill(worker, signal.SIGKILL)
        ends_well(process)
    assert numbers(folder) == local
    assert sorted(sessions(folder))[-1] == 2


@pytest.mark.slow
@every_engine
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_comparison_that_is_ended_goes_on_to_the_same_numbers(local, tmp_path, on, end):
    folder = tmp_path / "report"
    with comparing(folder, *on, "--jobs", 2, seeds=2) as process:
        training_under_way(folder)
        if end == signal.SIGINT:
            os.killpg(process.pid, end)  # as a terminal does
            assert process.wait(300) == 130
            wait_for(lambda: has_left_nothing(process), seconds=10)
            assert not any(Run(path).is_running for path in (folder / "cells").iterdir())
        else:
            process.kill()
    with comparing(folder, *on, "--jobs", 2, seeds=2) as process:
        ends_well(process)
    assert numbers(folder) == local


@pytest.mark.slow
def test_what_a_killed_comparison_left_on_a_cluster_is_waited_for(local, tmp_path):
    """The workers of a cluster that runs do not end with the comparison."""
    import distributed

    folder = tmp_path / "report"
    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as cluster:
        on = ("--on", "dask", "--set", f"on.address={cluster.scheduler_address}")
        with comparing(folder, *on, seeds=2) as process:
            training = training_under_way(folder)
            process.kill()
            process.wait()
        with comparing(folder, *on, seeds=2) as process:
            os.kill(training, 0)
            os.kill(parent_of(training), signal.SIGKILL)
            ends_well(process)
    assert numbers(folder) == local


@pytest.mark.slow
def test_a_job_that_is_preempted_saves_and_goes_on(local, tmp_path):
    folder = tmp_path / "report"
    with comparing(folder, "--on", "slurm", "--set", "on.cluster=local", "--set", "on.tries=1", seeds=2) as process:
        os.kill(parent_of(training_under_way(folder)), signal.SIGUSR2)  # submitit's default
        ends_well(process)
    assert numbers(folder) == local
    assert sorted(sessions(folder))[-1] == 2
