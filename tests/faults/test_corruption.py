"""Corruption: whatever happened to a file of a run, it is noticed, told in a line or two, and never used.

One exception is meant: the last line of metrics.jsonl, which a crash may cut short, is left out without a word.
"""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save
from toy import TOY, put_record

import genzoo
from genzoo.errors import GenzooError, UnreadableError
from genzoo.host.discovery import registry
from genzoo.runs.engine import Engine
from genzoo.runs.job import job_of
from genzoo.runs.meter import Meter
from genzoo.storage import checkpoints, files
from genzoo.storage.run_folder import Run

pytestmark = pytest.mark.usefixtures("every_save")
SMALL = TOY | {"training.averaging": "0.5"}
HTML = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
DEEP = b'{"schema_version": ' * 100_000
CLAIM = (10 * 2**30).to_bytes(
    8, "little"
) + b'{"x":{"dtype":"F32","shape":[2684354560],"data_offsets":[0,10737418240]}}'
STEP = "checkpoints/step-0000004"
WEIGHTS = [f"{STEP}/{name}.safetensors" for name in ("networks", "optimizers", "averaged")]
OF_A_CHECKPOINT = [*WEIGHTS, f"{STEP}/state.json", f"{STEP}/MANIFEST.json"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a finished run of gan with averaged weights and checkpoints of steps 2 and 4."""
    return genzoo.train("gan", overrides=SMALL, run=tmp_path_factory.mktemp("zoo") / "gan").path


@pytest.fixture
def run(trained, tmp_path):
    return copied(trained, tmp_path / "gan")


def copied(source, target):
    """Copy a run quickly: weights as links to the same bytes, which damages replace and never write into."""

    def copy(one, other):
        (os.link if one.endswith(".safetensors") else shutil.copy2)(one, other)

    return shutil.copytree(source, target, copy_function=copy)


def replaced(path, content):
    path.unlink()
    path.write_bytes(content)


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def poke(file, bit):
    """Flip one bit of an open file."""
    file.seek(bit // 8)
    byte = file.read(1)[0]
    file.seek(bit // 8)
    file.write(bytes([byte ^ 1 << bit % 8]))


CONTENTS = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "two bytes less": lambda content: content[:-2],
    "a byte more": lambda content: content + b"\0",
    "all zeros": lambda content: bytes(len(content)),
    "a zeroed tail": lambda content: content[: len(content) // 2] + bytes(len(content) - len(content) // 2),
    "a flip in the first byte": lambda content: flipped(content, 3),
    "a flip in the header": lambda content: flipped(content, 8 * 10),
    "a flip in the last byte": lambda content: flipped(content, 8 * len(content) - 6),
    "a web page": lambda content: HTML,
    "deep nesting": lambda content: DEEP,
    "a claim of 10 GB": lambda content: CLAIM,
    "a list": lambda content: b"[1, 2]",
    "a number": lambda content: b"17",
    "an empty object": lambda content: b"{}",
    "a huge number": lambda content: b'{"schema_version": ' + b"9" * 5000 + b"}",
    "a future version": lambda content: b'{"schema_version": 99}',
    "UTF-16": lambda content: "{}".encode("utf-16"),
}


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


def as_folder(path):
    path.unlink()
    path.mkdir()


def as_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def as_dangling_link(path):
    path.unlink()
    path.symlink_to("nowhere")


PLACES = {
    "a pipe": as_pipe,
    "a folder": as_folder,
    "a link": as_link,
    "a dangling link": as_dangling_link,
    "missing": lambda path: path.unlink(),
}


def damages():
    """Yield (name, damage of a path) of everything that can happen to any file."""
    for name, change in CONTENTS.items():
        yield name, lambda path, change=change: replaced(path, change(path.read_bytes()))
    yield from PLACES.items()


def refused(said, file, *, code=3):
    """Assert that a command ended with 3 and one to three lines that name the file."""
    assert said.code == code, said.err
    assert said.out == ""
    assert 1 <= len(said.err.splitlines()) <= 3, said.err
    assert said.err.lstrip().startswith("error: "), said.err
    assert str(file) in said.err, said.err
    assert "Traceback" not in said.err


def sampled(say, run):
    """Return what sampling from a run said, the picture's bytes, and the processor time that it took."""
    began = time.process_time()
    said = say("sample", run, "-n", "3", "--out", "a.npy")
    taken = time.process_time() - began
    return said, taken


# Every file, every damage


@pytest.mark.parametrize("file", OF_A_CHECKPOINT)
def test_whatever_happens_to_a_file_of_a_checkpoint_is_noticed(say, trained, tmp_path, tally, file):
    shutil.rmtree((reference := copied(trained, tmp_path / "older")) / STEP)
    assert sampled(say, reference)[0].code == 0
    expected = (tmp_path / "a.npy").read_bytes()
    tries = survived = 0
    for number, (name, damage) in enumerate(damages()):
        run = copied(trained, tmp_path / f"gan{number}")
        damage(run / file)
        (tmp_path / "a.npy").unlink(missing_ok=True)
        said, _ = sampled(say, run)
        assert said.code == 0, (name, said.err)
        assert (said.err.count("\n"), said.err.startswith("warning: ")) == (1, True), (name, said.err)
        assert str(run / file) in said.err, name
        assert said.err.endswith("; using step 2 instead\n"), name
        assert (tmp_path / "a.npy").read_bytes() == expected, f"{name}: something damaged was used"
        shutil.rmtree(run / "checkpoints" / "step-0000002")
        for command in ("sample", "evaluate", "resume"):
            began = time.process_time()
            refused(say(command, run), run / file)
            assert time.process_time() - began < 1, f"{name}: {command} took long to refuse"
        tries, survived = tries + 1, survived + 1
    how = "told with the file's name; the checkpoint before is used with one warning, or exit 3"
    tally(f"damaged {file.rpartition('/')[2]}", tries=tries, survived=survived, how=how)


def test_whatever_happens_to_a_record_is_noticed(say, trained, tmp_path, tally):
    tries = 0
    for number, (name, damage) in enumerate(damages()):
        run = copied(trained, tmp_path / "runs" / f"gan{number}")
        damage(run / "run.json")
        for command in ("sample", "evaluate", "resume", "compare"):
            began = time.process_time()
            said = say(command, run)
            # without any record, the folder is named instead of the file
            refused(said, run if "link" in name or name == "missing" else run / "run.json")
            assert time.process_time() - began < 1, name
        rows = say("runs", "--root", run.parent, "--json").document["runs"]
        assert all(row["status"].startswith("unreadable: ") for row in rows), name
        tries += 1
    tally("damaged run.json", tries=tries, survived=tries, how="exit 3, and `runs` lists it as unreadable")


UNNOTICED = {"a dangling link", "missing"}  # as before any evaluation
"""What happens to evaluation.json that cannot be told from a run that was never evaluated."""


def test_whatever_happens_to_scores_is_noticed(say, trained, tmp_path, tally):
    tries = 0
    for number, (name, damage) in enumerate(damages()):
        if name in UNNOTICED:
            continue
        run = copied(trained, tmp_path / f"root{number}" / "gan")
        damage(run / "evaluation.json")
        if name == "a link":
            (run / "elsewhere").rename(run.parent / "elsewhere")
            (run / "evaluation.json").unlink()
            (run / "evaluation.json").symlink_to("../elsewhere")
        refused(say("compare", run), run / "evaluation.json")
        (row,) = say("runs", "--root", run.parent, "--json").document["runs"]
        assert row["status"].startswith("unreadable: "), name
        assert row["scores"] == [], name
        tries += 1
    tally("damaged evaluation.json", tries=tries, survived=tries, how="exit 3, and `runs` lists it as unreadable")


SCORE = {"metric": "modes", "value": 1.0, "step": 4, "protocol": {}}
WRONG_SCORES = {
    "scores that are no list": 5,
    "a score that is none": [5],
    "a score without a value's type": [SCORE | {"value": "high"}],
    "a step as text": [SCORE | {"step": "4"}],
    "a metric that is a number": [SCORE | {"metric": 3}],
    "a protocol that is a list": [SCORE | {"protocol": []}],
    "a headline that is a text": [SCORE | {"headline": "yes"}],
    "a score without a step": [{name: value for name, value in SCORE.items() if name != "step"}],
    "no scores": None,
}


def test_scores_of_a_wrong_type_are_refused(say, run, tally):
    for scores in WRONG_SCORES.values():
        replaced(run / "evaluation.json", json.dumps({"schema_version": 1, "scores": scores}).encode())
        refused(say("compare", run), run / "evaluation.json")
        assert say("runs", "--root", run.parent, "--json").document["runs"][0]["status"].startswith("unreadable: ")
    count = len(WRONG_SCORES)
    tally("scores of wrong types or without their keys", tries=count, survived=count, how="exit 3")


def test_a_huge_score_does_not_stop_the_list_of_runs(say, run):
    text = json.dumps({"schema_version": 1, "scores": [SCORE | {"value": 10**400}]})
    replaced(run / "evaluation.json", text.encode())
    assert say("runs", "--root", run.parent).code in (0, 3)


def test_every_flipped_bit_of_the_scores_is_noticed(run):
    content = (run / "evaluation.json").read_bytes()
    whole, silent = Run(run).scores, 0
    for bit in random.Random(0).sample(range(8 * len(content)), 500):
        replaced(run / "evaluation.json", flipped(content, bit))
        with suppress(UnreadableError):
            silent += Run(run).scores != whole
    assert silent == 0, f"{silent} of 500 flips change the scores unnoticed"


# The log


def test_the_last_line_of_a_log_may_be_cut_short_and_nothing_else(say, run, tally):
    path = run / "metrics.jsonl"
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    for length in range(first, len(content) - 1, 7):  # by design: a crash while a line is appended
        replaced(path, content[:length])
        assert [entry["step"] for entry in Run(run).read_log()] == [2]
    broken = {
        "a torn line in the middle": content[: first // 2] + content[first:],
        "a web page": HTML + b"\n",
        "zeros": bytes(500) + b"\n",
        "a list": b"[1]\n",
        "a number": b"5\n",
        "no step": b'{"seconds": 1}\n',
        "a step as text": b'{"step": "2"}\n',
        "deep nesting": b'{"step":' * 100_000 + b"\n",
        "a huge number": b'{"step": ' + b"9" * 5000 + b"}\n",
        "invalid UTF-8": b"\xff\xfe\n" + content,
    }
    for changed in broken.values():
        replaced(path, changed)
        refused(say("resume", run, "--quiet"), path)
    tally("damaged lines in metrics.jsonl", tries=len(broken), survived=len(broken), how="exit 3, naming the file")


@pytest.mark.parametrize("place", ["a pipe", "a folder", "a link"])
def test_only_a_regular_file_is_a_log(say, run, place):
    PLACES[place](run / "metrics.jsonl")
    if place != "a pipe":
        refused(say("resume", run, "--quiet"), run / "metrics.jsonl")
        return
    command = [sys.executable, "-m", "genzoo", "resume", str(run), "--quiet"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 3, found.stderr
    assert str(run / "metrics.jsonl") in found.stderr


@pytest.mark.parametrize("line", ['{"step": 4}', '{"step": 4, "seconds": "long"}', '{"step": 4, "seconds": null}'])
def test_a_log_whose_last_entry_lacks_its_seconds_is_told(say, run, line):
    replaced(run / "metrics.jsonl", f"{line}\n".encode())
    said = say("resume", run, "--quiet")
    assert said.code in (0, 3), said.err


# Files in each other's place, and manifests that lie


def exchange(one, other):
    beside = one.with_name("beside")
    one.rename(beside)
    other.rename(one)
    beside.rename(other)


def changed_manifest(run, change):
    path = run / STEP / "MANIFEST.json"
    manifest = json.loads(path.read_bytes())
    del manifest["sha256"]
    change(manifest)
    replaced(path, json.dumps(files.sealed(manifest)).encode())


OLDER = "checkpoints/step-0000002"
MIXED = {
    "networks and optimizers swapped": lambda run: exchange(run / WEIGHTS[0], run / WEIGHTS[1]),
    "networks and averages swapped": lambda run: exchange(run / WEIGHTS[0], run / WEIGHTS[2]),
    "networks of another step": lambda run: replaced(
        run / WEIGHTS[0], (run / OLDER / "networks.safetensors").read_bytes()
    ),
    "the state of another step": lambda run: replaced(
        run / STEP / "state.json", (run / OLDER / "state.json").read_bytes()
    ),
    "the manifest of another step": lambda run: replaced(
        run / STEP / "MANIFEST.json", (run / OLDER / "MANIFEST.json").read_bytes()
    ),
    "a path in the manifest": lambda run: changed_manifest(
        run, lambda found: found["files"].update({"../x": {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}})
    ),
    "a manifest from the future": lambda run: changed_manifest(run, lambda found: found.update(schema_version=99)),
    "a huge step": lambda run: changed_manifest(run, lambda found: found.update(step=10**4000)),
    "a huge size": lambda run: changed_manifest(run, lambda found: found["files"]["state.json"].update(bytes=10**300)),
    "files that are text": lambda run: changed_manifest(run, lambda found: found.update(files="all")),
    "nothing about the networks": lambda run: changed_manifest(
        run, lambda found: found["files"].pop("networks.safetensors")
    ),
}


def test_files_in_each_others_place_and_lying_manifests_are_noticed(say, trained, tmp_path, tally):
    for number, (name, mix) in enumerate(MIXED.items()):
        run = copied(trained, tmp_path / f"gan{number}")
        mix(run)
        said, _ = sampled(say, run)
        assert (said.code, said.err.count("warning: ")) == (0, 1), (name, said.err)
        assert said.err.endswith("; using step 2 instead\n"), name
        shutil.rmtree(run / OLDER)
        refused(say("resume", run), run / STEP)
        refused(say("sample", run), run / STEP)
    how = "the checkpoint before is used with one warning, or exit 3"
    tally("files of a checkpoint swapped, and lying manifests", tries=len(MIXED), survived=len(MIXED), how=how)


def test_a_manifest_cannot_make_a_message_long(say, run):
    shutil.rmtree(run / OLDER)
    changed_manifest(run, lambda found: found["files"]["state.json"].update(bytes="many\n" * 50))
    refused(say("sample", run), run / STEP)


def put(run, name, content):
    """Put a file into the newest checkpoint, with a manifest that vouches for it."""
    replaced(run / STEP / name, content)
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    changed_manifest(run, lambda found: found["files"].update({name: entry}))


def test_what_its_manifest_vouches_for_must_still_be_safetensors(say, trained, tmp_path, tally):
    whole = (trained / WEIGHTS[0]).read_bytes()
    first = load_file(trained / WEIGHTS[0])
    renamed = {f"{name}x": tensor for name, tensor in first.items()}
    one, *others = first
    bad = {
        "a claim of 10 GB": CLAIM,
        "empty": b"",
        "a web page": HTML,
        "deep nesting": len(DEEP).to_bytes(8, "little") + DEEP,
        "cut": whole[:-1],
        "other names": save(renamed),
        "a tensor less": save({name: first[name] for name in others}),
        "another shape": save(first | {one: torch.zeros(3)}),
    }
    for number, content in enumerate(bad.values()):
        run = copied(trained, tmp_path / f"gan{number}")
        put(run, "networks.safetensors", content)
        said = say("sample", run, "--raw", "--out", "a.npy")
        assert (said.code, said.out) == (3, ""), said.err
        assert 1 <= len(said.err.splitlines()) <= 3
        assert say("resume", run, "--quiet").code == 3
    tally("unreadable weights whose manifest vouches for them", tries=len(bad), survived=len(bad), how="exit 3")


def test_weights_that_no_manifest_lists_are_not_used(say, run):
    stray = save({name: torch.zeros_like(tensor) for name, tensor in load_file(run / WEIGHTS[2]).items()})
    replaced(run / WEIGHTS[2], stray)
    changed_manifest(run, lambda found: found["files"].pop("averaged.safetensors"))
    said = say("sample", run, "-n", "3", "--out", "a.npy", "--json")
    assert said.code == 3 or json.loads(said.out)["weights"] == "raw" or json.loads(said.out)["step"] == 2


# Weights, bit by bit


def test_every_one_of_a_thousand_flipped_bits_is_noticed(tmp_path, tally):
    torch.manual_seed(0)
    content = save({f"layer{number}.weight": torch.randn(64, 64) for number in range(8)})
    names = ("networks.safetensors", "optimizers.safetensors")
    path = checkpoints.save(tmp_path, step=4, files=dict.fromkeys(names, content) | {"state.json": b"{}"}, keep=2)
    choose, noticed, used = random.Random(0), 0, []
    for _ in range(1000):
        name, bit = choose.choice(names), choose.randrange(8 * len(content))
        with (path / name).open("r+b") as file:
            poke(file, bit)
        try:
            used.append(checkpoints.verify(path))
        except UnreadableError as error:
            noticed += str(path / name) in error.found
        with (path / name).open("r+b") as file:
            poke(file, bit)
    assert checkpoints.verify(path).step == 4
    assert used == []
    how = "its SHA-256 is not the one in the manifest"
    tally("a flipped bit in weights", tries=1000, survived=noticed, how=how, are_inputs=True)


def test_the_same_damages_of_a_plain_torch_save_are_partly_loaded_in_silence(tmp_path, tally):
    torch.manual_seed(0)
    state = {f"layer{number}.weight": torch.randn(64, 64) for number in range(8)}
    path, content = tmp_path / "plain.pt", io.BytesIO()
    torch.save(state, content)
    content = content.getvalue()
    middle = content.index(state["layer4.weight"].numpy().tobytes()[:64])
    changes = {
        "empty": b"",
        "one byte": content[:1],
        "half": content[: len(content) // 2],
        "a byte less": content[:-1],
        "a byte more": content + b"\0",
        "all zeros": bytes(len(content)),
        "a web page": HTML,
        "a flipped bit of weights": flipped(content, 8 * (middle + 3) + 6),
        "another flipped bit of weights": flipped(content, 8 * (middle + 40) + 1),
        "zeroed weights": content[:middle] + bytes(4096) + content[middle + 4096 :],
    }
    silent, ours = [], 0
    for name, changed in changes.items():
        path.write_bytes(changed)
        try:
            torch.load(path, weights_only=True)
            silent.append(name)
        except Exception:  # whatever it says, it did not load
            pass
        sound = {"networks.safetensors": content, "optimizers.safetensors": b"o", "state.json": b"{}"}
        folder = checkpoints.save(tmp_path / name, step=4, files=sound, keep=2)
        (folder / "networks.safetensors").write_bytes(changed)
        with pytest.raises(UnreadableError):
            checkpoints.verify(folder)
        ours += 1
    assert "a flipped bit of weights" in silent
    plain = f"{len(silent)} of {len(changes)} loaded without a word (`weights_only=True`)"
    tally("ten damages of a file of tensors", tries=len(changes), survived=ours, how="all noticed", plain=plain)


# Falling back


def test_going_on_from_the_checkpoint_before_gives_bitwise_what_that_one_gives(say, trained, tmp_path, tally):
    older = copied(trained, tmp_path / "older")
    shutil.rmtree(older / STEP)
    assert "warning: " not in say("resume", older, "--steps", "6", "--quiet", "--json").err
    for file in OF_A_CHECKPOINT:
        run = copied(trained, tmp_path / file.rpartition("/")[2])
        content = (run / file).read_bytes()
        replaced(run / file, flipped(content, 8 * (len(content) // 2) + 1))
        said = say("resume", run, "--steps", "6", "--quiet", "--json")
        assert said.code == 0
        assert (said.err.count("\n"), said.err.count("warning: ")) == (1, 1)
        for step in ("step-0000004", "step-0000006"):
            for name in ("networks", "optimizers", "averaged"):
                own = (run / "checkpoints" / step / f"{name}.safetensors").read_bytes()
                assert own == (older / "checkpoints" / step / f"{name}.safetensors").read_bytes()
    how = "one warning; networks, averages and moments bitwise those of a run resumed from the older one"
    tally("a damaged newest checkpoint", tries=len(OF_A_CHECKPOINT), survived=len(OF_A_CHECKPOINT), how=how)


# Quickly, without torch and without memory

BLINK = """
import sys, time
from genzoo.cli import main
began = time.process_time()
try:
    main()
finally:
    # ru_maxrss would begin with the size of the process that started this one
    peak = open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]
    print("torch" in sys.modules, peak, time.process_time() - began, file=sys.stderr)
"""


def in_a_blink(*arguments):
    """Return (code, talk, whether torch was imported, peak in KiB, seconds) of a command in a process of its own."""
    command = [sys.executable, "-c", BLINK, *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    *talk, last = found.stderr.splitlines()
    torch_there, peak, seconds = last.split()
    return found.returncode, talk, torch_there == "True", int(peak), float(seconds)


HEAVY = {
    "a claim of 10 GB": (WEIGHTS[0], "a claim of 10 GB"),
    "a deeply nested state": (f"{STEP}/state.json", "deep nesting"),
    "a deeply nested manifest": (f"{STEP}/MANIFEST.json", "deep nesting"),
    "a deeply nested record": ("run.json", "deep nesting"),
    "a huge number": ("run.json", "a huge number"),
    "a pipe for weights": (WEIGHTS[1], "a pipe"),
    "a web page for a manifest": (f"{STEP}/MANIFEST.json", "a web page"),
    "a flipped bit": (WEIGHTS[2], "a flip in the last byte"),
}


def test_damage_is_seen_in_a_blink_without_torch_and_without_memory(trained, tmp_path, tally):
    code, _, torch_there, peak_before, seconds_before = in_a_blink("sample", tmp_path / "nowhere")
    assert (code, torch_there) == (3, False)
    known = dict(damages())
    for number, (name, (file, damage)) in enumerate(HEAVY.items()):
        run = copied(trained, tmp_path / f"gan{number}")
        known[damage](run / file)
        if file != "run.json":
            shutil.rmtree(run / OLDER)
        for command in ("sample", "resume"):
            code, talk, torch_there, peak, seconds = in_a_blink(command, run)
            assert code == 3, (name, talk)
            assert 1 <= len(talk) <= 3
            assert str(run / file) in talk[0]
            assert not torch_there, name
            assert peak < peak_before + 200 * 1024, name
            assert seconds < seconds_before + 1, name
    count = 2 * len(HEAVY)
    how = "exit 3 before torch is imported, under 1 s and 200 MB more than the least command"
    tally("damages meant to cost time or memory", tries=count, survived=count, how=how)


def test_every_refusal_says_what_to_do(say, trained, tmp_path):
    silent = []
    for file in ("run.json", f"{STEP}/MANIFEST.json", f"{STEP}/state.json", WEIGHTS[0], "evaluation.json"):
        for number, (name, damage) in enumerate(damages()):
            run = copied(trained, tmp_path / f"{number}" / file.replace("/", "-"))
            shutil.rmtree(run / OLDER)
            if (file, name) in [("evaluation.json", some) for some in UNNOTICED]:
                continue
            damage(run / file)
            said = say("compare" if file == "evaluation.json" else "sample", run)
            if len(said.err.splitlines()) < 2:
                silent.append((file, name))
    assert silent == []


# Anything at all

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
documents = st.builds(
    lambda document, more: json.dumps(document | more if isinstance(document, dict) else document).encode(),
    anything,
    st.fixed_dictionaries(
        {},
        optional={
            "schema_version": st.just(1) | anything,
            "step": st.just(4) | anything,
            "files": anything,
            "scores": st.lists(
                st.fixed_dictionaries({}, optional=dict.fromkeys(SCORE, anything)) | anything, max_size=3
            ),
            "seconds": anything,
        },
    ),
)
contents = st.binary(max_size=200) | documents


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, trained):
    """Return a run whose files are few bytes."""
    run = Run(tmp_path_factory.mktemp("tiny") / "run")
    run.path.mkdir()
    run.write_record(Run(trained).record)
    put = {f"{name}.safetensors": save({"x": torch.zeros(2)}) for name in ("networks", "optimizers", "averaged")}
    checkpoints.save(run.checkpoints, step=4, files=put | {"state.json": b"{}"}, keep=2)
    return run


def sealed(run, content):
    checkpoint = run.checkpoints / "step-0000004"
    (checkpoint / "state.json").write_bytes(content)
    manifest = json.loads((checkpoint / "MANIFEST.json").read_bytes())
    del manifest["sha256"]
    manifest["files"]["state.json"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (checkpoint / "MANIFEST.json").write_bytes(files.json_bytes(files.sealed(manifest)))
    trainer = SimpleNamespace(restore=lambda *tensors, **more: None, device=torch.device("cpu"))
    engine = SimpleNamespace(_training=SimpleNamespace(decay=0.5), trainer=trainer, _meter=Meter())
    Engine.restore(engine, checkpoints.verify(checkpoint))


def with_content(name, read):
    def look(run, content):
        kept = (run.path / name).read_bytes() if (run.path / name).exists() else None
        (run.path / name).write_bytes(content)
        try:
            read(run)
        finally:
            if kept is None:
                (run.path / name).unlink()
            else:
                (run.path / name).write_bytes(kept)

    return look


READERS = {
    "run.json": with_content("run.json", lambda run: run.record),
    "MANIFEST.json": with_content(f"{STEP}/MANIFEST.json", lambda run: run.newest_checkpoint()),
    "state.json": with_content(f"{STEP}/state.json", lambda run: run.newest_checkpoint()),
    "evaluation.json": with_content("evaluation.json", lambda run: run.scores),
    "metrics.jsonl": with_content("metrics.jsonl", lambda run: run.read_log()),
    "a state that the manifest vouches for": sealed,
}


def look_at_anything(examples, tiny, name):
    tried = [0]

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(content=contents)
    def look(content):
        tried[0] += 1
        with suppress(GenzooError):
            READERS[name](tiny, content)

    look()
    return tried[0]


NAMES = list(READERS)


@pytest.mark.parametrize("name", NAMES)
def test_any_content_is_read_or_refused(tiny, name, tally):
    tried = look_at_anything(300, tiny, name)
    tally(
        "any bytes or JSON in a file of a run",
        tries=tried,
        survived=tried,
        how="only errors of genzoo's own",
        are_inputs=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_very_much_content_is_read_or_refused(tiny, name, tally):
    tried = look_at_anything(10_000, tiny, name)
    tally(
        "any bytes or JSON in a file of a run",
        tries=tried,
        survived=tried,
        how="only errors of genzoo's own",
        are_inputs=True,
    )


def spots(value, path=()):
    """Yield the path of every value in a document."""
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from spots(item, (*path, key))


def put_at(value, path, new):
    head, *rest = path
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[head] = put_at(value[head], rest, new) if rest else new
    return changed


@pytest.mark.parametrize("examples", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_sealed_record_with_anything_anywhere_is_read_or_refused(trained, tally, examples, tmp_path):
    record, tried = Run(trained).record.to_json(), [0]
    run = Run(tmp_path)

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(path=st.sampled_from(sorted(spots(record), key=str)), new=anything)
    def look(path, new):
        tried[0] += 1
        put_record(run.path, put_at(record, path, new))
        for read in (lambda: job_of(registry(), run.record), run.newest_checkpoint):
            with suppress(GenzooError):
                read()

    look()
    tally(
        "anything in a sealed record",
        tries=tried[0],
        survived=tried[0],
        how="only errors of genzoo's own",
        are_inputs=True,
    )
