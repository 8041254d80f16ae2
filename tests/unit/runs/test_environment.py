"""What a run was trained with: recorded for each session, told where it changes, and never erased."""

import importlib
import sys
from dataclasses import dataclass, replace

import pytest
import torch
from toy import RECORD, put_record, record

from genzoo.errors import GenzooWarning, UnreadableError
from genzoo.runs import environment
from genzoo.storage.record import RunRecord, Session
from genzoo.storage.run_folder import Run
from genzoo.training import Training

SESSION = Session(
    step=0,
    began="2026-01-01T00:00:00+00:00",
    device="cpu",
    execution="eager",
    threads=2,
    processor="AVX2",
    versions={"torch": "2.15.0", "python": "3.11.7"},
    plugins={"genzoo": "0.1.0", "zoo-of-mine": "1.0"},
    code={"genzoo": "a" * 64, "mine": "b" * 64},
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"threads": 1}, "threads 1 (before: 2)"),
        ({"device": "cuda:0"}, "device cuda:0 (before: cpu)"),
        ({"execution": "compiled"}, "execution compiled (before: eager)"),
        ({"processor": "AVX512"}, "processor AVX512 (before: AVX2)"),
        ({"versions": SESSION.versions | {"torch": "2.9.0"}}, "torch 2.9.0 (before: 2.15.0)"),
        ({"plugins": {"genzoo": "0.1.0"}}, "zoo-of-mine missing (before: 1.0)"),
        ({"code": SESSION.code | {"mine": "c" * 64}}, "other code of mine"),
    ],
)
def test_what_differs_from_the_session_before_is_told(changes, told):
    assert replace(SESSION, **changes).changes_since(SESSION) == [told]


@pytest.mark.parametrize(
    "changes", [{}, {"step": 5, "began": "later"}, {"plugins": SESSION.plugins | {"another": "1.0"}}]
)
def test_what_changes_no_number_is_not_told(changes):
    assert replace(SESSION, **changes).changes_since(SESSION) == []


def test_a_run_keeps_what_each_of_its_parts_was_trained_with(tmp_path, recwarn):
    run = Run(tmp_path)
    run.begin_session(record(), SESSION)
    run.begin_session(record(), replace(SESSION, step=4))
    assert not recwarn.list
    third = replace(SESSION, step=7, threads=1, versions={"torch": "3.0"})
    with pytest.warns(GenzooWarning) as told:
        run.begin_session(record(), third)
    (line,) = (str(each.message) for each in told)
    assert "goes on with threads 1 (before: 2), torch 3.0 (before: 2.15.0) and python missing (before: 3.11.7)" in line
    assert run.record.sessions == (SESSION, replace(SESSION, step=4), third)
    assert RunRecord.from_json(run.record.to_json()) == run.record


def test_of_a_record_of_before_the_versions_stay_as_its_first_session(tmp_path):
    put_record(tmp_path, RECORD | {"versions": {"torch": "2.9.0"}, "threads": 2})
    run = Run(tmp_path)
    assert run.record.sessions == ()
    with pytest.warns(GenzooWarning, match=r"torch 2\.15\.0 \(before: 2\.9\.0\)"):
        run.begin_session(record(), SESSION)
    first, second = run.record.sessions
    assert (first.versions, first.threads, first.began, first.step) == ({"torch": "2.9.0"}, 2, RECORD["created"], 0)
    assert second == SESSION


@pytest.mark.parametrize("sessions", [5, {}, [5], [{}], [{"step": "0"}]])
def test_sessions_that_are_none_are_told(tmp_path, sessions):
    put_record(tmp_path, RECORD | {"sessions": sessions})
    with pytest.raises(UnreadableError, match="sessions is missing or wrong"):
        _ = Run(tmp_path).record


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a folder that is imported as a package with a class of components, and the class."""
    folder = tmp_path / "zoo_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("from zoo_of_a_test.part import Part\n")
    (folder / "part.py").write_text("class Part: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder, importlib.import_module("zoo_of_a_test").Part
    for name in ("zoo_of_a_test", "zoo_of_a_test.part"):
        del sys.modules[name]


@pytest.mark.parametrize("file", ["part.py", "__init__.py", "another.py"])
def test_the_code_is_that_of_every_file_of_the_packages_of_the_components(package, file):
    folder, base = package
    inside = dataclass(frozen=True)(type("Inside", (base,), {}))
    outside = Training(steps=1, batch_size=1)

    @dataclass(frozen=True)
    class Settings:
        training: object
        game: object

    settings = Settings(training=outside, game=inside())
    before = environment.source_hashes(settings)
    assert {"genzoo", "zoo_of_a_test"} <= before.keys()
    assert environment.source_hashes(settings) == before
    (folder / file).write_text((folder / file).read_text() + "#" if (folder / file).exists() else "")
    after = environment.source_hashes(settings)
    assert {name for name in before if before[name] != after[name]} == {"zoo_of_a_test"}


def test_oneDNN_is_part_of_the_processor(monkeypatch):
    whole = environment._processor("cpu")
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert environment._processor("cpu") == f"{whole} without oneDNN"
