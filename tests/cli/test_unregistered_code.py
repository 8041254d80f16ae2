"""Components that no plugin registers: both doors train them, and what was trained with them can be opened again."""

import json
import subprocess
import sys

import pytest
from toy import TOY

import genzoo
from genzoo.errors import SettingsError
from genzoo.host.unregistered import import_code
from genzoo.runs.job import find_game
from genzoo.storage.run_folder import Run
from genzoo_gan.gan import GAN

GAME = """
from dataclasses import dataclass
from pathlib import Path
from genzoo_gan.gan import GAN

with Path(__file__).with_suffix(".imported").open("a") as file:
    file.write("imported ")

@dataclass(frozen=True, kw_only=True)
class Half(GAN):
    '''A game whose losses count half.'''

    name = "half"
    share: float = 0.5

    def losses(self, networks, batch, movers):
        full = super().losses(networks, batch, movers)
        return full._replace(players={player: self.share * loss for player, loss in full.players.items()})

if __name__ == "__main__":
    import genzoo, sys
    run = genzoo.train(Half(share=0.25), steps=2, overrides=dict(word.split("=") for word in sys.argv[1:]))
    print(run.path, genzoo.load(run).game)
"""
METRIC = """
from dataclasses import dataclass
from genzoo.evaluation import Metric, Score

@dataclass(frozen=True, kw_only=True)
class Count(Metric):
    '''How many rows there are.'''

    name = "count"

    def obstacle(self, model):
        return None

    def measure(self, model, split, *, train, seed):
        return [Score(metric="count", value=float(len(split.x)))]
"""
SETTINGS = [f"{path}={value}" for path, value in TOY.items()]
ASSIGNMENTS = [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture
def half(tmp_path, monkeypatch):
    """Yield a file with a game, in the current folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my_half.py"
    file.write_text(GAME, encoding="utf-8")
    yield file
    for module in ("my_half", "my_count"):
        sys.modules.pop(module, None)


def test_the_command_line_trains_a_class_of_a_file_and_opens_its_run_where_the_file_is_named(half, say):
    trained = say("train", "./my_half.py:Half", "--steps", "2", *ASSIGNMENTS, "--run", "run", "--quiet")
    assert trained.code == 0, trained.err
    (command,) = [line.split() for line in trained.err.splitlines() if " sample " in line]
    record = Run(half.parent / "run").record
    assert record.model == "my_half:Half"
    assert record.settings["game"] | {"share": 0.5, "name": "my_half:Half"} == record.settings["game"]

    del sys.modules["my_half"]  # as in another process
    half.with_suffix(".imported").unlink()
    refused = say("sample", "run", "-n", "4", "--out", "x.npy")
    assert refused.code == 3
    assert "no model named 'my_half:Half'" in refused.err
    assert "genzoo --code FILE.py" in refused.err
    assert not half.with_suffix(".imported").exists()  # a record imports nothing

    assert command == ["genzoo", "--code", half.name, "sample", "run"]  # as it is advised after the training
    assert say(*command[1:], "-n", "4", "--out", "x.npy").code == 0
    assert say("--code", half.name, "resume", "run", "--steps", "3", "--quiet").code == 0
    (half.parent / "my_count.py").write_text(METRIC, encoding="utf-8")
    for metric in ("./my_count.py:Count", "my_count:Count"):
        measured = say("evaluate", "run", "--metric", metric, "--json")
        assert measured.code == 0, measured.err
        assert [score["metric"] for score in measured.document["scores"]] == ["count"]
    assert "my_half:Half is not a Metric" in say("evaluate", "run", "--metric", "my_half:Half").err
    assert Run(half.parent / "run").step == 3


def test_a_script_trains_its_own_class_and_others_open_the_run(half):
    command = [sys.executable, half.name, *SETTINGS]
    script = subprocess.run(command, capture_output=True, text=True, check=False)
    assert script.returncode == 0, script.stderr
    path, _, game = script.stdout.strip().partition(" ")
    assert "share=0.25" in game
    again = f"import genzoo, my_half; print(genzoo.load({path!r}).game.share)"
    opened = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=False)
    assert opened.stdout == "0.25\n", opened.stderr


def test_a_comparison_takes_it_to_its_workers(half, say):
    compared = say("compare", "my_half.py:Half", "--steps", "2", *ASSIGNMENTS, "--jobs", "1", "--json")
    assert compared.code == 0, compared.err
    assert [row["model"] for row in json.loads(compared.out)["rows"]] == ["my_half:Half"]


def test_a_comparison_of_an_object_imports_its_file_in_the_workers(half):
    script = (
        "import genzoo, my_half\n"
        "from genzoo.comparison import compare\n"
        f"settings = dict(setting.split('=') for setting in {SETTINGS!r})\n"
        "result = compare([my_half.Half(share=0.25)], steps=2, overrides=settings, jobs=1)\n"
        "print(result.results.failures, result.rows[0].settings['game']['share'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "[] 0.25\n", done.stderr


def test_a_class_inside_a_function_is_refused_before_training(tmp_path):
    class Local(GAN):
        pass

    with pytest.raises(SettingsError, match="Local is not at the top of a module") as refused:
        genzoo.train(Local(), steps=1, overrides=TOY, runs=tmp_path / "runs")
    assert "register it with a plugin" in str(refused.value.remedy)
    assert not (tmp_path / "runs").exists()


def test_what_cannot_be_imported_is_said(registry_of_all, half, tmp_path):
    (tmp_path / "wrong.py").write_text("1 / 0", encoding="utf-8")
    (tmp_path / "json.py").write_text("", encoding="utf-8")
    for name, message in {
        "nowhere.py:Half": "there is no file nowhere.py",
        "no_such_module:Half": "no module is named 'no_such_module'",
        "wrong.py:Half": "wrong.py cannot be imported: ZeroDivisionError",
        "json.py:Half": "there is another module 'json'",
        "json:JSONDecoder": "json has no component 'JSONDecoder'",
        f"{half.name}:Hlf": "my_half.py has no component 'Hlf'; did you mean 'Half'?",
        "genzoo-fish:half": "no model named 'genzoo-fish:half'",
    }.items():
        with pytest.raises(genzoo.GenzooError) as refused:
            find_game(registry_of_all, name)
        assert message in str(refused.value)
    assert "wrong" not in sys.modules


def test_a_record_that_names_a_file_imports_nothing(registry_of_all, half):
    with pytest.raises(SettingsError):
        registry_of_all.resolve(genzoo.Game, f"{half}:Half")
    assert not half.with_suffix(".imported").exists()


def test_a_class_of_another_kind_is_refused(registry_of_all, half):
    assert import_code(half.name) == "my_half"
    with pytest.raises(SettingsError, match="my_half:Half is not a Metric"):
        registry_of_all.resolve(genzoo.evaluation.Metric, "my_half:Half")


@pytest.fixture
def registry_of_all():
    from genzoo.host.discovery import registry

    return registry()
