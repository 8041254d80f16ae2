"""`genzoo data fetch METRIC`: the files that a metric of a plugin needs."""

import hashlib
import json

import pytest
from sites import on_the_path

from genzoo.host.discovery import registry

CONTENT = b"weights"
SOURCE = f"""
from dataclasses import dataclass
from typing import ClassVar
from genzoo import hookimpl
from genzoo.data import Download
from genzoo.evaluation import Metric, Score

@dataclass(frozen=True, kw_only=True)
class OfFile(Metric):
    '''The length of a file.'''
    name: ClassVar[str] = "of-file"
    downloads: ClassVar = (Download(file="weights.bin", md5="{hashlib.md5(CONTENT).hexdigest()}"),)

    def obstacle(self, model):
        return None

    def measure(self, model, split, *, train, seed):
        return [Score(metric="of-file", value=float(self.downloaded("weights.bin").stat().st_size))]

@dataclass(frozen=True, kw_only=True)
class OfNothing(OfFile):
    '''A number.'''
    name: ClassVar[str] = "of-nothing"
    downloads: ClassVar = ()

@hookimpl
def genzoo_metrics():
    return [OfFile, OfNothing]
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Install a plugin with the metric, and return a folder with its file."""
    for name in ("site", "source"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / "weights.bin").write_bytes(CONTENT)
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "data"))
    with on_the_path(tmp_path / "site") as site:
        site.install("zoo-metric", SOURCE)
        registry.cache_clear()
        yield tmp_path / "source"
        registry.cache_clear()


def test_the_files_of_a_metric_are_fetched_and_checked(source, say, tmp_path):
    said = say("data", "fetch", "of-file", "--from", source, "--json")
    assert said.code == 0, said.err
    (file,) = json.loads(said.out)["files"]
    assert file["path"] == str(tmp_path / "data" / "downloads" / "of-file" / "weights.bin")
    assert file["bytes"] == len(CONTENT)


def test_a_file_that_is_not_the_published_one_is_refused(source, say):
    (source / "weights.bin").write_bytes(b"other")
    said = say("data", "fetch", "of-file", "--from", source)
    assert said.code == 3
    assert "weights.bin" in said.err


def test_a_metric_without_files_has_nothing_to_fetch(source, say):
    said = say("data", "fetch", "of-nothing")
    assert said.code == 2
    assert "the metric 'of-nothing' needs no files to fetch" in said.err
