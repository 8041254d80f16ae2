"""Configuration files: YAML and JSON there and back, lines in errors, and what the command line decides."""

import json
import re
import shlex
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzoo.comparison.cells import cell_of
from genzoo.errors import SettingsError, UnreadableError
from genzoo.host.discovery import registry
from genzoo.runs import TrainingRequest
from genzoo.runs.configuration import configuration_in
from genzoo.runs.job import configuration_text, find_recipe, resolve_job
from genzoo.storage.run_folder import Run

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


def check_refused(said, code, says, folder):
    assert says in " ".join(said.err.split())
    assert said.code == code
    assert len(said.err.strip().splitlines()) <= 3
    assert not (folder / "runs").exists()


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


def test_names_with_commas_in_a_document_are_the_names():
    names = ("goldfish, Carassius auratus", 'the "eel"', "cat")
    request = TrainingRequest(model="gan", recipe="folder32", overrides={"dataset.classes": names}, precision="fp32")
    job = resolve_job(registry(), request)
    assert job.settings.dataset.classes == names
    assert job_in(configuration_text(job, registry())).settings == job.settings


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
    check_refused(say("train", "--config", written(text)), code, says, tmp_path)


# Recipes in files

RECIPE = """\
recipe: mixture25
summary: Small batches
settings:
  training: {steps: 2, batch_size: 8}
  dataset: {rows: 200, held_out_rows: 2200}
  game: {objective: hinge}
"""
WHOLE = """\
settings:
  dataset: {name: mixture25, rows: 200, held_out_rows: 2200}
  architecture: {name: dense, width: 16}
  training: {steps: 2, batch_size: 8}
"""


def recipe_in(name):
    return find_recipe(registry(), name)


def test_a_recipe_in_a_file_is_its_base_with_what_differs(written):
    base, recipe = recipe_in("mixture25"), recipe_in(written(RECIPE, "mine.yaml"))
    assert (recipe.name, recipe.summary, recipe.architecture) == ("mine", "Small batches", base.architecture)
    assert recipe.training == replace(base.training, steps=2, batch_size=8)
    assert recipe.dataset == replace(base.dataset, rows=200, held_out_rows=2200)
    assert recipe.game == {**base.game, "objective": "hinge"}


def test_a_recipe_of_all_parts_needs_no_base_and_one_may_derive_from_another_file(written, tmp_path):
    whole = recipe_in(written(WHOLE, "whole.yaml"))
    assert (whole.architecture.width, whole.training.batch_size, whole.game) == (16, 8, {})
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "next.yml").write_text("recipe: ../whole.yaml\nsettings: {training: {batch_size: 4}}\n")
    derived = recipe_in("below/next.yml")
    assert derived.training == replace(whole.training, batch_size=4)
    assert (derived.name, derived.architecture, derived.dataset) == ("next", whole.architecture, whole.dataset)


def test_a_run_of_a_recipe_in_a_file_needs_the_file_no_more(say, written, tmp_path):
    words = ("train", "gan", "--recipe", "./" + written(RECIPE, "mine.yaml"), "--device", "cpu", "--quiet")
    assert say(*words).code == 0
    (tmp_path / "mine.yaml").unlink()
    run = tmp_path / "runs" / "0001-gan-mine-s0"
    assert Run(run).record.settings["game"]["objective"]["name"] == "hinge"
    assert say("resume", run, "--steps", 3, "--quiet").code == 0
    assert say("sample", run).code == 0
    assert say("evaluate", run, "--metric", "modes").code == 0
    printed = say("train", "--config", run / "run.json", "--print-config")
    assert {"recipe: mine", "batch_size: 8"} <= {line.strip() for line in printed.out.splitlines()}
    other = say("train", "vae", "--recipe", run / "run.json", "--print-config")
    assert {"model: vae", "batch_size: 8"} <= {line.strip() for line in other.out.splitlines()}


def test_a_run_without_a_checkpoint_whose_recipe_was_in_a_file_is_begun_again_as_its_error_says(say, written, tmp_path):
    path = written(RECIPE, "mine.yaml")
    words = ("train", "gan", "--recipe", path, "--seed", 5, "--set", "training.beta1=0.25", "--run", "run", "--quiet")
    assert say(*words, "--precision", "fp32", "--device", "cpu").code == 0
    manifest = tmp_path / "run" / "checkpoints" / "step-0000002" / "MANIFEST.json"
    networks = json.loads(manifest.read_text())["files"]["networks.safetensors"]
    shutil.rmtree("run/checkpoints")
    (tmp_path / "mine.yaml").unlink()
    refused = say("sample", "run")
    (command,) = re.findall(r"^type: genzoo (.*)$", refused.err, flags=re.MULTILINE)
    again = say(*shlex.split(command), "--quiet", "--device", "cpu")
    assert (refused.code, again.code) == (3, 0), again.err
    assert json.loads(manifest.read_text())["files"]["networks.safetensors"] == networks


def test_a_file_of_what_to_train_names_a_recipe_beside_it(say, written, tmp_path):
    (tmp_path / "below").mkdir()
    written(RECIPE, "below/mine.yaml")
    printed = say("train", "--config", written("model: gan\nrecipe: mine.yaml\n", "below/run.yaml"), "--print-config")
    assert "recipe: below/mine.yaml" in printed.out.splitlines()
    assert say("train", "--config", written(printed.out, "again.yaml"), "--print-config").out == printed.out


def test_models_are_compared_on_a_recipe_in_a_file_whose_workers_do_not_read_it(written):
    name = written(RECIPE, "mine.yaml")
    cell = cell_of("gan", TrainingRequest(model="gan", recipe=name, device="cpu"), Path("comparisons"))
    assert (cell.job.recipe, cell.request.recipe) == ("mine", recipe_in(name))
    sent = cell.request.to_json(name_of=registry().name_of)
    assert TrainingRequest.from_json(sent, resolve=registry().resolve).recipe == replace(recipe_in(name), places=None)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (RECIPE.replace("mixture25", "mixture52"), 2, "mine.yaml, line 1: no recipe named 'mixture52'; did you mean"),
        (RECIPE.replace("batch_size", "batch_sice"), 2, "mine.yaml, line 4: no setting 'training.batch_sice'; did you"),
        (RECIPE.replace("steps: 2", "steps: few"), 2, "mine.yaml, line 4: training.steps is 'few'"),
        (RECIPE.replace("objective", "objektive"), 2, "line 6: no game has the setting 'game.objektive'; did you mean"),
        (RECIPE.replace("hinge", "hing"), 2, "mine.yaml, line 6: no objective named 'hing'; did you mean 'hinge'?"),
        (RECIPE.replace("{objective: hinge}", "gan"), 2, "mine.yaml, line 6: a recipe names no game"),
        ("model: gan\n" + RECIPE, 2, "mine.yaml, line 1: no key 'model'"),
        (WHOLE.replace("name: dense, ", ""), 2, "mine.yaml, line 3: no setting 'architecture.width'"),
        (WHOLE.replace("  architecture: {name: dense, width: 16}\n", ""), 2, "it has no architecture"),
        (WHOLE.replace("steps: 2, ", ""), 2, "mine.yaml is no whole recipe: it has no training.steps"),
        ("summary: x\n", 2, "it has no dataset, architecture or training.steps"),
        ("recipe: mine.yaml\n", 2, "mine.yaml derives from itself"),
        ("recipe: none.yaml\n", 3, "none.yaml cannot be read"),
    ],
)
def test_an_error_in_a_recipe_names_the_line_and_the_remedy(say, written, tmp_path, text, code, says):
    check_refused(say("train", "gan", "--recipe", written(text, "mine.yaml")), code, says, tmp_path)


def test_a_recipe_in_a_file_is_shown_as_one_that_is_installed(say, written):
    path = "./" + written(
        "recipe: mixture25\nsettings: {training: {batch_size: 8}, game: {objective: hinge}}\n", "a.yaml"
    )
    for words in ((), ("--model", "gan"), ("--model", "gan", "--set", "training.beta1=0.25")):
        shown, base = (say("show", name, *words, "--json").document for name in (path, "mixture25"))
        assert (shown["name"], shown["training"]["batch_size"]) == ("a", 8)
        assert shown["networks"] == base["networks"]
        assert shown["training"] == {**base["training"], "batch_size": 8}
    assert shown["game"]["objective"]["name"] == "hinge"
    assert say("show", path).out.splitlines()[0].startswith("recipe a: ")
    refused = say("show", path, "--set", "training.beta1=0")
    assert (refused.code, "type the same with: --model MODEL" in refused.err) == (2, True)
    assert "mend.yaml, line 1: no key 'model'" in say("show", written("model: gan\n", "mend.yaml")).err
    assert say("show", "none.yaml").code == 3


@pytest.mark.parametrize("name", ["digits.yaml", "my recipe.yaml", ".yaml"])
def test_a_recipe_that_is_called_like_another_or_cannot_name_a_folder_is_refused(written, name):
    with pytest.raises(SettingsError) as refused:
        recipe_in(written(RECIPE, name))
    assert "rename the file" in refused.value.remedy


def test_a_file_that_is_not_there_is_named(say, written):
    said = say("train", "--config", "none.yaml")
    assert said.code == 3
    assert "none.yaml cannot be read" in said.err


@given(st.one_of(st.text(max_size=60), st.text("model: gan\n[]{}-&*!#'\"|>,?", max_size=60)))
def test_whatever_a_file_holds_is_read_or_refused(text):
    with suppress(SettingsError, UnreadableError):
        read = configuration_in(text, "f")
        assert set(read.places) == set(read.values) | set(read.overrides)
