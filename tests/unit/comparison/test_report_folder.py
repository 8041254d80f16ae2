"""The folder of a report: named after the contestants, and never one that holds a report on other trainings."""

import json

import pytest

from genzoo.comparison.report_folder import free_folder, refuse_other_report
from genzoo.errors import SettingsError

A, B, LONGER = ("a", "a-toy-s0-11"), ("b", "b-toy-s0-22"), ("a", "a-toy-s0-33")


def report(folder, *trainings, where="cells"):
    folder.mkdir(parents=True, exist_ok=True)
    cells = [{"label": label, "run": f"{where}/{run}"} for label, run in trainings]
    (folder / "results.json").write_text(json.dumps({"schema_version": 1, "cells": cells}))
    return folder


def test_other_trainings_of_the_same_contestants_have_a_folder_of_their_own(tmp_path):
    assert free_folder(tmp_path, ["a", "b"], [A, B]) == report(tmp_path / "a-b", A, B)
    assert free_folder(tmp_path, ["a", "b"], [LONGER, B]) == report(tmp_path / "a-b-2", LONGER, B)
    assert free_folder(tmp_path, ["a", "b"], [A, B]) == tmp_path / "a-b"
    assert free_folder(tmp_path, ["a", "b"], [LONGER, B]) == tmp_path / "a-b-2"
    assert free_folder(tmp_path, ["b", "a"], [A, B]) == tmp_path / "b-a"


def test_a_report_on_fewer_seeds_is_continued_and_one_on_more_is_not(tmp_path):
    report(tmp_path / "a", A, where="../cells")
    more = [A, ("a", "a-toy-s1-44")]
    assert free_folder(tmp_path, ["a"], more) == tmp_path / "a"
    report(tmp_path / "a", *more, where="../cells")
    assert free_folder(tmp_path, ["a"], [A]) == tmp_path / "a-2"


@pytest.mark.parametrize("content", [None, "{", '{"schema_version": 1, "runs": []}'])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, content):
    (tmp_path / "cells").mkdir()
    if content is not None:
        (tmp_path / "cells" / "results.json").write_text(content)
    assert free_folder(tmp_path, ["cells"], [A]) == tmp_path / "cells-2"


@pytest.mark.parametrize("label", ["", "..", "a/b", "x" * 300, "é"])
def test_the_name_of_a_contestant_is_a_name_of_one_folder(tmp_path, label):
    folder = free_folder(tmp_path, [label], [A])
    assert folder.parent == tmp_path
    folder.mkdir()


def test_a_named_folder_with_a_report_on_other_trainings_is_refused(tmp_path):
    refuse_other_report(tmp_path / "none", [A])
    report(tmp_path, A)
    refuse_other_report(tmp_path, [A, B])
    with pytest.raises(SettingsError, match="holds a report on a, with trainings that are not in this one"):
        refuse_other_report(tmp_path, [B])
    (tmp_path / "results.json").write_text('{"schema_version": 1, "runs": []}')  # as a study writes
    with pytest.raises(SettingsError, match="something else"):
        refuse_other_report(tmp_path, [B])


def test_a_report_that_cannot_be_read_is_written_again(tmp_path):
    (tmp_path / "results.json").write_text("{")
    refuse_other_report(tmp_path, [A])
