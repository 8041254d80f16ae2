"""A training on a GPU other than the first computes there, and seeds that one's generator."""

import pytest


@pytest.mark.parametrize("model", ["ali", "vae"])
def test_a_step_on_another_gpu_runs_and_draws_there(clean_step, model):
    clean_step(model, "digits", "fp32", device=5)


def test_replicas_on_another_gpu_run_and_draw_there(cuda):
    seen = cuda.step("ali", "mixture25-paper", "fp32", device="cuda:5", replicas=3)
    assert seen["faults"] == []
    assert seen["current"] == seen["seeded"] == [5]
    assert seen["devices"] == ["cuda:5"]
