"""Own pictures, from the command line: encoded, decoded, reconstructed, walked between and looked for."""

import csv
import json

import numpy
import pytest
import torch
from photographs import write_pngs
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import genzoo
from genzoo_data.digits import Digits

SHORT = {"training.steps": 2, "training.batch_size": 16}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def runs(root):
    """Return a short run of a model with codes, a conditional one, one without an encoder, and one of vectors."""
    named = {"ali": ("ali", "digits"), "conditional": ("conditional-ali", "digits"), "gan": ("gan", "digits")}
    for name, (model, recipe) in (named | {"vectors": ("ali", "mixture25")}).items():
        genzoo.train(model, recipe=recipe, overrides=SHORT, run=root / name)
    return root


@pytest.fixture(scope="module")
def photographs(root):
    """Return a folder of six images of 8 × 8 and their pixels, x (6, 1, 8, 8)."""
    _, pixels = write_pngs(root / "photographs", 6, size=(8, 8), channels=1)
    return root / "photographs", torch.from_numpy(pixels.copy(order="C")) / 255  # strides as files have them


@pytest.fixture
def run(runs):
    return runs / "ali"


def names_in(folder):
    return sorted(map(str, folder.iterdir()))


def array(path):
    return torch.from_numpy(numpy.load(path, allow_pickle=False))


def magnified(image):
    return image.repeat_interleave(8, 0).repeat_interleave(8, 1) * 255


# Codes


def test_codes_of_a_folder_are_means_with_names_in_every_format(say, run, photographs):
    folder, x = photographs
    expected = genzoo.load(run).encode(x).mean
    for name in ("codes.safetensors", "codes.npy", "codes.csv"):
        said = say("encode", run, folder, "--out", name, "--json").document
        assert (said["file"], said["rows"], said["latent"], said["codes"]) == (name, 6, 16, "mean")
        assert said["files"] == names_in(folder)
    assert torch.equal(array("codes.npy"), expected)
    assert torch.equal(load_file("codes.safetensors")["z"], expected)
    with safe_open("codes.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["files"]) == names_in(folder)
    with open("codes.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", *(f"z{number}" for number in range(16))]
    assert [row[0] for row in rows] == names_in(folder)
    assert torch.equal(torch.tensor([[float(cell) for cell in row[1:]] for row in rows]), expected)


def test_draws_come_on_request_and_depend_on_the_seed(say, run, photographs):
    folder, x = photographs
    said = say("encode", run, folder, "--draw", "--seed", 4, "--out", "codes.npy", "--json").document
    assert said["codes"] == "drawn"
    assert torch.equal(array("codes.npy"), genzoo.load(run).encode(x, seed=4).z)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("encode", "reconstruct and interpolate decode draws"),
        ("decode", "What encode writes are means"),
        ("reconstruct", "Its code is drawn, with --seed; encode writes means"),
        ("interpolate", "Codes are drawn, with --seed; encode writes means"),
    ],
)
def test_every_command_says_whether_codes_are_means_or_draws(say, command, text):
    assert text in " ".join(say(command, "--help").out.split())


def test_what_is_reconstructed_are_the_draws_that_encode_writes_on_request(say, run, photographs):
    folder, _ = photographs
    say("encode", run, folder, "--draw", "--seed", 3, "--out", "drawn.npy")
    say("encode", run, folder, "--out", "means.npy")
    say("decode", run, "drawn.npy", "--out", "of-drawn.npy")
    say("decode", run, "means.npy", "--out", "of-means.npy")
    say("reconstruct", run, folder, "--seed", 3, "--out", "pairs.npy")
    assert torch.equal(array("pairs.npy")[:, 1], array("of-drawn.npy"))
    assert not torch.equal(array("pairs.npy")[:, 1], array("of-means.npy"))


def test_without_files_the_codes_are_those_of_a_split(say, runs, run):
    assert say("encode", run, "--split", "test", "--out", "codes.npy").code == 0
    assert torch.equal(array("codes.npy"), genzoo.load(run).encode(Digits().load(None).test.x).mean)
    said = say("encode", runs / "vectors", "--out", "codes.csv", "--json").document
    assert (said["rows"], said["latent"], said["codes"]) == (10_000, 2, "drawn")  # its posterior is implicit


@pytest.mark.parametrize("name", ["codes.safetensors", "codes.npy", "codes.csv"])
def test_what_encode_writes_decode_reads(say, run, photographs, name):
    folder, x = photographs
    model = genzoo.load(run)
    expected = model.decode(model.encode(x).mean)
    say("encode", run, folder, "--out", name)
    assert say("decode", run, name, "--out", "x.npy").code == 0
    assert torch.equal(array("x.npy"), expected)
    assert say("decode", run, name, "--out", "x.png").code == 0
    tile = numpy.asarray(Image.open("x.png").convert("L"))[12:76, 12:76]
    assert numpy.abs(tile - magnified(expected[0, 0]).numpy()).max() <= 0.51


def test_a_conditional_model_encodes_and_decodes_files_of_one_condition(say, runs, photographs):
    folder, x = photographs
    run, y = runs / "conditional", torch.eye(10)[[3] * 6]
    assert say("encode", run, folder, "--condition", "class=3", "--out", "a.safetensors").code == 0
    stored, model = load_file("a.safetensors"), genzoo.load(run)
    assert torch.equal(stored["z"], model.encode(x, y=y).mean)
    assert torch.equal(stored["y"], y)
    assert say("decode", run, "a.safetensors", "--out", "same.npy").code == 0
    assert torch.equal(array("same.npy"), model.decode(stored["z"], y))
    assert say("decode", run, "a.safetensors", "--condition", "class=5", "--out", "other.npy").code == 0
    assert torch.equal(array("other.npy"), model.decode(stored["z"], torch.eye(10)[[5] * 6]))


# Reconstructions, walks and neighbours


def test_files_are_reconstructed_and_walked_between_without_the_data(say, run, photographs, monkeypatch):
    folder, x = photographs
    model = genzoo.load(run)
    monkeypatch.setattr("genzoo.api.load_data", None)
    said = say("reconstruct", run, *names_in(folder)[:2], folder, "--seed", 2, "--out", "a.npy", "--json").document
    assert (said["count"], said["files"]) == (8, [*names_in(folder)[:2], *names_in(folder)])
    both = torch.cat([x[:2], x])
    assert torch.equal(array("a.npy"), torch.stack([both, model.reconstruct(both, seed=2)], dim=1))
    assert say("interpolate", run, folder, "--steps", 3, "--out", "b.npy", "--json").document["pairs"] == 3
    assert torch.equal(array("b.npy"), model.interpolate(x[0::2], x[1::2], steps=3))


def test_the_nearest_are_those_of_the_least_distance_between_means(say, run, photographs):
    folder, x = photographs
    model, train = genzoo.load(run), Digits().load(None).train.x
    said = say("nearest", run, names_in(folder)[1], "-n", 3, "--out", "a.png", "--json").document
    lengths = (model.encode(train).mean - model.encode(x[1:2]).mean).double().norm(dim=1)
    expected = lengths.sort()
    (entry,) = said["files"]
    assert [other["row"] for other in entry["nearest"]] == expected.indices[:3].tolist()
    assert [other["distance"] for other in entry["nearest"]] == pytest.approx(expected.values[:3].tolist(), rel=1e-4)
    images = [x[1, 0], *(train[row, 0] / 255 for row in expected.indices[:3])]
    picture = numpy.asarray(Image.open("a.png").convert("L"))
    tiles = [picture[12:76, left : left + 64] for left in (12, 88, 88 + 66, 88 + 2 * 66)]  # the file is apart
    for tile, image in zip(tiles, images, strict=True):
        assert numpy.abs(tile - magnified(image).numpy()).max() <= 0.51


def test_the_nearest_among_files_of_an_image_is_itself_and_needs_no_data(say, run, photographs, monkeypatch):
    folder, _ = photographs
    monkeypatch.setattr("genzoo.api.load_data", None)
    said = say("nearest", run, folder, "--among", folder, "-n", 20, "--out", "a.png", "--json").document
    assert said["among"] == names_in(folder)
    for entry in said["files"]:
        assert entry["nearest"][0]["file"] == entry["file"]
        assert sorted(other["file"] for other in entry["nearest"]) == names_in(folder)
    plain = say("nearest", run, folder, "--among", folder, "-n", 1, "--out", "a.png")
    assert plain.out == "a.png\n"
    assert plain.err.splitlines()[0].split() == ["image", "nearest", "distance"]


# Where files go


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("sample",), "samples.png"),
        (("reconstruct",), "reconstructions.png"),
        (("interpolate",), "interpolations.png"),
        (("encode",), "codes.safetensors"),
        (("decode", "z.npy"), "decodings.png"),
        (("nearest", "0000.png"), "nearest.png"),
    ],
)
def test_without_out_a_file_lands_in_the_run_and_replaces_none(say, run, tmp_path, command, name):
    write_pngs(tmp_path, 1, size=(8, 8), channels=1)
    numpy.save("z.npy", numpy.zeros((4, 16), dtype=numpy.float32))
    first, *rest = command
    before = {path.name for path in tmp_path.iterdir()}
    paths = [say(first, run, *rest).out for _ in range(3)]
    stem, _, ending = name.partition(".")
    assert paths == [f"{run / other}\n" for other in (name, f"{stem}-2.{ending}", f"{stem}-3.{ending}")]
    assert {path.name for path in tmp_path.iterdir()} == before
    assert say(first, run, *rest, "--out", name).out == f"{name}\n"
    assert say(first, run, *rest, "--out", name).out == f"{name}\n"


# What cannot be


@pytest.mark.parametrize(
    ("model", "arguments", "code", "says"),
    [
        ("ali", ("encode", "--out", "codes.txt"), 2, "expected a name that ends in .safetensors, .npy, .csv"),
        ("ali", ("encode", "0000.png", "--split", "test"), 2, "leave out one of them"),
        ("ali", ("encode", "empty"), 3, "empty has no images"),
        ("ali", ("encode", "gone.png"), 3, "gone.png cannot be read: No such file"),
        ("ali", ("encode", "0000.png", "--condition", "class=3"), 2, "takes no condition"),
        ("ali", ("encode", "--condition", "class=3"), 2, "--condition is for files"),
        ("ali", ("interpolate", "0000.png"), 2, "1 files are given, which are not pairs"),
        ("ali", ("interpolate", "0000.png", "0000.png", "--pairs", "1"), 2, "leave out one of them"),
        ("ali", ("nearest",), 2, "no image is given"),
        ("ali", ("decode", "gone.npy"), 3, "gone.npy is missing or unreadable"),
        ("ali", ("decode", "codes.txt"), 2, "not named as codes"),
        ("ali", ("decode", "text.npy"), 3, "text.npy is not readable as codes"),
        ("ali", ("decode", "text.csv"), 3, "text.csv is not readable as codes"),
        ("ali", ("decode", "text.safetensors"), 3, "not readable as safetensors"),
        ("ali", ("decode", "other.safetensors"), 3, "other.safetensors holds no z"),
        ("ali", ("decode", "short.npy"), 2, "z is (4, 3), this model takes (N, 16)"),
        ("conditional", ("encode", "0000.png"), 2, "this model is conditional, and files have no labels"),
        ("conditional", ("decode", "z.npy"), 2, "z.npy holds no y"),
        ("gan", ("encode", "0000.png"), 2, "no encoder"),
        ("vectors", ("encode", "0000.png"), 2, "'mixture25' is of vectors, and images are given"),
    ],
)
def test_what_cannot_be_done_ends_in_lines_and_writes_nothing(say, runs, tmp_path, model, arguments, code, says):
    write_pngs(tmp_path, 1, size=(8, 8), channels=1)
    (tmp_path / "empty").mkdir()
    for ending in ("npy", "csv", "safetensors"):
        (tmp_path / f"text.{ending}").write_text("file,z0\na.png,much\n")
    numpy.save("short.npy", numpy.zeros((4, 3), dtype=numpy.float32))
    numpy.save("z.npy", numpy.zeros((4, 16), dtype=numpy.float32))
    save_file({"weights": torch.zeros(3)}, "other.safetensors")
    before = {path: set(path.iterdir()) for path in (tmp_path, runs / model)}
    command, *rest = arguments
    said = say(command, runs / model, *rest)
    assert (said.code, said.out) == (code, "")
    assert says in said.err
    assert 1 <= len(said.err.splitlines()) <= 3
    assert {path: set(path.iterdir()) for path in before} == before
