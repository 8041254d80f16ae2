"""What first-party metrics say of their scores: a sentence for every one, under names that begin with theirs."""

import pytest

from genzoo.evaluation.scoring import metric_called
from genzoo.host.discovery import registry


@pytest.mark.parametrize("name", [entry.name for entry in registry().of("metrics")])
def test_a_metric_says_of_each_of_its_scores_in_one_sentence_what_it_is(name):
    about = metric_called(name).about
    assert about
    for score, text in about.items():
        assert score.partition("/")[0] == name
        assert text[0].isupper()
        assert text.endswith(".")
        assert len(text) <= 120
