"""Bars: what a notebook is shown while a run trains, and where no bar is drawn at all."""

import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from toy import TOY

import genzoo
from genzoo.runs.bars import TerminalBar, bar_here
from genzoo.storage.run_folder import Run


class Handle:
    def __init__(self, pages, page):
        self.pages = pages
        self.update(page)

    def update(self, page):
        self.pages.append(page)


@pytest.fixture
def pages(monkeypatch):
    """Have this process be a notebook's kernel, and return the pages that its cell shows in turn."""
    pages = []
    events = SimpleNamespace(register=lambda *event: None)  # matplotlib wants to hear of cells
    shell = SimpleNamespace(config={"IPKernelApp": {}}, events=events)
    show = SimpleNamespace(HTML=str, display=lambda page, display_id: Handle(pages, page))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0)))
    monkeypatch.setitem(sys.modules, "IPython.display", show)
    return pages


def test_a_notebook_shows_a_bar_that_ends_at_the_last_step(pages, tmp_path):
    genzoo.train("vae", overrides=TOY, run=tmp_path / "a<b>", device="cpu")
    assert f"run {tmp_path}/a&lt;b&gt;" in pages[-1]
    assert f"each seen about {round(4 * 8 / 64)} times" in pages[-1]
    assert '<progress value="4" max="4">' in pages[-1]
    assert "step 4/4" in pages[-1]
    assert pages[-1].rpartition("<br>")[2].startswith("generator ")  # the loss of the one player of a VAE
    drawn = [page.partition('value="')[2].partition('"')[0] for page in pages]
    assert drawn == sorted(drawn)


def test_without_progress_nothing_is_shown(pages, tmp_path):
    genzoo.train("vae", overrides=TOY, run=tmp_path / "run", device="cpu", progress=False)
    assert pages == []


def test_a_resumed_run_says_from_where_and_draws_no_bar_if_all_steps_are_taken(pages, tmp_path):
    genzoo.train("vae", overrides=TOY, run=tmp_path / "run", device="cpu", progress=False)
    genzoo.resume(tmp_path / "run", device="cpu")
    assert pages[-1] == f"run {tmp_path}/run, from step 4"


def test_no_bar_is_drawn_where_stderr_is_no_terminal(capsys, tmp_path):
    assert bar_here() is None
    genzoo.train("vae", overrides=TOY, run=tmp_path / "run", device="cpu")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("width", [50, 80, 120])
def test_a_terminals_bar_keeps_step_speed_and_time_left_at_any_width(width):
    clock = [0.0]
    with open("/dev/null", "w") as nowhere:
        bar = TerminalBar(Console(file=nowhere, force_terminal=True, width=width))
        bar._progress.get_time = lambda: clock[0]
        bar.begin(10_000, 20_000)
        for step in range(10_001, 10_101):
            clock[0] += 0.5
            bar.on_step(step)
        bar.close()
    console = Console(width=width)
    with console.capture() as captured:
        console.print(bar._progress)
    line = captured.get().splitlines()[0]
    assert line.startswith("step 10,100/20,000 ")
    left = (20_000 - 10_100) * 0.5
    assert line.endswith(f" 2.0 steps/s  {int(left // 3600)}:{int(left // 60 % 60):02}:{int(left % 60):02} left")
    assert len(line) <= width


# A run in a notebook


def test_a_run_shows_what_it_is_its_main_scores_and_its_newest_pictures(tmp_path):
    run = genzoo.train("ali", overrides=TOY, run=tmp_path / "a<b>", device="cpu", progress=False)
    page = run._repr_html_()
    assert "a&lt;b&gt;</b>" in page
    for cell in ("ali", "mixture25", "4 of 4", "modes/high-quality ↑", "modes/divergence ↓"):
        assert f"<td>{cell}</td>" in page
    assert page.count("data:image/png;base64,") == 2
    assert "latent-match" not in page
    (run.path / "samples" / "0000004.png").write_bytes(bytes(3 * 2**20))
    assert Run(run.path)._repr_html_().count("data:image/png;base64,") == 1
