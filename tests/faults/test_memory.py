"""Memory that ends: real limits on real processes; what was saved is kept, and the batch is never changed silently."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import wait_for

from genzoo.errors import is_out_of_memory
from genzoo.host.discovery import registry
from genzoo.storage import checkpoints
from genzoo.storage.run_folder import Run
from genzoo.training.trainer import Trainer

# A process that has imported all that a training needs and computes nothing itself; every job is a fork of it.
SERVER = """
import json, os, resource, sys, traceback
import torch
import torch._dynamo  # which the first optimizer imports
import genzoo, genzoo.api, genzoo.cli.train
import genzoo_gan.gan, genzoo_recipes.mixture25
from genzoo.evaluation.costs import memory_estimate
from genzoo.runs import TrainingRequest, new_trainer
from genzoo.runs.engine import Engine
from genzoo.training.trainer import Trainer

torch.set_num_threads(1)

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

def limit(room):
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize:") + room, hard))

PLACES = {
    "step": (Trainer, "take_step", lambda trainer: trainer.step + 1),
    "save": (Engine, "_save", lambda engine: engine.trainer.step),
    "restore": (Engine, "restore", lambda engine, checkpoint: checkpoint.step),
}

def command(job):
    if job["place"]:
        owner, name, number = PLACES[job["place"]]
        real = getattr(owner, name)
        def limited(*given):
            if number(*given) == job["number"]:
                limit(job["room"])
            return real(*given)
        setattr(owner, name, limited)
    Engine._measure = Engine._draw = lambda engine: None
    sys.argv = ["genzoo", *job["arguments"]]
    genzoo.cli.main()

def measure(job):
    def trainer(rows):
        overrides = {"training.batch_size": rows}
        return new_trainer(TrainingRequest(model=job["model"], recipe=job["recipe"], overrides=overrides))
    trainer(8).take_step()
    large = trainer(job["rows"])
    begun = status("VmRSS:")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    large.take_step()
    step = status("VmHWM:") - begun
    gradients = [parameter.grad for parameter in large.networks.parameters() if parameter.grad is not None]
    kept = sum(tensor.nbytes for tensor in [*large.networks.parameters(), *gradients, *large._moments().values()])
    told = memory_estimate(large.networks, job["rows"])
    print(json.dumps({"measured": {"kept": kept, "step": step}, "told": dict(zip(("kept", "step"), told))}))

out = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        code = 0
        try:
            globals()[job["call"]](job)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = 99
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    out.write(json.dumps(code) + chr(10))
    out.flush()
"""
MB = 2**20
ROWS = 500
"""Of a batch: a step takes some 20 MB."""
STEPS = 4
OPTIONS = {
    "training.batch_size": ROWS,
    "training.steps": STEPS,
    "training.checkpoint_every": 2,
    "training.log_every": 1,
    "dataset.rows": 2 * ROWS,
    "dataset.held_out_rows": 64,
}


class Server:
    """The server as a test sees it."""

    def __init__(self, folder):
        self.folder = folder
        # Every tensor of some size is asked of the system and given back to it, so that a limit is felt at once.
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], **pipes, env=self.environment)

    def do(self, call, **job):
        """Have a fork do something; return its exit code, stdout and stderr."""
        places = {name: str(self.folder / name) for name in ("out", "err")}
        self.process.stdin.write(json.dumps({"call": call, **job, **places}) + "\n")
        self.process.stdin.flush()
        code = json.loads(self.process.stdout.readline())
        return code, *(Path(places[name]).read_text() for name in ("out", "err"))

    def genzoo(self, *arguments, place=None, number=None, room=None):
        """Run a command; from the step, save or restore of a number on, it has only `room` bytes more."""
        return self.do("command", arguments=[str(part) for part in arguments], place=place, number=number, room=room)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("server"))
    yield found
    found.process.stdin.close()
    found.process.wait()


def options(**more):
    """Return settings as options of a command, some of them changed."""
    chosen = OPTIONS | {path.replace("__", "."): value for path, value in more.items()}
    return ["--recipe", "mixture25-paper"] + [
        part for path, value in chosen.items() for part in ("--set", f"{path}={value}")
    ]


def files_of(path):
    """Return the bytes of the tensors of every checkpoint of a run."""
    return {
        str(file.relative_to(path)): file.read_bytes() for file in (path / "checkpoints").glob("step-*/*.safetensors")
    }


@pytest.fixture(scope="module")
def trained(server, tmp_path_factory):
    """Return a folder with an uninterrupted run, and one of half its steps."""
    root = tmp_path_factory.mktemp("trained")
    for name, steps in (("whole", STEPS), ("half", STEPS // 2)):
        code, _, err = server.genzoo("train", "gan", *options(training__steps=steps), "--run", root / name)
        assert code == 0, err
    return root


@pytest.fixture(scope="module")
def estimate(server):
    """Return the bytes that are told of a step of the trained runs, as they are written."""
    told = json.loads(server.do("measure", model="gan", recipe="mixture25-paper", rows=ROWS)[1])["told"]
    return f"{told['kept']:,} bytes", f"{told['step']:,} bytes"


def is_told(err, place, estimate):
    """Return whether a message names batch size, estimate and remedy; while a run is read, no batch is to blame."""
    if len(err.splitlines()) > 3 or "Traceback" in err or "out of memory" not in err:
        return False
    if place == "restore":
        return "ask for less at a time" in err
    wanted = (f"training.batch_size={ROWS}:", *estimate, f"--set training.batch_size={ROWS // 2} ")
    return all(part in err for part in wanted)


def is_kept(server, trained, path):
    """Return whether a run has its batch size and checkpoint yet, and ends bitwise where the uninterrupted one does."""
    batch = Run(path).record.settings["training"]["batch_size"]
    found, faults = checkpoints.newest(path / "checkpoints")
    if batch != ROWS or faults or found.step != STEPS // 2 or files_of(path) != files_of(trained / "half"):
        return False
    code, _, err = server.genzoo("resume", path, "--steps", STEPS)
    assert code == 0, err
    return files_of(path) == files_of(trained / "whole")


def limited(server, trained, path, place, number, room):
    """Go on with half a run with little room from some place on; return the exit code and what was said."""
    shutil.copytree(trained / "half", path)
    code, _, err = server.genzoo(
        "resume", path, "--steps", STEPS, "--quiet", place=place, number=number, room=int(room * MB)
    )
    return code, err


def try_limits(server, trained, estimate, folder, limits):
    """Return for each limit whether memory ended, and whether that was told and survived."""
    ends = {}
    for place, number, room in limits:
        path = folder / f"{place}-{number}-{room}"
        code, err = limited(server, trained, path, place, number, room)
        if code == 0:
            ends[place, number, room] = False, files_of(path) == files_of(trained / "whole")
        else:
            told = code == 6 and is_told(err, place, estimate)
            ends[place, number, room] = True, is_kept(server, trained, path) and told
        shutil.rmtree(path)
    return ends


SOME = [
    ("step", 3, 0),
    ("step", 3, 0.3),
    ("step", 3, 6),
    ("step", 4, 12),
    ("save", 4, 0),
    ("save", 4, 4),
    ("restore", 2, 0),
]
EVERY = [
    *(("step", 3, quarter / 4) for quarter in range(64)),
    *(("step", 4, quarter / 4) for quarter in range(64)),
    *(("save", 4, quarter / 4) for quarter in range(32)),
    *(("restore", 2, eighth / 8) for eighth in range(24)),
    *(("step", step, room) for step in (3, 4) for room in (64, 96, 128)),  # they suffice
]


@pytest.mark.parametrize("limits", [SOME, pytest.param(EVERY, marks=pytest.mark.slow)], ids=["some", "every"])
def test_memory_that_ends_is_told_with_the_batch_and_the_run_goes_on(
    server, trained, estimate, tmp_path, tally, limits
):
    ends = try_limits(server, trained, estimate, tmp_path, limits)
    ended = sum(has_ended for has_ended, _ in ends.values())
    print("lost:", [limit for limit, (_, survived) in ends.items() if not survived])
    assert ended == len([room for _, _, room in limits if room < 64])
    tally(
        "memory ends in a step, a save or while a run is read (RLIMIT_AS)",
        tries=ended,
        survived=sum(survived for has_ended, survived in ends.values() if has_ended),
        how="limits from none to what suffices; exit 6 with batch size, estimate and remedy, the checkpoint before is "
        "whole; gone on with, bitwise the uninterrupted run",
    )
    assert all(survived for _, survived in ends.values())


@pytest.mark.parametrize("room", [12, 16])
def test_a_run_whose_memory_ends_while_a_checkpoint_is_made_is_kept(server, trained, tmp_path, room):
    code, _ = limited(server, trained, tmp_path / "run", "save", STEPS, room)
    assert code != 0
    assert is_kept(server, trained, tmp_path / "run")


@pytest.mark.parametrize("room", [12, 16], ids=["for its copy", "for the thread that writes it"])
def test_memory_that_ends_while_a_checkpoint_is_made_is_told(server, trained, estimate, tmp_path, room):
    code, err = limited(server, trained, tmp_path / "run", "save", STEPS, room)
    assert code == 6
    assert is_told(err, "save", estimate)


def test_memory_that_ends_while_torch_maps_a_checkpoint_is_told(server, trained, estimate, tmp_path):
    code, err = limited(server, trained, tmp_path / "run", "restore", STEPS // 2, 4.5)
    assert code == 6, err


@pytest.mark.parametrize("asked", [2_000_000, 10**12])
def test_a_batch_that_fits_nowhere_is_refused_by_its_first_step(server, tmp_path, asked):
    rows = 2_000_000  # a batch has no row twice
    path = tmp_path / "run"
    huge = options(training__batch_size=asked, dataset__rows=rows)
    code, out, err = server.genzoo("train", "gan", *huge, "--run", path, "--quiet", place="step", number=1, room=2**30)
    assert (code, out) == (6, "")
    *warnings, found, remedy = err.splitlines()
    assert len(warnings) == (asked > rows)  # that a batch holds all rows
    assert f"training.batch_size={asked}:" in found
    kept, step = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) bytes", found))
    assert kept < 2**30 < step
    assert f"--set training.batch_size={rows // 2} (it is never changed silently)" in remedy
    assert Run(path).record.settings["training"]["batch_size"] == asked
    assert checkpoints.steps(path / "checkpoints") == []
    assert not list(path.glob("**/*.tmp"))


def test_a_limit_on_memory_while_training_leaves_the_last_checkpoint_good(server, tmp_path, tally):
    endless = options(training__steps=100_000)
    command = [sys.executable, "-m", "genzoo", "train", "gan", *endless, "--run", str(tmp_path / "run"), "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=server.environment) as process:
        try:
            wait_for(lambda: checkpoints.steps(tmp_path / "run" / "checkpoints"), process=process)
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MB, resource.RLIM_INFINITY))
            _, err = process.communicate()
        finally:
            process.kill()
    found, faults = checkpoints.newest(tmp_path / "run" / "checkpoints")
    steps = found.step + 1
    resumed = server.genzoo("resume", tmp_path / "run", "--steps", steps)
    whole = server.genzoo("train", "gan", *options(training__steps=steps), "--run", tmp_path / "whole")
    assert (resumed[0], whole[0]) == (0, 0), resumed[2] + whole[2]
    last = [
        {name: content for name, content in files_of(tmp_path / run).items() if f"step-{steps:07d}" in name}
        for run in ("run", "whole")
    ]
    assert len(last[1]) == 2
    told = f"training.batch_size={ROWS}:" in err and "--set training.batch_size=" in err
    tally(
        "memory is limited below what a live training has (prlimit)",
        tries=1,
        survived=int(process.returncode == 6 and told and faults == [] and last[0] == last[1]),
        how="exit 6, the last checkpoint is whole; gone on with, bitwise the uninterrupted run",
    )


# The estimate


def own_trainings():
    for entry in registry().of("models"):
        if entry.plugin.distribution == "genzoo" and not entry.load().inherits:
            for recipe, rows in (("mixture25", 1500), ("digits", 400)):
                if recipe == "digits" or not entry.name.startswith(("conditional-", "semi-aae")):
                    yield entry.name, recipe, rows


QUICK = [
    ("gan", "mixture25-paper", 1500),
    ("vae", "mixture25-paper", 1500),
    ("ali", "mixture25", 1500),
    ("ali", "digits", 400),
]


@pytest.mark.parametrize(
    ("model", "recipe", "rows"),
    [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in own_trainings() if one not in QUICK)],
)
def test_the_estimate_is_within_a_factor_two_of_what_a_step_takes(server, model, recipe, rows):
    code, out, err = server.do("measure", model=model, recipe=recipe, rows=rows)
    assert code == 0, err
    found = json.loads(out)
    print(model, recipe, rows, found)
    for name in ("kept", "step"):
        assert found["measured"][name] / 2 <= found["told"][name] <= found["measured"][name] * 2


# What is out of memory, and what is not


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        torch.OutOfMemoryError("CUDA out of memory."),
        *(
            RuntimeError(text)
            for text in (
                "unable to mmap 3576180 bytes from file <networks.safetensors>: Cannot allocate memory (12)",
                "DefaultCPUAllocator: not enough memory: you tried to allocate 80000000 bytes.",
                "std::bad_alloc",
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            )
        ),
    ],
    ids=lambda error: str(error)[-30:] or "MemoryError",
)
def test_what_says_that_memory_ended_is_known(error):
    assert is_out_of_memory(error)


def fail(how):
    """Have torch raise a RuntimeError of its own, or raise one as a plugin might."""
    if how == "shapes":
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    elif how == "view":
        torch.zeros(3, 4).T.view(-1)
    elif how == "memory format":
        torch.zeros(3).to(memory_format=torch.channels_last)
    elif how == "overlap":
        torch.zeros(1).expand(3).add_(1)
    elif how == "graph":
        torch.zeros(3).sum().backward()
    raise RuntimeError("the replay memory is empty")


@pytest.mark.parametrize("how", ["shapes", "view", "memory format", "overlap", "graph", "replay"])
def test_another_runtime_error_in_a_step_is_told_as_what_it_is(say, monkeypatch, tmp_path, how):
    def take_step(trainer):
        return fail(how) if trainer.step == 2 else real(trainer)

    real = Trainer.take_step
    monkeypatch.setattr(Trainer, "take_step", take_step)
    said = say("train", "gan", *options(training__batch_size=8), "--run", "run", "--quiet")
    assert said.code == 4  # it is raised in this file, which is neither the core nor a library
    assert said.err.startswith("error: fail, ")
    assert "out of memory" not in said.err
    assert "batch_size" not in said.err
    with pytest.raises(RuntimeError) as raised:
        fail(how)
    assert str(raised.value).partition("\n")[0] in said.err
    assert Run(tmp_path / "run").step == 2
