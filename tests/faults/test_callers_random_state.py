"""The library as a guest: it neither changes the random state of its caller nor depends on it."""

import random

import numpy
import torch
from global_state import state

import genzoo

TINY = {
    "training.steps": 3,
    "training.batch_size": 8,
    "training.log_every": 2,
    "training.checkpoint_every": 2,
    "dataset.rows": 20,
    "dataset.held_out_rows": 8,
}


def test_the_library_leaves_the_callers_random_state_and_does_not_depend_on_it(tmp_path):
    weights = []
    for seed in (123, 456):
        torch.manual_seed(seed)
        numpy.random.seed(seed)
        random.seed(seed)
        before = state()
        run = genzoo.train("ali", overrides=TINY, runs=tmp_path, seed=4)
        assert state() == before
        genzoo.evaluate(run)
        model = genzoo.load(run)
        model.interpolate(torch.zeros(2, 2), torch.ones(2, 2))
        model.sample(3)
        genzoo.resume(run, steps=4)
        assert state() == before
        weights.append(run.newest_checkpoint()[0].file("networks.safetensors").read_bytes())
    assert weights[0] == weights[1]
