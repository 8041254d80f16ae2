"""Comparisons in files: what reaches `compare`, what the command line decides, and lines in errors."""

from pathlib import Path

import pytest

from genzoo.errors import SettingsError
from genzoo.runs import TrainingRequest
from genzoo.runs.configuration import comparison_in, comparison_text
from genzoo.storage.run_folder import Run

FILE = """\
recipe: mine.yaml
seeds: 3
steps: 20
deterministic: true
report: studies/first
settings:
  training: {batch_size: 16}
  game: {penalty: {name: zero-centred, weight: 0.5}}
contestants:
  gan:
  hinge 0.1:
    model: gan
    recipe: other.yaml
    steps: 10
    settings:
      game: {objective: hinge}
  before: {run: runs/0001-x}
  vae: vae
sweep:
  training.learning_rate: [1e-4, 3e-4]
  gan:training.beta1: 0, 0.5
"""


class Ended(Exception):
    """Ends a command where the comparison would begin."""


@pytest.fixture
def compared(monkeypatch, tmp_path):
    """Return a function that runs `genzoo compare` and returns what it would have compared, and how it ended."""
    monkeypatch.chdir(tmp_path)
    asked = {}

    def compare(contestants, **more):
        asked.update(more, contestants=contestants)
        raise Ended

    monkeypatch.setattr("genzoo.comparison.comparison.compare", compare)

    def run(say, text, *words):
        asked.clear()
        Path("study.yaml").write_text(text)
        return asked, say("compare", "--config", "study.yaml", *words)

    return run


def test_a_file_says_what_the_options_would_say(compared, say):
    asked, _ = compared(say, FILE)
    places = {"training.batch_size": "study.yaml, line 7", "game.penalty.weight": "study.yaml, line 8"}
    contestants = asked["contestants"]
    assert list(contestants) == ["gan", "hinge 0.1", "before", "vae"]
    assert (contestants["gan"].model, contestants["gan"].overrides, contestants["vae"].model) == ("gan", {}, "vae")
    hinge = contestants["hinge 0.1"]
    assert isinstance(hinge, TrainingRequest)
    assert (hinge.model, hinge.recipe, hinge.steps) == ("gan", "other.yaml", 10)
    assert hinge.overrides == {"game.objective": "hinge"}
    assert {"game.objective": "study.yaml, line 16", **places}.items() <= hinge.places.items()
    assert contestants["before"] == Run.at("runs/0001-x")
    assert asked["overrides"] == {
        "training.batch_size": "16",
        "game.penalty": "zero-centred",
        "game.penalty.weight": "0.5",
    }
    assert asked["sweep"] == {"training.learning_rate": ["1e-4", "3e-4"], "gan:training.beta1": ["0", "0.5"]}
    assert (asked["recipe"], asked["seeds"], asked["steps"], asked["deterministic"]) == ("mine.yaml", 3, 20, True)
    assert (asked["report"], asked["device"]) == (Path("studies/first"), "auto")


def test_what_is_typed_decides_over_the_file(compared, say):
    words = ("--seeds", 1, "--set", "training.batch_size=8", "--set", "vae:training.beta1=0", "--steps", 2)
    asked, _ = compared(say, FILE, *words, "--sweep", "training.learning_rate=1")
    assert (asked["seeds"], asked["steps"], asked["overrides"]["training.batch_size"]) == (1, 2, "8")
    assert asked["sweep"]["training.learning_rate"] == ["1"]
    assert asked["contestants"]["vae"].overrides == {"training.beta1": "0"}
    assert "training.batch_size" not in asked["contestants"]["vae"].places  # it does not stand in the file any more
    asked, _ = compared(say, FILE, "ali", "--recipe", "digits")
    assert (list(asked["contestants"]), asked["recipe"]) == (["ali"], "digits")


def test_trackers_stand_in_the_file_as_items(compared, say):
    asked, _ = compared(say, FILE + "track: [csv, 'mlflow.uri=sqlite:///a,b.db']\n")
    assert asked["track"] == ("csv", "mlflow.uri=sqlite:///a,b.db")
    _, said = compared(say, FILE, "--print-config", "--track", "csv", "--track", "mlflow.uri=a,b")
    asked, _ = compared(say, said.out)
    assert asked["track"] == ("csv", "mlflow.uri=a,b")
    asked, _ = compared(say, said.out, "--track", "none")
    assert asked["track"] == ("none",)


def test_what_is_printed_is_the_same_comparison_again(compared, say):
    asked, said = compared(say, FILE, "--print-config", "--seeds", 5, "--set", "vae:training.beta1=0")
    assert (asked, said.code) == ({}, 0)
    again = comparison_in(said.out, "again")
    assert again.common.values["seeds"] == "5"
    assert again.contestants["vae"].overrides == {"training.beta1": "0"}
    assert comparison_text(again) == said.out
    asked, said = compared(say, "contestants: {gan: gan}\n", "ali", "a=gan", "--print-config")
    assert said.out == "contestants:\n  ali:\n    model: ali\n  a:\n    model: gan\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (FILE.replace("seeds: 3", "seeds: 0"), "study.yaml, line 2: seeds: 0 is not in the range"),
        (FILE.replace("seeds", "seds"), "study.yaml, line 2: no key 'seds'; did you mean 'seeds'?"),
        (FILE.replace("contestants", "contestant"), "study.yaml, line 10: no key 'contestant.gan'"),
        (FILE.replace("steps: 10", "steps: few"), "study.yaml, line 14: steps: 'few' is not a valid"),
        (FILE.replace("model: gan", "modle: gan"), "study.yaml, line 12: no key 'modle'; did you mean 'model'?"),
        (FILE.replace("  vae: vae", "  gan: vae"), "study.yaml, line 18: 'gan' stands here twice"),
        (FILE + "sweep: {}\n", "line 22: 'sweep' stands here twice"),
        (FILE.replace("run: runs/0001-x", "run: 1, model: gan"), "line 17: 'before' has a model and a run"),
        (FILE.replace("run: runs/0001-x", "run: 1, steps: 3"), "line 17: the run 'before' has its settings"),
        ("contestants: [gan]\n", "study.yaml, line 1: expected keys and values"),
        ("seeds: 1\n", "no model is named"),
    ],
)
def test_an_error_names_the_line_and_the_remedy(compared, say, text, says):
    asked, said = compared(say, text)
    assert (asked, said.code) == ({}, 2)
    assert says in " ".join(said.err.split())
    assert len(said.err.strip().splitlines()) <= 3


def test_an_error_in_a_setting_names_the_line(say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text("contestants:\n  gan:\n    settings: {game: {objektive: hinge}}\n")
    said = say("compare", "--config", "study.yaml")
    assert said.code == 2
    assert "study.yaml, line 3: no setting 'game.objektive'; did you mean 'game.objective'?" in said.err


@pytest.mark.parametrize("text", ["sweep: {a: {b: 1}}\n", "sweep: [1]\n", "contestants: {a: [1]}\n"])
def test_what_is_no_comparison_is_refused(text):
    with pytest.raises(SettingsError, match="f, line 1: expected"):
        comparison_in(text, "f")
