"""What commands write to a terminal: nothing wider than it, no word broken, and colour unless NO_COLOR is set."""

import io
import json
import re
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from terminal import typed
from toy import TOY

import genzoo
from genzoo.cli import output, show
from genzoo.cli.output import columns
from genzoo.runs.bars import TerminalBar
from genzoo.runs.collapse import failures_of
from genzoo.storage import files
from genzoo.storage.run_folder import Run
from genzoo.storage.scores import main_scores

TOY_OPTIONS = [part for path, value in TOY.items() for part in ("--set", f"{path}={value}")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a run of ali in it."""
    root = tmp_path_factory.mktemp("zoo")
    genzoo.train("ali", overrides=TOY, runs=root / "runs")
    return root


def words(lines):
    return {word for line in lines for word in line.split()}


@pytest.mark.parametrize("width", [80, 50])
@pytest.mark.parametrize("command", [("list",), ("runs",)], ids=" ".join)
def test_a_table_is_no_wider_than_the_terminal_and_breaks_no_word(folder, command, width):
    piped = words(typed(folder, *command, columns=1000, TERM="dumb").lines)
    screen = typed(folder, *command, columns=width)
    assert screen.code == 0
    assert max(map(cell_len, screen.lines)) <= width
    note = next((line for line in screen.lines if line.startswith("(no room for: ")), "")
    assert words(screen.lines) - words([note]) <= piped
    table = " ".join(line for line in screen.lines if line != note)
    for name in {"runs": ("run", "model", "recipe", "step", "status", "score")}.get(command[0], ()):
        assert (f" {name}" in f" {table}") != (name in note)


@pytest.mark.parametrize(
    "command", ["data fetch celeba64", "plugin doctor", "show dataset:mixture25", "show dataset:digits"]
)
def test_prose_folds_at_spaces(folder, command):
    screen = typed(folder, *command.split(), columns=60)
    lines = [line.strip() for line in screen.lines]
    assert all(cell_len(line) <= 60 for line in lines if " " in line)


def test_a_paragraph_is_as_wide_as_the_terminal_however_its_docstring_is_broken():
    text = "One line\nand the next.\n\nLosses:\n    a = b\n    c = d\n\nMore\nof it."
    assert show._in_paragraphs(text) == "One line and the next.\n\nLosses:\n    a = b\n    c = d\n\nMore of it."


def test_a_list_of_names_after_an_error_folds_and_a_command_does_not(folder):
    screen = typed(folder, "trian", columns=60)
    assert max(map(len, screen.lines)) <= 60
    assert screen.lines[1].startswith("there are: train, resume, ")
    assert {"reconstruct,", "interpolate,", "completion,"} <= words(screen.lines)
    screen = typed(folder, "train", "ali", "--recipe", "svhn", "--data", "nowhere", "--quiet", columns=60)
    assert any(
        line.startswith("type: genzoo data fetch svhn, then: genzoo data prepare svhn; ") for line in screen.lines
    )


def test_a_run_at_50_columns_breaks_no_score_and_settings_only_where_their_parts_meet(folder):
    screen = typed(folder, "show", "1", columns=50)
    assert max(map(cell_len, screen.lines)) <= 50
    scores = {score["metric"] for score in Run(folder / "runs/0001-ali-mixture25-s0").final_scores}
    assert scores <= words(screen.lines)
    assert "(no room for: how it was measured)" in screen.lines
    assert any(line.endswith(" learning_rate_schedule=cosine(") for line in screen.lines)


def test_a_training_at_50_columns_shows_its_step_speed_and_time_left(folder):
    screen = typed(folder, "train", "gan", *TOY_OPTIONS, "--steps", "400", "--run", "narrow", columns=50)
    assert screen.code == 0
    moving = [line for line in screen.lines if re.match(r"step \d+/400 .*\d steps/s  \d:\d\d left$", line)]
    assert len({line.split()[1] for line in moving}) >= 2
    assert max(len(line) for line in screen.lines if not line.startswith("  genzoo ")) <= 50
    again = typed(folder, "train", "gan", *TOY_OPTIONS, "--steps", "400", "--run", "narrow", columns=80)
    assert "all 400 steps are taken already" in again.lines


def test_what_a_signal_has_to_say_stands_below_a_bar_and_alone_where_there_is_none(capfd):
    drawn = io.StringIO()
    bar = TerminalBar(Console(file=drawn, force_terminal=True, width=60))
    bar.begin(3, 10)
    bar.tell("stopping soon")
    bar.close()
    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.getvalue()).split("\n")[-3].strip() == "stopping soon"
    assert capfd.readouterr().err == ""
    bar.tell("stopped")
    assert capfd.readouterr().err == "stopped\n"


def test_errors_are_coloured_on_a_terminal_unless_asked_not_to(folder):
    assert typed(folder, "trian", columns=80).colours == {"1;31"}
    plain = typed(folder, "trian", columns=80, NO_COLOR="1")
    assert plain.lines[0].startswith("error: no command named 'trian'; did you mean 'train'?")
    assert plain.colours <= {"1"}  # weights are no colours
    assert "\x1b" not in typed(folder, "trian", columns=80, TERM="dumb").raw


# The scores after a training


def score(metric, *, better="higher", headline=False):
    return {"metric": metric, "better": better, "headline": headline}


def test_three_scores_stand_for_all_headlines_first_and_those_without_direction_never():
    width, part, first, second, ratio = (
        score("width", better=None),
        score("modes/least"),
        score("modes"),
        score("other/first", headline=True),
        score("ratio", better="lower"),
    )
    assert main_scores([width, part, first, second, ratio]) == [second, first, ratio]
    assert main_scores([part]) == [part]
    assert main_scores([width]) == []
    otherwise = {**second, "protocol": {"rows": 5}}
    assert main_scores([second, first, otherwise, ratio]) == [otherwise, first, ratio]  # the last of a metric


def test_a_training_ends_with_three_scores_and_their_directions(say):
    said = say("train", "ali", *TOY_OPTIONS)
    header, *rows = said.out.splitlines()[:4]
    assert header.split() == ["score", "value"]
    assert [row.split()[:2] for row in rows] == [
        ["modes/divergence", "↓"],
        ["modes/high-quality", "↑"],
        ["modes/counted", "↑"],
    ]
    others = len(Run(Path("runs/0001-ali-mixture25-s0")).final_scores) - 3
    assert f"↑ higher is better, ↓ lower; {others} more are shown by: genzoo show RUN" in said.err


# The verdict


def entry(step, **watch):
    return {"step": step, "losses": {}, "watch": watch}


@pytest.fixture
def own(folder, tmp_path):
    """Return a copy of the run, without scores or a log."""
    run = Run(tmp_path / "run")
    run.path.mkdir()
    (run.path / "run.json").write_bytes((folder / "runs/0001-ali-mixture25-s0/run.json").read_bytes())
    return run


def test_a_run_has_failed_if_a_warning_of_its_log_holds_to_the_end(own):
    assert failures_of(own) == []
    for step in (1, 2, 3):
        own.log(entry(step, data_accuracy=1.0, sample_accuracy=0.995))
    (text,) = failures_of(own)
    assert text.startswith("the critic is always right")
    own.log(entry(4, data_accuracy=0.7, sample_accuracy=0.8))
    assert failures_of(own) == []


def test_a_run_has_failed_if_a_score_says_so_and_nothing_else_is_advised(say):
    good = {"metric": "ratio", "value": 0.5, "step": 0, "protocol": {"seed": 0}, "failure": None}
    said = say("train", "ali", *TOY_OPTIONS, "--json")
    run = Run(Path("runs/0001-ali-mixture25-s0"))
    ratio = next(item for item in said.document["scores"] if item["metric"] == "reconstruction/ratio")
    assert said.document["failures"] == [ratio["failure"]]  # after four steps, reconstructions ignore x
    run.write_scores([good | {"step": 4, "metric": name, "failure": "it is broken"} for name in ("a", "b")])
    assert "it is broken" in failures_of(run)
    assert failures_of(run).count("it is broken") == 1


def test_the_verdict_stands_in_place_of_what_to_try(say, monkeypatch):
    monkeypatch.setattr("genzoo.cli.train.failures_of", lambda run: ["it is broken"])
    said = say("train", "gan", *TOY_OPTIONS, "--run", "mine")
    *_, verdict, heading, command = said.err.splitlines()
    assert (verdict, heading, command.strip()) == ("failed: it is broken", "next, look into it:", "genzoo show mine")


def test_a_failure_that_is_no_text_is_damage(say, own):
    scores = [{"metric": "m", "value": 1.0, "step": 0, "protocol": {}, "failure": 3}]
    files.write_sealed(own.path / "evaluation.json", {"schema_version": 1, "run": "run", "scores": scores})
    with pytest.raises(genzoo.UnreadableError, match="scores is missing or wrong"):
        _ = own.scores
    assert json.loads((own.path / "evaluation.json").read_text())["scores"] == scores


def test_settings_that_are_left_open_or_empty_are_not_shown():
    settings = {"name": "folder", "set": "", "size": 0, "classes": [], "players": {}, "labels": None, "adaptive": False}
    assert output.settings_texts(settings) == ["size=0", "adaptive=False"]


def test_columns_elsewhere_are_as_wide_as_they_need(capsys):
    assert columns([("a", "b" * 200)]) == f"a  {'b' * 200}"


# A study's table


STUDY = """| model | modes, here | the paper |
|---|---|---|
| ali | 13 ± 1 | 13.4 ± 5.8 (8–25) |
| a\\|b | 7 | – |

* a note of the study that is so long that it must fold somewhere in a terminal of eighty columns"""


def test_markdown_is_a_table_in_a_terminal_and_itself_elsewhere(monkeypatch, capsys):
    output.result_markdown(STUDY)
    assert capsys.readouterr().out == f"{STUDY}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    output.console.cache_clear()
    output.result_markdown(STUDY)
    output.console.cache_clear()
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "model  modes, here          the paper",
        "ali         13 ± 1  13.4 ± 5.8 (8–25)",
        "a|b              7                  –",
        "",
        "* a note of the study that is so long that it must fold somewhere in a terminal",
        "of eighty columns",
    ]
