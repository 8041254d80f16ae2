"""Exact resume: a run that was stopped and went on in another process is bitwise the run that was not."""

import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from stopping import StopAt, files_of
from toy import TOY, put_record

import genzoo
from genzoo.errors import GenzooWarning, InterruptedRun
from genzoo.host.discovery import registry
from genzoo.runs.engine import Callback, Engine
from genzoo.runs.job import settings_of
from genzoo.storage import files
from genzoo.storage.run_folder import Run

pytestmark = pytest.mark.usefixtures("one_thread", "every_save")


class Case(NamedTuple):
    """A training of `steps` steps that is stopped at each of `stops`, every time in a run of its own."""

    model: str
    recipe: str
    steps: int
    stops: tuple[int, ...]
    overrides: dict


# 256 rows in batches of 32: epochs begin at steps 0, 8 and 16. Digits in batches of 600: epochs of 3 steps, the
# last of 57 rows.
MIXTURE = {"dataset.rows": 256, "dataset.held_out_rows": 8, "training.batch_size": 32}
PAPER = MIXTURE | {"training.learning_rate": 1e-3, "training.beta1": 0.5}
STABILISED = {
    "game.objective": "relativistic",
    "game.penalty": "zero-centred",
    "game.penalty.every": 2,
    "game.augment": "diffaugment",
    "game.augment.adaptive": True,
    "game.augment.target": -0.9,  # is exceeded, so the probability rises after the fourth step
    "game.augment.rows_to_one": 9600,
    "training.learning_rate_schedule": "cosine",
    "training.averaging": "none",
    "training.averaging_half_life": 2000,
}
CASES = {
    "ali": Case("ali", "mixture25-paper", 18, (1, 7, 8, 9, 16), PAPER),
    "gan": Case("gan", "mixture25-paper", 18, (8, 11), PAPER),
    "vae": Case("vae", "mixture25-paper", 18, (8, 15), PAPER),
    "ali-averaged": Case("ali", "mixture25-paper", 12, (5, 8), PAPER | {"training.averaging": 0.9}),
    "gan-alternating": Case(
        "gan", "mixture25-paper", 12, (7, 8), PAPER | {"game.schedule": "alternating", "game.schedule.critic_steps": 2}
    ),
    "wgan-gp": Case("wgan-gp", "mixture25-paper", 8, (3,), PAPER),
    "ali-digits": Case("ali", "digits", 5, (1, 3), {"training.batch_size": 600}),
    "ali-default": Case("ali", "mixture25", 18, (1, 8, 11), MIXTURE),
    "alice-default": Case("alice", "mixture25", 10, (5,), MIXTURE | {"game.z_weight": 0.5}),
    "alice-implicit-default": Case("alice-implicit", "mixture25", 10, (5,), MIXTURE),
    "ali-stabilised": Case("ali", "digits", 9, (3, 5, 6), {"training.batch_size": 600} | STABILISED),
}
LOGGED = ("step", "losses", "watch", "warnings", "partial")
STOPS = [(name, stop) for name, case in CASES.items() for stop in case.stops]


def train_until(case, stop, path):
    with pytest.raises(InterruptedRun) as interrupted:
        genzoo.train(
            case.model,
            recipe=case.recipe,
            overrides=case.overrides | {"training.log_every": 5},
            steps=case.steps + 1,
            run=path,
            callback=StopAt(stop),
        )
    assert interrupted.value.exit_code == 130
    assert Run(path).step == stop


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """Return the folder of all runs, the stopped ones gone on with in one fresh process."""
    root = tmp_path_factory.mktemp("resume")
    calls = []
    for name, case in CASES.items():
        train_until(case, case.steps, root / name)
        for stop in case.stops:
            train_until(case, stop, root / f"{name}-{stop}")
            calls.append((case.steps, str(root / f"{name}-{stop}")))
    code = f"import stopping\nfor steps, path in {calls!r}:\n    stopping.resume_until(steps, path)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1] / "support", capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return root


@pytest.mark.parametrize(("name", "stop"), STOPS)
def test_a_run_resumed_in_a_fresh_process_is_bitwise_the_one_that_never_stopped(resumed, name, stop):
    steps = CASES[name].steps
    expected, found = files_of(resumed / name, steps), files_of(resumed / f"{name}-{stop}", steps)
    names = {"networks.safetensors", "optimizers.safetensors"}
    decay = settings_of(registry(), Run(resumed / name).record).training.decay
    assert expected.keys() == names | (set() if decay is None else {"averaged.safetensors"})
    assert found == expected


@pytest.mark.parametrize(("name", "stop"), STOPS)
def test_the_log_of_a_resumed_run_goes_on_where_it_was(resumed, name, stop):
    steps = CASES[name].steps
    entries, expected = (Run(resumed / run).read_log() for run in (f"{name}-{stop}", name))
    assert [entry["step"] for entry in entries] == sorted({*range(5, steps + 1, 5), steps})
    assert all(entry["seconds"] >= before["seconds"] for before, entry in pairwise(entries))
    for entry, other in zip(entries, expected, strict=True):
        assert {key: entry.get(key) for key in LOGGED} == {key: other.get(key) for key in LOGGED}


def test_the_augmentation_of_a_resumed_run_had_begun_to_act(resumed):
    for stop in CASES["ali-stabilised"].stops:
        checkpoint, _ = Run(resumed / f"ali-stabilised-{stop}").newest_checkpoint()
        reached = load_file(checkpoint.path / "networks.safetensors")["augmentation.reached"]
        assert reached.item() == pytest.approx(0.5)  # two moves of 4 · 600 rows of 9600


def test_the_runs_that_are_compared_do_differ_between_steps(resumed):
    case = CASES["ali"]
    *_, before, last = sorted((resumed / "ali-16" / "checkpoints").glob("step-*"))
    assert (before.name, last.name) == ("step-0000016", f"step-{case.steps:07d}")
    for name in ("networks", "optimizers"):
        assert (before / f"{name}.safetensors").read_bytes() != (last / f"{name}.safetensors").read_bytes()


class Looker(Callback):
    """Loads, samples, reconstructs and evaluates the run after every checkpoint."""

    def __init__(self):
        self.run = None
        self.looks = 0

    def on_start(self, run, step, steps):
        self.run = run

    def on_save(self, step):
        model = genzoo.load(self.run)
        splits = genzoo.api.load_data(self.run)
        model.sample(9, seed=step)
        if model.networks.encoder is not None:
            model.reconstruct(model.rows(splits.test, 5)[0])
        genzoo.evaluate(self.run, metrics=["reconstruction"] if model.networks.encoder is not None else ["modes"])
        self.looks += 1


NEVER = {"training.log_every": 1000, "training.picture_every": 1000, "training.checkpoint_every": 1000}
ALWAYS = {"training.log_every": 1, "training.picture_every": 2, "training.checkpoint_every": 1}


@pytest.mark.parametrize(
    ("model", "recipe", "overrides"),
    [
        ("ali", "digits", {"training.batch_size": 100, "training.horizon": 4}),
        ("vae", "digits", {"training.batch_size": 100, "training.averaging": 0.5}),
        ("gan", "mixture25", MIXTURE | {"training.horizon": 4}),
    ],
    ids=["ali-digits", "vae-digits-averaged", "gan-mixture25"],
)
def test_looking_at_a_run_at_any_interval_leaves_its_weights_bitwise_equal(tmp_path, model, recipe, overrides):
    with pytest.raises(InterruptedRun):
        genzoo.train(
            model, recipe=recipe, overrides=overrides | NEVER, steps=4, run=tmp_path / "blind", callback=StopAt(3)
        )
    looker = Looker()
    genzoo.train(model, recipe=recipe, overrides=overrides | ALWAYS, steps=3, run=tmp_path / "watched", callback=looker)
    assert looker.looks == 3
    watched = Run(tmp_path / "watched")
    assert len(watched.read_log()) == 3
    assert sorted(path.stem for path in (watched.path / "samples").iterdir()) == ["0000002", "0000003"]
    assert files_of(watched.path, 3) == files_of(tmp_path / "blind", 3)


def test_train_to_k_and_then_resume_to_n_is_train_to_n(tmp_path):
    overrides = {"training.batch_size": 600}
    once = genzoo.train("vae", recipe="digits", overrides=overrides, steps=4, run=tmp_path / "once")
    genzoo.train("vae", recipe="digits", overrides=overrides, steps=2, run=tmp_path / "twice")
    genzoo.resume(tmp_path / "twice", steps=3)
    twice = genzoo.train("vae", recipe="digits", overrides=overrides, steps=4, run=tmp_path / "twice")
    assert files_of(once.path, 4) == files_of(twice.path, 4)


# Records of before


NEWER = {
    "game": ("penalty", "augment"),
    "training": (
        "learning_rate_schedule",
        "checkpoint_minutes",
        "horizon",
        "labels",
        "label_seed",
        "labelled_rows",
        "averaging_half_life",
        "averaged_players",
    ),
}
"""Settings that records of earlier versions do not have."""


def age(path, **of_game):
    """Write a run's record as an earlier version would have."""
    record = files.read_sealed(path / "run.json", "a record")
    for part, names in NEWER.items():
        for name in names:
            del record["settings"][part][name]
    record["settings"]["game"] |= of_game
    put_record(path, record)


@pytest.mark.parametrize(("model", "of_game"), [("ali", {}), ("wgan-gp", {"penalty": 10.0})], ids=["ali", "wgan-gp"])
def test_a_run_whose_record_lacks_newer_settings_goes_on_to_the_same_bits(tmp_path, unmeasured, model, of_game):
    def trained(name, steps):
        return genzoo.train(model, recipe="mixture25-paper", overrides=PAPER, steps=steps, run=tmp_path / name)

    once, resumed, trained_on = (trained(name, steps) for name, steps in (("once", 6), ("resumed", 3), ("on", 3)))
    for run in (resumed, trained_on):
        age(run.path, **of_game)
    genzoo.resume(resumed.path, steps=6)
    trained("on", 6)
    assert files_of(resumed.path, 6) == files_of(trained_on.path, 6) == files_of(once.path, 6)


# What it is resumed with


def test_a_run_that_is_resumed_with_other_versions_code_or_threads_says_so_and_keeps_those_of_before(
    tmp_path, unmeasured
):
    run = genzoo.train("gan", recipe="mixture25-paper", overrides=PAPER, steps=2, run=tmp_path / "run")
    (first,) = run.record.sessions
    assert {"genzoo", "genzoo_gan", "genzoo_data"} <= first.code.keys()
    assert (first.step, first.device, first.threads) == (0, "cpu", torch.get_num_threads())
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        genzoo.resume(run, steps=3)  # nothing has changed
    other = replace(
        first, versions=first.versions | {"torch": "2.9.0"}, code=first.code | {"genzoo_gan": "0"}, threads=64
    )
    long_ago = "2020-01-01T00:00:00+00:00"
    run.write_record(replace(run.record, sessions=(first, other), created=long_ago))
    with pytest.warns(GenzooWarning) as told:
        genzoo.resume(run, steps=4)
    (line,) = (str(each.message) for each in told)
    for word in (f"threads {first.threads} (before: 64)", "(before: 2.9.0)", "other code of genzoo_gan"):
        assert word in line
    assert (run.record.sessions[:2], run.record.created) == ((first, other), long_ago)
    assert (run.record.sessions[2].step, run.record.sessions[2].code) == (3, first.code)


# More steps than a run began with


@pytest.fixture
def unmeasured(monkeypatch):
    """Leave out the evaluations, which take most of the time of so short a run."""
    monkeypatch.setattr(Engine, "_measure", lambda engine: None)


def trained(path, steps, **more):
    """Train the default recipe, in which learning rate and penalty follow a cosine."""
    return genzoo.train("ali", recipe="mixture25", overrides=MIXTURE | more, steps=steps, run=path)


def test_a_run_that_gets_more_steps_keeps_the_horizon_that_its_schedules_began_with(tmp_path, unmeasured):
    once = trained(tmp_path / "once", 10, **{"training.horizon": 5})
    later = trained(tmp_path / "later", 10)
    resumed, trained_on = (trained(tmp_path / name, 5) for name in ("resumed", "trained on"))
    genzoo.resume(resumed, steps=8)
    genzoo.resume(resumed, steps=10)
    trained(trained_on.path, 10)
    assert files_of(resumed.path, 10) == files_of(trained_on.path, 10) == files_of(once.path, 10)
    assert files_of(later.path, 10) != files_of(once.path, 10)
    assert {Run(run.path).record.settings["training"]["horizon"] for run in (once, resumed, trained_on)} == {5}


def test_another_horizon_than_a_run_began_with_is_refused(tmp_path, unmeasured, say):
    options = [part for path, value in MIXTURE.items() for part in ("--set", f"{path}={value}")]
    command = ("train", "ali", "--run", tmp_path / "run", *options, "--quiet")
    assert say(*command, "--steps", 3).code == 0
    said = say(*command, "--steps", 6, "--set", "training.horizon=6")
    assert said.code == 2
    assert "training.horizon: 3 → 6" in said.err
    assert f"genzoo resume {tmp_path / 'run'}" in said.err
    assert len(said.err.strip().splitlines()) <= 3
    assert Run(tmp_path / "run").step == 3
    assert say(*command, "--steps", 6, "--set", "training.horizon=3").code == 0
    assert Run(tmp_path / "run").step == 6


class Killed(BaseException):
    """Ends a process at once, as a signal 9 would."""


def test_the_scores_of_a_step_at_which_a_process_was_killed_while_it_measured_are_made_up(tmp_path, monkeypatch):
    def killed(*arguments, **named):
        raise Killed

    overrides = TOY | {"training.evaluate_every": 2}
    monkeypatch.setattr("genzoo.runs.opening.measure", killed)
    with pytest.raises(Killed):
        genzoo.train("gan", recipe="mixture25", overrides=overrides, run=tmp_path / "killed")
    assert (Run(tmp_path / "killed").step, Run(tmp_path / "killed").scores) == (2, [])
    monkeypatch.undo()
    genzoo.resume(tmp_path / "killed")
    genzoo.train("gan", recipe="mixture25", overrides=overrides, run=tmp_path / "whole")
    scores, expected = (
        sorted((score["step"], score["metric"], score["protocol"]["split"], score["value"]) for score in run.scores)
        for run in (Run(tmp_path / "killed"), Run(tmp_path / "whole"))
    )
    assert {step for step, *_ in scores} == {2, 4}
    assert scores == expected
