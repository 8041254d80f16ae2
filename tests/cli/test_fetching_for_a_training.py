"""`genzoo train --fetch`: what is missing is fetched and prepared before the training, or asked about in a terminal."""

import shutil

import pytest
from loopback import serving_folder
from published import publishing

from genzoo.cli import options
from genzoo.runs import session
from genzoo.storage.run_folder import Run
from genzoo_data.celeba64 import CelebA64

FETCHED = ("train", "gan", "--recipe", "svhn", "--data", "data")


@pytest.fixture
def server(tmp_path):
    """Serve small sets in the place of the published ones, and return the folder that holds them."""
    folder = tmp_path / "published"
    folder.mkdir()
    with serving_folder(folder) as address, publishing(folder, address):
        yield folder


@pytest.fixture
def requests(monkeypatch, tmp_path):
    """Train nothing, and return what would be trained."""
    requests = []
    monkeypatch.setattr(session, "train_request", lambda request, callback: requests.append(request) or Run(tmp_path))
    monkeypatch.setattr("genzoo.cli.train._show_result", lambda run, as_json: None)
    return requests


def test_what_is_missing_is_fetched_prepared_and_then_trained_on(say, server, requests, tmp_path):
    assert say(*FETCHED, "--fetch").code == 0
    assert (tmp_path / "data" / "svhn" / "card.json").exists()
    assert len(requests) == 1
    shutil.rmtree(server)
    assert say(*FETCHED, "--fetch").code == 0  # it is there, and not asked for


@pytest.mark.usefixtures("server")
def test_nothing_is_fetched_or_asked_where_nobody_can_answer(say, tmp_path):
    said = say(*FETCHED)
    assert said.code == 3
    assert "genzoo data fetch svhn" in said.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("answer", "is_there"), [(True, True), (False, False)])
@pytest.mark.usefixtures("server")
def test_a_terminal_is_asked(say, requests, tmp_path, monkeypatch, answer, is_there):
    questions = []
    monkeypatch.setattr(options, "can_ask", lambda: True)
    monkeypatch.setattr("click.confirm", lambda text, err: questions.append(text) or answer)
    assert say(*FETCHED).code == 0
    assert questions[0].startswith("data set 'svhn' is missing: get extra_32x32.mat (1,267.7 MiB), train_32x32.mat (")
    assert (tmp_path / "data" / "svhn").exists() == is_there
    assert len(requests) == 1
    for quiet in ("--quiet", "--json"):
        say(*FETCHED, quiet)
    assert len(questions) == 1


def test_what_is_the_persons_own_is_left_to_the_training_to_explain(say):
    said = say("train", "ali", "--recipe", "folder32", "--data", "data", "--fetch")
    assert said.code == 3
    assert "genzoo data prepare folder32 --source PATH" in said.err


def test_what_no_program_can_fetch_is_explained_in_steps(say):
    said = say("train", "ali", "--recipe", "celeba64", "--data", "data", "--fetch")
    assert said.code == 3
    steps = [f"{number}. {step}" for number, step in enumerate(CelebA64.by_hand, start=1)]
    assert said.err.splitlines()[: len(steps)] == steps
    assert "celeba64 cannot be fetched by a program" in said.err
    said = say("train", "ali", "--recipe", "celeba64", "--data", "data")
    assert (said.code, "1. " in said.err) == (3, False)
