"""The schemas of configuration files: whatever is printed and documented fits, and what is misspelt does not."""

import re
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

from genzoo.host.discovery import registry
from genzoo.runs import TrainingRequest
from genzoo.runs.configuration import comparison_in, comparison_text
from genzoo.runs.configuration_schema import configuration_schema
from genzoo.runs.job import configuration_text, resolve_job

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = [entry.name for entry in registry().of("recipes")]
MODELS = [entry.name for entry in registry().of("models") if entry.plugin.distribution == "genzoo"]
TRAINING = "model: gan\nrecipe: digits\nsettings:\n  training:\n    learning_rate: 0.1\n  game: {objective: hinge}\n"


@cache
def validator(kind):
    schema = configuration_schema(registry(), kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def fits(kind, text):
    return validator(kind).is_valid(yaml.safe_load(text))


def printed(model, recipe):
    job = resolve_job(registry(), TrainingRequest(model=model, recipe=recipe, precision="fp32"))
    return configuration_text(job, registry())


@pytest.mark.parametrize(
    ("model", "recipe"), [*(("gan", recipe) for recipe in RECIPES), *((model, "digits") for model in MODELS)]
)
def test_what_print_config_writes_fits_the_schema(model, recipe):
    document = yaml.safe_load(printed(model, recipe))
    assert [error.message for error in validator("training").iter_errors(document)] == []


def test_the_files_in_the_documents_fit_their_schemas():
    blocks = [
        block
        for page in ("concepts.md", "configuration.md")
        for block in re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)
    ]
    assert len(blocks) >= 4
    for block in blocks:
        kind = "comparison" if "contestants:" in block else "training" if "model:" in block else "recipe"
        # As editors read it: YAML 1.2 takes 3e-4 for a number, of which PyYAML makes a text.
        text = re.sub(r"\b(\d+)e-(\d+)\b", r"\1.0e-\2", block)
        assert [error.message for error in validator(kind).iter_errors(yaml.safe_load(text))] == [], block


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model:", "modle:"),
        ("recipe: digits", "recipe: 3"),
        ("settings:", "setings:"),
        ("  training:", "  trainin:"),
        ("learning_rate", "learnin_rate"),
        ("0.1", "fast"),
        ("0.1", "[1]"),
        ("objective:", "objektive:"),
        ("hinge", "hing"),
        ("hinge", "{name: hinge, weight: 1}"),
        ("{objective: hinge}", "{penalty: {name: zero-centred, weight: much}}"),
    ],
)
def test_what_is_misspelt_or_of_another_type_does_not_fit(old, new):
    assert fits("training", TRAINING)
    assert not fits("training", TRAINING.replace(old, new))


def test_a_component_is_its_name_or_its_fields_and_may_be_none():
    for penalty in ("zero-centred", "null", "none", "{weight: 3}", "{name: zero-centred, weight: 3, every: 4}", "a:B"):
        assert fits("training", TRAINING.replace("objective: hinge", f"penalty: {penalty}"))
    for penalty in ("zero-centre", "3", "{name: zero-centred, wait: 3}", "{name: linear}"):
        assert not fits("training", TRAINING.replace("objective: hinge", f"penalty: {penalty}"))


def test_trackers_are_one_or_a_list():
    for track in ("csv", "none", "[csv, mlflow.uri=x]"):
        assert fits("training", f"{TRAINING}track: {track}\n")
        assert fits("comparison", f"contestants: {{gan: }}\ntrack: {track}\n")
    assert not fits("training", TRAINING + "track: {csv: 1}\n")


def test_recipes_and_comparisons_have_schemas_of_their_own():
    assert fits("recipe", "recipe: ./other.yaml\nsummary: x\nsettings: {training: {steps: 3}}\n")
    assert not fits("recipe", "model: gan\n")
    study = "contestants: {gan: , a: gan, b: {model: gan, settings: {training: {beta1: 0.5}}}, c: {run: runs/1}}\n"
    study += "sweep: {training.beta1: [0, 0.5]}\nseeds: 3\nsettings: {'on': {partition: gpu}}\n"
    assert fits("comparison", study)
    assert fits("comparison", comparison_text(comparison_in(study, "study")))
    for old, new in (("model: gan", "modle: gan"), ("beta1: 0.5}", "beta: 0.5}"), ("seeds: 3", "seeds: 0")):
        assert not fits("comparison", study.replace(old, new))


def test_a_schema_says_what_a_field_is_its_choices_and_its_default():
    schema = validator("training").schema
    definitions = schema["$defs"]
    assert definitions["Training"]["properties"]["labels"]["description"].startswith("How many rows' labels")
    assert "default" not in definitions["Training"]["properties"]["labels"]  # the recipe's counts
    penalty = definitions["components.zero-centred"]
    assert penalty["required"] == ["name"]
    assert penalty["properties"]["every"]["default"] == 1
    assert penalty["properties"]["sides"]["enum"] == ["both", "data"]
    assert {"hinge", "relativistic"} <= set(definitions["Objective"]["anyOf"][0]["enum"])


def test_the_command_writes_it(say):
    assert yaml.safe_load(say("schema").out) == validator("training").schema
    assert yaml.safe_load(say("schema", "recipe").out)["title"] == "A recipe of genzoo's"
    assert say("schema", "study").code == 2
