"""Several processes that train one run: the numbers of one process, and one end for all whatever happens to one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import rank_worker
import torch
from forked_ranks import Launch
from processes import wait_for
from safetensors.torch import load_file

import genzoo
from genzoo.data.dataset import random_split
from genzoo.errors import SettingsError
from genzoo.games.priors import StandardNormal
from genzoo.host.discovery import registry
from genzoo.runs.job import find_recipe
from genzoo.storage.run_folder import Run
from genzoo.training import torchrun
from genzoo.training.batches import EpochOrder, Stream
from genzoo.training.distributed import SingleProcess

WORKER = str(Path(__file__).parents[1] / "support" / "rank_worker.py")
TOY = {
    "training.batch_size": 8,
    "training.log_every": 10,
    "training.checkpoint_every": 10,
    "dataset.rows": 60,
    "dataset.held_out_rows": 32,
    "training.horizon": 10**6,  # schedules must not depend on how many steps a run is asked for
}
TOY_OPTIONS = [part for path, value in TOY.items() for part in ("--set", f"{path}={value}")]


pytestmark = pytest.mark.usefixtures("one_thread")


# Launching


class Ended(NamedTuple):
    code: int
    out: str
    err: str
    seconds: float


def started(*program):
    """Return torchrun, in a process of its own, with ranks in processes of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, text=True, env=environment)


@contextmanager
def two_ranks(*program, launch=started):
    """Yield two ranks under way; nothing of them is left behind."""
    process = launch(*program)
    try:
        yield process
    finally:
        for pid in ranks_of(process).values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def ranks_of(process):
    """Return the process ids of the ranks that torchrun has started and that have not ended, by rank."""
    found = {}
    forked = process.ranks if isinstance(process, Launch) else {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == process.pid and state != "Z":
                pairs = (pair.partition("=") for pair in (folder / "environ").read_text().split("\0"))
                environment = {name: value for name, _, value in pairs}
                if rank := forked.get(int(folder.name), environment.get("RANK")):
                    found[int(rank)] = int(folder.name)
    return found


def ended(process):
    """Return how ranks ended, and in how many seconds; torchrun kills those that it waits for in vain, for 30 s."""
    began = time.monotonic()
    out, err = process.communicate()
    assert "forcefully exiting" not in err, err
    return Ended(process.returncode, out, err, time.monotonic() - began)


def run_to_end(*program, launch=started):
    with two_ranks(*program, launch=launch) as process:
        return ended(process)


def genzoo_program(*arguments):
    return "-m", "--", "genzoo", *arguments


def stop_when_saved(process, run, rank, number, *, after=0):
    """Send a signal to one rank when the run has a checkpoint after that step, and return how all ended."""
    wait_for(lambda: process.poll() is not None or run.step > after)
    os.kill(ranks_of(process)[rank], number)
    return ended(process)


def weights_of(run):
    checkpoint, faults = run.newest_checkpoint()
    assert faults == []
    return {file.name: file.read_bytes() for file in checkpoint.path.glob("*.safetensors")}


def files_below(folder):
    """Return the names of a run's files, those of the newest checkpoint alone: others depend on how long saves take."""
    newest = f"step-{Run(folder).step:07d}"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in names if "step-" not in name or newest in name}


# The numbers of one process


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Return what one process, and each of two ranks, computed."""
    folder = tmp_path_factory.mktemp("computed")
    with two_ranks(WORKER, "compute", folder) as process:
        alone = rank_worker.compute(SingleProcess())
        end = ended(process)
    assert end.code == 0, end.err
    return SimpleNamespace(alone=alone, ranks=[torch.load(folder / f"{rank}.pt") for rank in range(2)])


def largest_difference(found, expected, *, within=""):
    """Return the largest distance of two tensors of the same name, relative to the norm."""
    assert found.keys() == expected.keys()
    distances = {}
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        distance, size = (found[name].double() - tensor.double()).norm(), tensor.double().norm()
        distances[name] = float(distance / size) if size else float(distance)
    return max(distance for name, distance in distances.items() if within in name)


@pytest.mark.parametrize("name", [*rank_worker.FLOAT32, "one sync step"])
def test_two_ranks_train_as_one_process_does(computed, name):
    found, expected = computed.ranks[0][name], computed.alone[name]
    assert all(torch.isfinite(tensor).all() for tensor in expected.values())
    assert {tensor.dtype for key, tensor in expected.items() if not key.endswith("_tracked")} == {torch.float32}
    # Gradients are small sums of large terms, of which float32 keeps less than of the terms.
    assert largest_difference(found, expected) < 5e-4
    assert largest_difference(found, expected, within="running_") < 1e-5


TRAIN_ALI = ("train", "ali", "--recipe", "mixture25-paper")
RELATIVISTIC = {
    "ali-default-double": 3,
    "alice-default-double": 3,
    "ali-stabilised-digits-double": 2,
    "ali-digits-double": 2,
    "conditional-ali-digits-double": 2,
}
"""With the number of the critic's last layer."""
AVERAGED = {
    "ali-double",
    "ali-default-double",
    "alice-default-double",
    "ali-stabilised-digits-double",
    "ali-digits-double",
    "conditional-ali-digits-double",
}


@pytest.mark.parametrize("name", rank_worker.FLOAT64)
def test_two_ranks_train_as_one_process_does_to_the_last_digits_of_double_precision(computed, name):
    expected = computed.alone[name]
    parts = {key.partition("/")[0] for key in expected}
    assert parts == {"networks", "optimizers", "loss"} | ({"averaged"} if name in AVERAGED else set())
    found, expected = shared(computed.ranks[0][name]), shared(expected)
    if name in RELATIVISTIC:
        # A constant added to all logits changes no relativistic loss, so this gradient is 0 but for rounding.
        bias = f"critic.joint.layers.{RELATIVISTIC[name]}.0.bias"
        keys = [key for key in expected if bias in key]
        assert len(keys) == 5  # bias, average, two moments, and their steps
        assert all((found.pop(key) - expected.pop(key)).abs().max() < 1e-10 for key in keys)
    assert largest_difference(found, expected) < 1e-9


def shared(tensors):
    """Return what is the same on all ranks: all but the averages' batch statistics, which are of a rank's own rows."""
    return {name: tensor for name, tensor in tensors.items() if not ("averaged/" in name and "running_" in name)}


def test_the_batch_statistics_of_averages_are_those_of_a_rank_s_own_rows(computed):
    alone, parts = computed.alone["ali-double"], [ranks["ali-double"] for ranks in computed.ranks]
    means = [name for name in alone if "averaged/" in name and name.endswith("layers.0.1.running_mean")]
    assert len(means) == 2
    for name in means:
        torch.testing.assert_close(sum(part[name] for part in parts) / 2, alone[name], rtol=1e-9, atol=1e-12)
        assert not torch.equal(parts[0][name], parts[1][name])


@pytest.mark.parametrize("name", [*rank_worker.FLOAT32, *rank_worker.FLOAT64])
def test_all_ranks_hold_the_same_tensors_to_the_bit(computed, name):
    first, second = (shared(ranks[name]) for ranks in computed.ranks)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


# Batch statistics


@pytest.mark.parametrize("name", ["norm1d", "norm2d"])
def test_a_global_batch_norm_on_two_ranks_is_a_batch_norm_over_all_rows(computed, name):
    alone, parts = computed.alone[name], [ranks[name] for ranks in computed.ranks]
    close = {"rtol": 1e-10, "atol": 1e-10}
    for key in ("out", "x", "evaluated"):
        torch.testing.assert_close(torch.cat([part[key] for part in parts]), alone[key], **close)
    for key in ("weight", "bias"):
        torch.testing.assert_close(sum(part[key] for part in parts), alone[key], **close)
    for key in ("running_mean", "running_var"):
        for part in parts:
            torch.testing.assert_close(part[f"state.{key}"], alone[f"state.{key}"], **close)


def test_local_batch_statistics_keep_plain_batch_norms_that_see_a_rank_s_own_rows(computed):
    (first, second), synced = [ranks["local"] for ranks in computed.ranks], computed.ranks[0]["one sync step"]
    assert first["kinds"] == {"UncountedBatchNorm1d"}
    running = [name for name in first["state"] if "running_" in name]
    assert len(running) == 2 * 6
    for name, tensor in first["state"].items():
        assert torch.equal(tensor, second["state"][name]) == (name not in running), name
    # The mean over all rows is the mean of the means over equally many rows; a variance within each is smaller.
    means = [name for name in running if name.endswith("layers.0.1.running_mean")]
    assert len(means) == 2
    for name in means:
        both = (first["state"][name] + second["state"][name]) / 2
        torch.testing.assert_close(both, synced[name], rtol=1e-4, atol=1e-8)
    assert any(not torch.equal(first["state"][name], synced[name]) for name in synced if name.startswith("optimizers/"))


class Part(SingleProcess):
    """One of several ranks, alone in its process."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size


def test_local_batch_statistics_of_a_single_row_are_refused():
    with pytest.raises(SettingsError, match="batch_size=2"):
        rank_worker.trainer_of(
            "ali", "mixture25-paper", {"training.batch_size": 2, "training.batch_statistics": "local"}, Part(0, 2)
        )


# Batches


def order_of(rows, batch_size, *, ranks=None, **settings):
    return EpochOrder(rows, batch_size=batch_size, seed=5, ranks=ranks, **settings)


def rows_of(order, step):
    epoch, part = order.place(step)
    return order.epoch(epoch)[part].tolist()


@pytest.mark.parametrize("size", [2, 4])
def test_the_rows_of_all_ranks_are_those_of_one_process_and_none_comes_twice(size):
    alone, parts = order_of(48, 16), [order_of(48, 16, ranks=Part(rank, size)) for rank in range(size)]
    assert [order.steps_per_epoch for order in (alone, *parts)] == [3] * (size + 1)
    for step in range(7):
        assert [row for part in parts for row in rows_of(part, step)] == rows_of(alone, step)
    for epoch in range(2):
        rows = [row for part in parts for step in range(3) for row in rows_of(part, 3 * epoch + step)]
        assert sorted(rows) == list(range(48))


def test_the_last_partial_batch_of_an_epoch_is_dropped_on_several_ranks():
    alone, parts = order_of(40, 16), [order_of(40, 16, ranks=Part(rank, 2)) for rank in range(2)]
    assert [order.steps_per_epoch for order in (alone, *parts)] == [3, 2, 2]
    for epoch, position in ((0, 0), (0, 1), (1, 0), (1, 1)):
        rows = [row for part in parts for row in rows_of(part, 2 * epoch + position)]
        assert len(set(rows)) == 16
        assert rows == rows_of(alone, 3 * epoch + position)


@pytest.mark.parametrize(("rows", "batch_size", "size"), [(64, 7, 2), (64, 8, 3), (6, 8, 2), (64, 1, 2)])
def test_a_batch_that_cannot_be_dealt_out_is_refused_by_name(rows, batch_size, size):
    with pytest.raises(
        SettingsError, match=rf"training.batch_size.*{size} ranks: {batch_size} rows of {rows}"
    ) as found:
        order_of(rows, batch_size, ranks=Part(0, size))
    assert found.value.exit_code == 2


@pytest.mark.parametrize("ahead", [False, True], ids=["on the device", "read ahead"])
def test_the_batches_of_all_ranks_together_are_those_of_one_process(ahead):
    spec = find_recipe(registry(), "digits").dataset.spec
    split = random_split(spec, 48)

    def stream(ranks):
        settings = {"prior": StandardNormal(), "latent": 3, "seed": 5, "device": rank_worker.CPU}
        return Stream(split, spec, batch_size=16, ranks=ranks, ahead=ahead, **settings)

    alone, parts = stream(None), [stream(Part(rank, 4)) for rank in range(4)]
    for step in (0, 1, 2, 3, 7, 2):
        expected, found = alone.batch(step), [part.batch(step) for part in parts]
        for name in ("x", "z", "noise", "y"):
            shares = [getattr(batch, name) for batch in found]
            assert [len(share) for share in shares] == [4] * 4
            assert torch.equal(torch.cat(shares), getattr(expected, name))


def test_one_process_is_a_group_of_one():
    ranks, tensors = SingleProcess(), [torch.ones(2)]
    assert (ranks.rank, ranks.size, ranks.is_first, ranks.local_rows(7)) == (0, 1, True, slice(0, 7))
    assert ranks.average(tensors)[0] is tensors[0]
    assert ranks.broadcast_json({"a": 1}) == {"a": 1}
    assert (ranks.agree_on_signal(None), ranks.agree_on_signal(15)) == (None, 15)


def test_ranks_average_spread_tell_and_agree(computed):
    for rank, found in enumerate(ranks["talk"] for ranks in computed.ranks):
        mean, halves = found["average"]
        assert torch.equal(mean, torch.full((2, 3, 2, 2), 1.5)), rank
        assert (mean.dtype, halves.dtype, halves.item()) == (torch.float32, torch.float64, 0.5)
        filled, number, images, transposed = found["spread"]
        assert torch.equal(filled, torch.zeros(2, 3))
        assert number.item() == 0
        assert torch.equal(images, torch.ones(2, 3, 2, 2))
        assert torch.equal(transposed, torch.full((2, 3), 5.0))
        assert found["told"] == {"β": [1, None, "ü"]}
        # the second question was answered to both when they asked the third
        assert found["signals"] == [None, None, 15, None]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_by_captured_steps_as_by_written_ones(tmp_path):
    weights = {}
    for execution in ("captured", "eager"):
        run = Run(tmp_path / execution)
        chosen = ("--run", run.path, "--steps", 20, "--device", "cuda", "--execution", execution, *TOY_OPTIONS)
        end = run_to_end(*genzoo_program("train", "ali", "--recipe", "mixture25-paper", *chosen))
        assert end.code == 0, end.err
        assert "cannot be captured" not in end.err
        weights[execution] = load_file(run.newest_checkpoint()[0].path / "networks.safetensors")
    for name, tensor in weights["eager"].items():
        torch.testing.assert_close(weights["captured"][name], tensor, msg=name)


# A run whose ranks are stopped, killed and begun again


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A run that a signal to rank 1 stops, that goes on until rank 1 is killed, and then ends; and a whole one."""
    root = tmp_path_factory.mktemp("story")
    run, whole = Run(root / "run"), Run(root / "whole")
    with two_ranks(
        *genzoo_program(
            "train", "ali", "--recipe", "mixture25-paper", "--run", run.path, "--steps", 10**6, *TOY_OPTIONS
        ),
        launch=Launch,
    ) as process:
        stopped = stop_when_saved(process, run, 1, signal.SIGTERM)
    stopped_at, last_entry = run.step, run.read_log()[-1]
    with two_ranks(*genzoo_program("resume", run.path), launch=Launch) as process:
        killed = stop_when_saved(process, run, 1, signal.SIGKILL, after=stopped_at)
    newest, faults = run.newest_checkpoint()
    steps = newest.step + 5
    gone_on = run_to_end(*genzoo_program("resume", run.path, "--steps", steps), launch=Launch)
    trained = run_to_end(
        *genzoo_program(
            "train", "ali", "--recipe", "mixture25-paper", "--run", whole.path, "--steps", steps, *TOY_OPTIONS
        ),
        launch=Launch,
    )
    assert trained.code == 0, trained.err
    return SimpleNamespace(**locals())


def test_a_signal_to_one_rank_stops_all_with_a_checkpoint_of_the_step(story, tally):
    assert story.stopped.code != 0
    assert f"stopped after step {story.stopped_at:,} of 1,000,000; all of it is saved" in story.stopped.err
    assert story.stopped.err.count("stopped after step") == 1
    assert story.last_entry["step"] == story.stopped_at
    assert f"genzoo resume {story.run.path}" in story.stopped.err
    tally(
        "SIGTERM to one of two ranks",
        tries=1,
        survived=int(story.run.step > story.stopped_at > 0),
        how=f"rank 1; all ended within {story.stopped.seconds:.1f} s, the step saved, and went on from it",
    )


def test_a_killed_rank_ends_the_others_and_leaves_the_newest_checkpoint_whole(story, tally):
    assert story.killed.code != 0
    assert story.newest.step > story.stopped_at
    assert story.newest.step % 10 == 0
    tally(
        "kill -9 of one of two ranks",
        tries=1,
        survived=int(story.faults == []),
        how=f"rank 1; all ended within {story.killed.seconds:.1f} s, and the newest checkpoint is whole",
    )


def test_ranks_that_were_stopped_and_killed_go_on_bitwise_as_if_they_had_not_been(story, tally):
    assert story.gone_on.code == 0, story.gone_on.err
    assert story.run.step == story.whole.step == story.steps
    expected = weights_of(story.whole)
    assert expected.keys() == {"networks.safetensors", "optimizers.safetensors"}
    same = weights_of(story.run) == expected
    entries, expected = ({entry["step"]: entry for entry in run.read_log()} for run in (story.run, story.whole))
    assert entries.keys() == expected.keys()
    assert [entry["losses"] for entry in entries.values()] == [entry["losses"] for entry in expected.values()]
    longest = max(story.stopped.seconds, story.killed.seconds)
    tally(
        "two ranks resumed after a signal to one, and again after kill -9 of one",
        tries=2,
        survived=2 * same,
        how=f"bitwise the uninterrupted run; all ended within {longest:.1f} s each time",
    )


def test_two_ranks_leave_the_files_that_one_process_does_and_say_how_many_they_were(story, tmp_path):
    alone = genzoo.train("ali", recipe="mixture25-paper", overrides=TOY, steps=story.steps, run=tmp_path / "alone")
    assert files_below(story.whole.path) == files_below(alone.path)
    assert (story.whole.record.ranks, alone.record.ranks) == (2, 1)
    assert len(story.whole.read_log()) == len(alone.read_log())


def test_the_first_rank_alone_shows_the_result(story):
    assert story.trained.out.count("score  ") == 1
    assert story.trained.out.count(f"{story.whole.path}: {story.steps:,} steps") == 1
    assert story.trained.err.count(f"step {story.steps:,}/{story.steps:,}") == 1
    assert story.trained.err.count("next, try:") == 1


def test_no_rank_says_what_the_first_one_has_said(story):
    lines = [line for line in story.trained.err.splitlines() if line.strip()]
    assert sorted(lines) == sorted(set(lines))
    assert "FutureWarning" not in story.trained.err


def test_one_process_does_not_go_on_with_the_run_of_two(story, say):
    before = files_below(story.whole.path)
    said = say("resume", story.whole.path)
    assert said.code == 2
    assert "was started with ranks: 2, and now there are: 1" in said.err
    said = say("train", "ali", "--run", story.whole.path, "--steps", story.steps, *TOY_OPTIONS)
    assert said.code == 2
    assert "ranks: 2 → 1" in said.err
    assert files_below(story.whole.path) == before


@pytest.mark.slow
def test_what_the_first_rank_refuses_ends_all_at_once(story, tmp_path):
    run = Run(tmp_path / "alone")
    genzoo.train("vae", overrides=TOY, steps=1, run=run.path)
    with two_ranks(*genzoo_program("resume", run.path)) as process:
        wait_for(lambda: len(ranks_of(process)) == 2)
        wait_for(lambda: 0 not in ranks_of(process))
        end = ended(process)
    assert "was started with ranks: 1, and now there are: 2" in end.err
    assert "stopping as soon as all is saved" not in end.err


@pytest.mark.parametrize(
    "signalled",
    [
        pytest.param([0]),
        pytest.param([1], marks=pytest.mark.slow),
        pytest.param([0, 1], marks=pytest.mark.slow),
    ],
    ids=["rank 0", "rank 1", "both"],
)
def test_a_signal_does_not_end_the_first_rank_while_it_saves(tmp_path, tally, signalled):
    run = Run(tmp_path / "run")
    options = [*TOY_OPTIONS, "--set", "training.checkpoint_every=1000000"]
    command = ["--", WORKER, "slow-saving", "train", "vae", "--run", run.path, "--steps", 10**6, *options]
    with two_ranks(*command) as process:
        wait_for(lambda: process.poll() is not None or (run.exists and run.read_log()))
        ranks = ranks_of(process)
        for rank in signalled:
            os.kill(ranks[rank], signal.SIGTERM)
        end = ended(process)
    assert run.step > 0
    tally(
        "SIGTERM to ranks while the first one saves slowly",
        tries=1,
        survived=int(f"stopped after step {run.step:,} " in end.err),
        how=f"all ended within {end.seconds:.1f} s, the step saved",
    )


@pytest.mark.slow
def test_a_signal_to_torchrun_stops_all_with_a_checkpoint(tmp_path, tally):
    run = Run(tmp_path / "run")
    command = ["--", WORKER, "slow-saving", "train", "vae", "--run", run.path, "--steps", 10**6, *TOY_OPTIONS]
    with two_ranks(*command, "--set", "training.checkpoint_every=1000000") as process:
        wait_for(lambda: process.poll() is not None or (run.exists and run.read_log()))
        process.terminate()
        end = ended(process)
    assert run.step > 0
    tally(
        "SIGTERM to torchrun while the first rank saves slowly",
        tries=1,
        survived=int(f"stopped after step {run.step:,} " in end.err),
        how=f"all ended within {end.seconds:.1f} s, the step saved",
    )


@pytest.mark.slow
def test_the_first_rank_killed_ends_the_others_and_the_run_goes_on_exactly(story, tmp_path, tally):
    run = Run(tmp_path / "run")
    with two_ranks(*genzoo_program(*TRAIN_ALI, "--run", run.path, "--steps", 10**6, *TOY_OPTIONS)) as process:
        end = stop_when_saved(process, run, 0, signal.SIGKILL)
    assert end.code != 0
    newest, faults = run.newest_checkpoint()
    assert faults == []
    steps = max(newest.step + 5, story.steps)
    gone_on = run_to_end(*genzoo_program("resume", run.path, "--steps", steps))
    assert gone_on.code == 0, gone_on.err
    whole = Run(shutil.copytree(story.whole.path, tmp_path / "whole"))
    if steps > story.steps:
        assert run_to_end(*genzoo_program("resume", whole.path, "--steps", steps)).code == 0
    tally(
        "kill -9 of the first of two ranks",
        tries=1,
        survived=int(weights_of(run) == weights_of(whole)),
        how=f"all ended within {end.seconds:.1f} s; gone on with, bitwise the uninterrupted run",
    )


# Divergence


def test_a_row_that_is_no_number_on_one_rank_is_a_fault_on_all_and_changes_nothing(computed):
    for found in (ranks["poisoned"] for ranks in computed.ranks):
        assert found["step"] == rank_worker.POISONED_STEP
        assert found["players"] == ("critic", "generator")
        for name, before in found["before"].items():
            if "running_" not in name and "num_batches" not in name:
                assert torch.equal(found["after"][name], before), name


def test_divergence_ends_all_ranks_and_is_logged_once(tmp_path):
    run = Run(tmp_path / "run")
    options = ["--set", "training.learning_rate=1e30", "--set", "training.checkpoint_every=1", "--steps", 10**6]
    launched = genzoo_program(*TRAIN_ALI, "--run", run.path, *TOY_OPTIONS, *options)
    with two_ranks(*launched, launch=Launch) as process:
        end = ended(process)
    assert end.code != 0
    assert end.out == ""
    last = run.read_log()[-1]
    step = last["diverged"]["step"]
    assert end.err.count("became non-finite") == 1
    assert f"became non-finite in step {step}" in end.err
    assert "exitcode  : 5" in end.err
    assert 0 < run.step < step
    tensors = [
        tensor for file in run.newest_checkpoint()[0].path.glob("*.safetensors") for tensor in load_file(file).values()
    ]
    assert tensors
    assert all(torch.isfinite(tensor).all() for tensor in tensors)


# What a process knows of its launch


@pytest.mark.parametrize("command", ["list", "runs", "evaluate", "compare", None])
def test_other_commands_are_refused_on_several_ranks(say, monkeypatch, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    said = say(*([] if command is None else [command]))
    assert said.code == 2
    assert said.out == ""
    assert said.err == "error: only train and resume run on several ranks\ntype the command without torchrun\n"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (1, 0, 0)),
        ({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, (1, 0, 0)),
        ({"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}, (4, 3, 1)),
        ({"WORLD_SIZE": "2", "RANK": "1"}, (2, 1, 0)),
        ({"WORLD_SIZE": "", "RANK": "1"}, (1, 0, 0)),
        # of another tool, and without a group of processes
        ({"RANK": "3", "LOCAL_RANK": "1"}, (1, 0, 0)),
    ],
    ids=json.dumps,
)
def test_a_process_reads_its_place_among_the_launched(monkeypatch, environment, expected):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (torchrun.size(), torchrun.rank(), torchrun.local_rank()) == expected


def test_a_process_reads_its_place_without_torch():
    code = (
        "import sys; from genzoo.training.torchrun import local_rank, rank, size\n"
        "print(size(), rank(), local_rank(), 'torch' in sys.modules)"
    )
    environment = {**os.environ, "WORLD_SIZE": "3", "RANK": "2", "LOCAL_RANK": "1"}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.stdout == "3 2 1 False\n", found.stderr
