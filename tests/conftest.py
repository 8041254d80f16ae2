"""What tests share: one thread per process (two processes that spin on two cores starve each other), and commands."""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A job in a shell's background is started with Ctrl-C ignored, and so are the processes that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Said:
    """What a command wrote, and the code that it ended with."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def document(self):
        """The one JSON document on stdout."""
        assert self.code == 0, self.err
        found = json.loads(self.out)
        assert found["schema_version"] == 1
        return found


@pytest.fixture
def say(monkeypatch, capsys, tmp_path):
    """Return a function that runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    from genzoo import cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["genzoo", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Said(ended.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def trained_here(monkeypatch):
    """Have comparisons and studies train in this process: every other one would import torch anew."""
    monkeypatch.setattr("genzoo.comparison.executors.LocalProcesses", lambda jobs: ThreadPoolExecutor(1))


@pytest.fixture(scope="module")
def undrawn():
    """Have a grey square in the place of scatter plots: matplotlib takes longer for one than a short training."""
    import torch

    from genzoo.evaluation import drawing

    square = drawing.grid_png(torch.zeros(1, 1, 1, 1), columns=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "panels_png", lambda panels: square)
        yield


@pytest.fixture
def tally(request):
    """Return a function that notes a kind of fault that was tried: a row of docs/reliability.md.

    `plain` says what became of a loop that saves with `torch.save` in place, where the fault was tried on one, and
    `are_inputs` that the tries are made-up contents, read in one process, which are counted apart.
    `python tests/faults/make_reliability.py` collects the rows; without it, nothing is written.
    """
    began = time.monotonic()

    def note(fault, *, tries, survived, how, plain="–", are_inputs=False):
        row = {"fault": fault, "tries": tries, "survived": survived, "plain": plain, "how": how, "inputs": are_inputs}
        row |= {"seconds": round(time.monotonic() - began, 1), "test": request.node.nodeid.partition("[")[0]}
        if place := os.environ.get("GENZOO_TALLY"):
            with open(place, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        assert survived == tries, row

    return note
