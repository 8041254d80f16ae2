"""Bad input: one to three lines on stderr, the right exit code, nothing lost and nothing left behind."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from toy import TOY

import genzoo
from genzoo.errors import explain
from genzoo.host.discovery import registry
from genzoo.host.registry import Plugin
from genzoo.storage import files
from genzoo.storage.checkpoints import verify
from genzoo.storage.run_folder import Run


def options(**more):
    """Return the toy settings as options, some of them changed."""
    chosen = TOY | {path.replace("__", "."): value for path, value in more.items()}
    return [part for path, value in chosen.items() for part in ("--set", f"{path}={value}")]


@pytest.fixture
def refuse(say, tmp_path):
    """Return a function that runs a command that must fail, and leave everything as it was."""

    def call(code, *arguments):
        before = contents(tmp_path)
        said = say(*arguments)
        assert said.code == code, said.err
        assert said.out == ""
        assert 1 <= len(said.err.splitlines()) <= 3
        assert said.err.startswith("error: ")
        assert "Traceback" not in said.err
        assert contents(tmp_path) == before
        return said.err

    return call


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with short runs of ali and gan."""
    root = tmp_path_factory.mktemp("zoo")
    for model in ("ali", "gan"):
        genzoo.train(model, overrides=TOY, run=root / model)
    return root


@pytest.fixture
def ali(trained, tmp_path):
    """Return a run of ali, with checkpoints of steps 2 and 4, that a test may damage."""
    return shutil.copytree(trained / "ali", tmp_path / "ali")


@pytest.fixture
def gan(trained, tmp_path):
    return shutil.copytree(trained / "gan", tmp_path / "gan")


def checkpoint(run, step):
    return run / "checkpoints" / f"step-{step:07d}"


def flip(path, place=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


# Names


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["train", "alli"], "ali"),
        (["train", "ali", "--recipe", "mixture52"], "mixture25"),
        (["train", "ali", "--set", "training.batchsize=3"], "training.batch_size"),
        (["train", "ali", "--set", "trainin.steps=3"], "training.steps"),
        (["train", "ali", "--set", "game.objectives=hinge"], "game.objective"),
        (["train", "ali", "--set", "game.objective=hing"], "hinge"),
        (["train", "ali", "--set", "game.schedule=alternatin"], "alternating"),
        (["train", "ali", "--set", "game.posterior=gausian"], "gaussian"),
        (["train", "gan", "--set", "game.posterior=point"], None),
        (["train", "ali", *options(training__players__crtic__beta1="0.1")], "critic"),
        (["show", "mixtur25"], "mixture25"),
        (["show", "mixture25", "--model", "gann"], "gan"),
        (["trian", "ali"], "train"),
        (["list", "modles"], None),
        (["train", "ali", "--recip", "digits"], "--recipe"),
        (["train", "ali", "--set", "training.lr=3"], "training.learning_rate"),
        (["train", "ali", "--set", "training.bs=3"], "training.batch_size"),
        (["train", "ali", "--set", "training.objective=hinge"], "game.objective"),
        (["train", "ali", "--set", "steps=3"], "training.steps"),
        (["reproduce", "ali/figure8", "--set", "study.step=3"], "study.steps"),
    ],
    ids=lambda value: " ".join(value[:5]) if isinstance(value, list) else None,
)
def test_a_wrong_name_is_refused_with_the_nearest_right_one(refuse, arguments, near):
    said = refuse(2, *arguments)
    if near is not None:
        assert "id you mean" in said
        assert near in said.partition("id you mean")[2]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["train", "ali", "--lr", "3"], "--set training.learning_rate="),
        (["train", "ali", "--batch-size", "3"], "--set training.batch_size="),
        (["compare", "ali", "--averaging=0.9"], "--set training.averaging="),
        (["reproduce", "ali/figure8", "--set", "study.foo=3"], "study has: budget, steps"),
        (["show", "gaussian"], "--set game.posterior=gaussian"),
        (["show", "zoo"], "genzoo list"),
        (["show", "encode"], "type: genzoo encode --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_name_from_elsewhere_is_refused_with_where_it_belongs(refuse, arguments, hint):
    said = refuse(2, *arguments)
    assert hint in said
    assert "id you mean" not in said


def test_a_wrong_metric_is_refused_with_the_nearest_right_one(refuse, ali):
    assert "did you mean 'modes'?" in refuse(2, "evaluate", ali, "--metric", "mode")


def test_an_unknown_name_while_a_plugin_is_broken_is_put_down_to_the_plugin(say, monkeypatch):
    broken = Plugin(name="bad", distribution="zoo-bad", version="1", cause="ImportError: no module named zoo")
    found = replace(registry(), plugins=[*registry().plugins, broken])
    for module in ("genzoo.runs.session", "genzoo.cli.show"):
        monkeypatch.setattr(f"{module}.registry", lambda: found)
    for arguments in (["train", "aly"], ["train", "ali", "--recipe", "mixtur25"], ["show", "mixtur25"]):
        said = say(*arguments)
        assert (said.code, len(said.err.splitlines())) == (4, 3)
        assert "did you mean '" in said.err
        assert "zoo-bad (ImportError: no module named zoo)" in said.err


# Values


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("training.batch_size", "many", "a whole number"),
        ("training.batch_size", "1.5", "a whole number"),
        ("training.batch_size", "0", "at least 1"),
        ("training.steps", "-1", "at least 1"),
        ("training.learning_rate", "nan", "a finite number"),
        ("training.learning_rate", "-0.1", "at least 0"),
        ("training.beta1", "1", "0 ≤ beta1 < 1"),
        ("training.averaging", "2", "0 ≤ averaging < 1"),
        ("training.keep_checkpoints", "1", "at least 2"),
        ("training.players.critic.learning_rate", "fast", "a finite number"),
        ("game.posterior", "round", "'gaussian', 'point', 'implicit'"),
        ("game.objective", "simultaneous", "no objective named 'simultaneous'"),
        ("architecture.latent", "0", "at least 1"),
        ("dataset.rows", "0", "at least 1"),
        ("training", "5", "an object"),
        ("training.checkpoint_every", "", "a whole number"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_with_what_is_expected(refuse, path, value, expected):
    assert expected in refuse(2, "train", "ali", "--set", f"{path}={value}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "training.steps"],
        ["--steps", "0"],
        ["--steps", "some"],
        ["--seed", "x"],
        ["--precision", "fp8"],
        ["--device", "tpu"],
        ["--device", "cuda:x"],
        ["--recipe", "mixture25-paper", *options(training__batch_size=9)],  # 64 rows in batches of 9 leave a single row
        ["more"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_an_option_that_cannot_be_meant_is_refused(refuse, arguments):
    refuse(2, "train", "ali", *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_a_cuda_device_that_is_not_there_is_refused(refuse, ali, device):
    assert "torch finds 0 CUDA devices" in refuse(2, "train", "ali", *options(), "--device", device)
    for command in (["resume", ali], ["sample", ali], ["evaluate", ali]):
        assert "type: --device cpu" in refuse(2, *command, "--device", device)


def test_a_device_number_that_is_not_there_is_refused(refuse, ali):
    refuse(2, "sample", ali, "--device", f"cuda:{torch.cuda.device_count()}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "--out", "picture.jpg"],
        ["sample", "--out", "picture"],
        ["sample", "-n", "0"],
        ["sample", "-n", "-3"],
        ["reconstruct", "--split", "exam"],
        ["interpolate", "--steps", "0"],
        ["interpolate", "--pairs", "17"],  # of 32 rows
    ],
    ids=" ".join,
)
def test_what_cannot_be_shown_is_refused(refuse, ali, arguments):
    command, *more = arguments
    refuse(2, command, ali, *more)


def test_a_long_wrong_value_makes_no_long_message(refuse):
    assert len(refuse(2, "train", "ali", "--set", "training.steps=" + "x" * 5000)) < 300


# Models that lack a part


@pytest.mark.parametrize("command", ["reconstruct", "interpolate"])
def test_a_model_without_an_encoder_reconstructs_nothing(refuse, gan, command):
    assert refuse(2, command, gan) == "error: this model has no encoder\nit has: decoder\n"


def test_a_metric_that_cannot_measure_the_model_is_refused_with_the_obstacle(refuse, gan):
    said = refuse(2, "evaluate", gan, "--metric", "reconstruction")
    assert "metric 'reconstruction' cannot measure gan: it has no encoder" in said


def test_a_posterior_that_is_not_offered_is_refused_with_those_that_are(refuse):
    arguments = ["ali", "--recipe", "digits", "--set", "game.posterior=implicit"]
    said = refuse(2, "train", *arguments)
    assert said == "error: architecture 'digits' offers no implicit posterior\nit offers: gaussian, point\n"


def test_a_game_that_inherits_nothing_takes_no_source(refuse, ali):
    assert "inherits nothing\nleave out --from" in refuse(2, "train", "ali", "--from", ali)


def test_a_source_that_is_no_run_is_refused(refuse):
    assert "there is no run folder nowhere" in refuse(3, "train", "ali", "--from", "nowhere")


# Run folders


def test_an_existing_run_with_other_settings_is_refused_field_by_field(refuse, ali):
    changed = options(training__batch_size=16, training__learning_rate=0.5, training__steps=99)
    said = refuse(2, "train", "ali", *changed, "--seed", "3", "--run", ali)
    assert "training.batch_size: 8 → 16" in said
    assert "training.learning_rate: 0.001 → 0.5" in said
    assert "seed: 0 → 3" in said
    assert "training.steps" not in said
    assert f"genzoo resume {ali}" in said


def test_an_existing_run_of_another_model_is_refused(refuse, ali):
    assert "game.name: ali → gan" in refuse(2, "train", "gan", *options(), "--run", ali)


@pytest.fixture
def held(ali):
    """Return the process that holds the run of ali."""
    script = (
        "import sys; from pathlib import Path; from genzoo.storage.run_folder import Run\n"
        "with Run(Path(sys.argv[1])).hold(): print('held', flush=True); sys.stdin.read(1)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script, str(ali)], **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_that_is_in_use_is_refused_with_its_holder(refuse, ali, held):
    for command in (["train", "ali", *options(), "--run", ali], ["resume", ali]):
        said = refuse(7, *command)
        assert f"{ali} is in use by process {held.pid} on " in said


def test_a_run_that_is_in_use_can_be_looked_at(say, ali, held):
    assert say("sample", ali, "-n", "3", "--out", "a.npy").code == 0
    (item,) = json.loads(say("runs", "--root", ali.parent, "--json").out)["runs"]
    assert item["status"] == "running"


@pytest.mark.parametrize("command", ["resume", "sample", "reconstruct", "interpolate", "evaluate"])
def test_what_is_no_run_is_refused(refuse, tmp_path, command):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("mine")
    assert "there is no run folder nowhere" in refuse(3, command, "nowhere")
    assert "thesis is not a run: it has no run.json" in refuse(3, command, "thesis")
    assert "thesis.tex is a file of no exported model" in refuse(3, command, "thesis/thesis.tex")


def test_training_into_a_folder_that_holds_something_else_is_refused(refuse, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("mine")
    assert "exists and is not a run" in refuse(2, "train", "ali", *options(), "--run", "thesis")


COMMANDS_ON_A_RUN = ["resume", "sample", "reconstruct", "evaluate"]


@pytest.mark.parametrize("command", COMMANDS_ON_A_RUN)
def test_a_run_of_a_newer_version_is_refused_with_the_remedy(refuse, ali, command):
    record = files.read_sealed(ali / "run.json", "a record")
    files.write_sealed(ali / "run.json", {**record, "schema_version": 2})
    said = refuse(3, command, ali)
    assert "written by genzoo 0.1.0, a newer one (format 2, this one reads 1)" in said
    assert "pip install --upgrade genzoo" in said


@pytest.mark.parametrize("damage", [flip, truncate, lambda path: path.write_bytes(b"")], ids=["flip", "cut", "empty"])
def test_a_damaged_record_is_refused_everywhere(refuse, say, ali, damage):
    damage(ali / "run.json")
    for command in COMMANDS_ON_A_RUN:
        assert f"{ali / 'run.json'} " in refuse(3, command, ali)
    refuse(3, "train", "ali", *options(), "--run", ali)
    (item,) = json.loads(say("runs", "--root", ali.parent, "--json").out)["runs"]
    assert item["status"].startswith("unreadable: ")


DAMAGES = {
    "a flipped byte": lambda path: flip(path / "networks.safetensors"),
    "a flipped byte of the optimizers": lambda path: flip(path / "optimizers.safetensors"),
    "a truncated file": lambda path: truncate(path / "networks.safetensors"),
    "a missing file": lambda path: (path / "networks.safetensors").unlink(),
    "a missing manifest": lambda path: (path / "MANIFEST.json").unlink(),
    "a flipped byte of the manifest": lambda path: flip(path / "MANIFEST.json", 100),
    "an empty state": lambda path: (path / "state.json").write_text(""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_whole_checkpoint_a_run_is_refused_and_left_alone(refuse, ali, damage):
    for step in (2, 4):
        DAMAGES[damage](checkpoint(ali, step))
    for command in COMMANDS_ON_A_RUN:
        said = refuse(3, command, ali)
        assert said.startswith(f"error: no checkpoint of {ali} is whole: {checkpoint(ali, 4)}/")
    refuse(3, "train", "ali", *options(), "--run", ali)


@pytest.mark.parametrize("damage", ["a flipped byte", "a truncated file"])
def test_with_a_damaged_newest_checkpoint_the_one_before_is_used_with_a_warning(say, ali, damage):
    DAMAGES[damage](checkpoint(ali, 4))
    said = say("sample", ali, "-n", "3", "--out", "a.npy", "--json")
    assert (said.code, json.loads(said.out)["step"]) == (0, 2)
    assert said.err.startswith(f"warning: {checkpoint(ali, 4) / 'networks.safetensors'} ")
    assert said.err.endswith("; using step 2 instead\n")
    assert said.err.count("\n") == 1


def test_a_run_with_a_damaged_newest_checkpoint_is_finished_from_the_one_before(say, ali):
    whole = (checkpoint(ali, 4) / "networks.safetensors").read_bytes()
    flip(checkpoint(ali, 4) / "networks.safetensors")
    said = say("resume", ali)
    assert said.code == 0
    assert "going on from step 2" in said.err
    assert (checkpoint(ali, 4) / "networks.safetensors").read_bytes() == whole
    assert len(list((ali / "checkpoints").glob("damaged-0000004-*"))) == 1
    assert [entry["step"] for entry in Run(ali).read_log()] == [2, 4]


def test_a_run_without_a_checkpoint_is_refused_with_the_command_that_makes_one(refuse, ali):
    shutil.rmtree(ali / "checkpoints")
    for command in COMMANDS_ON_A_RUN:
        said = refuse(3, command, ali)
        assert f"{ali} has no checkpoint yet" in said
        assert said.endswith(f"type: genzoo train --config {ali}/run.json --run {ali}\n")


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(say, ali):
    shutil.rmtree(ali / "checkpoints")
    log = ali / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-40])
    said = say("train", "ali", *options(), "--run", ali)
    assert said.code == 0, said.err
    assert [entry["step"] for entry in Run(ali).read_log()] == [2, 4]


def test_a_log_whose_last_line_was_torn_is_no_obstacle_to_resuming(say, ali):
    log = ali / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    assert say("resume", ali, "--steps", "6").code == 0
    assert [entry["step"] for entry in Run(ali).read_log()][-1] == 6


def test_other_settings_are_refused_before_anything_in_a_damaged_run_is_moved(say, ali):
    flip(checkpoint(ali, 4) / "networks.safetensors")
    before = contents(ali)
    assert say("train", "ali", *options(training__batch_size=16), "--run", ali).code == 2
    assert contents(ali) == before


@pytest.mark.parametrize("content", ["", "{}", '{"schema_version": 1, "scores": [5]}'])
def test_damaged_scores_stop_neither_the_list_of_runs_nor_get_lost(refuse, say, ali, content):
    (ali / "evaluation.json").write_text(content)
    said = say("runs", "--root", ali.parent)
    assert said.code == 0, said.err
    assert str(ali) in said.out
    assert "evaluation.json" in refuse(3, "evaluate", ali)


def test_a_setting_that_the_installed_plugins_do_not_know_is_refused(refuse, ali):
    record = files.read_sealed(ali / "run.json", "a record")
    record["settings"]["game"]["temperature"] = 3
    files.write_sealed(ali / "run.json", record)
    assert "the run's record does not fit the installed plugins" in refuse(3, "sample", ali)


@pytest.mark.parametrize(("part", "value"), [("game", {"temperature": 3}), ("architecture", {"latent": 7})])
def test_a_run_of_another_version_of_a_plugin_says_which_made_it_and_what_does_not_fit(refuse, ali, part, value):
    record = files.read_sealed(ali / "run.json", "a record")
    record["settings"][part] |= value
    record["plugins"] = {"genzoo": "0.0.9", "genzoo-gone": "2.0"}
    files.write_sealed(ali / "run.json", record)
    told = refuse(3, "sample", ali)
    assert "it was made with genzoo 0.0.9 (here: 0.1.0) and genzoo-gone 2.0 (here: none)" in told
    assert told.endswith("type: pip install genzoo==0.0.9\n")  # a record may name anything, to be installed nothing new
    record["plugins"] = {"genzoo": "1.0 --index-url=x"}
    files.write_sealed(ali / "run.json", record)
    assert "index-url" not in refuse(3, "sample", ali)


# Places that cannot be written


def test_a_run_below_a_file_is_refused(refuse, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write file/run: Not a directory" in refuse(6, "train", "ali", *options(), "--run", "file/run")
    assert "cannot write file: File exists" in refuse(6, "train", "ali", *options(), "--run", "file")


def test_a_picture_below_a_file_is_refused(refuse, ali, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for name in ("samples.png", "samples.npy", "samples.safetensors"):
        assert f"cannot write file/{name}: " in refuse(6, "sample", ali, "-n", "4", "--out", f"file/{name}")


def test_a_disk_that_fills_up_while_training_keeps_the_last_checkpoint(say, monkeypatch, ali):
    real, kept = os.fsync, contents(ali / "checkpoints")

    def fsync(descriptor):
        if "networks" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        said = say("resume", ali, "--steps", "6", "--quiet")
    assert (said.code, said.out) == (6, "")
    assert said.err.startswith("error: no room to write ")
    assert len(said.err.splitlines()) <= 3
    assert contents(ali / "checkpoints") == kept
    assert say("resume", ali, "--steps", "6", "--quiet").code == 0
    assert verify(checkpoint(ali, 6)).step == 6


# Memory that ends, and what nobody foresaw


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 6, "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB.\nmore"), 6, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 6, "the disk is full"),
        (RuntimeError("nobody foresaw this\nsecond line"), 1, "RuntimeError: nobody foresaw this"),
    ],
    ids=["memory", "device memory", "disk", "unforeseen"],
)
def test_a_fault_from_outside_is_told_in_a_line_or_two(refuse, ali, monkeypatch, error, code, said):
    # raised by a mock, as what a function of this file raises is told as a plugin's fault
    monkeypatch.setattr("genzoo.api.load", Mock(side_effect=error))
    assert said in refuse(code, "sample", ali)


def test_a_traceback_is_shown_to_those_who_ask_for_it(say, ali, monkeypatch):
    def failing(*arguments, **more):
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("genzoo.api.load", failing)
    assert "Traceback" not in say("sample", ali).err
    assert 'raise RuntimeError("nobody foresaw this")' in say("--debug", "sample", ali).err


# In a blink: lock, manifest and hashes come before torch

BLINK = """
import sys
from genzoo.cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


def refuse_in_a_blink(code, *arguments):
    command = [sys.executable, "-c", BLINK, *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == code, found.stderr
    assert found.stderr.splitlines()[-1] == "False", "torch was imported"


@pytest.mark.parametrize("command", ["resume", "train", "sample", "evaluate"])
def test_a_damaged_run_is_refused_without_torch(ali, command):
    for step in (2, 4):
        flip(checkpoint(ali, step) / "networks.safetensors")
    arguments = ["train", "ali", *options(), "--run", ali] if command == "train" else [command, ali]
    refuse_in_a_blink(3, *arguments)


@pytest.mark.parametrize("command", ["resume", "train"])
def test_a_busy_run_is_refused_without_torch(ali, held, command):
    refuse_in_a_blink(7, *(["train", "ali", *options(), "--run", ali] if command == "train" else [command, ali]))


@pytest.mark.parametrize(
    ("ask", "code"), [(lambda: len(range(10**400)), 2), (lambda: torch.empty(2**62), 6), (lambda: bytes(2**62), 6)]
)
def test_a_number_beyond_what_a_machine_counts_or_holds_is_told_with_a_remedy(ask, code):
    with pytest.raises((OverflowError, RuntimeError, MemoryError)) as raised:
        ask()
    explained = explain(raised.value)
    assert explained.exit_code == code
    assert explained.remedy is not None
    assert "--debug" not in explained.remedy
