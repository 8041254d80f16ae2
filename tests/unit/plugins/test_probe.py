"""Probes of an encoder's features: on features of known worth, beside an untrained encoder and pixels."""

from dataclasses import replace

import pytest
import torch
from models import PETS, identity_model
from torch import nn

from genzoo import Networks, SettingsError
from genzoo.evaluation.scoring import applicable_metrics, metric_called
from genzoo.nn import Encoder
from genzoo.types import Code, Split
from genzoo_data.digits import Digits
from genzoo_metrics.probe import Probe, untrained

DIGITS, SPEC = Digits().load(None), Digits().spec


class Naming(Encoder):
    """An encoder with one linear layer, whose named layer is its output."""

    def __init__(self, numbers, *, blind=False):
        super().__init__()
        self.linear = nn.Linear(numbers, numbers)
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        if blind:
            nn.init.zeros_(self.linear.weight)

    def forward(self, x, noise, y=None):
        return Code(z=self.linear(x.flatten(1)))

    def features(self, x, y=None):
        return {"wide": torch.zeros(len(x), 10_001), "linear": self.linear(x.flatten(1))}


def model_of(encoder, spec=SPEC):
    return replace(identity_model(spec), networks=Networks(encoder=encoder))


def errors(model, splits=DIGITS, **settings):
    settings = {"training_rows": 300} | settings
    scores = Probe(**settings).measure(model, splits.test, train=splits.train, seed=0)
    return {score.metric: score for score in scores}


def test_features_that_are_the_pixels_do_as_well_as_pixels_and_each_kind_stands_beside_the_other():
    scores = errors(model_of(Naming(64)))
    for name in ("svm", "linear", "neighbours"):
        assert scores[f"probe/{name}"].value == scores[f"probe/{name}/pixels"].value < 0.12
        assert scores[f"probe/{name}/untrained"].value < 0.3
        assert scores[f"probe/{name}"].better == "lower"
    assert len(scores) == 9
    protocol = scores["probe/svm"].protocol
    assert (protocol["rows"], protocol["training rows"], protocol["features"]) == (360, 300, "64, standardised")
    assert "C" in protocol
    assert scores["probe/neighbours"].protocol["neighbours"] == 5


def test_features_that_say_nothing_leave_the_most_frequent_class():
    scores = errors(model_of(Naming(64, blind=True)))
    for name in ("svm", "linear", "neighbours"):
        assert scores[f"probe/{name}"].value == pytest.approx(0.9, abs=0.015)


def test_hidden_labels_are_not_read():
    labels = DIGITS.train.labels.clone()
    labels[::2] = -1
    hidden = DIGITS._replace(train=Split(DIGITS.train.x, labels))
    shown = DIGITS._replace(train=Split(DIGITS.train.x[1::2], DIGITS.train.labels[1::2]))
    model = model_of(Naming(64))
    assert errors(model, hidden)["probe/svm"] == errors(model, shown)["probe/svm"]


def test_an_untrained_encoder_has_other_weights_and_leaves_the_trained_one_and_the_random_state_alone():
    model, before = model_of(Naming(64)), torch.get_rng_state()
    first, again, other = (untrained(model, seed=seed).networks.encoder.linear.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(model.networks.encoder.linear.weight, torch.eye(64))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_that_cannot_be_drawn_anew_is_named():
    encoder = Naming(64)
    encoder.scale = nn.ParameterList([torch.ones(1)])
    with pytest.raises(SettingsError, match="ParameterList has no reset_parameters"):
        untrained(model_of(encoder), seed=0)


def test_probes_are_measured_where_they_are_named_alone():
    assert Probe.name not in {metric.name for metric in applicable_metrics(model_of(Naming(64)))}
    assert metric_called("probe") == Probe()


def test_what_cannot_be_probed_is_said():
    assert Probe().obstacle(model_of(Naming(2), PETS)) is None
    assert Probe().obstacle(model_of(Naming(2), replace(PETS, class_names=()))) == "its data have no classes"
    assert Probe().obstacle(identity_model(PETS)) == "its encoder names no layers"
    assert Probe().obstacle(replace(identity_model(PETS), networks=Networks())) == "it has no encoder"
    with pytest.raises(SettingsError, match="no labels"):
        errors(model_of(Naming(64)), DIGITS._replace(test=Split(DIGITS.test.x)))
    with pytest.raises(ValueError, match="expected to be at least 10"):
        Probe(rows=9)
