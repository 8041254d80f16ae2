"""Networks asked for by name and kind."""

import pytest
from torch import nn

from genzoo import Networks, SettingsError


def test_a_network_is_given_by_its_name_and_kind():
    head = nn.Linear(2, 3)
    assert Networks(head=head).part("head", nn.Linear) is head
    assert Networks(head=head).part("head", nn.Module) is head


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("tail", nn.Linear, "this model has no tail"),
        ("critic", nn.Module, "this model has no critic"),
        ("head", nn.Conv2d, "the head of this model is a Linear, expected a Conv2d"),
    ],
)
def test_a_network_that_is_not_there_or_of_another_kind_is_refused(name, kind, found):
    with pytest.raises(SettingsError) as refused:
        Networks(head=nn.Linear(2, 3)).part(name, kind)
    assert refused.value.found == found
