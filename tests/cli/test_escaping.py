"""Texts of plugins, classes, file names, settings and notes in HTML, Markdown and terminals: shown, never acted on."""

import re
import sys
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import ClassVar

import pytest
from hostile_text import FRAGMENTS, hostile, spoiled
from hypothesis import given
from hypothesis import strategies as st
from toy import RECORD, put_record
from toy_components import MEANS, RECIPE, Conditional, ToyMixture

import genzoo
from genzoo.cli import output
from genzoo.runs import export_run
from genzoo.runs.bars import NotebookBar
from genzoo.storage.run_folder import Run
from genzoo.storage.run_notes import RunNote
from genzoo.text import in_markdown, markdown_row

texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=4).map("".join)


def acts(line):
    """Whether a line of Markdown begins HTML, a link or a picture, or is several lines."""
    bare = re.sub(r"\\.", " ", line)
    return "<" in bare or re.search(r"\][(\[:]", bare) is not None or not line.isprintable()


@given(text=texts)
def test_a_text_in_markdown_begins_nothing(text):
    assert not acts(in_markdown(text))


@given(cells=st.lists(texts, min_size=1, max_size=4))
def test_a_row_of_a_table_has_the_cells_that_it_was_given(cells):
    row = markdown_row(cells)
    assert not acts(row)
    assert re.sub(r"\\.", "", row).count("|") == len(cells) + 1


@pytest.mark.parametrize("text", ["training.learning_rate", "players [a, b]", "(0.1, 0.2]", "2 * 3", "a [1]"])
def test_a_text_that_begins_nothing_is_itself_in_markdown(text):
    assert in_markdown(text) == text


@dataclass(frozen=True, kw_only=True)
class Misnamed(ToyMixture):
    """As `ToyMixture`, with classes whose folders somebody else has named."""

    name: ClassVar[str] = "misnamed"

    @property
    def spec(self):
        return replace(super().spec, class_names=tuple(hostile(str(number)) for number in range(len(MEANS))))


def test_a_card_of_an_exported_model_begins_nothing_that_it_was_not_meant_to(tmp_path):
    recipe = replace(RECIPE, dataset=Misnamed(), training=replace(RECIPE.training, steps=1))
    run = genzoo.train(Conditional(), recipe=recipe, run=tmp_path / "run", device="cpu")
    score = {
        "metric": hostile("modes"),
        "value": 1.0,
        "step": 1,
        "protocol": {hostile("rows"): hostile("all"), "seed": 0},
    }
    run.write_scores([score])
    export_run(run, tmp_path / "given")
    lines = (tmp_path / "given" / "README.md").read_text().splitlines()
    assert any("javascript" in line or "onload" in line or "script" in line for line in lines)
    for line in lines:
        assert not acts(line) or re.fullmatch(r"!\[[A-Za-z ]+\]\([a-z]+\.png\)", line), line


@pytest.fixture
def misnamed(tmp_path):
    """Return a run every text of which somebody else wrote."""
    path = tmp_path / "runs" / hostile("0001").replace("/", "")[:80]
    path.mkdir(parents=True)
    texts = {key: spoiled(RECORD[key]) for key in ("model", "recipe", "overrides", "versions", "plugins", "device")}
    put_record(path, RECORD | texts)
    run = Run(path)
    protocol = {hostile("rows"): hostile("all"), "seed": 0}
    score = {"metric": hostile("modes"), "value": 1.0, "step": 0, "headline": True, "protocol": protocol}
    run.write_scores([score | {"failure": hostile("why")}])
    run.log({"step": 2, "losses": {hostile("critic"): 1.0}, "watch": {hostile("x"): 1.0}, "warnings": [hostile("odd")]})
    RunNote(text=hostile("a note"), tag=hostile("a tag")).write(run)
    return run


@pytest.mark.parametrize("command", ["runs", "show", "note", "verify", "sample", "resume", "gc"])
def test_nothing_that_a_run_says_of_itself_moves_the_cursor(misnamed, say, monkeypatch, command):
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    output.console.cache_clear()
    said = say(command, *(["--root", "runs"] if command == "runs" else [] if command == "gc" else [misnamed.path]))
    output.console.cache_clear()
    bare = re.sub(r"\x1b\[[0-9;]*m", "", said.out + said.err)  # what rich writes
    assert bare
    assert bare.replace("\n", "").isprintable(), bare


class Tags(HTMLParser):
    """The names of tags and of their attributes."""

    def __init__(self, page):
        super().__init__()
        self.names = set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.names |= {tag, *(name for name, _ in attributes)}


def test_what_a_notebook_shows_of_a_run_and_a_comparison_has_no_tag_of_theirs(misnamed, monkeypatch):
    pages = [misnamed._repr_html_()]
    bar = NotebookBar()
    monkeypatch.setattr(bar, "close", lambda: None)
    bar.on_note(hostile("a note"))
    bar.on_start(misnamed, 0, 4)
    bar.show({"step": 2, "losses": {hostile("critic"): 1.0}})
    pages.append(bar._html())
    assert ["&lt;" in page for page in pages] == [True, True]
    assert set().union(*(Tags(page).names for page in pages)) <= {
        "b",
        "table",
        "tr",
        "td",
        "br",
        "progress",
        "value",
        "max",
    }
