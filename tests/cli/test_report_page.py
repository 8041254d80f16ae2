"""A report as it is read: in a browser at the widths of a phone and of screens, and in a terminal."""

import html
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy
import pytest
from hostile_text import FRAGMENTS, hostile, spoiled
from PIL import Image
from terminal import typed

from genzoo.cli import output
from genzoo.cli.compare import legend, show_contestants
from genzoo.comparison import (
    Baseline,
    BaselineScore,
    CellResult,
    ComparedSettings,
    ResultRow,
    Results,
    StoredScore,
    Summary,
    report,
    results,
)
from genzoo.comparison.sections import ReportPicture, Section

WIDTHS = (390, 800, 1280, 1440)
LABELS = ("ali", "gan", "a-contestant-with-a-long-name", "vae")
METRICS = ("classifier-distance", "reconstruction/same-class", "modes/high-quality")
OTHERS = tuple(f"coverage/{name}" for name in ("density", "precision", "recall", "neighbourhoods", "overlap", "share"))
COMMAND = "genzoo compare " + " ".join(f"--set {label}:training.learning_rate=0.0001" for label in LABELS * 3)


def score_of(metric, value, *, step=10, seed=0):
    protocol = {"rows": 360, "seed": seed, "classifier": "30 epochs on 1257 training rows, seed 0"}
    return StoredScore(
        step=step, metric=metric, value=value, protocol=protocol, better="lower", headline=metric in METRICS
    )


def cell_of(number, label, seed):
    scores = tuple(
        score_of(metric, (number + 1.5) * step / 7 + seed / 3 + seed * number / 50, step=step, seed=seed)
        for step, metric in product((5, 10), METRICS + OTHERS)
    )
    return CellResult(
        label=label,
        seed=seed,
        run=f"../cells/{label}-digits-s{seed}-0123456789",
        step=10,
        seconds=61.0,
        failure="",
        scores=scores,
        best_step=5,
        best_by=METRICS[0],
        created="2026-01-02T03:04:05+00:00",
        losses={"critic": ((1, 0.01), (5, 1.0), (10, 300.0)), "generator": ((1, 2.0), (5, -3.0), (10, 1.0))},
    )


def row_of(label, cells):
    own = [cell for cell in cells if cell.label == label]
    cost = {"parameters": 1_234_567, "macs_per_update": 123_456_789, "images_seen": 640, "steps": 10, "seconds": 61.0}
    return ResultRow(
        label=label, model="m", seeds=(0, 1), failed=(), scores=results.row_scores(own), settings={"x": 1}, **cost
    )


def baseline_of(label):
    final = Summary(mean=900.5, std=0.0, min=900.5, max=900.5)
    return Baseline(
        label=label,
        scores=tuple(
            BaselineScore(metric=metric, value=900.5, protocol={"rows": 360}, better="lower", final=final)
            for metric in METRICS
        ),
    )


def png(width, height):
    content = io.BytesIO()
    Image.fromarray(numpy.arange(width * height * 3, dtype=numpy.uint8).reshape(height, width, 3)).save(content, "png")
    return content.getvalue()


def results_of_four():
    """Return the results of four contestants with two seeds each and nine scores."""
    cells = [cell_of(number, label, seed) for number, label in enumerate(LABELS) for seed in range(2)]
    different = {
        "steps": dict.fromkeys(LABELS, 10) | {"vae": 200},
        "training.learning_rate": dict.fromkeys(LABELS, 0.1),
    }
    return Results(
        recipe="digits",
        data="digits",
        rows=tuple(row_of(label, cells) for label in LABELS),
        baselines=tuple(map(baseline_of, ("held-out samples", "noise", *(f"{label}, untrained" for label in LABELS)))),
        cells=tuple(cells),
        environment={"torch": "2.13", "platform": "Linux-6.1-x86_64-with-a-long-description-of-itself" * 2},
        command=COMMAND,
        vectors=False,
        differences=results.differences_of(cells),
        about=dict.fromkeys(METRICS, "What this score is, in one sentence of some length."),
        created="2026-01-02T03:04:05+00:00",
        settings=ComparedSettings(same=("data", "seeds"), different=different),
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return a report with wide pictures."""
    pictures = tuple(ReportPicture(label, png(702, 320)) for label in LABELS)
    folder = tmp_path_factory.mktemp("page")
    small = Section("Samples", "The same draws for every model.", pictures)
    large = Section("Interpolations", "Of 64×64 pixels.", pictures, is_magnified=False)
    report.write_report(folder, results_of_four(), [small, large])
    return folder / "report.html"


@pytest.fixture
def browse(tmp_path):
    """Return a function that opens an address in a browser without a window."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here")

    def call(address, *options):
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += ["--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}", *options, address]
        return subprocess.run(command, check=True, capture_output=True).stdout.decode()

    return call


def test_a_time_that_was_measured_for_something_else_is_marked():
    of_four = results_of_four()
    cells = [replace(cell, reused=cell.label == "gan" and cell.seed == 1) for cell in of_four.cells]
    table = report.ScoreTable(replace(of_four, cells=tuple(cells)))
    assert [row[-1] for row in table.costs[1:]] == ["61", "61 ‡", "61", "61"]
    assert "‡ was measured by an earlier command" in table.markdown()
    assert "‡" not in report.ScoreTable(of_four).markdown()


def test_losses_are_spoken_of_where_they_are_drawn(tmp_path):
    of_four = results_of_four()
    without = replace(of_four, cells=tuple(replace(cell, losses={}) for cell in of_four.cells))
    pages = []
    for number, each in enumerate((of_four, without)):
        (tmp_path / str(number)).mkdir()
        report.write_report(tmp_path / str(number), each, [])
        pages.append((tmp_path / str(number) / "report.html").read_text())
    assert ["Losses of different models" in page for page in pages] == [True, False]


def test_a_difference_without_an_interval_shows_none_in_a_terminal(monkeypatch, capsys):
    of_four = results_of_four()
    alike = tuple(replace(each, low=None, high=None) for each in of_four.differences)
    lines = shown(monkeypatch, capsys, 160, replace(of_four, differences=alike))
    assert not [line for line in lines if "n = " in line]
    assert [line for line in lines if line.startswith("ali − gan")]


# In a terminal


def shown(monkeypatch, capsys, width, results=None):
    """Return the lines that a terminal of this width shows of the main scores."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    output.console.cache_clear()
    show_contestants(report.ScoreTable(results or results_of_four()))
    output.console.cache_clear()
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("width", "dropped"), [(160, 0), (100, 0), (80, 1), (60, 2)])
def test_a_terminal_is_shown_the_main_scores_that_fit_and_the_names_of_the_others(monkeypatch, capsys, width, dropped):
    lines = shown(monkeypatch, capsys, width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert all({metric, f"{metric},", f"{metric})"} & {*words} for metric in METRICS)
    assert ("(no room for:" in " ".join(lines)) is (dropped > 0)
    assert [metric in " ".join(lines[:2]) for metric in METRICS] == [number < 3 - dropped for number in range(3)]
    assert all(any(line.startswith(label) for line in lines) for label in (*LABELS, "noise"))


def test_the_best_scores_are_marked_in_a_terminal(monkeypatch, capsys):
    assert report.ScoreTable(results_of_four()).rows[0][0].best
    lines = shown(monkeypatch, capsys, 160)
    assert [line.split()[0] for line in lines if "★" in line] == ["ali"]


def test_what_a_terminal_shows_of_a_comparison_is_no_markdown(tmp_path):
    small = ("--set", "dataset.rows=60", "--set", "dataset.held_out_rows=60", "--set", "training.batch_size=20")
    screen = typed(tmp_path, "compare", "gan", "--steps", 2, *small, "--report", "one", columns=80)
    assert screen.code == 0
    lines = [line for line in screen.lines if line]
    assert lines[-2:] == ["6 more scores: one/table.md", "one/report.html"]
    assert not [line for line in lines if line.startswith("|")]
    assert any(line.startswith("gan, untrained") for line in lines)
    assert "n = 1 seed: no deviation, no interval, and no ★ for the best;" in " ".join(lines)


def test_the_marks_of_the_table_in_a_terminal_are_explained():
    of_two, differences = results_of_four(), "of paired differences, the 95 % interval of the mean"
    parts = ["mean ± standard deviation of n = 2 seeds", differences, "★ the best beyond chance"]
    parts += ["† measured differently, not ranked", "↑ higher is better, ↓ lower"]
    assert legend(report.ScoreTable(of_two)).split("; ") == parts
    alone = replace(of_two, rows=of_two.rows[:1], baselines=(), differences=())
    assert legend(report.ScoreTable(alone)).split("; ") == [parts[0], *parts[2::2]]


# In a browser


MEASURE = """
const frames = [...document.querySelectorAll("iframe")];
addEventListener("load", () => {
  document.body.dataset.found = JSON.stringify(frames.map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    page.querySelectorAll("details").forEach(each => { each.open = true; });
    const inside = [...page.querySelectorAll("main *")].filter(each => !each.closest("svg, .scroll > *"));
    return {
      width: root.clientWidth,
      content: root.scrollWidth,
      wide: inside.filter(each => each.scrollWidth > each.clientWidth + 1 && each.clientWidth).map(each => ({
        scrolls: each.className, sign: frame.contentWindow.getComputedStyle(each).backgroundAttachment})),
      firsts: [...page.querySelectorAll("table")].filter(table =>
        frame.contentWindow.getComputedStyle(table.rows[1]).display == "table-row").map(table =>
        table.querySelector("td").clientWidth / table.parentElement.clientWidth),
      listings: [...page.querySelectorAll(".listing")].map(each => each.parentElement)
        .map(each => each.scrollWidth - each.clientWidth),
      cut: [...page.querySelectorAll("table")].flatMap(table => {
        const edge = table.parentElement.getBoundingClientRect().right;
        return [...table.querySelectorAll("th, td")].map(each => each.getBoundingClientRect())
          .filter(each => each.left < edge - 1 && each.right > edge + 1);
      }).length,
      pictures: [...page.querySelectorAll("img")].map(each => each.clientWidth / each.naturalWidth),
      large: [...page.querySelectorAll(".large img")].map(each => each.clientWidth / each.naturalWidth),
      folded: page.querySelectorAll("details").length,
    };
  }));
});
"""


def measured(browse, page, tmp_path):
    """Return what a browser says of the page at every width, all that is folded being open."""
    source = html.escape(page.read_text(encoding="utf-8"), quote=True)
    frames = "".join(
        f'<iframe width="{width}" height="900" frameborder="0" srcdoc="{source}"></iframe>' for width in WIDTHS
    )
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(f"<!doctype html><meta charset=utf-8><body>{frames}<script>{MEASURE}</script></body>")
    document = browse(wrapper.as_uri(), "--dump-dom", "--window-size=1600,1000")
    return json.loads(html.unescape(re.search(r'data-found="([^"]*)"', document)[1]))


@pytest.mark.browser
def test_the_page_fits_its_window_and_what_goes_on_beyond_it_says_so(page, browse, tmp_path):
    found = measured(browse, page, tmp_path)
    assert [each["width"] for each in found] == list(WIDTHS)
    for each in found:
        assert each["content"] <= each["width"]
        assert all(wide["scrolls"] == "scroll" for wide in each["wide"])
        assert all(wide["sign"] == "local, local, scroll, scroll" for wide in each["wide"])
    assert found[0]["wide"]  # on a phone, there is something to scroll
    assert found[0]["cut"] == 0  # and no number ends at the edge
    assert found[0]["listings"] == [0, 0, 0]  # settings, costs and trainings are read without scrolling
    assert all(each["folded"] for each in found)


@pytest.mark.browser
def test_the_first_column_leaves_room_for_the_others_and_pictures_are_not_shrunk_to_less_than_half(
    page, browse, tmp_path
):
    for each in measured(browse, page, tmp_path):
        assert max(each["firsts"]) <= 0.45
        assert min(each["pictures"]) >= 0.5  # a tile of 8×8 is drawn with 64 pixels
        assert min(each["large"]) >= (0.75 if each["width"] > 500 else 0.5)  # one of 64×64, with 48 or more


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), list(product(WIDTHS, ["light", "dark"])))
def test_a_browser_draws_the_page(page, browse, tmp_path, width, scheme):
    picture = tmp_path / "page.png"
    dark = "0" if scheme == "dark" else "1"
    browse(
        page.as_uri(),
        f"--blink-settings=preferredColorScheme={dark}",
        f"--window-size={width},1000",
        f"--screenshot={picture}",
    )
    with Image.open(picture) as image:
        assert image.size[0] == width
        corner = image.convert("L").getpixel((3, 3))
        assert corner < 60 if scheme == "dark" else corner > 200
        colours = image.convert("RGB").getcolors(maxcolors=1_000_000)
        assert len(colours) > 50  # text, lines and drawings, not a blank page


@pytest.mark.browser
def test_no_text_of_a_report_runs_a_script(browse, tmp_path):
    """Names of models, data, classes, metrics and settings, reasons of failures and the command come from others."""
    four = results_of_four()
    failed = replace(four.cells[0], failure="no room", best_step=None)
    results_of = spoiled(replace(four, cells=(failed, *four.cells[1:])), but=("better", "created", "seed"))
    pictures = tuple(ReportPicture(hostile(label), png(16, 16)) for label in LABELS)
    report.write_report(tmp_path, results_of, [Section(hostile("Samples"), hostile("a note"), pictures)])
    assert "data-owned" not in browse((tmp_path / "report.html").as_uri(), "--dump-dom")
    plain = tmp_path / "plain.html"
    plain.write_text(f"<!doctype html><body>{FRAGMENTS[0]}</body>")
    assert "data-owned" in browse(plain.as_uri(), "--dump-dom")  # so the test would see a script
