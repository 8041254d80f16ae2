"""Runs that are stopped after a step and resumed, and the files they leave."""

import torch

import genzoo
from genzoo.errors import InterruptedRun
from genzoo.runs.engine import Callback
from genzoo.storage.run_folder import Run

SIGINT = 2


class StopAt(Callback):
    """Asks a run to stop after a step, as Ctrl-C would: it saves, and draws and evaluates nothing."""

    def __init__(self, step):
        self.stop = step
        self.step = 0

    def on_start(self, run, step, steps):
        self.step = step

    def stop_signal(self):
        self.step += 1
        return SIGINT if self.step >= self.stop else None


def resume_until(steps, path):
    """Go on in this process; called in a fresh one by `resumed`."""
    torch.set_num_threads(1)
    try:
        genzoo.resume(path, callback=StopAt(steps))
    except InterruptedRun:
        return
    raise AssertionError(f"{path} was not stopped at step {steps}")


def files_of(path, step):
    checkpoint = Run(path).newest_checkpoint()[0]
    assert checkpoint.step == step
    return {file.name: file.read_bytes() for file in checkpoint.path.glob("*.safetensors")}
