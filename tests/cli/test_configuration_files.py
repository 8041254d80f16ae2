"""Configuration files: YAML and JSON there and back, lines in errors, and what the command line decides."""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzoo.errors import SettingsError, UnreadableError
from genzoo.host.discovery import registry
from genzoo.runs import TrainingRequest
from genzoo.runs.configuration import configuration_in, configuration_text
from genzoo.runs.job import resolve_job

DOCS = Path(__file__).parents[2] / "docs"
FILE = """\
model: wgan-gp
recipe: digits
seed: 7
settings:
  training:
    learning_rate: 3e-4
    players: {critic: {beta1: 0.1}}
  game:
    penalty: {name: zero-centred, weight: 0.5}
"""


def requested(text):
    read = configuration_in(text, "run.yaml")
    values = dict(read.values)
    values["seed"] = int(values.get("seed", 0))
    values["deterministic"] = values.get("deterministic") == "true"
    return TrainingRequest(**values, overrides=read.overrides, places=read.places)


def job_in(text):
    return resolve_job(registry(), requested(text))


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="run.yaml"):
        (tmp_path / name).write_text(text)
        return name

    return write


def test_a_file_says_what_the_options_would_say(say, written):
    options = ("train", "wgan-gp", "--recipe", "digits", "--seed", 7, "--print-config")
    sets = ("training.learning_rate=3e-4", "training.players.critic.beta1=0.1", "game.penalty=zero-centred")
    assignments = [part for text in (*sets, "game.penalty.weight=0.5") for part in ("--set", text)]
    by_options, by_file = say(*options, *assignments), say("train", "--config", written(FILE), "--print-config")
    assert by_options.code == by_file.code == 0
    assert by_options.out == by_file.out
    assert "weight: 0.5" in by_file.out


def test_the_file_in_the_documents_is_read():
    (block,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "concepts.md").read_text(), flags=re.DOTALL)
    job = job_in(block)
    assert (job.model, job.recipe, job.seed) == ("ali", "digits", 1)
    assert (job.settings.training.learning_rate, job.settings.game.penalty.weight) == (3e-4, 0.5)


@pytest.mark.parametrize(
    ("model", "recipe"), [("ali", "mixture25"), ("infogan", "digits"), ("alice", "celeba64"), ("gan", "r3gan32")]
)
def test_what_is_printed_is_the_same_job_again(model, recipe):
    job = resolve_job(registry(), TrainingRequest(model=model, recipe=recipe, seed=3, precision="fp32"))
    again = job_in(configuration_text(job, registry()))
    assert (again.settings, again.model, again.recipe) == (job.settings, job.model, job.recipe)
    assert (again.seed, again.precision, again.deterministic) == (job.seed, job.precision, job.deterministic)


def test_a_runs_record_trains_the_same_again_bitwise(say, written, tmp_path):
    options = ("--device", "cpu", "--quiet")
    first = say("train", "gan", "--run", "first", "--steps", 3, "--set", "training.batch_size=16", *options)
    second = say("train", "--config", "first/run.json", "--run", "second", *options)
    assert first.code == second.code == 0, second.err
    manifests = [
        json.loads((tmp_path / name / "checkpoints" / "step-0000003" / "MANIFEST.json").read_text())["files"]
        for name in ("first", "second")
    ]
    assert manifests[0]["networks.safetensors"] == manifests[1]["networks.safetensors"]


def test_the_command_line_decides_over_the_file(say, written):
    name = written(FILE)
    said = say("train", "gan", "--config", name, "--seed", 1, "--set", "training.learning_rate=0.5", "--print-config")
    lines = [line.strip() for line in said.out.splitlines()]
    assert lines[0] == "model: gan"
    assert {"recipe: digits", "seed: 1", "learning_rate: 0.5", "beta1: 0.1"} <= set(lines)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (FILE.replace("learning_rate", "learnin_rate"), 2, "run.yaml, line 6: no setting 'training.learnin_rate'; did"),
        (FILE.replace("3e-4", "fast"), 2, "run.yaml, line 6: training.learning_rate is 'fast', expected a finite"),
        (FILE.replace("seed: 7", "seed: -7"), 2, "run.yaml, line 3: seed: -7 is not in the range"),
        (FILE.replace("seed: 7", "sed: 7"), 2, "run.yaml, line 3: no key 'sed'; did you mean 'seed'?"),
        (FILE + "  game: {}\n", 2, "run.yaml, line 10: 'game' stands here twice"),
        ("model: &a gan\nrecipe: *a\n", 2, "line 1: it is used twice (an alias)"),
        ("model: !!python/name:os.system ''\n", 2, "line 1: expected text, a number, true, false or null"),
        ("settings: 3\nmodel: gan\n", 2, "line 1: no key 'settings'"),
        ("recipe: digits\n", 2, "no model is named"),
        ("model: [", 3, "run.yaml is no YAML"),
        ("- gan\n", 3, "run.yaml holds no keys"),
        ("", 3, "run.yaml holds no keys"),
    ],
)
def test_an_error_names_the_line_and_the_remedy_and_makes_no_run(say, written, tmp_path, text, code, says):
    said = say("train", "--config", written(text))
    assert said.code == code
    assert says in " ".join(said.err.split())
    assert len(said.err.strip().splitlines()) <= 3
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_there_is_named(say, written):
    said = say("train", "--config", "none.yaml")
    assert said.code == 3
    assert "none.yaml cannot be read" in said.err


@given(st.one_of(st.text(max_size=60), st.text("model: gan\n[]{}-&*!#'\"|>,?", max_size=60)))
def test_whatever_a_file_holds_is_read_or_refused(text):
    with suppress(SettingsError, UnreadableError):
        read = configuration_in(text, "f")
        assert set(read.places) == set(read.values) | set(read.overrides)
