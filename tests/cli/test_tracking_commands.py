"""`--track`, the example in docs/trackers.md, and what is said of trackers."""

import http.server
import json
import re
import sys
from pathlib import Path

import pytest
from loopback import QuietHandler, serving
from toy import TOY

PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"
ORDER = [word for path, value in TOY.items() for word in ("--set", f"{path}={value}")]


def steps_in(run):
    rows = [line.split(",") for line in Path(run, "trackers/csv/numbers.csv").read_text().splitlines()[1:]]
    return [int(step) for step, name, _ in rows if name == "losses/critic"]


def test_a_run_is_followed_goes_on_so_and_stops_to_be_followed_when_told(say):
    assert say("train", "gan", *ORDER, "--run", "run", "--track", "csv").code == 0
    assert steps_in("run") == [2, 4]
    assert say("resume", "run", "--steps", 6).code == 0
    assert steps_in("run") == [2, 4, 6]
    assert say("resume", "run", "--steps", 8, "--track", "none").code == 0
    assert say("resume", "run", "--steps", 10).code == 0
    assert steps_in("run") == [2, 4, 6]
    assert say("verify", "run").code == 0
    Path("run/trackers.json").write_text("{")
    said = say("verify", "run")
    assert said.code == 3
    assert "trackers.json" in said.out + said.err


@pytest.mark.parametrize(
    ("track", "found", "remedy"),
    [
        ("cvs", "no tracker named 'cvs'; did you mean 'csv'?", "there are: csv, mlflow, tensorboard, wandb"),
        ("csv.path=a", "--track csv: no setting 'path'", "see: genzoo show csv"),
        ("wandb.mode=of", "--track wandb: mode is 'of', expected one of 'online', 'offline'", "see: genzoo show wandb"),
        ("./none.py:Mine", "there is no file ./none.py", "name a Python file: FILE.py"),
    ],
)
def test_what_is_named_wrongly_is_refused_before_a_folder_is_made(say, track, found, remedy):
    said = say("train", "gan", "--track", track)
    assert said.code == (3 if "none.py" in track else 2)
    first, second = said.err.splitlines()
    assert found in first
    assert second == remedy
    assert not Path("runs").exists()


def test_a_file_names_trackers_as_the_option_does(say):
    Path("run.yaml").write_text("model: gan\ntrack: [csv]\n")
    words = ("train", "--config", "run.yaml", *ORDER, "--quiet", "--run")
    assert say(*words, "run").code == 0
    assert steps_in("run") == [2, 4]
    assert say(*words, "other", "--track", "none").code == 0
    assert not Path("other/trackers").exists()
    Path("run.yaml").write_text("model: gan\ntrack: csv, csv.path=a\n")
    assert say(*words, "third").err == say("train", "gan", "--track", "csv", "--track", "csv.path=a").err


def test_trackers_are_listed_and_shown(say):
    assert {each["name"] for each in say("list", "--json").document["trackers"]} >= {"csv", "tensorboard"}
    card = say("show", "mlflow", "--json").document
    assert (card["kind"], card["fields"]["experiment"]) == ("tracker", "genzoo")
    assert card["texts"]["uri"].startswith("A server or database")


def test_the_example_of_the_page_follows_a_run(say, monkeypatch):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len(code.strip().splitlines()) <= 32
    Path("docs_tracker.py").write_text(code)
    monkeypatch.delitem(sys.modules, "docs_tracker", raising=False)
    posted = []

    class Takes(QuietHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Takes)) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        track = f"./docs_tracker.py:Web.url={address}"
        said = say("train", "gan", *ORDER, "--run", "run", "--track", track, "--quiet")
    assert said.code == 0, said.err
    losses = [entry for entry in posted if len(entry) > 2]
    assert [entry["step"] for entry in losses] == [2, 4]
    assert all(entry.keys() == {"run", "step", "losses/critic", "losses/generator"} for entry in losses)
    assert "failed" not in said.err
    stopped = say("--code", "docs_tracker.py", "resume", "run", "--steps", 6, "--quiet")  # there is no server any more
    assert stopped.code == 0
    assert "tracker docs_tracker:Web failed" in stopped.err
    assert "Connection refused" in stopped.err
