"""Figure 7 of the paper: the grid of attributes that CelebA defines, and what the commands draw from it."""

import pytest
import torch
from contents import pixels
from safetensors.torch import load_file
from torch import nn
from toy_components import WithEncoder

from genzoo import Networks, SettingsError
from genzoo.data.condition_text import named_grid, parse_condition
from genzoo.evaluation import Model
from genzoo.games import StandardNormal
from genzoo.nn import Decoder
from genzoo_data.celeba64 import CelebA64

CPU = torch.device("cpu")
FACES = CelebA64().spec


# Attributes as numbered in CelebA's own list
MALE, ATTRACTIVE, YOUNG = 20, 2, 39
BLACK, BROWN, BLOND, WAVY, BANGS, RECEDING, BALD = 8, 11, 9, 33, 5, 28, 4
SMILING, MOUTH_OPEN, EYEGLASSES, HAT = 31, 21, 15, 35
FIGURE_7_ROWS = [
    {MALE, ATTRACTIVE, YOUNG},
    {MALE, ATTRACTIVE},
    {ATTRACTIVE, YOUNG},
    {ATTRACTIVE},
]
FIGURE_7_COLUMNS = [
    set(),
    {BLACK},
    {BROWN},
    {BLOND},
    {BLACK, WAVY},
    {BLOND, BANGS},
    {BLOND, RECEDING},
    {BLOND, BALD},
    {BLACK, SMILING},
    {BLACK, SMILING, MOUTH_OPEN},
    {BLACK, SMILING, MOUTH_OPEN, EYEGLASSES},
    {BLACK, SMILING, MOUTH_OPEN, EYEGLASSES, HAT},
]
FIGURE_7 = torch.tensor(
    [[[float(number in held | added) for number in range(40)] for added in FIGURE_7_COLUMNS] for held in FIGURE_7_ROWS]
)


def test_figure_7_holds_and_adds_the_attributes_of_the_paper():
    grid = named_grid("figure7", FACES)
    assert grid.y.shape == (4, 12, 40)
    assert torch.equal(grid.y, FIGURE_7)
    assert grid.columns == ()


def test_a_misspelt_grid_or_attribute_of_the_faces_is_refused_with_the_nearest():
    with pytest.raises(SettingsError) as refused:
        named_grid("figure 7", FACES)
    assert (refused.value.found, refused.value.remedy) == (
        "no grid 'figure 7'; did you mean 'figure7'?",
        "known: figure7",
    )
    with pytest.raises(SettingsError) as refused:
        parse_condition("Male,Smilling", FACES)
    assert refused.value.found == "no attribute 'Smilling'; did you mean 'Smiling'?"
    assert refused.value.remedy == f"known: {', '.join(FACES.attributes)}"


class Canvas(Decoder):
    """A flat image per cell whose three colours are z, a weighted sum of the attributes, and nothing."""

    def __init__(self):
        super().__init__(support="unit")

    def logits(self, z, y=None):
        weights = torch.arange(1.0, 41).sqrt() / 10
        return torch.stack([z[:, 0], y @ weights, torch.zeros(len(z))], dim=1)[..., None, None].expand(-1, 3, 64, 64)


@pytest.fixture
def faces(monkeypatch):
    """Have the commands load a model of faces, whatever the run."""
    model = Model(
        game=WithEncoder(),
        networks=Networks(decoder=Canvas(), embedder=nn.Identity()),
        data=FACES,
        prior=StandardNormal(),
        latent=1,
        label_frequencies=[0.5] * 40,
        device=CPU,
    )
    monkeypatch.setattr("genzoo.api.load", lambda *_, **__: model)
    return model


def test_figure_7_is_drawn_from_one_z(say, faces):
    said = say("sample", "anywhere", "--grid", "figure7", "--seed", 2, "--out", "a.safetensors", "--json").document
    assert (said["rows"], said["columns"], said["column_names"]) == (4, 12, [])
    stored = load_file("a.safetensors")
    assert torch.equal(stored["y"], FIGURE_7)
    assert stored["samples"].shape == (4, 12, 3, 64, 64)
    z = faces.draw_z(1, seed=2)
    expected = faces.decode(z.expand(48, 1), FIGURE_7.flatten(0, 1)).view(4, 12, 3, 64, 64)
    assert torch.equal(stored["samples"], expected)
    assert len(stored["samples"][:, :, 0].unique()) == 1
    assert len(stored["samples"][:, :, 1].unique()) == 48
    assert say("sample", "anywhere", "--grid", "figure7", "--out", "samples.png").code == 0
    assert pixels("samples.png").shape == (4 * 140 + 12, 12 * 140 + 12, 3)


def test_a_sweep_of_attributes_is_added_to_the_condition(say, faces):
    arguments = ("--condition", "Male,Young", "--sweep", "Smiling,Wearing_Hat", "-n", 3, "--out", "a.safetensors")
    said = say("sample", "anywhere", *arguments, "--json").document
    assert (said["rows"], said["columns"]) == (3, 3)
    assert said["column_names"] == ["Male,Young", "Smiling", "Wearing_Hat"]
    stored = load_file("a.safetensors")
    on = [{MALE, YOUNG}, {MALE, YOUNG, SMILING}, {MALE, YOUNG, HAT}]
    assert [set(cell.nonzero().flatten().tolist()) for cell in stored["y"][0]] == on
    assert torch.equal(stored["y"], stored["y"][:1].expand(3, 3, 40))
    assert len(stored["samples"][:, :, 0].unique()) == 3
