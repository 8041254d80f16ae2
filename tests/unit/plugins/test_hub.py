"""The hub: what is pushed, pulled and loaded, and what a hostile repository cannot do, on a loopback server."""

import hashlib
import json
import os
import pickle
import shutil
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import pytest
import yaml
from hub_server import point_at, serving_hub
from photographs import write_pngs
from toy import TOY

import genzoo
from genzoo.data import prepared
from genzoo.runs import export_run
from genzoo.runs.stores import data_called
from genzoo.storage import files as storage
from genzoo.storage.run_folder import Run
from genzoo.storage.tensors import pack
from genzoo_data.folder import Folder
from genzoo_gan.gan import GAN
from genzoo_hub.buckets import Bucket
from genzoo_hub.pushing import private_texts, push_model

huggingface_hub = pytest.importorskip("huggingface_hub")
NAME = "me/gan"
CANARY = "canary-of-a-private-thing"


@pytest.fixture(scope="module")
def server():
    with serving_hub() as served:
        yield served


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """Yield the loopback hub, with which huggingface_hub talks, and caches of this test's own."""
    hub, address = server
    hub.__init__()
    point_at(address, tmp_path, monkeypatch)
    return hub


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """Have every text of this process's user, machine, folders and environment hold a canary."""
    home = tmp_path_factory.mktemp("private") / f"{CANARY}-home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in ("USER", "LOGNAME", "ANY_SECRET", "GENZOO_ANYTHING"):
            patch.setenv(name, f"{CANARY}-{name}")
        patch.setattr("platform.node", lambda: f"{CANARY}-node")
        patch.setattr("socket.gethostname", lambda: f"{CANARY}-host")
        yield home


@pytest.fixture(scope="module")
def run(private):
    """Return a short run of vectors, with averaged weights."""
    return genzoo.train("gan", overrides=TOY | {"training.evaluate_every": 4}, run=private / "runs" / "gan")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Return the files of the run's export by name."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_run(run, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(files, folder):
    """Write files into a new folder."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


# Pushed, pulled and loaded


def test_what_is_pushed_is_what_is_loaded_and_pulled(say, hub, run, tmp_path):
    pushed = say("push", run.path, NAME, "--license", "apache-2.0", "--json").document
    sha, files = hub.files(NAME)
    assert (pushed["commit"], pushed["private"], pushed["removed"]) == (sha, False, [])
    assert pushed["url"].endswith(f"/{NAME}")
    assert pushed["files"] == {name: len(files[name]) for name in files if name != ".gitattributes"}
    assert hub.commits[NAME][-1][1] == "gan on mixture25, step 4"
    expected = genzoo.load(run).sample(5).numpy()
    assert numpy.array_equal(genzoo.load(f"hf://{NAME}").sample(5).numpy(), expected)
    pulled = say("pull", NAME, "--json").document
    assert pulled["path"] == "gan"
    assert numpy.array_equal(genzoo.load("gan").sample(5).numpy(), expected)
    assert {path.name: path.read_bytes() for path in (tmp_path / "gan").iterdir()} == {
        name: content for name, content in files.items() if name != ".gitattributes"
    }
    assert say("sample", f"hf://{NAME}", "-n", "5", "--out", "x.npy").code == 0
    assert numpy.array_equal(numpy.load("x.npy"), expected)
    assert say("show", f"hf://{NAME}", "--json").document["model"] == "gan"
    check_card(run, files["README.md"].decode())


def check_card(run, card):
    """Assert that a card has the metadata of the hub, and every score with its protocol."""
    _, front, text = card.split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert {key: metadata[key] for key in ("library_name", "license", "tags")} == {
        "library_name": "genzoo",
        "license": "apache-2.0",
        "tags": ["genzoo", "gan", "mixture25"],
    }
    (index,) = metadata["model-index"]
    measured = [metric for result in index["results"] for metric in result["metrics"]]
    assert [(metric["type"], metric["value"], metric["args"]) for metric in measured] == [
        (score["metric"], score["value"], {key: value for key, value in score["protocol"].items() if value is not None})
        for score in run.final_scores
        if score["value"] is not None
    ]
    assert f'genzoo.load("hf://{NAME}")' in text
    assert f"pip install genzoo=={genzoo.__version__}" in text
    assert huggingface_hub.ModelCard(card).data.eval_results


def test_a_revision_is_a_commit_and_what_is_cached_is_loaded_offline(say, hub, run, exported, tmp_path, monkeypatch):
    raw = genzoo.load(run, raw=True)
    expected = [model.sample(3).numpy() for model in (genzoo.load(run), raw)]
    assert not numpy.array_equal(*expected)
    weights = pack({key: value.contiguous() for key, value in raw.networks.state_dict().items()})
    first, _ = hub.commit(NAME, exported), hub.commit(NAME, with_weights(exported, bytes(weights)))
    for address, samples in ((f"{NAME}@{first}", expected[0]), (NAME, expected[1]), (f"{NAME}@main", expected[1])):
        assert numpy.array_equal(genzoo.load(f"hf://{address}").sample(3).numpy(), samples)
    assert say("pull", NAME, "--revision", first, "--out", "first").code == 0
    assert numpy.array_equal(genzoo.load("first").sample(3).numpy(), expected[0])
    hub.__init__()  # all is gone there
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for address, samples in ((f"{NAME}@{first}", expected[0]), (NAME, expected[1])):
        assert numpy.array_equal(genzoo.load(f"hf://{address}").sample(3).numpy(), samples)
    assert hub.requests == []
    with pytest.raises(genzoo.UnreadableError, match="its cache on this machine does not hold all of it"):
        genzoo.load("hf://me/other")


def test_a_second_push_takes_away_what_the_model_no_longer_has_and_nothing_else(say, hub, exported, run):
    hub.commit(NAME, exported | {"reconstructions.png": b"rows of data", "notes.txt": b"mine"})
    said = say("push", run.path, NAME, "--raw", "--no-reconstructions", "--message", "Again")
    assert said.code == 0, said.err
    assert "removed averaged.safetensors, which this model does not have" in said.err
    assert "removed reconstructions.png" in said.err
    _, message, files = hub.commits[NAME][-1]
    assert (message, files["notes.txt"]) == ("Again", b"mine")
    assert {"averaged.safetensors", "reconstructions.png"} & files.keys() == set()
    assert numpy.array_equal(genzoo.load(f"hf://{NAME}").sample(2), genzoo.load(run, raw=True).sample(2))


def test_a_private_repository_is_made_private_and_a_public_one_is_refused(hub, exported, tmp_path):
    write(exported, tmp_path / "model")
    asked = {"private": True, "message": "First"}
    assert push_model(tmp_path / "model", NAME, **asked).private
    hub.private[NAME] = False
    with pytest.raises(genzoo.SettingsError, match="exists and is public"):
        push_model(tmp_path / "model", NAME, **asked)
    assert [message for _, message, _ in hub.commits[NAME]] == ["initial commit", "First"]


# Nothing private


def test_nothing_private_goes_up_and_a_dry_run_sends_nothing(say, hub, run, private):
    dry = say("push", run.path, NAME, "--dry-run", "--json").document
    assert (dry["url"], hub.requests) == (None, [])
    assert say("push", run.path, NAME).code == 0
    _, files = hub.files(NAME)
    assert files.keys() - {".gitattributes"} == dry["files"].keys()
    for name, content in files.items():
        assert not [text for text in (CANARY, str(private.parent), "hf_loopback") if text.encode() in content], name
    copy = Run(shutil.copytree(run.path, private / "copy"))
    copy.write_record(replace(copy.record, overrides={"dataset.place": "/data/of/mine"}))
    before = len(hub.requests)
    said = say("push", copy.path, NAME)
    assert (said.code, len(hub.requests)) == (2, before)
    assert "run.json holds what is private to this machine: the path /data/of/mine" in said.err


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("/data/of/mine", "the path /data/of/mine"),
        ("trained in HOME/runs", "the home folder"),
        ("my-own-api-key", "the value of MY_API_KEY"),
        (f"{CANARY}-node", "the name of the machine"),
        ("a/b", None),
    ],
)
def test_what_is_private_is_found_in_a_file(private, tmp_path, monkeypatch, text, what):
    monkeypatch.setenv("MY_API_KEY", "my-own-api-key")
    (tmp_path / "run.json").write_text(json.dumps({"overrides": {"a": text.replace("HOME", str(private))}}))
    assert list(private_texts(tmp_path / "run.json")) == ([] if what is None else [what])


@dataclass(frozen=True, kw_only=True)
class Mine(GAN):
    """A game that no plugin registers."""

    name = "mine"


def test_a_model_of_unregistered_code_is_not_uploaded(say, hub, run, tmp_path):
    copy = Run(shutil.copytree(run.path, tmp_path / "copy"))
    name, settings = f"{__name__}:Mine", copy.record.settings
    copy.write_record(replace(copy.record, model=name, settings=settings | {"game": settings["game"] | {"name": name}}))
    assert isinstance(genzoo.load(copy).game, Mine)
    said = say("push", copy.path, NAME)
    assert (said.code, hub.requests) == (2, [])
    assert f"the model needs code that no plugin registers, '{name}'" in said.err


# Hostile repositories


class Bomb:
    def __reduce__(self):
        return os.system, ("touch canary",)


def with_record(files, **changes):
    """Return the files with another record, rightly sealed."""

    with TemporaryDirectory() as place:
        run = Run(Path(place))
        (run.path / "run.json").write_bytes(files["run.json"])
        run.write_record(replace(run.record, **changes))
        return files | {"run.json": (run.path / "run.json").read_bytes()}


def with_manifest(files, entries):
    """Return the files with a manifest that lists `entries`, rightly sealed."""
    manifest = json.loads(files["MANIFEST.json"]) | {"files": entries}
    manifest.pop("sha256", None)
    with TemporaryDirectory() as place:
        storage.write_sealed(Path(place, "MANIFEST.json"), manifest)
        return files | {"MANIFEST.json": Path(place, "MANIFEST.json").read_bytes()}


def with_weights(files, content):
    """Return the files with other weights, of which the manifest has size and hash."""
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return with_manifest(files, {WEIGHTS: entry}) | {WEIGHTS: content}


def lists(files, name):
    """Return the files with a manifest that lists one of any name."""
    entries = json.loads(files["MANIFEST.json"])["files"]
    return with_manifest(files, entries | {name: entries[WEIGHTS]})


def game_called(files, name):
    settings = json.loads(files["run.json"])["settings"]
    return with_record(files, model=name, settings=settings | {"game": settings["game"] | {"name": name}})


BOMB = pickle.dumps(Bomb())
HUGE_HEADER = struct.pack("<Q", 2**62) + b"{}"
WEIGHTS = "averaged.safetensors"
HOSTILE = {
    "no model": (lambda files: {"pytorch_model.bin": BOMB, "run.py": b"import os"}, "it has no run.json"),
    "weights that are a pickle": (lambda files: with_weights(files, BOMB), "is not readable as safetensors"),
    "weights that are a page": (
        lambda files: with_weights(files, b"<!DOCTYPE html>"),
        "is not readable as safetensors",
    ),
    "a huge header": (lambda files: with_weights(files, HUGE_HEADER), "is not readable as safetensors"),
    "another hash": (lambda files: files | {WEIGHTS: files[WEIGHTS][:-1] + b"?"}, "is damaged: its SHA-256"),
    "a file cut short": (lambda files: files | {WEIGHTS: files[WEIGHTS][:-8]}, "bytes, its manifest says"),
    "a link": (lambda files: files | {WEIGHTS: b"../../../../../etc/passwd"}, "bytes, its manifest says"),
    "a manifest that leads outside": (lambda files: lists(files, "../../x.json"), "a file that no checkpoint has"),
    "a manifest with a pickle": (lambda files: lists(files, "model.pkl"), "a file that no checkpoint has"),
    "a record of code": (lambda files: game_called(files, "os.path:Mine"), "names code, 'os.path:Mine'"),
    "a record of a plugin's class": (lambda files: game_called(files, "genzoo_gan.gan:GAN"), "names code"),
    "a plugin that is missing": (
        lambda files: with_record(files, requires={"genzoo-fish": "2.1"}),
        "if you trust it, type: pip install genzoo-fish==2.1",
    ),
    "a plugin that is a command": (
        lambda files: with_record(files, requires={"x; touch canary #": "1"}),
        "which is no name and version of a package",
    ),
    "a record changed by hand": (
        lambda files: files | {"run.json": files["run.json"].replace(b'"seed": 0', b'"seed": 7')},
        "was changed or damaged",
    ),
    "a record that is deep": (lambda files: files | {"run.json": b"[" * 100_000}, "is not readable as a run's record"),
    "a record that is large": (lambda files: files | {"run.json": b" " * (2**22 + 1)}, "expected at most 4,194,304"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_repository_runs_nothing_and_is_refused_in_three_lines(say, hub, exported, tmp_path, kind):
    change, says = HOSTILE[kind]
    files = change(exported) | {"../../outside.json": b"{}", "model.pkl": BOMB, "code/run.py": b"open('canary', 'w')"}
    hub.commit("bad/model", files)
    outside = {path for path in tmp_path.parent.iterdir() if path != tmp_path}
    said = say("sample", "hf://bad/model")
    assert (said.code, len(said.err.splitlines()) <= 3) == (3, True), said.err
    assert says in said.err
    assert say("pull", "bad/model", "--out", "copy").code == 3
    assert not (tmp_path / "copy").exists()
    assert not list(tmp_path.rglob("canary"))
    assert {path for path in tmp_path.parent.iterdir() if path != tmp_path} == outside
    fetched = {path.rpartition("/")[2] for method, path in hub.requests if "/resolve/" in path}
    assert fetched <= {
        "run.json",
        "MANIFEST.json",
        "evaluation.json",
        "README.md",
        "averaged.safetensors",
        "samples.png",
    }


def test_a_download_that_is_cut_off_leaves_nothing_that_is_taken_for_a_model(say, hub, exported, monkeypatch):
    hub.commit(NAME, exported)
    hub.truncated.add("averaged.safetensors")
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)  # between five tries
    said = say("sample", f"hf://{NAME}")
    assert (said.code, len(said.err.splitlines()) <= 3) == (3, True), said.err
    hub.truncated.clear()
    assert say("sample", f"hf://{NAME}").code == 0


# Told in words


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["sample", "hf://me/nothing"], 3, "there is no such repository, or it is private"),
        (["sample", f"hf://{NAME}@v9"], 3, "it has no such revision"),
        (["pull", "gan"], 2, "'gan' is no repository of the hub"),
        (["pull", "me/ga n"], 2, "expected: OWNER/NAME"),
        (["pull", f"{NAME}@main", "--revision", "main"], 2, "two revisions are named"),
        (["push", "nowhere", NAME], 3, "there is no run folder nowhere"),
        (["push", "nowhere", f"{NAME}@main"], 2, "@main is a revision"),
    ],
)
def test_what_does_not_work_is_told_with_what_to_type(say, hub, exported, words, code, says):
    hub.commit(NAME, exported)
    said = say(*words)
    assert (said.code, len(said.err.splitlines()) <= 3) == (code, True), said.err
    assert says in said.err


def test_who_may_not_write_is_told_to_log_in(hub, exported, tmp_path, monkeypatch):
    write(exported, tmp_path / "model")
    monkeypatch.setenv("HF_TOKEN", "hf_of_another")
    with pytest.raises(genzoo.UnreadableError) as refused:
        push_model(tmp_path / "model", NAME, private=False, message="First")
    assert refused.value.remedy == "log in with a token that may do this: hf auth login"


@pytest.mark.parametrize(
    ("library", "extra", "words"),
    [
        ("huggingface_hub", "hub", ["push", "1", NAME]),
        ("huggingface_hub", "hub", ["pull", NAME]),
        ("huggingface_hub", "hub", ["sample", f"hf://{NAME}"]),
        ("fsspec", "remote", ["sample", "s3://mine/model"]),
    ],
)
def test_without_a_library_the_extra_is_named(say, monkeypatch, library, extra, words):
    monkeypatch.setitem(sys.modules, library, None)
    said = say(*words)
    assert (said.code, said.err.splitlines()[-1]) == (2, f"type: pip install 'genzoo[{extra}]'")


# Buckets


@pytest.fixture
def bucket(monkeypatch, private):
    """Return the store in memory that stands for every bucket."""
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.store.clear()
    monkeypatch.setattr(Bucket, "_client", lambda self: memory)
    return memory


def upload(memory, files, place):
    for name, content in files.items():
        memory.pipe_file(f"/{place}/{name}", content)


def test_a_model_of_a_bucket_is_a_run_and_another_one_in_its_place_is_fetched(bucket, run, exported):
    upload(bucket, exported | {"model.pkl": BOMB}, "mine/model")
    models = [genzoo.load(run, raw=raw) for raw in (False, True)]
    cached = Path.home() / ".cache/genzoo/remote/gs/mine/model"
    assert numpy.array_equal(genzoo.load("gs://mine/model").sample(3), models[0].sample(3))
    assert {path.name: path.read_bytes() for path in cached.iterdir()} == exported
    weights = pack({key: value.contiguous() for key, value in models[1].networks.state_dict().items()})
    upload(bucket, with_weights(exported, bytes(weights)), "mine/model")
    assert numpy.array_equal(genzoo.load("gs://mine/model").sample(3), models[1].sample(3))


def test_prepared_data_of_a_bucket_are_fetched_once_and_held_to_their_card(bucket, tmp_path):
    write_pngs(tmp_path / "photographs", 20, size=(8, 8), channels=1)
    dataset = Folder(size=8, channels=1)
    prepared.prepare_dataset(dataset, tmp_path, source=tmp_path / "photographs", jobs=1)
    files = {path.name: path.read_bytes() for path in (tmp_path / dataset.place).iterdir()}
    address = f"s3://mine/sets/{dataset.place}"
    upload(bucket, files, f"mine/sets/{dataset.place}")
    for _ in range(2):
        assert [len(split.x) for split in dataset.load(data_called(address))] == [16, 2, 2]
        bucket.rm_file(f"/mine/sets/{dataset.place}/images.safetensors")  # it is not asked for again
        upload(bucket, {"images.safetensors": b""}, f"mine/sets/{dataset.place}")
    upload(bucket, files | {"images.safetensors": files["images.safetensors"][:-1] + b"?"}, "mine/damaged")
    with pytest.raises(genzoo.UnreadableError, match=r"images\.safetensors is damaged: its SHA-256"):
        data_called("s3://mine/damaged")


@pytest.mark.parametrize(
    ("address", "code", "says"),
    [
        ("s3://mine", 2, "'s3://mine' is no folder of a bucket"),
        ("s3://mine/../../x", 2, "is no folder of a bucket"),
        ("s3://mine/nothing", 3, "s3://mine/nothing cannot be read"),
        ("s3://mine/empty", 3, "holds no model and no prepared data"),
    ],
)
def test_what_is_in_no_bucket_is_told(say, bucket, address, code, says):
    bucket.pipe_file("/mine/empty/notes.txt", b"")
    said = say("sample", address)
    assert (said.code, len(said.err.splitlines()) <= 3) == (code, True), said.err
    assert says in said.err
