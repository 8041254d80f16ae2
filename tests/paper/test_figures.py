"""The figures that the quick recipes promise; minutes each, so marked slow. Run them with `pytest -m slow`."""

import statistics
import subprocess
import sys
import time

import pytest

import genzoo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def score(run, metric):
    return next(score["value"] for score in run.scores if score["metric"] == metric)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ali_covers_at_least_20_of_the_25_modes(tmp_path, seed):
    run = genzoo.train("ali", seed=seed, runs=tmp_path)
    assert score(run, "modes") >= 20


def test_ali_reconstructs_digits_with_half_the_error_of_shuffled_pairs(tmp_path):
    run = genzoo.train("ali", recipe="digits", runs=tmp_path)
    assert score(run, "reconstruction/ratio") <= 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_commands_that_only_tell_answer_within_0_3_seconds(arguments):
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "genzoo", *arguments], capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    assert statistics.median(seconds) <= 0.3
