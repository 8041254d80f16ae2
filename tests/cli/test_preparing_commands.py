"""The commands about data: what a person prepares from a folder of images, is told of it, and trains on."""

import errno
import importlib.util
import json
import os
import shlex
from pathlib import Path

import numpy
import pytest
from photographs import write_pngs
from PIL import Image
from preparations import fail, flip, tensors

import genzoo
from genzoo.api import load_data
from genzoo.data import decoding
from genzoo.data.prepared_card import IMAGES
from genzoo.runs import TrainingRequest, train_together
from genzoo.storage import files

SHORT = ("--steps", 2, "--set", "training.batch_size=4", "--quiet")


@pytest.fixture
def source(tmp_path):
    """Return a folder of twenty images of 20 × 16."""
    write_pngs(tmp_path / "source", 20, size=(20, 16))
    return tmp_path / "source"


@pytest.fixture
def data(say, tmp_path):
    """Return a folder of data sets, and a function that prepares one there."""
    root = tmp_path / "data"

    def prepare(name, *more):
        return say("data", "prepare", name, "--data", root, "--jobs", 1, *more)

    return root, prepare


def status(say, root, *more):
    found = say("data", "status", "--data", root, "--json", *more).document
    assert found["root"] == str(root)
    return [row for row in found["datasets"] if row["path"]]


def test_a_folder_is_prepared_and_its_state_is_told(say, source, data):
    root, prepare = data
    found = prepare("folder64", "--source", source, "--json").document
    assert found["rows"] == {"train": 16, "validation": 2, "test": 2}
    assert (found["dataset"], found["left_out"]) == ("folder", 0)
    (row,) = status(say, root)
    assert (row["dataset"], row["state"], row["rows"]) == ("folder", "prepared", 20)
    assert row["path"] == found["path"]
    made = [path.stat().st_size for path in Path(row["path"]).iterdir() if path.name != "card.json"]
    assert row["bytes"] == found["bytes"] == sum(made)
    assert tensors(Path(row["path"]))[0].shape == (20, 3, 64, 64)
    said = say("data", "status", "--data", root)
    assert said.code == 0
    listed = [line.split()[:4] for line in said.out.splitlines()]
    assert ["folder", Path(found["path"]).name, "prepared", "20"] in listed


def test_a_second_time_it_takes_no_decoding(source, data, monkeypatch):
    _, prepare = data
    first = prepare("folder64", "--source", source, "--json").document
    monkeypatch.setattr(decoding.Image, "open", fail(errno.EIO))
    second = prepare("folder64", "--source", source, "--json").document
    assert {**second, "seconds": 0} == {**first, "seconds": 0}


def test_a_flipped_byte_is_found_by_the_check(say, source, data):
    root, prepare = data
    place = Path(prepare("folder64", "--source", source, "--json").document["path"])
    assert [row["state"] for row in status(say, root, "--check")] == ["prepared"]
    flip(place / IMAGES)
    assert [row["state"] for row in status(say, root)] == ["prepared"]
    (row,) = status(say, root, "--check")
    assert row["state"].startswith("damaged: ")
    assert str(place / IMAGES) in row["state"]


def test_what_was_set_aside_while_it_was_replaced_is_not_listed(say, source, data):
    root, prepare = data
    place = Path(prepare("folder64", "--source", source, "--json").document["path"])
    os.rename(place, place.with_name(f".{place.name}.old"))
    assert status(say, root) == []


def test_a_folder_of_one_image_or_none_is_refused(tmp_path, data):
    write_pngs(tmp_path / "one", 1)
    (tmp_path / "texts").mkdir()
    for number in range(20):
        (tmp_path / "texts" / f"{number}.txt").write_text("not an image")
    for name, count in (("one", "1 image,"), ("texts", "0 images,")):
        said = data[1]("folder64", "--source", tmp_path / name)
        assert said.code == 3
        assert f"{tmp_path / name} has {count} expected at least" in said.err
        assert len(said.err.splitlines()) <= 3


def test_corrupt_images_are_refused_and_then_left_out(source, data):
    _, prepare = data
    (source / "0003.png").write_bytes(b"<html>gone</html>")
    said = prepare("folder64", "--source", source)
    assert said.code == 3
    assert "1 of 20 images cannot be read: 0003.png: not an image" in said.err
    assert "--skip-corrupt" in said.err
    found = prepare("folder64", "--source", source, "--skip-corrupt", "--json").document
    assert found["left_out"] == 1
    assert sum(found["rows"].values()) == 19
    assert len(tensors(Path(found["path"]))[0]) == 19


def test_a_folder_of_nothing_but_corrupt_images_is_refused(tmp_path, data):
    (tmp_path / "source").mkdir()
    for number in range(20):
        (tmp_path / "source" / f"{number}.png").write_bytes(b"<html>gone</html>")
    said = data[1]("folder64", "--source", tmp_path / "source", "--skip-corrupt")
    assert said.code == 3
    assert "20 of 20 images cannot be read" in said.err


def test_grey_images_become_rgb_or_stay_grey(tmp_path, data):
    _, prepare = data
    write_pngs(tmp_path / "grey", 12, size=(16, 16), channels=1)
    settings = ("--source", tmp_path / "grey", "--set", "dataset.size=16")
    rgb = prepare("folder64", *settings, "--json").document
    grey = prepare("folder64", *settings, "--set", "dataset.channels=1", "--json").document
    assert rgb["path"] != grey["path"]
    three, one = (tensors(Path(found["path"]))[0] for found in (rgb, grey))
    assert (three.shape, one.shape) == ((12, 3, 16, 16), (12, 1, 16, 16))
    assert numpy.array_equal(three, one.repeat(3, 1))


def test_images_of_all_sizes_become_the_same(tmp_path, data):
    sizes = [(1, 1), (300, 2), (2, 300), (64, 64), (70, 60), (640, 480)]
    for number in range(12):
        folder = tmp_path / "sizes" / str(number)
        write_pngs(folder, 1, size=sizes[number % len(sizes)])
        os.rename(folder / "0000.png", tmp_path / "sizes" / f"{number}.png")
        folder.rmdir()
    found = data[1]("folder64", "--source", tmp_path / "sizes", "--json").document
    assert found["left_out"] == 0
    assert tensors(Path(found["path"]))[0].shape == (12, 3, 64, 64)


def test_sub_folders_are_classes(tmp_path, data):
    for name, level in (("cats", 10), ("dogs", 200)):
        (tmp_path / "source" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / "source" / name / f"{number}.png")
    found = data[1]("folder64", "--source", tmp_path / "source", "--json").document
    assert found["class_names"] == ["cats", "dogs"]
    images, labels = tensors(Path(found["path"]))
    assert labels.tolist() == (images[:, 0, 0, 0] > 100).astype(int).tolist()
    assert sorted(labels.tolist()) == [0] * 10 + [1] * 10


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("cifar11",), 2, "did you mean 'cifar10'?"),
        (("foldr",), 2, "did you mean 'folder'?"),
        (("digits",), 2, "'digits' needs no files to fetch or prepare"),
        (("mixture25",), 2, "'mixture25' needs no files to fetch or prepare"),
        (("folder64", "--source", "nowhere"), 3, "nowhere does not exist"),
        (("folder64",), 3, "genzoo data prepare folder64 --source PATH"),
        (("folder64", "--set", "dataset.channels=1"), 3, "folder64 --source PATH --set dataset.channels=1"),
        (("tinyimagenet64",), 3, "genzoo data fetch tinyimagenet64, then: genzoo data prepare tinyimagenet64;"),
        (("cifar10",), 3, "genzoo data fetch cifar10"),
        (("folder64", "--source", "source", "--set", "dataset.size=banana"), 2, "banana"),
        (("folder64", "--source", "source", "--set", "dataset.size=0"), 2, "1 ≤ size ≤ 1024"),
        (("folder64", "--source", "source", "--set", "dataset.channels=2"), 2, "channels"),
        (("folder64", "--source", "source", "--set", "dataset.sise=3"), 2, "did you mean"),
        (("folder64", "--source", "source", "--set", "training.steps=3"), 2, "training"),
        (("folder64", "--source", "source", "--set", "dataset.size"), 2, "expected PATH=VALUE"),
        (("folder64", "--source", "source", "--jobs", "0"), 2, "jobs"),
        (("folder64", "--source", "source/0000.png"), 3, "source/0000.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_meant_is_told(source, data, arguments, code, text):
    said = data[1](*arguments)
    assert said.code == code
    assert text in said.err
    assert 1 <= len(said.err.splitlines()) <= 3
    assert not data[0].exists() or not any(data[0].glob("*/card.json"))


def test_there_is_nothing_to_fetch_of_what_a_person_has(say):
    said = say("data", "fetch", "folder32")
    assert said.code == 2
    assert "'folder32' has nothing to fetch: it is made of the folder given as --source" in said.err
    assert "type: genzoo data prepare folder32 --source PATH" in said.err


@pytest.fixture
def unseen(monkeypatch):
    """Leave out pictures and scores, which take most of the time of a short training."""
    for name in ("pictures.save_samples", "pictures.save_reconstructions", "scoring.evaluate_model"):
        monkeypatch.setattr(f"genzoo.evaluation.{name}", lambda *arguments, **more: [])


def told(text, beginning):
    """Return the command that a message tells a person to type, as arguments."""
    (line,) = (line for line in text.splitlines() if beginning in line)
    return shlex.split(line[line.index(beginning) :])[1:]


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("recipe", ["folder64", "folder32"])
def test_training_tells_what_to_prepare_and_then_finds_it(say, source, data, recipe):
    train = ("train", "ali", "--recipe", recipe, "--data", data[0], "--run", "run", *SHORT)
    said = say(*train)
    assert said.code == 3
    assert "data sets that need no files are listed by: genzoo data status" in said.err
    assert not Path("run").exists()
    command = told(said.err, "genzoo data prepare")
    assert command == ["data", "prepare", recipe, "--source", "PATH"]
    assert say(*[source if word == "PATH" else word for word in command], "--data", data[0]).code == 0
    assert say(*train, "--json").document["step"] == 2


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize(("folder", "settings"), [("data", ("--set", "dataset.channels=1")), ("my data", ())])
def test_what_is_told_after_preparing_can_be_typed(say, source, tmp_path, folder, settings):
    said = say("data", "prepare", "folder32", "--source", source, "--data", tmp_path / folder, *settings)
    assert said.code == 0
    assert say(*told(said.err, "genzoo train"), "--run", "run", *SHORT).code == 0


@pytest.mark.usefixtures("unseen")
def test_a_run_does_not_go_on_with_other_images(say, source, data):
    root, prepare = data
    assert prepare("folder32", "--source", source).code == 0
    assert say("train", "ali", "--recipe", "folder32", "--data", root, "--run", "run", *SHORT).code == 0
    assert say("resume", "run", "--steps", 3, "--data", root, "--quiet").code == 0
    write_pngs(source, 20, size=(20, 16))
    said = prepare("folder32", "--source", source)
    assert (said.code, "--replace" in said.err) == (2, True)
    assert prepare("folder32", "--source", source, "--replace").code == 0
    said = say("resume", "run", "--steps", 4, "--data", root, "--quiet")
    assert said.code == 2
    assert "was trained on other images of 'folder' than are prepared now" in said.err


# What is left out, classes, and sets beside each other


def prepared_notes(prepare, source):
    found = prepare("folder64", "--source", source, "--json").document["notes"]
    assert found == json.loads((source.parent / "data" / "folder-64-rgb" / "card.json").read_text())["notes"]
    return found


@pytest.fixture
def heic(monkeypatch):
    """Return a function that says whether pillow-heif is installed."""

    def installed(answer):
        monkeypatch.setattr(decoding, "find_spec", lambda name: importlib.util.find_spec(name) if answer else None)
        decoding._formats.cache_clear()

    yield installed
    decoding._formats.cache_clear()


def test_what_is_left_out_is_counted_and_named(source, data, heic):
    heic(False)
    for name in ("b.txt", "a.pdf", "d.mov", "c.docx", ".hidden"):
        (source / name).write_text("not an image")
    (source / "IMG_1.HEIC").write_bytes(b"a photograph")
    first, *others = (Image.new("RGB", (20, 16), colour) for colour in ("red", "blue"))
    first.save(source / "moving.gif", save_all=True, append_images=others)
    first.save(source / "still.gif")
    assert prepared_notes(data[1], source) == [
        "no classes: there are no sub-folders",
        "left out: 1 HEIC file (IMG_1.HEIC); to read them: pip install 'genzoo[heic]'",
        "left out: 4 files (a.pdf, b.txt, c.docx, …), no image by name",
        "left out: all but the first picture of 1 file (moving.gif)",
    ]
    said = data[1]("folder64", "--source", source)
    assert "left out: 4 files (a.pdf, b.txt, c.docx, …), no image by name\n" in said.err


def test_animations_and_pages_of_every_format_are_counted_and_named(source, data):
    first, *others = (Image.new("RGB", (20, 16), colour) for colour in ("red", "blue", "green"))
    names = ["moving.gif", "moving.png", "moving.webp", "named-otherwise.jpg", "pages.tiff"]
    formats = ["gif", "png", "webp", "png", "tiff"]
    for name, format in zip(names, formats, strict=True):
        first.save(source / name, format=format, save_all=True, append_images=others)
        first.save(source / f"still-{name}", format=format)
    first.save(source / "two-eyes.jpg", format="MPO", save_all=True, append_images=others)
    (source / "broken.png").write_bytes((source / "moving.png").read_bytes()[:30])
    os.mkfifo(source / "pipe.png")
    assert decoding.animations(source, decoding.image_names(source)) == names
    os.unlink(source / "pipe.png")
    os.unlink(source / "broken.png")
    *_, note = prepared_notes(data[1], source)
    assert note == "left out: all but the first picture of 5 files (moving.gif, moving.png, moving.webp, …)"
    images = tensors(source.parent / "data" / "folder-64-rgb")[0]
    reds = (numpy.asarray(images)[:, 0] > 240).all(axis=(1, 2)) & (numpy.asarray(images)[:, 2] < 20).all(axis=(1, 2))
    assert reds.sum() == 11  # of every file the first picture, and never another


def test_a_format_that_is_not_allowed_is_not_opened_to_look_for_pages(source, monkeypatch):
    first, other = (Image.new("RGB", (20, 16), colour) for colour in ("red", "blue"))
    for name in ("moving.gif", "moving.png"):
        first.save(source / name, save_all=True, append_images=[other])
    monkeypatch.setattr(decoding, "_formats", lambda: ("PNG",))
    assert decoding.animations(source, ["moving.gif", "moving.png"]) == ["moving.png"]


def test_heic_is_read_where_pillow_heif_is_installed(source, data, heic, say):
    pillow_heif = pytest.importorskip("pillow_heif")
    heic(True)
    pixels = numpy.full((16, 20, 3), 200, dtype=numpy.uint8)
    pillow_heif.from_bytes(mode="RGB", size=(20, 16), data=pixels.tobytes()).save(source / "a.heic")
    found = data[1]("folder64", "--source", source, "--json").document
    assert sum(found["rows"].values()) == 21
    assert found["notes"] == ["no classes: there are no sub-folders"]
    images = tensors(Path(found["path"]))[0]
    assert (numpy.abs(numpy.asarray(images, dtype=int) - 200).max(axis=(1, 2, 3)) <= 3).sum() == 1


@pytest.mark.parametrize(
    ("folders", "note"),
    [
        (("cats", "dogs"), "classes, by sub-folder: cats 10, dogs 10"),
        (("cats", "."), "no classes: 10 images in no sub-folder, such as 0000.png"),
        (("cats",), "no classes: all images are in one sub-folder, cats"),
    ],
)
def test_what_became_of_sub_folders_is_told(data, tmp_path, folders, note):
    for folder in folders:
        write_pngs(tmp_path / "images" / folder, 10)
    assert prepared_notes(data[1], tmp_path / "images") == [note]


@pytest.mark.usefixtures("unseen")
def test_one_folder_of_images_is_prepared_beside_another(say, source, data, tmp_path):
    root, prepare = data
    assert prepare("folder32", "--source", source).code == 0
    write_pngs(tmp_path / "others", 10)
    said = prepare("folder32", "--source", tmp_path / "others")
    assert (said.code, said.err.splitlines()[-1]) == (
        2,
        "to replace it, add: --replace; to keep both, name the second: --set dataset.set=NAME",
    )
    said = prepare("folder32", "--source", tmp_path / "others", "--set", "dataset.set=cats")
    assert said.out == f"{root / 'folder-32-rgb-cats'}\n"
    assert [row["rows"] for row in status(say, root)] == [20, 10]
    named = [line.split()[:2] for line in say("data", "status", "--data", root).out.splitlines() if "prepared" in line]
    assert named == [["folder", "folder-32-rgb"], ["folder", "folder-32-rgb-cats"]]
    asked = ("--set", "dataset.size=32", "--set", "dataset.set=cats")
    said_again = prepare("folder", "--source", tmp_path / "others", *asked)  # by the name of the data set
    hint = f"genzoo train ali --recipe folder32 --data {root} --set dataset.size=32 --set dataset.set=cats"
    assert f"next, type: {hint}\n" in said_again.err
    said_again = prepare("folder", "--source", tmp_path / "others", "--set", "dataset.size=16")
    assert "ready for a recipe that uses folder dataset.size=16\n" in said_again.err
    assert say(*told(said.err, "genzoo train"), "--run", "run", *SHORT).code == 0
    assert len(load_data("run").train.x) == 8
    refused = say("train", "ali", "--recipe", "folder32", "--data", root, "--set", "dataset.set=../up", *SHORT)
    assert (refused.code, "expected letters, digits, - and _" in refused.err) == (2, True)


def test_a_set_that_was_prepared_before_sets_had_names_is_still_the_same(source, data):
    root, prepare = data
    assert prepare("folder32", "--source", source).code == 0
    card = json.loads((root / "folder-32-rgb" / "card.json").read_text())
    assert card["fields"] == {"name": "folder", "size": 32, "channels": 3, "classes": []}


# A run and its data


@pytest.fixture
def two_places(say, tmp_path):
    """Return two folders in which other images are prepared, and their hashes; a run `run` was trained on the first."""
    for name in ("first", "second"):
        for part in ("cats", "dogs"):
            write_pngs(tmp_path / name / "images" / part, 20, size=(20, 16))
        said = say("data", "prepare", "folder32", "--source", tmp_path / name / "images", "--data", tmp_path / name)
        assert said.code == 0
    trained = say("train", "ali", "--recipe", "folder32", "--data", "first", "--run", "runs/run", *SHORT)
    assert trained.code == 0
    cards = [json.loads((tmp_path / name / "folder-32-rgb" / "card.json").read_text()) for name in ("first", "second")]
    return [card["files"][IMAGES]["sha256"] for card in cards]


@pytest.mark.usefixtures("unseen", "two_places")
def test_a_run_finds_the_data_that_it_was_trained_on(say, tmp_path, monkeypatch):
    for command in (("evaluate",), ("reconstruct", "-n", 2), ("resume", "--steps", 3, "--quiet")):
        said = say(command[0], "runs/run", *command[1:])
        assert (said.code, "other data" in said.err) == (0, False)
    again = say("train", "ali", "--recipe", "folder32", "--run", "runs/run", *SHORT[2:], "--steps", 3)
    assert again.code == 0
    os.rename(tmp_path, tmp_path.with_name("moved"))  # all of it, so that both are where they were from each other
    monkeypatch.chdir(tmp_path.with_name("moved"))
    try:
        assert say("evaluate", "runs/run").code == 0
    finally:
        monkeypatch.chdir(tmp_path.parent)
        os.rename(tmp_path.with_name("moved"), tmp_path)


@pytest.mark.usefixtures("unseen", "two_places")
def test_the_nearest_rows_are_told_by_the_files_that_they_were_prepared_from(say, tmp_path):
    images, place = tmp_path / "first" / "images", tmp_path / "first" / "folder-32-rgb"
    names = genzoo.load("runs/run").dataset.file_names(tmp_path / "first", "train")
    nearest = ("nearest", "runs/run", images / names[5], "-n", 2, "--json")
    (entry,) = say(*nearest).document["files"]
    first, second = entry["nearest"]
    assert (first["file"], first["row"]) == (names[5], 5)  # the very picture, and its codes are those of its row
    assert second["file"] == names[second["row"]]
    assert names[5] in say(*nearest[:-1]).err
    card = files.read_sealed(place / "card.json", "a card")
    del card["files"]["names.jsonl"]  # as sets were prepared before names were stored
    files.write_sealed(place / "card.json", card)
    (entry,) = say(*nearest).document["files"]
    assert [other.keys() for other in entry["nearest"]] == [{"row", "distance"}] * 2


@pytest.mark.usefixtures("unseen", "two_places")
def test_runs_that_go_on_together_find_the_data_that_they_were_trained_on(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # where the user's default folder is, with no data in it
    settings = {"training.steps": 3, "training.batch_size": 4}
    (again,) = train_together([TrainingRequest(model="ali", recipe="folder32", overrides=settings, run="runs/run")])
    assert genzoo.Run.at(again).step == 3


@pytest.mark.usefixtures("two_places")
def test_what_is_given_goes_before_what_is_remembered(say, monkeypatch):
    assert "other data" in say("reconstruct", "runs/run", "-n", 2, "--data", "second").err
    monkeypatch.setenv("GENZOO_DATA", "second")
    assert "other data" in say("reconstruct", "runs/run", "-n", 2).err
    assert "other data" not in say("reconstruct", "runs/run", "-n", 2, "--data", "first").err


def test_scores_on_other_data_are_told_and_kept_apart(say, two_places):
    first, second = two_places
    own = say("evaluate", "runs/run", "--metric", "reconstruction", "--json").document["scores"]
    assert {score["data"] for score in own} == {first}
    said = say("evaluate", "runs/run", "--metric", "reconstruction", "--data", "second", "--json")
    others = said.document["scores"]
    assert {score["data"] for score in others} == {second}
    for part in ("second", second[:12], first[:12], "runs/run", "kept apart"):
        assert part in said.err
    run = genzoo.Run.at("runs/run")
    assert [score for score in run.scores if score["metric"] == "reconstruction"] == [own[0], others[0]]
    assert {score["data"] for score in run.final_scores} == {first}
    assert say("runs", "--json").document["runs"][0]["scores"] == run.scores_on_its_data
    for command in ("reconstruct", "interpolate"):
        assert "second holds other data of 'folder'" in say(command, "runs/run", "--data", "second").err


@pytest.mark.usefixtures("unseen", "two_places")
def test_other_classes_than_the_runs_are_refused(say, tmp_path):
    os.rename(tmp_path / "second" / "images" / "cats", tmp_path / "second" / "images" / "birds")
    prepared = ("data", "prepare", "folder32", "--source", "second/images", "--data", "second", "--replace")
    assert say(*prepared).code == 0
    said = say("evaluate", "runs/run", "--data", "second")
    assert said.code == 2
    assert "the classes of 'folder' in second are birds, dogs, those of runs/run are cats, dogs" in said.err


@pytest.mark.usefixtures("unseen", "two_places")
def test_a_run_whose_data_are_gone_says_where_they_were(say, tmp_path):
    os.rename(tmp_path / "first", tmp_path / "elsewhere")
    for command in ("evaluate", "reconstruct", "resume"):
        said = say(command, "runs/run")
        assert said.code == 3
        assert f"{tmp_path / 'first' / 'folder-32-rgb'} has no card (--data names another folder)" in said.err
    assert say("resume", "runs/run", "--data", "elsewhere", "--quiet").code == 0
    assert say("evaluate", "runs/run").code == 0
