"""What the tests of faults share: a server that forks a child for every job, and computing on one thread."""

import pytest
import torch
from every_save import leave_no_save_out
from fork_server import SMALL, Server

from genzoo.runs.background_saver import BackgroundSaver


@pytest.fixture(scope="module")
def bare_server():
    """Return a server that is ended after the module's tests."""
    with Server() as found:
        yield found


@pytest.fixture(scope="module")
def server(bare_server, tmp_path_factory):
    """Return a server that has imported what sessions use, so that its children are quick."""
    bare_server.run("session_modules", then="train", run=tmp_path_factory.mktemp("imports") / "gan", **SMALL)
    return bare_server


@pytest.fixture(scope="module")
def every_save():
    """Leave out no checkpoint that is due."""
    before = leave_no_save_out()
    yield
    BackgroundSaver.is_writing = before


@pytest.fixture(scope="module")
def one_thread():
    """Compute on one thread, as the processes of a test do: two that wait for each other are slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
