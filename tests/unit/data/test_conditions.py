"""Conditions: as text and in grids, through a model and the commands, and whether samples are recognised by them."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

import genzoo
from genzoo import Networks, SettingsError
from genzoo.data import Dataset
from genzoo.data.conditions import named_grid, parse_condition, sweep
from genzoo.evaluation import Model
from genzoo.evaluation.metrics import evaluate_model
from genzoo.games import StandardNormal
from genzoo.host.registry import registry
from genzoo.nn import Conv, Decoder, Encoder, TableEncoder
from genzoo.runs.job import find_recipe
from genzoo.types import Code, ConditionGrid, DataSpec, Split, Splits
from genzoo_data.celeba64 import CelebA64
from genzoo_data.cifar10 import CIFAR10
from genzoo_data.digits import Digits
from genzoo_data.mixture import Mixture25
from genzoo_metrics.recognition import Recognition

CPU = torch.device("cpu")
PETS = DataSpec(shape=(2,), support="real", class_names=("cat", "dog", "rabbit"))
HEADS = DataSpec(shape=(2,), support="real", attributes=("Hat", "Beard", "Glasses"))
BARE = DataSpec(shape=(2,), support="real")
FACES = CelebA64().spec


# As text


@pytest.mark.parametrize("text", ["dog", "class=dog", " dog ", "class= dog", " class=dog"])
def test_a_class_is_named_with_or_without_saying_that_it_is_one(text):
    assert parse_condition(text, PETS).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("Beard", [0.0, 1.0, 0.0]),
        ("Hat,Glasses", [1.0, 0.0, 1.0]),
        (" Glasses , Hat ", [1.0, 0.0, 1.0]),
        ("Hat,Hat", [1.0, 0.0, 0.0]),
        ("Hat,,Beard,", [1.0, 1.0, 0.0]),
        ("", [0.0, 0.0, 0.0]),
        (" , ", [0.0, 0.0, 0.0]),
    ],
)
def test_attributes_that_are_named_are_on_and_all_others_are_off(text, on):
    assert parse_condition(text, HEADS).tolist() == on


@pytest.mark.parametrize(
    ("text", "data", "found"),
    [
        ("class=dgo", PETS, "no class 'dgo'; did you mean 'dog'?"),
        ("Dog", PETS, "no class 'Dog'; did you mean 'dog'?"),
        ("dog,cow", PETS, "no class 'dog,cow'; did you mean 'dog'?"),
        ("", PETS, "no class ''"),
        ("xyzzy", PETS, "no class 'xyzzy'"),
        ("class=33", Digits().spec, "no class '33'; did you mean '3'?"),
        ("Hat,Bread", HEADS, "no attribute 'Bread'; did you mean 'Beard'?"),
        ("Male,Smilling", FACES, "no attribute 'Smilling'; did you mean 'Smiling'?"),
    ],
)
def test_a_name_that_the_data_do_not_have_is_refused_with_the_nearest(text, data, found):
    with pytest.raises(SettingsError) as refused:
        parse_condition(text, data)
    assert refused.value.found == found
    assert refused.value.remedy == f"known: {', '.join(data.class_names or data.attributes)}"


def test_not_all_of_very_many_names_are_listed():
    data = replace(PETS, class_names=tuple(str(number) for number in range(200)))
    with pytest.raises(SettingsError) as refused:
        parse_condition("cow", data)
    assert refused.value.remedy == "known: 0, 1, 2, 3, 4 … 199"


@pytest.mark.parametrize("text", ["dog", "class=0", ""])
def test_data_without_labels_have_no_conditions(text):
    with pytest.raises(SettingsError, match="neither classes nor attributes"):
        parse_condition(text, BARE)
    with pytest.raises(SettingsError, match="neither classes nor attributes"):
        sweep(text or "all", BARE, base=None, rows=2)


# In grids


def test_a_sweep_of_all_classes_has_a_column_per_class_and_rows_that_are_all_alike():
    grid = sweep("all", PETS, base=None, rows=4)
    assert grid.columns == ("cat", "dog", "rabbit")
    assert torch.equal(grid.y, torch.eye(3).expand(4, 3, 3))


def test_a_sweep_of_some_classes_keeps_their_order():
    grid = sweep(" rabbit, class=cat", PETS, base=None, rows=1)
    assert grid.columns == ("rabbit", "cat")
    assert grid.y.tolist() == [[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]


@pytest.mark.parametrize(
    ("text", "base", "columns", "cells"),
    [
        ("Hat,Beard", None, ("none", "Hat", "Beard"), [[0, 0, 0], [1, 0, 0], [0, 1, 0]]),
        ("Hat,Beard", "Glasses", ("Glasses", "Hat", "Beard"), [[0, 0, 1], [1, 0, 1], [0, 1, 1]]),
        ("Glasses", "Hat,Beard", ("Hat,Beard", "Glasses"), [[1, 1, 0], [1, 1, 1]]),
        ("all", None, ("none", "Hat", "Beard", "Glasses"), [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("all", "Hat", ("Hat", "Beard", "Glasses"), [[1, 0, 0], [1, 1, 0], [1, 0, 1]]),
        ("Beard", "", ("none", "Beard"), [[0, 0, 0], [0, 1, 0]]),
    ],
)
def test_a_sweep_of_attributes_adds_each_to_the_base_which_comes_first(text, base, columns, cells):
    grid = sweep(text, HEADS, base=base, rows=2)
    assert grid.columns == columns
    assert grid.y.tolist() == [cells, cells]


def test_a_sweep_of_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(SettingsError, match="no class 'rabit'; did you mean 'rabbit'"):
        sweep("cat,rabit", PETS, base=None, rows=2)
    with pytest.raises(SettingsError, match="no attribute 'hat'; did you mean 'Hat'"):
        sweep("hat", HEADS, base="Beard", rows=2)


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_a_sweep_of_no_class_at_all_is_refused(text):
    with pytest.raises(SettingsError):
        sweep(text, PETS, base=None, rows=2)


def test_a_class_is_said_once():
    with pytest.raises(SettingsError, match="cannot both say the class"):
        sweep("all", PETS, base="dog", rows=2)


# Figure 7 of the paper: attributes as numbered in CelebA's own list
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


def test_a_grid_that_the_data_do_not_define_is_refused():
    with pytest.raises(SettingsError) as refused:
        named_grid("figure 7", FACES)
    assert (refused.value.found, refused.value.remedy) == (
        "no grid 'figure 7'; did you mean 'figure7'?",
        "known: figure7",
    )
    with pytest.raises(SettingsError) as refused:
        named_grid("figure7", PETS)
    assert (refused.value.found, refused.value.remedy) == ("no grid 'figure7'", "these data define none")


def test_any_data_may_define_grids():
    grid = ConditionGrid(name="odd", rows=(("class=cat", "rabbit"), ("dog", "dog"), ("cat", "cat")))
    y = named_grid("odd", replace(PETS, grids=(grid,))).y
    assert torch.equal(y, torch.eye(3)[torch.tensor([[0, 2], [1, 1], [0, 0]])])


# Through a model


class Shifted(Encoder):
    """z = x + noise + the first two conditions."""

    def forward(self, x, noise, y=None):
        z = x + noise if y is None else x + noise + y[:, :2]
        return Code(z=z, mean=x, log_std=torch.zeros_like(x))


class Doubled(Decoder):
    """x = 2·z + 1 + ten times the first two conditions."""

    def __init__(self):
        super().__init__(support="real")

    def logits(self, z, y=None):
        return 2 * z + 1 if y is None else 2 * z + 1 + 10 * y[:, :2]


def exact_model(*, conditional=True):
    return Model(
        networks=Networks(encoder=Shifted(), decoder=Doubled(), embedder=nn.Identity() if conditional else None),
        data=PETS,
        prior=StandardNormal(),
        latent=2,
        label_frequencies=[0.5, 0.3, 0.2] if conditional else None,
        device=CPU,
    )


def random_conditions(*shape):
    return torch.eye(3)[torch.randint(3, shape)]


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 1), (30, 20)])  # the last one is decoded in two parts
def test_every_row_of_a_grid_holds_its_own_z_unless_all_cells_hold_one(rows, columns):
    model, y = exact_model(), random_conditions(rows, columns)
    shown, one = model.sample_grid(y, seed=5), model.sample_grid(y, seed=5, one_z=True)
    assert shown.shape == one.shape == (rows, columns, 2)
    z = model.draw_z(rows, seed=5)
    assert len(z.unique(dim=0)) == rows
    assert torch.equal(shown, 2 * z[:, None] + 1 + 10 * y[..., :2])
    assert torch.equal(one, 2 * model.draw_z(1, seed=5) + 1 + 10 * y[..., :2])
    assert torch.equal(model.sample_grid(y, seed=5), shown)
    assert not torch.equal(model.sample_grid(y, seed=6), shown)


def test_a_condition_given_to_an_unconditional_model_is_refused():
    model, x, y = exact_model(conditional=False), torch.rand(4, 2), random_conditions(4)
    for ask in (
        lambda: model.sample(4, y=y),
        lambda: model.sample_grid(y[None]),
        lambda: model.decode(x, y),
        lambda: model.encode(x, y=y),
        lambda: model.reconstruct(x, y=y),
        lambda: model.interpolate(x, x, y=(y, y)),
    ):
        with pytest.raises(SettingsError, match="takes no condition"):
            ask()


@pytest.mark.parametrize("shape", [(4, 2), (4, 4), (3, 3), (5, 3), (3,), (4, 1, 3)])
def test_a_condition_of_another_shape_is_refused_with_both_shapes(shape):
    model, x, y = exact_model(), torch.rand(4, 2), torch.zeros(shape)
    expected = rf"y is \({str(shape)[1:-1]}\), expected \(4, 3\)"
    for ask in (
        lambda: model.sample(4, y=y),
        lambda: model.decode(x, y),
        lambda: model.encode(x, y=y),
        lambda: model.reconstruct(x, y=y),
        lambda: model.interpolate(x, x, y=(y, random_conditions(4))),
        lambda: model.interpolate(x, x, y=(random_conditions(4), y)),
    ):
        with pytest.raises(SettingsError, match=expected):
            ask()


def test_a_grid_of_conditions_of_another_size_is_refused():
    with pytest.raises(SettingsError, match=r"y is \(6, 4\), expected \(6, 3\)"):
        exact_model().sample_grid(torch.zeros(2, 3, 4))


def test_a_conditional_model_does_nothing_but_sample_without_a_condition():
    model, x = exact_model(), torch.rand(4, 2)
    for ask in (model.decode, model.encode, model.reconstruct, lambda x: model.interpolate(x, x)):
        with pytest.raises(SettingsError, match="needs labels"):
            ask(x)
    assert model.sample(4).shape == (4, 2)


def test_an_interpolation_walks_from_condition_to_condition_as_well():
    model, a, b = exact_model(), torch.rand(5, 2), torch.rand(5, 2)
    y = random_conditions(5), random_conditions(5)
    path = model.interpolate(a, b, steps=4, y=y, seed=2)
    start, end = model.encode(a, y=y[0], seed=2).z, model.encode(b, y=y[1], seed=3).z
    for position in range(5):
        z, along = (left + position / 4 * (right - left) for left, right in ((start, end), y))
        torch.testing.assert_close(path[:, position], 2 * z + 1 + 10 * along[:, :2], rtol=1e-6, atol=1e-5)
    assert torch.equal(path[:, 0], model.reconstruct(a, y=y[0], seed=2))
    torch.testing.assert_close(path[:, -1], model.reconstruct(b, y=y[1], seed=3), rtol=1e-6, atol=1e-5)


def test_an_encoder_takes_a_condition_though_its_body_ends_in_maps():
    data = DataSpec(shape=(1, 4, 4), support="unit", class_names=PETS.class_names)
    body, head = (Conv(width=5, kernel=3),), (Conv(width=4, kernel=2),)
    encoder = TableEncoder(data, latent=2, posterior="gaussian", body=body, head=head, condition=3)
    code = encoder(torch.rand(6, 1, 4, 4), torch.randn(6, 2), random_conditions(6))
    assert code.z.shape == (6, 2)
    assert encoder.features(torch.rand(6, 1, 4, 4), random_conditions(6))["mean"].shape == (6, 2)


# Through the commands

SHORT = {"training.steps": 2, "training.batch_size": 16}
CONDITIONAL = ("conditional-ali", "conditional-gan", "conditional-vae")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a folder with a run of two steps on digits per conditional model, and one of ali, called by model."""
    root = tmp_path_factory.mktemp("zoo")
    for model in (*CONDITIONAL, "ali"):
        genzoo.train(model, recipe="digits", overrides=SHORT, run=root / model)
    return root


@pytest.fixture(scope="module")
def run(runs):
    return runs / "conditional-ali"


def class_of(name, rows):
    return nn.functional.one_hot(torch.tensor(int(name)), 10).float().expand(rows, 10)


def pixels(path):
    return numpy.asarray(Image.open(path))


TILE = 48 + 2  # digits are magnified sixfold, with a margin of two pixels


@pytest.mark.parametrize("condition", ["class=3", "3"])
def test_samples_of_a_class_are_those_of_the_model(say, run, condition):
    expected = genzoo.load(run).sample(64, seed=1, y=class_of(3, 64))
    said = say("sample", run, "--condition", condition, "--seed", 1, "--out", "a.npy", "--json").document
    assert (said["count"], said["condition"], said["seed"]) == (64, condition, 1)
    assert numpy.array_equal(numpy.load("a.npy", allow_pickle=False), expected.numpy())
    assert say("sample", run, "--condition", condition, "--seed", 1, "--out", "a.safetensors").code == 0
    stored = load_file("a.safetensors")
    assert set(stored) == {"samples", "z", "y"}
    assert torch.equal(stored["samples"], expected)
    assert torch.equal(stored["y"], class_of(3, 64))
    assert torch.equal(stored["z"], genzoo.load(run).draw_z(64, seed=1))


def test_a_class_decides_what_is_drawn(say, run):
    drawn = []
    for number in (3, 8):
        assert say("sample", run, "-n", 5, "--condition", number, "--out", "a.safetensors").code == 0
        drawn.append(load_file("a.safetensors"))
    assert torch.equal(drawn[0]["z"], drawn[1]["z"])
    assert not torch.equal(drawn[0]["samples"], drawn[1]["samples"])


def test_a_picture_of_samples_of_a_class_shows_them_all(say, run):
    assert say("sample", run, "--condition", "class=3").out == "samples.png\n"
    assert pixels("samples.png").shape == (8 * TILE + 2, 8 * TILE + 2, 3)


def test_samples_without_a_condition_have_labels_as_frequent_as_the_training_data(say, run):
    assert say("sample", run, "-n", 2000, "--out", "a.safetensors").code == 0
    stored, labels = load_file("a.safetensors"), Digits().load(None).train.labels
    shares = torch.bincount(labels, minlength=10) / len(labels)
    error = (shares * (1 - shares) / 2000).sqrt()
    assert ((stored["y"].mean(0) - shares).abs() < 5 * error).all()
    assert torch.equal(stored["samples"], genzoo.load(run).sample(2000, y=stored["y"]))


def test_a_sweep_of_all_classes_is_a_column_each_with_one_z_per_row(say, run):
    said = say("sample", run, "--sweep", "all", "--out", "a.npy", "--json").document
    assert (said["rows"], said["columns"]) == (8, 10)
    assert said["column_names"] == [str(number) for number in range(10)]
    model, x = genzoo.load(run), torch.from_numpy(numpy.load("a.npy", allow_pickle=False))
    assert x.shape == (8, 10, 1, 8, 8)
    z = model.draw_z(8)
    for number in range(10):
        torch.testing.assert_close(x[:, number], model.decode(z, class_of(number, 8)), rtol=1e-5, atol=1e-6)
    assert say("sample", run, "--sweep", "all").code == 0
    assert pixels("samples.png").shape == (8 * TILE + 2, 10 * TILE + 2, 3)


def test_a_sweep_of_some_classes_has_as_many_columns_and_rows_as_asked_for(say, run):
    said = say("sample", run, "--sweep", "1,2,3", "-n", 2, "--json").document
    assert (said["rows"], said["columns"], said["column_names"]) == (2, 3, ["1", "2", "3"])
    assert pixels("samples.png").shape == (2 * TILE + 2, 3 * TILE + 2, 3)
    assert say("sample", run, "--sweep", "1,2,3", "-n", 2, "--out", "a.safetensors").code == 0
    y = load_file("a.safetensors")["y"]
    assert torch.equal(y, torch.eye(10)[1:4].expand(2, 3, 10))


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("conditional-ali", ["--condition", "class=33"], "no class '33'; did you mean '3'?"),
        ("conditional-ali", ["--condition", "three"], "known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("conditional-ali", ["--condition", ""], "no class ''"),
        ("conditional-ali", ["--sweep", "1,22"], "no class '22'; did you mean '2'?"),
        ("conditional-ali", ["--sweep", ""], "--sweep '' names nothing"),
        ("conditional-ali", ["--sweep", "all", "--condition", "3"], "cannot both say the class"),
        ("conditional-ali", ["--grid", "figure7"], "no grid 'figure7'"),
        ("conditional-ali", ["--grid", "figure7", "--condition", "3"], "--grid says all conditions itself"),
        ("conditional-ali", ["--grid", "figure7", "--sweep", "all"], "--grid says all conditions itself"),
        ("ali", ["--condition", "class=3"], "this model takes no condition"),
        ("ali", ["--condition", ""], "this model takes no condition"),
        ("ali", ["--sweep", "all"], "this model takes no condition"),
        ("ali", ["--sweep", ""], "this model takes no condition"),
        ("ali", ["--grid", "figure7"], "this model takes no condition"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_conditions_that_cannot_be_meant_end_with_2_and_write_nothing(say, runs, tmp_path, model, arguments, says):
    said = say("sample", runs / model, *arguments)
    assert said.code == 2
    assert says in said.err
    assert len(said.err.splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


def test_reconstructions_are_given_the_labels_of_their_rows(say, run):
    said = say("reconstruct", run, "-n", 6, "--seed", 3, "--out", "a.npy", "--json").document
    assert (said["count"], said["split"]) == (6, "validation")
    model, stored = genzoo.load(run), Digits().load(None).validation
    x, y = stored.x[:6].float() / 255, torch.eye(10)[stored.labels[:6]]
    pairs = torch.from_numpy(numpy.load("a.npy", allow_pickle=False))
    assert torch.equal(pairs[:, 0], x)
    assert torch.equal(pairs[:, 1], model.reconstruct(x, y=y, seed=3))
    assert not torch.equal(pairs[:, 1], model.reconstruct(x, y=y.roll(1, dims=1), seed=3))
    assert say("reconstruct", run, "-n", 8).code == 0
    assert pixels("reconstructions.png").shape == (2 * TILE + 2, 8 * TILE + 2, 3)


def test_interpolations_walk_between_the_labels_of_their_ends(say, run):
    assert say("interpolate", run, "--pairs", 3, "--steps", 5, "--seed", 4, "--out", "a.npy").code == 0
    model, stored = genzoo.load(run), Digits().load(None).validation
    x, y = stored.x[:6].float() / 255, torch.eye(10)[stored.labels[:6]]
    expected = model.interpolate(x[:3], x[3:], steps=5, seed=4, y=(y[:3], y[3:]))
    found = torch.from_numpy(numpy.load("a.npy", allow_pickle=False))
    assert found.shape == (3, 6, 1, 8, 8)
    assert torch.equal(found, expected)
    assert say("interpolate", run, "--pairs", 3, "--steps", 5).code == 0
    assert pixels("interpolations.png").shape == (3 * TILE + 2, 8 * TILE + 2, 3)


def test_recognition_is_evaluated_by_name_and_after_every_conditional_training(say, run):
    said = say("evaluate", run, "--metric", "recognition", "--json").document
    assert [score["metric"] for score in said["scores"]] == ["recognition", "recognition/real"]
    assert all(0 <= score["value"] <= 1 for score in said["scores"])
    assert [score["protocol"]["split"] for score in said["scores"]] == ["test", "test"]
    trained = {score["metric"]: score for score in genzoo.Run(run).scores}
    assert {score["metric"]: score for score in said["scores"]}.items() <= trained.items()


def test_recognition_of_an_unconditional_model_ends_with_2(say, runs):
    said = say("evaluate", runs / "ali", "--metric", "recognition")
    assert said.code == 2
    assert "metric 'recognition' cannot measure ali: it is not conditional" in said.err


@pytest.mark.parametrize("model", CONDITIONAL)
def test_every_conditional_model_is_trained_sampled_and_measured(say, runs, model):
    run = genzoo.Run(runs / model)
    assert run.step == 2
    assert {"recognition", "recognition/real"} <= {score["metric"] for score in run.scores}
    assert sum(run.record.label_frequencies) == pytest.approx(1)
    assert all(numpy.isfinite(value) for entry in run.read_log() for value in entry["losses"].values())
    assert say("sample", runs / model, "--condition", "7", "-n", 3, "--out", "a.npy").code == 0
    expected = genzoo.load(run).sample(3, y=class_of(7, 3))
    assert numpy.array_equal(numpy.load("a.npy", allow_pickle=False), expected.numpy())
    said = say("reconstruct", runs / model, "-n", 2)
    assert said.code == (2 if model == "conditional-gan" else 0)
    assert ("this model has no encoder" in said.err) == (model == "conditional-gan")


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
    assert say("sample", "anywhere", "--grid", "figure7").code == 0
    assert pixels("samples.png").shape == (4 * 66 + 2, 12 * 66 + 2, 3)


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


# Data without labels


@dataclass(frozen=True, kw_only=True)
class Unlabelled(Dataset):
    """The digits without their labels."""

    name: ClassVar[str] = "unlabelled"

    @property
    def spec(self):
        return replace(Digits().spec, class_names=())

    def load(self, root):
        return Splits(*(Split(split.x) for split in Digits().load(root)))


@pytest.mark.parametrize("model", CONDITIONAL)
def test_a_conditional_model_of_data_without_labels_is_refused_before_a_folder_is_made(tmp_path, model):
    recipe = replace(find_recipe(registry(), "digits"), dataset=Unlabelled())
    with pytest.raises(SettingsError, match="a conditional model needs labels, and these data have none"):
        genzoo.train(model, recipe=recipe, overrides=SHORT, runs=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_a_conditional_model_of_a_folder_without_sub_folders_ends_with_2(say, tmp_path):
    source, data = tmp_path / "pictures", tmp_path / "data"
    source.mkdir()
    for number in range(10):
        Image.new("RGB", (32, 32), (25 * number, 0, 0)).save(source / f"{number}.png")
    arguments = ("--source", source, "--data", data, "--set", "dataset.size=32", "--jobs", 1)
    assert say("data", "prepare", "folder", *arguments).code == 0
    said = say("train", "conditional-ali", "--recipe", "folder32", "--data", data, "--steps", 2)
    assert said.code == 2
    assert "a conditional model needs labels, and these data have none" in said.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("size", [0, -3])
@pytest.mark.parametrize("recipe", ["digits", "cifar10"])
def test_an_embedding_of_no_numbers_is_refused(say, recipe, size):
    said = say("show", recipe, "--model", "conditional-ali", "--set", f"architecture.embedding={size}")
    assert said.code == 2
    assert f"embedding is {size}, expected at least 1" in said.err


# Recognition


@dataclass(frozen=True, kw_only=True)
class Copyist(Model):
    """A model that shows stored rows: those of the class that is asked for, or any if it is `careless`."""

    stored: Split
    careless: bool = False

    def sample(self, count, *, seed=0, y=None):
        source = torch.Generator().manual_seed(seed)
        if self.careless:
            rows = torch.randint(len(self.stored.x), (count,), generator=source)
        else:
            of_class = [(self.stored.labels == number).nonzero().flatten() for number in range(y.shape[1])]
            rows = torch.stack([of_class[number][index % 7] for index, number in enumerate(y.argmax(1).tolist())])
        return genzoo.data.as_input(self.stored.x[rows])


def copyist(dataset, stored, **settings):
    return Copyist(
        networks=Networks(decoder=Doubled(), embedder=nn.Identity()),
        data=dataset.spec,
        prior=StandardNormal(),
        latent=2,
        label_frequencies=None,
        device=CPU,
        stored=stored,
        **settings,
    )


def recognition(model, splits, *, split="test", seed=0, **settings):
    scores = Recognition(**settings).measure(model, getattr(splits, split), train=splits.train, seed=seed)
    return {score.metric: score.value for score in scores}


TOY = Mixture25(rows=2500, held_out_rows=500)


@pytest.mark.parametrize("shown", ["train", "test"])
def test_real_rows_of_the_class_that_was_asked_for_are_all_recognised(shown):
    splits = TOY.load(None)  # whose components are 40 standard deviations apart
    found = recognition(copyist(TOY, getattr(splits, shown)), splits)
    assert found == {"recognition": 1.0, "recognition/real": 1.0}


def test_a_model_that_ignores_the_class_is_recognised_as_often_as_chance_has_it():
    splits = TOY.load(None)
    error = (0.04 * 0.96 / 1000) ** 0.5
    assert recognition(copyist(TOY, splits.test, careless=True), splits)["recognition"] == pytest.approx(
        1 / 25, abs=5 * error
    )
    # a point that is always the same is right for just its own class
    same = copyist(TOY, Split(splits.test.x[:1]), careless=True)
    assert recognition(same, splits)["recognition"] == 1 / 25


def test_every_class_is_asked_for_equally_often():
    asked = []

    class Listener(Copyist):
        def sample(self, count, *, seed=0, y=None):
            asked.append((count, seed, y))
            return super().sample(count, seed=seed, y=y)

    splits = TOY.load(None)
    listener = Listener(**vars(copyist(TOY, splits.test)))
    recognition(listener, splits, samples=250, seed=9)
    ((count, seed, y),) = asked
    assert (count, seed) == (250, 9)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert y.sum(0).tolist() == [10.0] * 25
    assert y.sum(1).tolist() == [1.0] * 250


@pytest.mark.parametrize("neighbours", [1, 5])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_score_of_real_digits_is_scikit_learns_own(split, neighbours):
    splits = Digits().load(None)
    fitted = KNeighborsClassifier(n_neighbors=neighbours)
    fitted.fit(splits.train.x.view(-1, 64).numpy() / 255, splits.train.labels.numpy())
    measured = getattr(splits, split)
    expected = fitted.score(measured.x.view(-1, 64).numpy() / 255, measured.labels.numpy())
    found = recognition(copyist(Digits(), splits.train), splits, split=split, neighbours=neighbours)
    assert found["recognition/real"] == pytest.approx(expected, abs=1e-12)
    assert 0.95 < expected < 1
    if neighbours == 1:  # a training row is its own nearest neighbour
        assert found["recognition"] == 1.0


def test_recognition_carries_its_protocol():
    splits = TOY.load(None)
    scores = evaluate_model(
        copyist(TOY, splits.test), splits, [Recognition(samples=50)], split_name="validation", seed=3
    )
    common = {"split": "validation", "seed": 3, "weights": "raw", "batch_norm": "running"}
    common |= {"neighbours": 5, "fitted": "on 2500 training rows"}
    assert [(score.metric, score.protocol) for score in scores] == [
        ("recognition", common | {"samples": 50}),
        ("recognition/real", common | {"rows": 500}),
    ]


def test_what_cannot_be_recognised_is_said():
    model = copyist(Digits(), Digits().load(None).test)
    assert Recognition().obstacle(model) is None
    unconditional = replace(model, networks=Networks(decoder=Doubled()))
    assert Recognition().obstacle(unconditional) == "it is not conditional"
    assert Recognition().obstacle(replace(model, data=HEADS)) == "its data have no classes"
    assert Recognition().obstacle(replace(model, data=CIFAR10().spec)) == (
        "its x are too large to compare by their pixels"
    )
    assert Recognition().obstacle(replace(model, data=replace(PETS, shape=(1, 32, 32)))) is None
    assert Recognition().obstacle(replace(model, data=replace(PETS, shape=(1, 32, 33)))) is not None


def test_a_split_without_labels_is_refused():
    splits = TOY.load(None)
    with pytest.raises(SettingsError, match="labels"):
        recognition(copyist(TOY, splits.test), splits._replace(test=Split(splits.test.x)))
