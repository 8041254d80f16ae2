"""The meter: means between two entries of the log, and what a checkpoint holds of them."""

import json

import pytest
import torch

from genzoo.errors import UnreadableError
from genzoo.runs.meter import Meter
from genzoo.types import Losses

CPU = torch.device("cpu")
VALUES = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)).unbind()


def add(meter, values):
    for number, (loss, watched) in enumerate(values):
        watch = {"spread": watched} if number % 2 else {}  # not in every step, as a penalty
        meter.add(Losses(players={"generator": loss}, watch=watch))


def test_means_are_of_all_values_since_the_last_reading():
    meter = Meter()
    add(meter, VALUES)
    losses, watch = meter.read()
    assert losses == {"generator": pytest.approx(sum(float(loss) for loss, _ in VALUES) / 9)}
    assert watch == {"spread": pytest.approx(sum(float(watched) for _, watched in VALUES[1::2]) / 4)}
    assert meter.read() == ({}, {})


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_a_restored_meter_goes_on_to_the_same_numbers(stop):
    whole, stopped, resumed = Meter(), Meter(), Meter()
    add(whole, VALUES)
    add(stopped, VALUES[:stop])
    stopped.read(clear=False)
    resumed.restore(json.loads(json.dumps(stopped.state())), device=CPU)
    for number in range(stop, 9):
        loss, watched = VALUES[number]
        resumed.add(Losses(players={"generator": loss}, watch={"spread": watched} if number % 2 else {}))
    assert resumed.read() == whole.read()
    assert resumed.state() == {"losses": {}, "watch": {}}


def test_values_that_are_no_numbers_are_kept_as_text():
    meter, restored = Meter(), Meter()
    add(meter, [(torch.tensor(float("inf")), torch.tensor(0.0))])
    state = json.loads(json.dumps(meter.state(), allow_nan=False))
    restored.restore(state, device=CPU)
    assert restored.read() == ({"generator": "inf"}, {})


@pytest.mark.parametrize("state", [[], {"losses": []}, {"losses": {"x": 3}}, {"watch": {"x": ["many"]}}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(UnreadableError, match="does not hold the values of the log"):
        Meter().restore(state, device=CPU)


def test_of_very_many_values_a_checkpoint_holds_none():
    meter = Meter()
    add(meter, [(torch.tensor(1.0), torch.tensor(1.0))] * 20_002)
    assert meter.state() == {}
