"""Hostile files: no file that genzoo reads can run anything, write anywhere else, or take all memory.

Every input here would make a canary if it could; none ever sings.
"""

import ast
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import formats
import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save
from toy import TOY

import genzoo
from genzoo.runs import opening
from genzoo.storage import files
from genzoo_data.cifar10 import CIFAR10
from genzoo_data.folder import Folder
from genzoo_data.tinyimagenet200 import TinyImageNet200

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "genzoo").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])

# No file becomes code: read from the syntax trees

UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "runpy", "code"}
UNSAFE_BUILTINS = {"eval", "exec", "compile", "__import__"}
UNSAFE_CALLS = {
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "numpy.fromregex",
    "pandas.read_pickle",
    "importlib.util.spec_from_file_location",
}
UNPACKING = {"extractall", "extract", "unpack_archive"}

IMPORTERS = {
    "genzoo/host/registry.py": "the target of a `lazy` in an installed plugin's own code; no file's content gets there",
    "genzoo/cli/__init__.py": "a value of the table of commands, which is written in that file",
    "genzoo/public/names.py": "the package of a name's successor, from the table that is written in that file",
    "genzoo/host/unregistered.py": "what a user names: --code, FILE.py:CLASS, a class in Python",
    "plugins/genzoo_clusters/clients.py": "submitit, distributed or ray, as the modules beside it are written",
}
LOADERS_OF_FILES = {"genzoo/host/unregistered.py"}  # the same; a record that names one imports nothing, which is tested
READERS_OF_TENSORS = {"plugins/genzoo_metrics/fidelity.py"}  # with weights_only=True, which the house rules ask
UNPICKLERS = {
    "plugins/genzoo_data/cifar10.py": "the published archive, after its hash was compared; no other way to read it"
}


def label(path):
    return str(path.relative_to(ROOT))


def full_names(tree):
    """Return what every imported name stands for, such as {"np": "numpy", "fetch": "torch.load"}."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def dangers(source):
    """Return what in a piece of Python could turn data into code or into files, as sorted text."""
    tree, found = ast.parse(source), set()
    names = full_names(tree)
    for whole in names.values():
        if whole.partition(".")[0] in UNSAFE_MODULES:
            found.add(f"imports {whole.partition('.')[0]}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, dot, rest = ast.unparse(node).partition(".")
            whole = names.get(first, first) + dot + rest
            bare = whole.removeprefix("builtins.")
            if bare in UNSAFE_BUILTINS or whole in UNSAFE_CALLS:
                found.add(f"uses {bare}")
            if whole == "importlib.import_module":
                found.add("uses importlib.import_module")
            if isinstance(node, ast.Attribute) and node.attr in UNPACKING:
                found.add(f"unpacks with {node.attr}")
        if isinstance(node, ast.Call):
            said = {word.arg: ast.unparse(word.value) for word in node.keywords}
            called = ast.unparse(node.func)
            first, dot, rest = called.partition(".")
            if names.get(first, first) + dot + rest == "numpy.load" and said.get("allow_pickle") != "False":
                found.add("numpy.load without allow_pickle=False")
            if said.get("allow_pickle", "False") != "False" or said.get("shell", "False") != "False":
                found.add("allow_pickle or shell")
            if said.get("weights_only", "True") != "True":
                found.add("weights_only=False")
    return sorted(found)


@pytest.mark.parametrize("path", FILES, ids=label)
def test_no_file_of_genzoos_turns_data_into_code(path):
    found = dangers(path.read_text(encoding="utf-8"))
    allowed = ["uses importlib.import_module"] if label(path) in IMPORTERS else []
    allowed += ["imports pickle"] if label(path) in UNPICKLERS else []
    allowed += ["uses importlib.util.spec_from_file_location"] if label(path) in LOADERS_OF_FILES else []
    allowed += ["uses torch.load"] if label(path) in READERS_OF_TENSORS else []
    assert found == allowed


def test_what_is_excepted_is_there_and_small():
    assert len(FILES) > 80
    for name in IMPORTERS:
        source = (ROOT / name).read_text(encoding="utf-8")
        assert source.count("import_module(") == 1, "another call: say here where its argument comes from"
    commands = (ROOT / "genzoo/cli/__init__.py").read_text(encoding="utf-8")
    assert "module, summary = _COMMANDS[cmd_name]\n            command = getattr(import_module(module)" in commands
    for name in UNPICKLERS:
        source = (ROOT / name).read_text(encoding="utf-8")
        assert source.count("pickle.") == source.count("pickle.loads(") == 1
        assert source.index("_checked(path, self.downloads[0].md5)") < source.index("_batch(archive, name)")


MUTANTS = [
    "import pickle",
    "from pickle import loads",
    "import marshal as m",
    "import shelve, json",
    "def f():\n    import dill",
    "import torch\ntorch.load('x', weights_only=True)",
    "import torch as t\nt.load('x')",
    "from torch import load as fetch\nfetch('x')",
    "import numpy\nnumpy.load('x')",
    "import numpy as np\nnp.load('x', allow_pickle=True)",
    "from numpy import load\nload('x')",
    "eval('1')",
    "exec('x = 1')",
    "compile('1', '', 'eval')",
    "import builtins\nbuiltins.eval('1')",
    "run = eval",
    "__import__('os')",
    "import importlib\nimportlib.import_module('os')",
    "from importlib import import_module as get\nget('os')",
    "import yaml\nyaml.load('x', Loader=None)",
    "import os\nos.system('ls')",
    "import subprocess\nsubprocess.run('ls', shell=True)",
    "import tarfile\ntarfile.open('x').extractall('.')",
    "import shutil\nshutil.unpack_archive('x')",
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_look_at_the_syntax_trees_can_fail(mutant):
    sound = (ROOT / "genzoo/storage/files.py").read_text(encoding="utf-8")
    assert dangers(sound) == []
    assert dangers(f"{sound}\n{mutant}\n") != []


def test_harmless_namesakes_are_left_alone():
    harmless = ["re.compile('x')", "torch.compile(f)", "model.eval()", "numpy.load('x', allow_pickle=False)"]
    assert dangers("\n".join(["import re, torch, numpy", *harmless])) == []


# Malicious inputs


class Bomb:
    """Its pickle makes a file when it is opened."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


@pytest.fixture
def canary(tmp_path):
    """Return a path that must never come to be."""
    return tmp_path / "canary"


@pytest.fixture
def refused(say, canary, tally, tmp_path):
    """Return a function that runs a command that must be refused without a canary, and notes that."""

    def call(what, *arguments, codes=(2, 3, 4)):
        said = say(*arguments)
        assert said.code in codes, said.err
        assert 1 <= len(said.err.splitlines()) <= 3, said.err
        assert "Traceback" not in said.err
        assert not canary.exists()
        assert not [path for path in (tmp_path.parent, *tmp_path.rglob("*")) if (path / "canary").exists()]
        tally(what, tries=1, survived=1, how="refused with exit 2, 3 or 4; its canary was never made")
        return said

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = genzoo.train("gan", overrides=TOY | {"training.averaging": "0.5"}, run=tmp_path_factory.mktemp("zoo") / "gan")
    shutil.rmtree(run.checkpoints / "step-0000002")
    return run.path


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "gan")


@pytest.fixture
def step(run):
    return run / "checkpoints" / "step-0000004"


def vouch(step, name, content):
    """Change what the manifest says of a file so that it fits `content`."""
    manifest = json.loads((step / "MANIFEST.json").read_bytes())
    del manifest["sha256"]
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (step / "MANIFEST.json").write_text(json.dumps(files.sealed(manifest)))


def put(step, name, content):
    (step / name).write_bytes(content)
    vouch(step, name, content)


def test_the_canary_sings_where_a_pickle_is_opened(canary):
    pickle.loads(pickle.dumps(Bomb(canary))).close()
    assert canary.exists()


@pytest.mark.parametrize("name", ["networks", "optimizers", "averaged"])
def test_a_pickle_in_the_place_of_weights(refused, run, step, canary, name):
    put(step, f"{name}.safetensors", pickle.dumps(Bomb(canary)))
    more = ["--raw"] if name == "networks" else []
    command = ["resume", run, "--steps", "6", "--quiet"] if name == "optimizers" else ["sample", run, *more]
    refused("a pickle in the place of weights", *command, codes=(3,))


def test_what_torch_saved_in_the_place_of_weights(refused, run, step, canary):
    content = io.BytesIO()
    torch.save({"x": Bomb(canary)}, content)
    put(step, "networks.safetensors", content.getvalue())
    refused("a torch.save with a pickle bomb in the place of weights", "sample", run, "--raw", codes=(3,))


def test_a_pickle_in_the_place_of_a_state(refused, run, step, canary):
    put(step, "state.json", pickle.dumps(Bomb(canary)))
    refused("a pickle in the place of state.json", "resume", run, "--steps", "6", "--quiet", codes=(3,))


@pytest.mark.parametrize("file", ["run.json", "evaluation.json", "metrics.jsonl"])
def test_a_pickle_in_the_place_of_a_runs_other_files(refused, run, canary, file):
    (run / file).write_bytes(pickle.dumps(Bomb(canary)) + b"\n")
    refused("a pickle in the place of a run's JSON", "resume", run, "--quiet", codes=(3,))


@pytest.mark.parametrize(
    "name", ["../../canary", "/tmp/genzoo-canary", "../../../canary.json", "a\0b.json", "canary.py"]
)
def test_a_manifest_that_names_other_places(refused, run, step, name):
    vouch(step, name, b"")
    refused("a manifest that names other places", "sample", run, codes=(3,))
    refused("a manifest that names other places", "resume", run, codes=(3,))


@pytest.mark.parametrize("name", ["networks.safetensors", "state.json", "MANIFEST.json"])
def test_a_link_to_a_file_of_the_system(refused, run, step, name):
    (step / name).unlink()
    (step / name).symlink_to("/etc/passwd")
    if name != "MANIFEST.json":
        vouch(step, name, Path("/etc/passwd").read_bytes())
    said = refused("a link to /etc/passwd in a checkpoint", "sample", run, codes=(3,))
    assert "root:" not in said.err


CODE = [
    "os:system",
    "builtins:exec",
    "posix.system",
    "genzoo.storage.files:write",
    "subprocess",
    "../../x",
    "genzoo:os",
    "",
]


def changed_record(run, change):
    record = files.read_sealed(run / "run.json", "a record")
    change(record)
    files.write_sealed(run / "run.json", record)


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("part", ["game", "dataset", "architecture", "prior"])
def test_a_record_whose_names_are_importable_code(refused, run, part, name):
    changed_record(run, lambda record: record["settings"].update({part: {"name": name}}))
    refused("a record that names importable code", "sample", run, codes=(3, 4))


@pytest.mark.parametrize("command", ["sample", "resume"])
@pytest.mark.parametrize("latent", [3, 2_000_000, 2**40])
def test_a_record_that_asks_for_huge_networks_takes_no_memory(refused, run, monkeypatch, latent, command):
    """20 KB of run.json took gigabytes before the first shape was compared with the checkpoint's."""
    devices = []
    assemble = opening.assemble
    monkeypatch.setattr(opening, "assemble", lambda of: devices.append(torch.get_default_device().type) or assemble(of))
    monkeypatch.setattr(opening, "Trainer", None)
    changed_record(run, lambda record: record["settings"]["architecture"].update(latent=latent))
    said = refused("a record that asks for networks of another size", command, run)
    assert "does not fit the run's settings" in said.err
    assert devices == ["meta"]


def test_a_record_that_asks_for_billions_of_rows_is_refused(refused, run):
    changed_record(run, lambda record: record["settings"]["dataset"].update(rows=2 * 10**8))
    assert "at most 10,000,000" in refused("a record that asks for billions of rows", "resume", run).err


@pytest.mark.parametrize("key", ["_target_", "__class__", "_instantiator", "__reduce__", "py/object", "!!python/name"])
@pytest.mark.parametrize("part", ["game", "dataset", "training", None])
def test_a_record_with_the_keys_of_loaders_that_run_code(refused, run, canary, part, key):
    what = {key: "builtins.open", "_args_": [str(canary), "w"]}
    changed_record(run, lambda record: (record["settings"] if part is None else record["settings"][part]).update(what))
    refused("a record with keys such as _target_ and __class__", "sample", run, codes=(3, 4))


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "os:system"],
        ["train", "../../x"],
        ["train", "ali", "--recipe", "os:system"],
        ["train", "ali", "--recipe", "../../x"],
        ["train", "ali", "--set", "dataset.name=../../x"],
        ["train", "ali", "--set", "dataset=os:system"],
        ["train", "ali", "--set", "game.objective=builtins:exec"],
        ["train", "ali", "--set", "game.__class__=os.system"],
        ["train", "ali", "--set", "__init__.__globals__=x"],
        ["train", "ali", "--set", "architecture=genzoo.storage.files:write"],
        ["show", "os:system"],
        ["compare", "ali", "os:system"],
        ["data", "prepare", "../../x"],
        ["data", "fetch", "os:system"],
        ["reproduce", "os:system"],
        ["os:system"],
    ],
    ids=" ".join,
)
def test_a_name_on_the_command_line_that_is_code_or_a_path(refused, tmp_path, arguments):
    refused("a name on the command line that is code or a path", *arguments)
    assert not (tmp_path / "runs").exists()


def test_a_metric_that_is_code(refused, run):
    refused("a name on the command line that is code or a path", "evaluate", run, "--metric", "os:system")


# Archives


def archived(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content, link in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if link:
                member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member, io.BytesIO(content))


BATCH = "cifar-10-batches-py/data_batch_1"
TARS = {
    "a malicious pickle": lambda canary: [(BATCH, pickle.dumps(Bomb(canary)), None)],
    "a member above": lambda canary: [("../canary", b"x", None), ("../../canary", b"x", None)],
    "an absolute member": lambda canary: [(str(canary), b"x", None)],
    "a link and a member behind it": lambda canary: [
        ("cifar-10-batches-py", b"", str(canary.parent)),
        ("cifar-10-batches-py/canary", b"x", None),
    ],
    "a batch that is a link": lambda canary: [(BATCH, b"", "/etc/passwd")],
}


def below(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


@pytest.mark.parametrize("kind", TARS)
def test_a_cifar10_archive_with_another_hash(refused, tmp_path, canary, kind):
    source = tmp_path / "source" / "deep"
    source.mkdir(parents=True)
    archived(source / "cifar-10-python.tar.gz", *TARS[kind](canary))
    before = below(tmp_path)
    for place in (source, source / "cifar-10-python.tar.gz"):
        arguments = ("data", "prepare", "cifar10", "--source", place, "--data", tmp_path / "data")
        refused("a tar archive with a pickle, a path or a link", *arguments, codes=(3,))
    assert [path for path in below(tmp_path) if path not in before and path.parts[0] != "data"] == []


def test_a_cifar10_archive_under_another_name_is_not_opened_either(refused, tmp_path, canary):
    archived(tmp_path / "renamed.tgz", (BATCH, pickle.dumps(Bomb(canary)), None))
    arguments = ("data", "prepare", "cifar10", "--source", tmp_path / "renamed.tgz", "--data", tmp_path / "data")
    refused("a tar archive with a pickle, a path or a link", *arguments, codes=(3,))


@pytest.mark.parametrize("kind", ["a batch that is a link", "a huge batch"])
def test_even_with_the_published_hash_only_a_small_file_is_opened(refused, tmp_path, monkeypatch, canary, kind):
    path = tmp_path / "cifar-10-python.tar.gz"
    if kind == "a huge batch":
        monkeypatch.setattr("genzoo_data.cifar10._BATCH_LIMIT", 10)
    archived(path, *TARS["a malicious pickle" if kind == "a huge batch" else kind](canary))
    known = replace(CIFAR10.downloads[0], md5=formats.md5(path))
    monkeypatch.setattr(CIFAR10, "downloads", (known,))
    arguments = ("data", "prepare", "cifar10", "--source", path, "--data", tmp_path / "data")
    refused("a tar archive with a link or a claimed size", *arguments, codes=(3,))


def tiny_archive(folder, *extra):
    folder.mkdir(parents=True)
    formats.write_tinyimagenet(folder, extra=extra)
    # Under the published name, its hash would have to be the published one.
    return (folder / "tiny-imagenet-200.zip").rename(folder / "tiny.zip")


def test_an_archive_under_the_published_name_has_the_published_hash(refused, tmp_path):
    path = tiny_archive(tmp_path / "source")
    path = path.rename(path.with_name("tiny-imagenet-200.zip"))
    said = refused("another archive of Tiny ImageNet", "data", "prepare", "tinyimagenet200", "--source", path)
    assert "its hash is" in said.err


def test_members_of_a_zip_that_lead_elsewhere_lead_nowhere(say, tmp_path, canary, tally):
    names = ["../canary", "../../canary", str(canary), "tiny-imagenet-200/../../canary", "..\\canary", "C:\\canary"]
    path = tiny_archive(tmp_path / "source", *((name, b"x") for name in names))
    data = tmp_path / "data"
    before = below(tmp_path)
    assert say("data", "prepare", "tinyimagenet200", "--source", path, "--data", data, "--jobs", 1).code == 0
    assert {path.parts[0] for path in below(tmp_path) if path not in before} == {"data"}
    assert not [path for path in tmp_path.rglob("*canary*") if path.is_file()]
    tally("members of a zip that lead elsewhere", tries=len(names), survived=len(names), how="nothing is unpacked")


@pytest.mark.parametrize("bomb", ["claimed", "true", "pixels"])
def test_an_image_in_a_zip_that_claims_gigabytes(refused, tmp_path, bomb):
    name = "tiny-imagenet-200/train/n02124075/images/bomb.JPEG"
    if bomb == "pixels":
        picture = io.BytesIO()
        Image.fromarray(numpy.zeros((8, 8), dtype=numpy.uint8)).save(picture, "png")
        content = bytearray(picture.getvalue())
        content[16:24] = (60_000).to_bytes(4, "big") * 2
        path = tiny_archive(tmp_path / "source", (name, bytes(content)))
    else:
        path = tiny_archive(tmp_path / "source", (name, b"small"))
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name.replace("bomb", "bomb2"), bytes(2**28 + 1 if bomb == "true" else 10))
        if bomb == "claimed":
            content = bytearray(path.read_bytes())
            place = content.rindex(b"PK\1\2")  # of the last member, in the directory: its sizes
            content[place + 24 : place + 28] = (2**32 - 2).to_bytes(4, "little")
            path.write_bytes(content)
    arguments = ("data", "prepare", "tinyimagenet200", "--source", path, "--data", tmp_path / "data", "--jobs", 1)
    said = refused("an archive bomb", *arguments, codes=(3,))
    assert "bomb" in said.err


PEAK = """
import sys
from genzoo.cli import main
try:
    main()
finally:  # ru_maxrss would begin with the size of the process that started this one
    print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def peak_of(*arguments):
    """Return the exit code and the peak memory in MiB of a command in a process of its own."""
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.returncode, int(found.stderr.splitlines()[-1]) // 1024


def test_a_list_of_classes_that_is_a_bomb_takes_no_memory(tmp_path):
    path = tmp_path / "tiny.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", b"\n" * (300 * 2**20))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "")
    arguments = ("data", "prepare", "tinyimagenet200", "--data", tmp_path / "data")
    code, before = peak_of(*arguments, "--source", tmp_path / "nowhere")
    assert code == 3
    code, peak = peak_of(*arguments, "--source", path)
    assert code == 3
    assert peak < before + 200


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n"


@pytest.fixture
def ghostscript(tmp_path, monkeypatch, canary):
    """Put a `gs` on the path that makes the canary."""
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{canary}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_the_canary_sings_where_pillow_may_use_every_reader(ghostscript, canary):
    read = f"import io; from PIL import Image; Image.open(io.BytesIO({POSTSCRIPT!r})).load()"
    subprocess.run([sys.executable, "-c", read], check=False, capture_output=True)
    assert canary.exists()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.JPEG"])
def test_postscript_in_the_place_of_an_image_is_not_run(refused, ghostscript, tmp_path, name):
    if name == "a.JPEG":
        dataset = "tinyimagenet200"
        source = tiny_archive(tmp_path / "source", (f"tiny-imagenet-200/train/n02124075/images/{name}", POSTSCRIPT))
    else:
        source, dataset = tmp_path / "photographs", "folder"
        formats.write_photographs(source)
        (source / name).write_bytes(POSTSCRIPT)
    arguments = ("data", "prepare", dataset, "--source", source, "--data", tmp_path / "data", "--jobs", 1)
    said = refused("PostScript in the place of an image", *arguments, codes=(3,))
    assert name in said.err
    assert "not an image" in said.err


GENZOO = Path(sys.executable).with_name("genzoo")
"""The command as a user types it: Python then has the folder of the command, and not the current one, on its path."""


@pytest.mark.parametrize("command", ["compare", "prepare"])
def test_modules_of_the_current_folder_are_not_run(tmp_path, canary, tally, command):
    here = tmp_path / "downloaded"
    formats.write_photographs(here, rows=130)  # more than one block, so that other processes decode
    for module in ("statistics", "multiprocessing", "platform", "torch", "genzoo"):
        (here / f"{module}.py").write_text(f"open({str(canary)!r}, 'w')\n")
    overrides = [text for path, value in TOY.items() for text in ("--set", f"{path}={value}")]
    arguments = {
        "compare": ["compare", "gan", *overrides, "--report", tmp_path / "report"],
        "prepare": ["data", "prepare", "folder", "--source", ".", "--jobs", "2", "--data", tmp_path / "data"],
    }[command]
    done = subprocess.run([GENZOO, *arguments], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not canary.exists()
    tally("modules in the current folder", tries=1, survived=1, how="the command went on without running them")


def test_links_among_the_images_of_a_folder_show_no_other_file(refused, tmp_path):
    source = tmp_path / "source"
    formats.write_photographs(source)
    (source / "z.png").symlink_to("/etc/passwd")
    (source / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(source / "pipe.png")
    arguments = ("data", "prepare", "folder", "--source", source, "--data", tmp_path / "data", "--jobs", 1)
    said = refused("links, pipes and devices among images", *arguments, codes=(3,))
    assert "root:" not in said.err


# Prepared data sets


@pytest.fixture
def prepared_folder(say, tmp_path):
    formats.write_photographs(tmp_path / "source")
    arguments = ("data", "prepare", "folder", "--source", tmp_path / "source", "--data", tmp_path / "data", "--jobs", 1)
    assert say(*arguments).code == 0
    return tmp_path / "data" / Folder().place


def changed_card(place, change):
    card = files.read_sealed(place / "card.json", "a card")
    change(card)
    files.write_sealed(place / "card.json", card)


def train_on(place):
    return ("train", "gan", "--recipe", "folder64", "--data", place.parent, "--steps", "1", "--quiet")


LINKS = ["images.safetensors", "card.json"]


@pytest.mark.parametrize("name", LINKS)
def test_a_prepared_file_that_is_a_link(refused, prepared_folder, tmp_path, name):
    (prepared_folder / name).rename(tmp_path / "elsewhere")
    (prepared_folder / name).symlink_to(tmp_path / "elsewhere")
    refused("a prepared data set with a link", *train_on(prepared_folder), codes=(3,))


def test_prepared_images_that_are_a_pickle(refused, prepared_folder, canary):
    content = pickle.dumps(Bomb(canary))
    (prepared_folder / "images.safetensors").write_bytes(content)
    known = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    changed_card(prepared_folder, lambda card: card["files"].update({"images.safetensors": known}))
    refused("a prepared data set that is a pickle", *train_on(prepared_folder), codes=(3,))


CARDS = {
    "no files": lambda card: card.pop("files"),
    "files that are a list": lambda card: card.update(files=[]),
    "a file that is text": lambda card: card["files"].update({"images.safetensors": "x"}),
    "no images": lambda card: card["files"].pop("images.safetensors"),
    "no shape": lambda card: card.pop("shape"),
    "no splits": lambda card: card.pop("splits"),
    "a split beyond the rows": lambda card: card["splits"].update(train=[0, 10**9]),
    "a split that is text": lambda card: card["splits"].update(train="all"),
    "another shape": lambda card: card.update(shape=[3, 2, 2]),
    "class names that are numbers": lambda card: card.update(class_names=5),
    "no data set": lambda card: card.pop("dataset"),
    "nothing on what is left out": lambda card: card.pop("left_out"),
    "very many rows": lambda card: card["splits"].update(test=[card["splits"]["test"][0], 10**20]),
    "very many rows, and no hashes": lambda card: (
        card["splits"].update(test=[card["splits"]["test"][0], 10**20]),
        card.pop("blocks"),
    ),
}


@pytest.mark.parametrize("kind", CARDS)
def test_a_card_that_lies(refused, prepared_folder, kind):
    changed_card(prepared_folder, CARDS[kind])
    refused("a prepared data set whose card lies", *train_on(prepared_folder), codes=(3,))


@pytest.mark.parametrize("name", ["/dev/zero", "../../canary", "/etc/passwd"])
def test_a_card_that_names_other_files(prepared_folder, tmp_path, name):
    known = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    changed_card(prepared_folder, lambda card: card["files"].update({name: known}))
    command = [sys.executable, "-m", "genzoo", "data", "status", "--check", "--data", str(prepared_folder.parent)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 3), found.stderr
    assert "damaged" in found.stdout + found.stderr
    assert not (tmp_path / "canary").exists()


# Words that are typed again, and screens that are written to


def test_a_remedy_never_holds_a_command_of_a_files_making(say, run, canary):
    shutil.rmtree(run / "checkpoints")
    changed_record(run, lambda record: record.update(overrides={"a": f"1; touch {canary} #"}))
    said = say("sample", run)
    assert said.code == 3
    remedy = said.err.splitlines()[-1].removeprefix("type: ")
    subprocess.run(["bash", "-c", f"genzoo() {{ :; }}\n{remedy}"], check=False, cwd=run)
    assert not canary.exists()


@pytest.mark.parametrize("place", ["size", "model", "name", "path"])
def test_no_file_writes_control_codes_to_the_screen(say, run, step, place):
    codes = "\x1b[2J\x1b]0;owned\x07\x1b[31m"
    if place == "model":
        changed_record(run, lambda record: record.update(model=codes))
        said = say("runs", "--root", run.parent)
    elif place == "path":
        said = say("sample", run.parent / codes)
        assert "owned" in said.err
    else:
        manifest = json.loads((step / "MANIFEST.json").read_bytes())
        if place == "size":
            manifest["files"]["state.json"]["bytes"] = codes
        else:
            manifest["files"][codes] = {}
        del manifest["sha256"]
        (step / "MANIFEST.json").write_text(json.dumps(files.sealed(manifest)))
        said = say("sample", run)
        assert said.code == 3
    assert "\x1b" not in said.err + said.out


def test_weights_that_are_not_finite_are_not_sampled_from(refused, run, step):
    whole = load_file(step / "networks.safetensors")
    name = next(iter(whole))
    put(step, "networks.safetensors", save(whole | {name: torch.full_like(whole[name], float("nan"))}))
    said = refused("weights that are not finite", "sample", run, "--raw", "--out", "a.npy", codes=(3,))
    assert f"{name} in the checkpoint is not finite" in said.err


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_told(refused, run, step, number):
    """`--json` wrote them again, and a reader of JSON could not read that."""
    log = run / "metrics.jsonl"
    log.write_text(log.read_text() + '{"step": 9, "seconds": ' + number + "}\n")
    assert "is damaged" in refused("a log with no number", "show", run, "--json", codes=(3,)).err
    state = json.loads((step / "state.json").read_text())
    put(step, "state.json", json.dumps(state).replace(str(state["seconds"]), number).encode())
    log.write_text("")
    assert number in refused("a state with no number", "resume", run, codes=(3,)).err


def test_weights_of_another_kind_of_number_do_not_pass_for_ours(say, run, step):
    whole = load_file(step / "networks.safetensors")
    put(step, "networks.safetensors", save({name: tensor.to(torch.int8) for name, tensor in whole.items()}))
    assert say("sample", run, "--raw", "--out", "a.npy").code == 3


def test_nothing_of_this_file_is_left_in_the_folder_of_temporary_files():
    assert not Path("/tmp/genzoo-canary").exists()
    assert TinyImageNet200.name == "tinyimagenet200"
