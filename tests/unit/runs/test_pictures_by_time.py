"""Pictures that no steps say when to draw: as often as takes 2 % of the time, with every number as without them."""

from dataclasses import replace

import pytest
from toy_components import TRAINING, WithEncoder
from trainers import settings_of, trainer_on

from genzoo.evaluation import pictures
from genzoo.runs import engine as engine_module
from genzoo.runs.callbacks import Callback
from genzoo.runs.engine import Engine, run_to_end
from genzoo.runs.intervals import PictureBudget
from genzoo.storage import checkpoints, files
from genzoo.storage.run_folder import Run

STEPS = 6
BY_TIME = replace(TRAINING, steps=STEPS, log_every=2, checkpoint_minutes=None, picture_every=None)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("seconds", [0.5, 4.0])
def test_pictures_take_two_per_cent_of_the_time_and_one_picture(seconds):
    clock = Clock()
    budget, drawn = PictureBudget(clock=clock), []
    while clock.now < 2000:
        clock.now += 1
        if budget.allows_more():
            drawn.append(clock.now)
            with budget.spending():
                clock.now += seconds
    assert drawn[0] == 50  # a second is put by for the first
    assert 0.02 * 2000 - 1 - seconds <= len(drawn) * seconds <= 0.02 * 2000 + seconds


class Every(PictureBudget):
    """Allows a picture after every other step."""

    asked = 0

    def allows_more(self):
        self.asked += 1
        return self.asked % 2 == 0


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Return a function that trains and returns the run."""
    monkeypatch.setattr(pictures, "save_panels", lambda path, panels: files.write(path, b"drawn"))

    def call(name, training, budget=PictureBudget):
        monkeypatch.setattr(engine_module, "PictureBudget", budget)
        run, settings = Run(tmp_path / name), settings_of(WithEncoder(), training=training)
        run.path.mkdir()
        engine = Engine(trainer_on(settings), run, settings.dataset.load(None), Callback())
        assert run_to_end([engine], lambda: [engine.trainer.take_step()]) == {}
        return run

    return call


def drawn(run):
    return sorted(int(path.stem) for path in (run.path / "samples").iterdir())


def numbers(run):
    """Return the weights and moments of a run, and its log without times."""
    checkpoint, _ = checkpoints.newest(run.checkpoints)
    log = [{name: entry[name] for name in ("step", "losses", "watch")} for entry in run.read_log()]
    return {file.name: file.read_bytes() for file in checkpoint.path.glob("*.safetensors")}, log


def test_when_pictures_are_drawn_changes_no_weight_and_no_line_of_the_log(train):
    often, rarely = train("often", BY_TIME, Every), train("rarely", BY_TIME)
    assert (drawn(often), drawn(rarely)) == ([2, 4, 6], [STEPS])
    assert numbers(often) == numbers(rarely)


def test_where_steps_say_when_to_draw_time_does_not(train):
    assert drawn(train("by steps", replace(BY_TIME, picture_every=4), Every)) == [4, STEPS]
