"""Checkpoints: staged, hashed, renamed into place, and verified before use."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzoo.errors import ResourceError, UnreadableError
from genzoo.storage import checkpoints
from genzoo.storage.checkpoints import MANIFEST, newest, remove_leftovers, save, set_aside, steps, verify
from genzoo.storage.files import sealed

FILES = {
    "networks.safetensors": bytes(range(256)),
    "optimizers.safetensors": b"o" * 100,
    "state.json": b'{"schema_version": 1}\n',
}


@pytest.fixture
def folder(tmp_path):
    """Return a folder with whole checkpoints of steps 10 and 20."""
    for step in (10, 20):
        save(tmp_path, step=step, files=FILES, keep=2)
    return tmp_path


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def manifest_of(path):
    return json.loads((path / MANIFEST).read_text())


def put_manifest(path, manifest):
    """Write a manifest with the seal that it has to have."""
    document = {key: value for key, value in manifest.items() if key != "sha256"}
    (path / MANIFEST).write_text(json.dumps(sealed(document)))


# Saving


def test_a_checkpoint_is_saved_and_verified(tmp_path):
    path = save(tmp_path, step=7, files=FILES, keep=2)
    found = verify(path)
    assert path == tmp_path / "step-0000007"
    assert (found.step, found.path) == (7, path)
    assert {name: found.file(name).read_bytes() for name in FILES} == FILES
    assert found.sha256 == hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    assert names(path) == sorted([*FILES, MANIFEST])


def test_its_manifest_lists_sizes_and_hashes(tmp_path):
    manifest = manifest_of(save(tmp_path, step=7, files=FILES, keep=2))
    assert (manifest["schema_version"], manifest["step"]) == (1, 7)
    assert manifest["files"]["optimizers.safetensors"] == {
        "bytes": 100,
        "sha256": hashlib.sha256(b"o" * 100).hexdigest(),
    }


def test_two_checkpoints_differ_in_their_hash_if_and_only_if_they_differ(tmp_path):
    one = verify(save(tmp_path / "a", step=7, files=FILES, keep=2))
    same = verify(save(tmp_path / "b", step=7, files=FILES, keep=2))
    other = verify(save(tmp_path / "c", step=7, files={**FILES, "state.json": b"{}"}, keep=2))
    assert one.sha256 == same.sha256 != other.sha256


@pytest.mark.parametrize(
    ("keep", "kept"), [(0, [4, 5]), (1, [4, 5]), (2, [4, 5]), (3, [3, 4, 5]), (9, [1, 2, 3, 4, 5])]
)
def test_the_newest_few_are_kept_and_never_less_than_two(tmp_path, keep, kept):
    for step in range(1, 6):
        save(tmp_path, step=step, files=FILES, keep=keep)
    assert steps(tmp_path) == kept
    assert names(tmp_path) == [f"step-{step:07d}" for step in kept]


def test_a_step_of_more_than_seven_digits_sorts_after_the_others(tmp_path):
    for step in (9_999_999, 10_000_000):
        save(tmp_path, step=step, files=FILES, keep=2)
    assert steps(tmp_path) == [9_999_999, 10_000_000]
    assert newest(tmp_path)[0].step == 10_000_000


def test_a_step_that_is_saved_again_replaces_the_first(folder):
    save(folder, step=20, files={**FILES, "state.json": b"{}"}, keep=2)
    found, faults = newest(folder)
    assert (found.step, faults) == (20, [])
    assert found.file("state.json").read_bytes() == b"{}"
    assert names(folder) == ["step-0000010", "step-0000020"]


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(folder):
    (folder / ".tmp-dead").mkdir()
    (folder / ".tmp-dead" / "networks.safetensors").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    assert steps(folder) == [10, 20]
    remove_leftovers(folder)
    assert names(folder) == ["notes.txt", "step-0000010", "step-0000020"]
    remove_leftovers(folder / "nowhere")


def test_a_checkpoint_set_aside_is_no_longer_taken_for_one_and_nothing_of_it_is_lost(folder):
    set_aside(folder, 20)
    assert steps(folder) == [10]
    (aside,) = folder.glob("damaged-0000020-*")
    assert {name: (aside / name).read_bytes() for name in FILES} == FILES


def test_what_is_not_there_cannot_be_set_aside(folder):
    with pytest.raises(ResourceError, match="No such file"):
        set_aside(folder, 30)


def test_only_names_of_checkpoints_count(tmp_path):
    odd = ("step-0000000005", "step-٠٠٠٠٠٠٥")  # a run that had one could never go on
    for name in (
        *odd,
        "step-5",
        "step-00000x5",
        "astep-0000005",
        "step-0000005.old",
        "damaged-0000005-ab",
        ".tmp-0000005",
    ):
        (tmp_path / name).mkdir()
    assert steps(tmp_path) == []
    assert steps(tmp_path / "nowhere") == []
    assert newest(tmp_path) == (None, [])


# A disk that fails


def assert_nothing_lost(folder):
    """Every checkpoint that can be seen is whole, the old ones are there, and no stage remains."""
    assert 20 in steps(folder)
    found, faults = newest(folder)
    assert faults == []
    assert found.step >= 20
    assert [verify(folder / f"step-{step:07d}").step for step in steps(folder)] == steps(folder)
    assert [name for name in names(folder) if name.startswith(".tmp-")] == []


def failing_on_call(function, number, code):
    """Return `function` raising an OSError of `code` on its call of that number, counted from 0."""
    calls = iter(range(1000))

    def wrapped(*arguments, **more):
        if next(calls) == number:
            raise OSError(code, os.strerror(code))
        return function(*arguments, **more)

    return wrapped


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("number", range(6))
def test_a_disk_that_fails_at_any_synchronisation_loses_nothing(folder, monkeypatch, number, code):
    calls = len(FILES) + 1 + 2
    assert number < calls
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_on_call(os.fsync, number, code))
        with pytest.raises(ResourceError) as caught:
            save(folder, step=30, files=FILES, keep=2)
    assert caught.value.exit_code == 6
    assert ("no room to write" in caught.value.found) == (code == errno.ENOSPC)
    assert_nothing_lost(folder)
    save(folder, step=30, files=FILES, keep=2)
    assert newest(folder)[0].step == 30


def test_every_file_and_both_folders_are_synchronised(folder, monkeypatch):
    synced, real = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (synced.append(os.readlink(f"/proc/self/fd/{descriptor}")), real(descriptor))
    )
    save(folder, step=30, files=FILES, keep=2)
    stage = Path(synced[0]).parent
    assert synced == [*(str(stage / name) for name in (*FILES, MANIFEST)), str(stage), str(folder)]


@pytest.mark.parametrize(("step", "number"), [(30, 0), (20, 0), (20, 1)])
def test_a_rename_that_fails_loses_nothing(folder, monkeypatch, step, number):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing_on_call(os.replace, number, errno.EIO))
        with pytest.raises(ResourceError):
            save(folder, step=step, files=FILES, keep=2)
    assert_nothing_lost(folder)


@pytest.mark.parametrize("written", [0, 50])
def test_a_file_that_cannot_be_written_to_its_end_loses_nothing(folder, monkeypatch, written):
    def half(path, content):
        path.write_bytes(content[:written])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_synced", half)
        needed = sum(len(content) for content in FILES.values())
        with pytest.raises(ResourceError, match=f"{needed:,} bytes are needed"):
            save(folder, step=30, files=FILES, keep=2)
    assert steps(folder) == [10, 20]
    assert_nothing_lost(folder)


def test_a_limit_on_file_sizes_is_met_like_a_full_disk(folder):
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from genzoo import errors; from genzoo.storage import checkpoints\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: checkpoints.save(Path(sys.argv[1]), step=30, files={'state.json': bytes(9000)}, keep=2)\n"
        "except errors.ResourceError as error: print(error.found)"
    )
    found = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("no room to write")
    assert "9,000 bytes are needed" in found.stdout
    assert_nothing_lost(folder)


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write"):
        save(tmp_path / "file" / "checkpoints", step=1, files=FILES, keep=2)


def test_a_writer_killed_at_any_moment_leaves_a_whole_newest_checkpoint(folder):
    script = (
        "import os, signal, sys; from pathlib import Path; from genzoo.storage import checkpoints\n"
        "real, left = os.fsync, [int(sys.argv[2])]\n"
        "def fsync(descriptor):\n"
        "    if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left[0] -= 1; real(descriptor)\n"
        "os.fsync = fsync\n"
        "names = ('networks.safetensors', 'optimizers.safetensors', 'state.json')\n"
        "checkpoints.save(Path(sys.argv[1]), step=30, files={name: bytes(100) for name in names}, keep=2)"
    )
    for number in (0, 3, 4, 5):
        done = subprocess.run([sys.executable, "-c", script, str(folder), str(number)], check=False)
        assert done.returncode == -9
        remove_leftovers(folder)
        assert_nothing_lost(folder)
    assert newest(folder)[0].step == 30  # the last kill came after the rename


# Damage


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def extend(path):
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path):
    path.write_bytes(b"")


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replace_by_link(path):
    shutil.copy(path, path.parent.parent / "elsewhere")
    path.unlink()
    path.symlink_to(path.parent.parent / "elsewhere")


DAMAGES = [flip, truncate, extend, empty, Path.unlink, replace_by_folder, replace_by_pipe, replace_by_link]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_used(folder, damage, name):
    path = folder / "step-0000020"
    damage(path / name)
    with pytest.raises(UnreadableError) as caught:
        verify(path)
    assert caught.value.exit_code == 3
    assert str(path / name) in caught.value.found
    found, faults = newest(folder)
    assert found.step == 10
    assert [fault.found for fault in faults] == [caught.value.found]


@pytest.mark.parametrize("damage", [truncate, empty, Path.unlink, replace_by_folder, replace_by_pipe, replace_by_link])
def test_a_damaged_manifest_is_named_and_the_checkpoint_before_is_used(folder, damage):
    path = folder / "step-0000020" / MANIFEST
    if damage is truncate:
        path.write_bytes(path.read_bytes()[:-3])
    else:
        damage(path)
    found, (fault,) = newest(folder)
    assert found.step == 10
    assert str(path) in fault.found


def test_no_single_changed_byte_of_a_manifest_makes_a_changed_checkpoint_pass(folder):
    path = folder / "step-0000020"
    content = (path / MANIFEST).read_bytes()
    told = manifest_of(path)
    seal = told.pop("sha256")
    for place in range(len(content)):
        (path / MANIFEST).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = verify(path)
        except UnreadableError:
            continue
        assert found.step == 20
        assert {key: value for key, value in manifest_of(path).items() if value != seal} == told


def changed(**entries):
    return lambda manifest: {**manifest, **entries}


def test_a_manifest_without_a_seal_is_an_older_one(folder):
    path = folder / "step-0000020"
    manifest = manifest_of(path)
    del manifest["sha256"]
    (path / MANIFEST).write_text(json.dumps(manifest))
    assert verify(path).step == 20


def without(key):
    return lambda manifest: {name: value for name, value in manifest.items() if name != key}


def with_entry(name, entry):
    return lambda manifest: {**manifest, "files": {**manifest["files"], name: entry}}


def with_file(**entries):
    def change(manifest):
        entry = {**manifest["files"]["state.json"], **entries}
        return {**manifest, "files": {**manifest["files"], "state.json": entry}}

    return change


SOUND = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
LIES = {
    "another step": changed(step=21),
    "a step as text": changed(step="20"),
    "a step as a fraction": changed(step=20.0),
    "no step": without("step"),
    "no files": without("files"),
    "a list of files": changed(files=list(FILES)),
    "an empty set of files": changed(files={}),
    "a number for a file": with_entry("state.json", 5),
    "nothing for a file": with_entry("state.json", None),
    "another size": with_file(bytes=3),
    "a size as text": with_file(bytes="22"),
    "no size": with_file(bytes=None),
    "another hash": with_file(sha256="0" * 64),
    "no hash": with_file(sha256=None),
    "a hash of another kind": with_file(sha256=["0"]),
    "a path upwards": with_entry("../run.json", SOUND),
    "an absolute path": with_entry("/etc/passwd", SOUND),
    "a path downwards": with_entry("a/b.json", SOUND),
    "a name that no checkpoint has": with_entry("code.py", SOUND),
    "a file that is not there": with_entry("averaged.safetensors", SOUND),
    "an empty name": with_entry("", SOUND),
    "a newer format": changed(schema_version=2),
    "no format": without("schema_version"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_does_not_describe_the_checkpoint_is_refused(folder, lie):
    path = folder / "step-0000020"
    put_manifest(path, LIES[lie](manifest_of(path)))
    with pytest.raises(UnreadableError) as caught:
        verify(path)
    assert str(path) in caught.value.found
    assert "\n" not in caught.value.found
    assert newest(folder)[0].step == 10


def test_a_truth_value_is_no_step(tmp_path):
    path = save(tmp_path, step=1, files=FILES, keep=2)
    put_manifest(path, {**manifest_of(path), "step": True})
    with pytest.raises(UnreadableError):
        verify(path)


@pytest.mark.parametrize("name", FILES)
def test_a_manifest_must_list_what_every_checkpoint_has(folder, name):
    path = folder / "step-0000020"
    manifest = manifest_of(path)
    del manifest["files"][name]
    put_manifest(path, manifest)
    with pytest.raises(UnreadableError, match=f"lists no {name}"):
        verify(path)


def test_a_checkpoint_under_the_name_of_another_step_is_refused(folder):
    (folder / "step-0000020").rename(folder / "step-0000030")
    found, (fault,) = newest(folder)
    assert found.step == 10
    assert "does not describe the checkpoint step-0000030" in fault.found


def test_a_file_under_the_name_of_a_checkpoint_is_none(folder):
    (folder / "step-0000030").write_text("no folder")
    found, (fault,) = newest(folder)
    assert found.step == 20
    assert "step-0000030" in fault.found


def test_with_every_checkpoint_damaged_there_is_none_and_each_is_told_newest_first(folder):
    for step in (10, 20):
        flip(folder / f"step-{step:07d}" / "networks.safetensors")
    found, faults = newest(folder)
    assert found is None
    assert [f"step-{step:07d}" in fault.found for step, fault in zip((20, 10), faults, strict=True)] == [True, True]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save(tmp_path_factory.mktemp("whole"), step=20, files=FILES, keep=2)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
entries = st.fixed_dictionaries({}, optional={"bytes": documents, "sha256": documents}) | documents
manifests = st.fixed_dictionaries(
    {"schema_version": st.just(1) | documents},
    optional={
        "step": st.just(20) | documents,
        "files": st.fixed_dictionaries(dict.fromkeys(FILES, entries)) | st.dictionaries(st.text(), entries) | documents,
    },
)


@given(content=st.binary() | (manifests | documents).map(lambda manifest: json.dumps(manifest).encode()))
def test_any_manifest_but_the_true_one_is_unreadable(whole, content):
    (whole / MANIFEST).write_bytes(content)
    with pytest.raises(UnreadableError):
        verify(whole)
