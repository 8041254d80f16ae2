"""What a metric may answer: values of `Score` that a run can store. A faulty one costs no other metric its scores."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from models import identity_model
from toy_components import ToyMixture

from genzoo import GenzooWarning, PluginError
from genzoo.evaluation import Metric, Score
from genzoo.evaluation.metrics import evaluate_model
from genzoo.types import Split, Splits

ROWS = Split(torch.arange(6.0).view(3, 2), torch.tensor([0, 1, 2]))


@dataclass(frozen=True, kw_only=True)
class Answering(Metric):
    """A metric that answers what it is told to."""

    name: ClassVar[str] = "axis"  # as the module of some plugin's is called, which the message names too
    answer: Any

    def obstacle(self, model):
        return None

    def measure(self, model, split, *, train, seed):
        return self.answer


def of(**more):
    return [Score(**{"metric": "axis", "value": 1.0, **more})]


FAULTS = {
    "a tensor": (of(value=torch.tensor(1.0)), "the value of 'axis' is a Tensor, expected a float"),
    "text": (of(value="1"), "the value of 'axis' is a str, expected a float"),
    "a tensor in the protocol": (
        of(protocol={"n": torch.tensor(1)}),
        "the protocol of 'axis' is no JSON data: Type",
    ),
    "nan in the protocol": (of(protocol={"n": float("nan")}), "the protocol of 'axis' is no JSON data: ValueError"),
    "a number": (0.5, "it returned 0.5, expected a list of scores"),
    "numbers": ([0.5], "it returned 0.5 for a score"),
}


@pytest.mark.parametrize(("answer", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_score_that_cannot_be_stored_is_left_out_with_the_place_and_the_others_are_kept(answer, fault):
    model, splits = identity_model(ToyMixture().spec), Splits(ROWS, ROWS, ROWS)
    metrics = [Answering(answer=answer), Answering(answer=of(value=float("inf"), protocol={"n": 3}))]
    with pytest.warns(GenzooWarning) as warned:
        scores = evaluate_model(model, splits, metrics, split_name="test", seed=0)
    assert [score.value for score in scores] == [float("inf")]
    (message,) = (str(each.message) for each in warned)
    assert message.startswith("metric 'axis' failed: Answering.measure, ")
    assert "test_faulty_scores.py:" in message
    assert fault in message
    with pytest.raises(PluginError, match="metric 'axis' failed"):
        evaluate_model(model, splits, metrics[:1], split_name="test", seed=0, strict=True)
