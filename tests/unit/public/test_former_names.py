"""Public names that go: they work with a warning up to their last version, and are missed by name after it."""

import pytest

import genzoo
from genzoo import games, types
from genzoo.public.names import FORMER, Former

NOW = genzoo.__version__.rpartition(".")[0]


def test_a_renamed_name_is_the_new_one_and_warns_where_it_is_used(monkeypatch):
    monkeypatch.setitem(FORMER, "genzoo.games.Margin", Former(NOW, "genzoo.games.Hinge"))
    said = f"genzoo.games.Margin will be removed: the last genzoo that has it is {NOW}; use genzoo.games.Hinge"
    with pytest.warns(DeprecationWarning, match="Margin will be removed") as caught:
        from genzoo.games import Margin
    assert Margin is games.Hinge
    assert {str(warning.message) for warning in caught} == {said}
    assert {warning.filename for warning in caught} == {__file__}


def test_a_renamed_name_of_a_plain_module_is_the_new_one(monkeypatch):
    monkeypatch.setitem(FORMER, "genzoo.types.Rows", Former(NOW, "genzoo.types.Split"))
    with pytest.warns(DeprecationWarning, match=r"use genzoo\.types\.Split"):
        assert types.Rows is types.Split


def test_a_name_that_goes_without_another_in_its_place_works_with_a_warning(monkeypatch):
    monkeypatch.setitem(FORMER, "genzoo.games.Hinge", Former(NOW))
    monkeypatch.delattr("genzoo.games.Hinge", raising=False)  # as one that nobody has asked for yet
    with pytest.warns(DeprecationWarning, match=f"the last genzoo that has it is {NOW}$"):
        assert games.Hinge.name == "hinge"


@pytest.mark.parametrize("module", [games, types])
def test_after_its_last_version_a_name_is_missed_with_what_took_its_place(monkeypatch, module):
    monkeypatch.setitem(FORMER, f"{module.__name__}.Gone", Former("0.0", "genzoo.games.Hinge"))
    found = f"there is no {module.__name__}.Gone: the last genzoo that has it is 0.0; use genzoo.games.Hinge"
    with pytest.raises(AttributeError, match=found):
        module.Gone  # noqa: B018


@pytest.mark.parametrize("module", [games, types])
def test_a_name_that_never_was_is_missed_without_a_word_of_versions(module):
    with pytest.raises(AttributeError) as raised:
        module.Never  # noqa: B018
    assert "last" not in str(raised.value)


def test_the_tenth_minor_version_comes_after_the_ninth(monkeypatch):
    monkeypatch.setattr(genzoo, "__version__", "0.10.1")
    assert [Former(last).is_offered for last in ("0.9", "0.10", "1.0")] == [False, True, True]
