"""Files: written whole or not at all, and read with suspicion."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genzoo.errors import BusyError, ResourceError, UnreadableError
from genzoo.storage import files

WHAT = "a test's document"
DOCUMENT = {"schema_version": 1, "name": "toy", "list": [1, 2, {"é": None}], "share": 0.5, "whole": True}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch") / "document.json"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fail(number):
    def failing(*arguments, **more):
        raise OSError(number, os.strerror(number))

    return failing


# Writing


def test_what_is_written_is_read_again(tmp_path):
    files.write(tmp_path / "a", b"\0one")
    assert (tmp_path / "a").read_bytes() == b"\0one"
    files.write_json(tmp_path / "b", DOCUMENT)
    assert files.read_json(tmp_path / "b", WHAT) == DOCUMENT
    assert names(tmp_path) == ["a", "b"]


def test_writing_replaces_the_whole_file(tmp_path):
    files.write(tmp_path / "a", b"a long first content")
    files.write(tmp_path / "a", b"short")
    assert (tmp_path / "a").read_bytes() == b"short"


def test_a_file_is_on_disk_before_it_has_its_name_and_its_name_before_the_call_returns(tmp_path, monkeypatch):
    events, real_sync, real_replace = [], os.fsync, os.replace

    def sync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append(("folder", names(path)) if path.is_dir() else ("content", path.read_bytes()))
        real_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("name"), real_replace(*paths)))
    files.write(tmp_path / "a", b"new")
    assert events == [("content", b"new"), "name", ("folder", ["a"])]


def test_a_reader_who_has_the_old_file_open_keeps_it(tmp_path):
    files.write(tmp_path / "a", b"old")
    with (tmp_path / "a").open("rb") as reader:
        files.write(tmp_path / "a", b"new")
        assert reader.read() == b"old"


def test_a_link_at_the_place_is_replaced_and_what_it_points_to_is_left(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    files.write(tmp_path / "a", b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, number):
    files.write(tmp_path / "a", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*(Path, "open") if call == "open" else (os, call), fail(number))
        with pytest.raises(ResourceError):
            files.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_full_disk_is_told_with_needed_and_free_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail(errno.ENOSPC))
    with pytest.raises(ResourceError) as caught:
        files.write(tmp_path / "a", bytes(12_345))
    assert caught.value.exit_code == 6
    assert caught.value.found.startswith(f"no room to write {tmp_path / 'a'}, 12,345 bytes are needed, ")
    assert caught.value.found.endswith(" are free")


def test_a_folder_that_cannot_be_there_is_told_with_its_path(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError) as caught:
        files.write(tmp_path / "file" / "below", b"")
    assert caught.value.found == f"cannot write {tmp_path / 'file' / 'below'}: Not a directory"


def test_storage_lets_every_other_fault_through(tmp_path):
    with pytest.raises(BusyError), files.storage(tmp_path):
        raise BusyError("busy")
    with pytest.raises(KeyError), files.storage(tmp_path):
        raise KeyError("key")


def test_what_no_strict_json_can_say_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a", {"value": float("nan")})
    assert names(tmp_path) == []


def test_the_hash_of_a_file_is_that_of_its_content(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    (tmp_path / "a").write_bytes(b"")
    assert files.sha256_of(tmp_path / "a") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# Seals


def test_a_sealed_document_returns_without_its_seal(tmp_path):
    files.write_sealed(tmp_path / "a", DOCUMENT)
    assert files.read_sealed(tmp_path / "a", WHAT) == DOCUMENT
    assert len(files.read_json(tmp_path / "a", WHAT)["sha256"]) == 64


@pytest.mark.parametrize("mask", [1, 2, 4, 8, 16, 32, 64, 128, 255])
def test_a_seal_notices_every_changed_byte_that_carries_anything(scratch, mask):
    document = {**DOCUMENT, "list": [1, 2, {"e": None}]}  # no escapes, which can be written in two ways
    files.write_sealed(scratch, document)
    content = scratch.read_bytes()
    unnoticed = []
    for place in range(len(content)):
        scratch.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
        try:
            assert files.read_sealed(scratch, WHAT) == document
            unnoticed.append(content[place : place + 1])
        except UnreadableError:
            pass
    assert b"".join(unnoticed).strip() == b""


def test_a_seal_notices_every_cut(scratch):
    files.write_sealed(scratch, DOCUMENT)
    content = scratch.read_bytes().rstrip()
    for length in range(len(content)):
        scratch.write_bytes(content[:length])
        with pytest.raises(UnreadableError):
            files.read_sealed(scratch, WHAT)


def test_a_seal_notices_what_was_added(tmp_path):
    files.write_sealed(tmp_path / "a", DOCUMENT)
    stored = files.read_json(tmp_path / "a", WHAT)
    for changed in ({**stored, "more": 1}, {**stored, "share": 1}, {**stored, "sha256": None}):
        files.write_json(tmp_path / "a", changed)
        with pytest.raises(UnreadableError, match="changed or damaged"):
            files.read_sealed(tmp_path / "a", WHAT)


def test_a_document_without_a_seal_is_no_sealed_one(tmp_path):
    files.write_json(tmp_path / "a", DOCUMENT)
    with pytest.raises(UnreadableError, match="changed or damaged"):
        files.read_sealed(tmp_path / "a", WHAT)


def test_a_sealed_document_of_a_newer_format_is_told_as_such(tmp_path):
    files.write_sealed(tmp_path / "a", {**DOCUMENT, "schema_version": 2})
    with pytest.raises(UnreadableError) as caught:
        files.read_sealed(tmp_path / "a", WHAT)
    assert caught.value.found.endswith("was written by a newer genzoo (format 2, this one reads 1)")
    assert caught.value.exit_code == 3


# Reading


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{}",
        b'{"schema_version": 0}',
        b'{"schema_version": -1}',
        b'{"schema_version": true}',
        b'{"schema_version": 1.0}',
        b'{"schema_version": "1"}',
        b'{"schema_version": null}',
        b'{"schema_version": 1} {}',
        b'{"schema_version": 1, "name": "\xff"}',
        b'\xff\xfe{\0"\0',
        b"[" * 1_000_000,
        b'{"schema_version":' * 100_000,
        b'{"schema_version": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_what_is_no_document_is_unreadable_and_named(scratch, content):
    scratch.write_bytes(content)
    with pytest.raises(UnreadableError) as caught:
        files.read_json(scratch, WHAT)
    assert str(scratch) in caught.value.found
    assert WHAT in caught.value.found
    assert "\n" not in caught.value.found


def test_a_newer_format_is_told_with_both_versions_and_the_remedy(scratch):
    scratch.write_text('{"schema_version": 7}')
    with pytest.raises(UnreadableError, match="format 7, this one reads 1") as caught:
        files.read_json(scratch, WHAT)
    assert caught.value.remedy == "type: pip install --upgrade genzoo"


@pytest.mark.parametrize("said", [{"genzoo": "0.9.2"}, {"versions": {"genzoo": "0.9.2"}}])
def test_a_newer_format_is_told_with_the_genzoo_that_wrote_it(scratch, said):
    scratch.write_text(json.dumps({"schema_version": 7} | said))
    with pytest.raises(UnreadableError, match=r"was written by genzoo 0\.9\.2, a newer one \(format 7"):
        files.read_json(scratch, WHAT)


def test_a_missing_file_is_told_with_what_it_should_be(tmp_path):
    with pytest.raises(UnreadableError, match=rf"missing or unreadable \(No such file or directory\), expected {WHAT}"):
        files.read_json(tmp_path / "nothing", WHAT)


@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "folder", "device"])
def test_only_a_regular_file_is_read(tmp_path, kind):
    path, whole = tmp_path / "a", tmp_path / "whole"
    files.write_json(whole, DOCUMENT)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"link": whole, "link to nothing": tmp_path / "nothing", "device": Path("/dev/zero")}[kind])
    with pytest.raises(UnreadableError, match=f"is not a regular file, expected {WHAT}"):
        files.read_json(path, WHAT)
    with pytest.raises(UnreadableError, match="is not a regular file"):
        files.regular_size(path, WHAT)


def test_more_bytes_than_any_document_has_are_not_read(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(files.JSON_LIMIT + 1)
    with pytest.raises(UnreadableError, match=r"has 4,194,305 bytes, too many for a test's document"):
        files.read_json(path, WHAT)
    assert files.regular_size(path, WHAT) == files.JSON_LIMIT + 1


def test_as_many_bytes_as_the_limit_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "a", WHAT, limit=5) == b"12345"
    with pytest.raises(UnreadableError):
        files.read_bytes(tmp_path / "a", WHAT, limit=4)


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
texts = st.builds(
    lambda document, extra: json.dumps(document | extra if isinstance(document, dict) else document).encode(),
    documents,
    st.fixed_dictionaries({}, optional={"schema_version": documents | st.just(1), "sha256": documents}),
)


@pytest.mark.parametrize("read", [files.read_json, files.read_sealed])
@given(content=st.binary() | texts)
@example(content=b'{"schema_version": 1, "name": "\\ud800", "sha256": "0"}')
@example(content=b'{"schema_version": 1, "share": NaN, "sha256": "0"}')
@example(content=b'{"schema_version": 1, "sha256": ' + b"[" * 900 + b"]" * 900 + b"}")
def test_any_content_is_a_document_or_unreadable(scratch, read, content):
    scratch.write_bytes(content)
    try:
        found = read(scratch, WHAT)
    except UnreadableError:
        return
    assert found["schema_version"] == 1
