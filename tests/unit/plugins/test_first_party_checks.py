"""The plugins that come with genzoo pass the checks that they offer to others."""

import warnings

import pytest

from genzoo import testing
from genzoo.host.discovery import registry
from genzoo_trackers.mlflow_runs import MLflow
from genzoo_trackers.wandb_runs import WandB

OWN = {
    kind: [entry.qualified for entry in registry().of(kind) if entry.plugin.distribution == "genzoo"]
    for kind in ("models", "components", "datasets", "metrics", "commands", "studies", "executors", "stores")
}
FAIL_BY_NATURE = {
    "genzoo:autoregressive": {"genzoo:autoregressive: builds"},  # it gives grey levels of images their probabilities
    "genzoo:catgan": {"genzoo:catgan: mean-over-rows on vectors"},  # its classes are equally likely over a batch
    "genzoo:feature-matching": {"genzoo:feature-matching: mean-over-rows on vectors"},  # it matches means of batches
    "genzoo:ladder": {"genzoo:ladder: mean-over-rows on vectors"},  # it normalises by each batch
    "genzoo:semi-aae": {"genzoo:semi-aae: builds"},  # its prior has ten classes, and these data have three
    "genzoo:tc-vae": {"genzoo:tc-vae: mean-over-rows on vectors"},  # it estimates densities by a batch
    "genzoo:wae": {"genzoo:wae: mean-over-rows on vectors"},  # it compares codes with each other
}
"""The checks that a model fails by what it is."""
SLOW = {"genzoo:fidelity", "genzoo:probe", "genzoo:classifier-distance", "genzoo:classifier-score", "genzoo:coverage"}
"""Metrics that fit classifiers or networks."""


def run_all(names, **options):
    failed = {}
    for name in names:
        for check in testing.checks(name, **options):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check.run()
            except testing.CheckFailed as error:
                failed[f"{name}: {check}"] = error.found
    return failed


@pytest.mark.parametrize("name", OWN["models"])
def test_a_model_passes_on_vectors(name):
    from genzoo.testing.toys import VECTOR_TOY

    assert run_all([name], recipes=[VECTOR_TOY]).keys() == FAIL_BY_NATURE.get(name, set())


def test_components_data_sets_commands_studies_executors_and_stores_pass():
    kinds = {"components": "component", "datasets": "dataset", "commands": "command", "studies": "study"}
    kinds |= {"executors": "executor", "stores": "store"}
    for kind, singular in kinds.items():
        assert OWN[kind]
        assert run_all(f"{singular}:{name}" for name in OWN[kind]) == {}


def test_trackers_that_need_no_server_pass():
    assert run_all(["tracker:csv", "tracker:tensorboard"]) == {}


@pytest.mark.slow
def test_other_trackers_pass(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_all([WandB(mode="offline"), MLflow(uri="sqlite:///check.db")]) == {}


def test_quick_metrics_pass():
    assert run_all(f"metric:{name}" for name in OWN["metrics"] if name not in SLOW) == {}


@pytest.mark.slow
def test_slow_metrics_pass():
    failed = run_all(f"metric:{name}" for name in sorted(SLOW - {"genzoo:fidelity"}))
    assert {place for place in failed if "probe: untouched" not in place} == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN["models"])
def test_a_model_passes_on_images(name):
    from genzoo.testing.toys import IMAGE_TOY

    assert run_all([name], recipes=[IMAGE_TOY]) == {}
