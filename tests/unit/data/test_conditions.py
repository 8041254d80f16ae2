"""Conditions as text and in grids: what a class or attributes by name mean, and what is refused."""

from dataclasses import replace

import pytest
import torch
from models import HEADS, PETS

from genzoo import SettingsError
from genzoo.data.condition_text import named_grid, parse_condition, sweep
from genzoo.types import ConditionGrid, DataSpec

BARE = DataSpec(shape=(2,), support="real")


# As text


@pytest.mark.parametrize("text", ["dog", "class=dog", " dog ", "class= dog", " class=dog"])
def test_a_class_is_named_with_or_without_saying_that_it_is_one(text):
    assert parse_condition(text, PETS).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("Beard", [0.0, 1.0, 0.0]),
        ("Hat,Glasses", [1.0, 0.0, 1.0]),
        (" Glasses , Hat ", [1.0, 0.0, 1.0]),
        ("Hat,Hat", [1.0, 0.0, 0.0]),
        ("Hat,,Beard,", [1.0, 1.0, 0.0]),
        ("", [0.0, 0.0, 0.0]),
        (" , ", [0.0, 0.0, 0.0]),
    ],
)
def test_attributes_that_are_named_are_on_and_all_others_are_off(text, on):
    assert parse_condition(text, HEADS).tolist() == on


@pytest.mark.parametrize(
    ("text", "data", "found"),
    [
        ("class=dgo", PETS, "no class 'dgo'; did you mean 'dog'?"),
        ("Dog", PETS, "no class 'Dog'; did you mean 'dog'?"),
        ("dog,cow", PETS, "no class 'dog,cow'; did you mean 'dog'?"),
        ("", PETS, "no class ''"),
        ("xyzzy", PETS, "no class 'xyzzy'"),
        ("class=33", replace(PETS, class_names=tuple("0123456789")), "no class '33'; did you mean '3'?"),
        ("Hat,Bread", HEADS, "no attribute 'Bread'; did you mean 'Beard'?"),
    ],
)
def test_a_name_that_the_data_do_not_have_is_refused_with_the_nearest(text, data, found):
    with pytest.raises(SettingsError) as refused:
        parse_condition(text, data)
    assert refused.value.found == found
    assert refused.value.remedy == f"known: {', '.join(data.class_names or data.attributes)}"


def test_not_all_of_very_many_names_are_listed():
    data = replace(PETS, class_names=tuple(str(number) for number in range(200)))
    with pytest.raises(SettingsError) as refused:
        parse_condition("cow", data)
    assert refused.value.remedy == "known: 0, 1, 2, 3, 4 … 199"


@pytest.mark.parametrize("text", ["dog", "class=0", ""])
def test_data_without_labels_have_no_conditions(text):
    with pytest.raises(SettingsError, match="neither classes nor attributes"):
        parse_condition(text, BARE)
    with pytest.raises(SettingsError, match="neither classes nor attributes"):
        sweep(text or "all", BARE, base=None, rows=2)


# In grids


def test_a_sweep_of_all_classes_has_a_column_per_class_and_rows_that_are_all_alike():
    grid = sweep("all", PETS, base=None, rows=4)
    assert grid.columns == ("cat", "dog", "rabbit")
    assert torch.equal(grid.y, torch.eye(3).expand(4, 3, 3))


def test_a_sweep_of_some_classes_keeps_their_order():
    grid = sweep(" rabbit, class=cat", PETS, base=None, rows=1)
    assert grid.columns == ("rabbit", "cat")
    assert grid.y.tolist() == [[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]


@pytest.mark.parametrize(
    ("text", "base", "columns", "cells"),
    [
        ("Hat,Beard", None, ("none", "Hat", "Beard"), [[0, 0, 0], [1, 0, 0], [0, 1, 0]]),
        ("Hat,Beard", "Glasses", ("Glasses", "Hat", "Beard"), [[0, 0, 1], [1, 0, 1], [0, 1, 1]]),
        ("Glasses", "Hat,Beard", ("Hat,Beard", "Glasses"), [[1, 1, 0], [1, 1, 1]]),
        ("all", None, ("none", "Hat", "Beard", "Glasses"), [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("all", "Hat", ("Hat", "Beard", "Glasses"), [[1, 0, 0], [1, 1, 0], [1, 0, 1]]),
        ("Beard", "", ("none", "Beard"), [[0, 0, 0], [0, 1, 0]]),
    ],
)
def test_a_sweep_of_attributes_adds_each_to_the_base_which_comes_first(text, base, columns, cells):
    grid = sweep(text, HEADS, base=base, rows=2)
    assert grid.columns == columns
    assert grid.y.tolist() == [cells, cells]


def test_a_sweep_of_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(SettingsError, match="no class 'rabit'; did you mean 'rabbit'"):
        sweep("cat,rabit", PETS, base=None, rows=2)
    with pytest.raises(SettingsError, match="no attribute 'hat'; did you mean 'Hat'"):
        sweep("hat", HEADS, base="Beard", rows=2)


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_a_sweep_of_no_class_at_all_is_refused(text):
    with pytest.raises(SettingsError):
        sweep(text, PETS, base=None, rows=2)


def test_a_class_is_said_once():
    with pytest.raises(SettingsError, match="cannot both set the class"):
        sweep("all", PETS, base="dog", rows=2)


GRID = ConditionGrid(name="even", rows=(("class=cat", "rabbit"), ("dog", "dog"), ("cat", "cat")))


def test_a_grid_that_the_data_do_not_define_is_refused():
    with pytest.raises(SettingsError) as refused:
        named_grid("uneven", replace(PETS, grids=(GRID,)))
    assert (refused.value.found, refused.value.remedy) == ("no grid 'uneven'; did you mean 'even'?", "known: even")
    with pytest.raises(SettingsError) as refused:
        named_grid("even", PETS)
    assert (refused.value.found, refused.value.remedy) == ("no grid 'even'", "these data define none")


def test_any_data_may_define_grids():
    y = named_grid("even", replace(PETS, grids=(GRID,))).y
    assert torch.equal(y, torch.eye(3)[torch.tensor([[0, 2], [1, 1], [0, 0]])])
