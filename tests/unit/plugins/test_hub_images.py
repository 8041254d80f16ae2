"""Data sets that the library `datasets` reads: parquet files and image folders become the same prepared form."""

import io
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from hub_server import point_at, serving_hub
from PIL import Image

from genzoo.data import prepared
from genzoo.host.discovery import registry
from genzoo.runs.job import find_game
from genzoo.training.settings import resolve_settings
from genzoo.training.trainer import Trainer
from genzoo_hub.images import HubImages
from genzoo_hub.recipes import HF32

datasets = pytest.importorskip("datasets")
TRAIN, TEST = 40, 12
SMALL = ("--set", "dataset.size=8", "--set", "dataset.channels=1")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Have `datasets` keep what it makes in a folder of this module's, and ask nobody."""
    folder = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HF_DATASETS_CACHE": folder, "HF_HUB_OFFLINE": True}.items():
            patch.setattr(f"datasets.config.{name}", value)
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield


def png(level, size=(8, 8), mode="L"):
    content = io.BytesIO()
    Image.new(mode, size, level if mode == "L" else (level,) * 3).save(content, "PNG")
    return content.getvalue()


CLASSES = datasets.ClassLabel(names=["cat", "dog", "eel"])
FEATURES = {"picture": datasets.Image(), "kind": CLASSES, "note": datasets.Value("string")}


def write_parquet(folder, *, features=None, images=None, splits=None, **columns):
    """Write a split per file, by default row i of a split with the level i, class i modulo 3 and a note."""
    folder.mkdir(exist_ok=True)
    for split, rows in (splits or {"train": TRAIN, "test": TEST}).items():
        encoded = images or [{"bytes": png(row), "path": None} for row in range(rows)]
        values = {"picture": encoded, "kind": [row % 3 for row in range(rows)], "note": ["a"] * rows}
        values |= {name: make(rows) for name, make in columns.items()}
        chosen = features or FEATURES
        table = datasets.Dataset.from_dict({name: values[name] for name in chosen}, datasets.Features(chosen))
        table.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
    return folder


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp("sources") / "parquet")


def test_parquet_files_keep_their_splits_and_classes_and_lack_of_validation_is_a_tenth_of_training(say, parquet):
    document = say(
        "data", "prepare", "hf", "--source", parquet, *SMALL, "--data", "data", "--jobs", 1, "--json"
    ).document
    assert document["rows"] == {"train": 36, "validation": 4, "test": 12}
    assert document["class_names"] == ["cat", "dog", "eel"]
    assert document["notes"] == [
        "train: train; validation: a tenth of train; test: test",
        "images from column picture; 3 classes from column kind",
    ]
    dataset = HubImages(size=8, channels=1).with_found_classes(Path("data"))
    splits = dataset.load(Path("data"))
    for split in splits:  # every row has the level and the class of its number
        levels = split.x[:, 0, 0, 0].long()
        assert torch.equal(split.x, levels.to(torch.uint8)[:, None, None, None].expand_as(split.x))
        assert torch.equal(split.labels, levels % 3)
    numbers = torch.cat([splits.train.x, splits.validation.x])[:, 0, 0, 0]
    assert sorted(numbers.tolist()) == list(range(TRAIN))
    assert splits.test.x[:, 0, 0, 0].tolist() == list(range(TEST))


def test_recipes_are_on_it_and_a_conditional_model_takes_a_step(say, parquet):
    prepare = ("data", "prepare", "hf32", "--source", parquet, "--data", "data")
    said = say(*prepare, "--jobs", 1)
    assert (said.code, said.err.splitlines()[-1]) == (0, "next, type: genzoo train ali --recipe hf32 --data data")
    settings = resolve_settings(
        find_game(registry(), "conditional-gan"), HF32, [("training.batch_size", "4")], resolve=registry().resolve
    )
    settings = replace(settings, dataset=settings.dataset.with_found_classes(Path("data")))
    assert settings.dataset.spec.class_names == ("cat", "dog", "eel")
    splits = settings.dataset.load(Path("data"))
    losses = Trainer(settings, splits.train, seed=0, device=torch.device("cpu")).take_step()
    assert all(torch.isfinite(value) for value in losses.players.values())
    assert say("data", "status", "--check", "--data", "data", "--json").document["datasets"][0]["state"] == "prepared"


def test_blocks_are_read_by_other_processes(parquet):
    dataset = HubImages(size=8, channels=1)
    (train, *_) = dataset.contents(parquet).blocks
    copy, out = pickle.loads(pickle.dumps(train)), numpy.zeros((train.rows, 1, 8, 8), dtype=numpy.uint8)
    assert copy.read(out) == []
    assert out[:, 0, 0, 0].tolist() == list(train.numbers)
    assert len(pickle.dumps(train)) < 20_000  # the rows stay on disk


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Yield a loopback hub with which `datasets` talks, and a cache of this test's own."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    with serving_hub() as (hub, address):
        point_at(address, tmp_path, monkeypatch)
        yield hub


PREPARE = ("data", "prepare", "hf", *SMALL, "--data", "data", "--jobs", 1)


def test_a_data_set_of_the_hub_is_fetched_at_a_revision_and_nothing_but_its_tables(say, hub, parquet, tmp_path):
    first = {f"data/{path.name}": path.read_bytes() for path in parquet.iterdir()}
    other = write_parquet(tmp_path / "other", splits={"train": 20, "test": 12})
    second = {f"data/{path.name}": path.read_bytes() for path in other.iterdir()}
    code = {"load.py": b"open('canary', 'w')", "data.pkl": pickle.dumps(print)}
    commit = hub.commit("me/pets", {**first, **code, "README.md": b"# Pets"})
    hub.commit("me/pets", second | code)
    newest = say(*PREPARE, "--json", "--source", "me/pets").document
    assert newest["rows"] == {"train": 18, "validation": 2, "test": 12}
    at_first = ("--set", f"dataset.revision={commit}", "--set", "dataset.set=first")
    document = say(*PREPARE, "--json", "--source", "hf://datasets/me/pets", *at_first).document
    assert document["rows"] == {"train": 36, "validation": 4, "test": 12}
    assert document["class_names"] == ["cat", "dog", "eel"]
    assert not [request for request in hub.requests if request[0] == "GET" and request[1].endswith((".pkl", "load.py"))]
    assert not list(tmp_path.rglob("canary"))
    found = HubImages(size=8, channels=1, set="first").with_found_classes(Path("data"))
    assert sorted(found.load(Path("data")).test.x[:, 0, 0, 0].tolist()) == list(range(TEST))


@pytest.mark.parametrize(
    ("source", "says", "remedy"),
    [
        ("me/nothing", "me/nothing is no folder, and on the hub: there is no such repository", "check its name"),
        ("hf://datasets/me/nothing", "me/nothing cannot be fetched from the hub: there is no", "check its name"),
        ("me/pets --set dataset.revision=old", "it has no such revision", "name a branch"),
        ("me/pickles", "cannot be read by datasets", "name a folder of parquet files"),
        ("me/code", "me/code is read by a program of its own, code.py, which is not run", "refs/convert/parquet"),
    ],
)
def test_what_the_hub_does_not_have_as_tables_is_told(say, hub, source, says, remedy, tmp_path):
    hub.commit("me/pets", {"README.md": b""})
    hub.commit("me/pickles", {"data.pkl": pickle.dumps(print)})
    hub.commit("me/code", {"code.py": b"open('canary', 'w')"})
    said = say(*PREPARE, "--source", *source.split())
    assert (said.code, len(said.err.splitlines()) <= 3) == (3, True), said.err
    assert says in said.err
    assert remedy in said.err
    assert not list(tmp_path.rglob("canary"))


def test_no_earlier_revision_is_read_where_a_fetch_fails(say, hub, parquet):
    files = {path.name: path.read_bytes() for path in parquet.iterdir()}
    hub.commit("me/pets", files)
    assert say(*PREPARE, "--source", "me/pets").code == 0
    hub.commit("me/pets", {"data.pkl": pickle.dumps(print)})
    said = say(*PREPARE, "--replace", "--source", "me/pets")
    assert (said.code, "holds nothing that datasets reads, or could not be fetched" in said.err) == (3, True), said.err


def test_an_image_folder_has_its_folders_as_splits_and_classes(tmp_path):
    for split, rows in (("train", 20), ("validation", 6), ("test", 6)):
        for row in range(rows):
            folder = tmp_path / "source" / split / "ab"[row % 2]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{row:02}.png").write_bytes(png(10 + row % 2, size=(20, 12), mode="RGB"))
    prepared.prepare_dataset(HubImages(size=8), tmp_path, source=tmp_path / "source", jobs=1)
    dataset = HubImages(size=8).with_found_classes(tmp_path)
    assert dataset.spec.class_names == ("a", "b")
    splits = dataset.load(tmp_path)
    assert [len(split.x) for split in splits] == [20, 6, 6]
    for split in splits:
        assert torch.equal(split.x.flatten(1), (10 + split.labels)[:, None].expand(-1, 192).to(torch.uint8))


def test_what_was_prepared_from_other_files_is_told_and_the_same_files_are_not_read_twice(say, tmp_path):
    source = write_parquet(tmp_path / "source")
    words = ("data", "prepare", "hf", "--source", "source", *SMALL, "--data", "data", "--jobs", 1)
    assert say(*words).code == 0
    card = (tmp_path / "data" / "hf-8-grey" / "card.json").read_bytes()
    assert say(*words).code == 0
    assert (tmp_path / "data" / "hf-8-grey" / "card.json").read_bytes() == card
    assert str(tmp_path).encode() not in card
    write_parquet(source, splits={"train": 30, "test": 12})
    said = say(*words)
    assert (said.code, "was prepared from something else" in said.err) == (2, True)
    assert say(*words, "--replace", "--json").document["rows"]["train"] == 27
    assert say(*words, "--set", "dataset.set=other", "--set", "dataset.test=none", "--json").document["rows"] == {
        "train": 24,
        "validation": 3,
        "test": 3,
    }


TWO = {"a": datasets.Image(), "b": datasets.Image(), "fine": CLASSES, "coarse": CLASSES}


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({}, 2, "2 columns hold images; the columns are: a (Image), b (Image), fine (ClassLabel), coarse (ClassLabel)"),
        ({"image": "a"}, 2, "2 columns hold classes: a (Image), b (Image), fine (ClassLabel), coarse (ClassLabel)"),
        ({"image": "fine"}, 2, "column 'fine' holds no images"),
        ({"image": "c"}, 2, "there is no column 'c'"),
        ({"image": "b", "label": "a"}, 2, "column 'a' holds no classes"),
        ({"image": "b", "label": "coarse"}, 0, "3 classes from column coarse"),
        ({"image": "b", "label": "none"}, 0, "images from column b; no classes"),
        ({"image": "b", "label": "none", "train": "b"}, 2, "there is no split 'b'; there are: train"),
        ({"image": "b", "label": "none", "test": "train"}, 2, "one split is chosen twice"),
    ],
)
def test_what_is_ambiguous_is_told_with_the_columns_and_what_to_type(say, tmp_path, settings, code, says):
    image = [{"bytes": png(1), "path": None}] * 20
    kinds = [row % 3 for row in range(20)]
    source = tmp_path / "two"
    source.mkdir()
    table = {"a": image, "b": image, "fine": kinds, "coarse": kinds}
    datasets.Dataset.from_dict(table, datasets.Features(TWO)).to_parquet(str(source / "train-00000-of-00001.parquet"))
    words = [word for name, value in settings.items() for word in ("--set", f"dataset.{name}={value}")]
    said = say("data", "prepare", "hf", "--source", "two", *SMALL, *words, "--data", "data", "--jobs", 1)
    assert (said.code, says in said.err) == (code, True), said.err
    assert code == 0 or len(said.err.splitlines()) <= 3


def test_classes_that_are_words_or_unknown_are_numbered(tmp_path):
    features = FEATURES | {"kind": datasets.Value("string")}
    words = {"kind": lambda rows: [None if row == 0 else "dc"[row % 2] for row in range(rows)]}
    source = write_parquet(tmp_path / "words", features=features, **words)
    prepared.prepare_dataset(HubImages(size=8, channels=1, label="kind"), tmp_path, source=source, jobs=1)
    splits = HubImages(size=8, channels=1).with_found_classes(tmp_path).load(tmp_path)
    assert splits.validation.labels.tolist() == [1 - level % 2 for level in splits.validation.x[:, 0, 0, 0].tolist()]
    assert splits.test.labels is None  # one is unknown


# Hostile data


def test_no_path_in_a_table_leads_to_a_file_and_what_is_no_image_is_counted(say, tmp_path):
    (tmp_path / "secret.png").write_bytes(png(200))
    images = [{"bytes": png(row), "path": None} for row in range(20)]
    images[3] = {"bytes": None, "path": str(tmp_path / "secret.png")}
    images[4] = {"bytes": pickle.dumps(print), "path": None}
    images[5] = None
    write_parquet(tmp_path / "source", images=images, splits={"train": 20})
    words = ("data", "prepare", "hf", "--source", "source", *SMALL, "--data", "data", "--jobs", 1)
    said = say(*words)
    assert (said.code, "3 of 20 images cannot be read" in said.err) == (3, True)
    assert "train, row 3: it has no image" in said.err
    assert say(*words, "--skip-corrupt", "--json").document["left_out"] == 3
    x = HubImages(size=8, channels=1).load(tmp_path / "data").train.x
    assert 200 not in x


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.pkl", b"\x80\x04", "cannot be read by datasets"),
        ("data.csv", b"image,label\n1,2\n", "would be read as csv"),
        ("load.py", b"open('canary', 'w')", "cannot be read by datasets"),
        ("source.py", b"open('canary', 'w')", "cannot be read by datasets"),
        ("train.parquet", b"PAR1 no", "cannot be read by datasets"),
    ],
)
def test_nothing_but_parquet_and_images_is_read(say, tmp_path, name, content, says):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).write_bytes(content)
    said = say("data", "prepare", "hf", "--source", "source", "--data", "data")
    assert (said.code, len(said.err.splitlines()) <= 3) == (3, True), said.err
    assert says in said.err
    assert not list(tmp_path.rglob("canary"))


@pytest.mark.parametrize("source", ["./nowhere/at/all", "owner/name"])
def test_what_is_not_there_is_told(say, source):
    said = say("data", "prepare", "hf", "--source", source, "--data", "data")
    assert (said.code, len(said.err.splitlines()) <= 3) == (3, True), said.err
    assert "no folder" in said.err or "name a folder" in said.err


def test_without_the_library_the_extra_is_named(say, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    said = say("data", "prepare", "hf", "--source", "owner/name")
    assert (said.code, said.err.splitlines()[-1]) == (2, "type: pip install 'genzoo[datasets]'")
