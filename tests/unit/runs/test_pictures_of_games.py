"""Pictures by which a game shows itself: in a run's folder, in its files and page, and in a report."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from toy_components import TRAINING, ToyImageNetworks, ToyImages, ToyMixture, ToyNetworks, WithEncoder
from trainers import settings_of, trainer_on

from genzoo import SettingsError
from genzoo.comparison.sections import sections_of
from genzoo.errors import GenzooWarning
from genzoo.evaluation import drawing, save_picture
from genzoo.runs.callbacks import Callback
from genzoo.runs.engine import Engine, run_to_end
from genzoo.storage.run_folder import Run
from genzoo.types import Picture

BRIEF = replace(TRAINING, steps=2, log_every=2, checkpoint_minutes=None, picture_every=1)
TASKS = {"images": (ToyImages(), ToyImageNetworks()), "vectors": (ToyMixture(), ToyNetworks())}


@dataclass(frozen=True, kw_only=True)
class Showing(WithEncoder):
    """Shows what becomes of prior draws that shrink to 0."""

    name: ClassVar[str] = "showing"
    called: str = "shrinking"

    def pictures(self, networks, batch, prior):
        z = torch.cat([share * batch.z[:4, None] for share in (1, 0.5, 0)], 1)
        x = networks.decode(z.flatten(0, 1))
        return {self.called: Picture(x, columns=3, headings=("1", "½", "0"), joined=True)}


def engine_of(game, task, path):
    dataset, architecture = TASKS[task]
    settings = settings_of(game, dataset=dataset, architecture=architecture, training=BRIEF)
    path.mkdir()
    return Engine(trainer_on(settings), Run(path), dataset.load(None), Callback())


def trained(engine):
    assert run_to_end([engine], lambda: [engine.trainer.take_step()]) == {}
    return engine.run


@pytest.mark.parametrize("task", TASKS)
def test_a_run_draws_them_where_it_draws_samples(task, tmp_path):
    run = trained(engine_of(Showing(), task, tmp_path / "run"))
    assert run.picture_kinds == ["samples", "reconstructions", "pictures/shrinking"]
    names = [path.name for path in sorted((run.path / "pictures" / "shrinking").iterdir())]
    assert names == [path.name for path in sorted((run.path / "samples").iterdir())] == ["0000001.png", "0000002.png"]
    assert run.newest_picture("pictures/shrinking").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("task", TASKS)
def test_pictures_are_of_rows_and_draws_that_the_seed_decides(task, tmp_path):
    engine = engine_of(Showing(), task, tmp_path / "run")
    model, split = engine.model(engine.trainer.networks), TASKS[task][0].load(None).validation
    picture = model.pictures(split, seed=4)["shrinking"]
    z = model.draw_z(min(64, len(split.x)), seed=4)[:4]
    assert torch.allclose(picture.x[0::3], model.decode(z), atol=1e-6)
    assert torch.allclose(picture.x[2::3], model.decode(torch.zeros_like(z)), atol=1e-6)
    assert not picture.x.requires_grad


@pytest.mark.parametrize("task", TASKS)
def test_a_report_has_a_section_for_each_name(task, tmp_path):
    models = {}
    for label, game in (("a", Showing()), ("b", WithEncoder()), ("c", Showing())):
        engine = engine_of(game, task, tmp_path / label)
        models[label] = engine.model(engine.trainer.networks)
    sections = {section.title: section for section in sections_of(models, TASKS[task][0].load(None))}
    assert [picture.title for picture in sections["Shrinking"].pictures] == ["a", "c"]


@pytest.mark.parametrize("called", ["../outside", "", "a/b"])
def test_a_name_that_is_no_folder_s_is_refused_and_the_training_goes_on(called, tmp_path):
    engine = engine_of(Showing(called=called), "vectors", tmp_path / "run")
    with pytest.warns(GenzooWarning, match="a picture of showing is called"):
        run = trained(engine)
    assert engine.trainer.step == 2
    assert not (run.path / "pictures").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_a_game_whose_pictures_fail_trains_on_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(Showing, "pictures", lambda *arguments: {}["what"])
    engine = engine_of(Showing(), "vectors", tmp_path / "run")
    with pytest.warns(GenzooWarning, match="the pictures of showing failed: KeyError"):
        trained(engine)
    assert engine.trainer.step == 2


def test_images_are_saved_as_a_grid_and_vectors_as_points(tmp_path):
    images = torch.rand(6, 1, 8, 8)
    save_picture(images, tmp_path / "grid.png", columns=3, headings="abc")
    assert (tmp_path / "grid.png").read_bytes() == drawing.grid_png(images, columns=3, headings="abc")
    points = torch.tensor([[1.0, 2.0], [-3.0, 0.5]])
    save_picture(points, str(tmp_path / "points.png"), columns=2, joined=True)
    panel = drawing.Panel("x", points, None, 3.3, 2)
    assert (tmp_path / "points.png").read_bytes() == drawing.panels_png([panel])
    with pytest.raises(SettingsError, match="expected images"):
        save_picture(torch.zeros(3), tmp_path / "none.png")
