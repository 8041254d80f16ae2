"""Trackers for tests: one that remembers what it was told, and one that does harm."""

import random
from dataclasses import dataclass
from typing import ClassVar

import numpy
import torch

from genzoo.runs import TrackedRun, Tracker, Tracking

TOLD = {}
"""What every `Listener` was told, by its title: a list of tuples, the method's name first."""


@dataclass(frozen=True, kw_only=True)
class Listener(Tracker):
    """Remembers what it is told under its title, and fails in one method, if that is named."""

    name: ClassVar[str] = "listener"
    title: str = "all"
    fails_in: str = ""
    missing: str | None = None

    def obstacle(self):
        return self.missing

    def start(self, run):
        return Ear(self, run)


class Ear(Tracking):
    def __init__(self, listener, run):
        self.listener = listener
        self.note("start", run)

    def note(self, method, *told):
        if self.listener.fails_in == method:
            raise OSError(f"{method} does not work")
        TOLD.setdefault(self.listener.title, []).append((method, *told))

    def log(self, step, values):
        self.note("log", step, dict(values))

    def picture(self, step, name, path):
        assert path.read_bytes().startswith(b"\x89PNG")
        self.note("picture", step, name)

    def card(self, step, text):
        self.note("card", step, text)

    def finish(self, *, done):
        self.note("finish", done)


@dataclass(frozen=True, kw_only=True)
class Other(Listener):
    """Another one, to stand beside it."""

    name: ClassVar[str] = "other"
    title: str = "other"


@dataclass(frozen=True, kw_only=True)
class Meddler(Listener):
    """Draws from every global generator, and seeds them, whenever it is told something."""

    name: ClassVar[str] = "meddler"
    title: str = "meddler"

    def start(self, run):
        return _MeddlersEar(self, run)


class _MeddlersEar(Ear):
    def note(self, method, *told):
        for seed in (torch.manual_seed, random.seed, numpy.random.seed):
            seed(7)
        super().note(method, *told)


def told(title, method):
    """Return what the listener of a title was told by one method."""
    return [rest for name, *rest in TOLD.get(title, []) if name == method]


def tracked_run(folder, **settings):
    """Return a run as trackers are told of it."""
    return TrackedRun(name="0001-toy", identity="0" * 32, folder=folder / "mine", settings={"model": "toy"} | settings)
