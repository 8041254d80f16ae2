"""Sweeps of a part of z: columns differ in it alone, rows in all others."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from toy_components import OnePlayer
from trainers import CPU, settings_of, trainer_on

from genzoo import SettingsError
from genzoo.evaluation import Model
from genzoo.evaluation.codes import sweep_of
from genzoo.games import CategoricalNormal, StandardNormal


@dataclass(frozen=True, kw_only=True)
class Named(StandardNormal):
    """A prior that names its last number."""

    name: ClassVar[str] = "named"

    def parts(self, latent):
        return {"size": slice(latent - 1, latent)}


def model_with(prior):
    settings = replace(settings_of(OnePlayer()), prior=prior)
    return Model.of(settings, trainer_on(settings).networks.eval(), device=CPU, label_frequencies=None)


def test_every_category_is_a_column_and_a_row_has_one_draw_of_the_others():
    wide = replace(settings_of(OnePlayer()).architecture, latent=5)
    settings = replace(settings_of(OnePlayer(), architecture=wide), prior=CategoricalNormal(categories=3))
    model = Model.of(settings, trainer_on(settings).networks.eval(), device=CPU, label_frequencies=None)
    z, headings = sweep_of(model, "category", rows=4, seed=1)
    assert headings == ("0", "1", "2")
    assert torch.equal(z[:, :, :3], torch.eye(3).expand(4, 3, 3))
    assert torch.equal(z[:, :, 3:], model.draw_z(4, seed=1)[:, None, 3:].expand(4, 3, 2))


def test_a_part_that_is_a_number_takes_its_quantiles():
    model = model_with(Named())
    z, headings = sweep_of(model, "size", rows=2, seed=0)
    assert headings[0] == "5%"
    assert headings[-1] == "95%"
    # quantiles of 1,000 draws from N(0, 1): the 5 % one is −1.645, with a standard error of about 0.07
    assert z[0, 0, 1].item() == pytest.approx(-1.645, abs=0.3)
    assert (z[0, :, 1].diff() > 0).all()
    assert torch.equal(z[:, :, 0], model.draw_z(2, seed=0)[:, None, 0].expand(2, len(headings)))


@pytest.mark.parametrize(
    ("prior", "said"),
    [(Named(), "names no part 'sizes' of z; did you mean 'size'"), (StandardNormal(), "names no part")],
)
def test_a_part_that_is_not_there_is_refused(prior, said):
    with pytest.raises(SettingsError, match=said):
        sweep_of(model_with(prior), "sizes", rows=2, seed=0)
