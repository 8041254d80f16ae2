"""Checkpoints: folders that are staged, hashed, renamed into place, and verified before use. Needs no torch."""

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genzoo import __version__
from genzoo.errors import UnreadableError
from genzoo.storage.files import (
    RESTORE,
    SCHEMA_VERSION,
    Content,
    check_seal,
    json_bytes,
    read_json,
    readable,
    regular_size,
    sealed,
    sha256_of,
    storage,
    sync_folder,
    write,
    write_synced,
)

MANIFEST = "MANIFEST.json"
DAMAGED = "damaged-"
"""The beginning of the name of what was set aside."""
_DISPLACED = "displaced-"
_NAME = re.compile(r"step-([0-9]{7}|[1-9][0-9]{7,})")
"""The name of a checkpoint; step 99 has no second one, such as step-0000000099."""
_FILE = re.compile(r"[a-z_]+\.(safetensors|json)")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified checkpoint: every file has the size and hash in its manifest."""

    path: Path
    step: int
    sha256: str
    """Hash of the manifest, which holds the hashes of all files."""
    names: frozenset[str]
    """The files that the manifest lists; other files in the folder are ignored."""

    def file(self, name: str) -> Path:
        """Return the path of one of its files."""
        return self.path / name


def path_of(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint of a step."""
    return folder / f"step-{step:07d}"


def save(folder: Path, *, step: int, files: Mapping[str, Content], keep: int) -> Path:
    """Add the checkpoint of `step` to `folder` and remove all but the newest `keep` (at least 2).

    Readers see it once it has its final name; by then all of it is on disk.
    """
    target = path_of(folder, step)
    stage = folder / f".tmp-{uuid.uuid4().hex}"
    with storage(target, needed=sum(len(content) for content in files.values())):
        if not folder.is_dir():  # not its parents: in a run folder that was removed, saving fails
            folder.mkdir()
            sync_folder(folder.parent)
        try:
            stage.mkdir()
            for name, content in files.items():
                write_synced(stage / name, content)
            write_synced(stage / MANIFEST, json_bytes(_manifest(step, files)))
            sync_folder(stage)
            _put_in_place(stage, target)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    prune(folder, keep=keep)
    return target


def prune(folder: Path, *, keep: int) -> None:
    """Rename, then remove all checkpoints but the newest `keep` (at least 2); only for the holder of the run's lock."""
    for old in steps(folder)[: -max(keep, 2)]:
        aside = folder / f".tmp-{uuid.uuid4().hex}"
        with suppress(OSError):
            os.replace(path_of(folder, old), aside)
        shutil.rmtree(aside, ignore_errors=True)


def _put_in_place(stage: Path, target: Path) -> None:
    """Rename the stage to its final name; an earlier checkpoint of the same step is replaced."""
    displaced = target.with_name(f"{_DISPLACED}{target.name}")
    if target.exists():
        shutil.rmtree(displaced, ignore_errors=True)
        os.replace(target, displaced)
    try:
        os.replace(stage, target)
        sync_folder(target.parent)
    finally:
        _clear(displaced)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed writer left behind; only for the holder of the run's lock."""
    for leftover in folder.glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for displaced in folder.glob(f"{_DISPLACED}*"):
        with storage(displaced):
            _clear(displaced)


def _clear(displaced: Path) -> None:
    """Remove a displaced checkpoint, or restore it if nothing has replaced it."""
    target = displaced.with_name(displaced.name.removeprefix(_DISPLACED))
    if target.exists():
        shutil.rmtree(displaced, ignore_errors=True)
    elif displaced.exists():
        os.replace(displaced, target)


def set_aside(folder: Path, step: int) -> Path:
    """Rename a damaged checkpoint so that it is no longer listed, and return its path; for the holder of the run."""
    aside = folder / f"{DAMAGED}{step:07d}-{uuid.uuid4().hex[:8]}"
    with storage(folder):
        os.replace(path_of(folder, step), aside)
    return aside


def steps(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in `folder`, oldest first, unverified."""
    if not folder.is_dir():
        return []
    names = map(_NAME.fullmatch, os.listdir(folder))
    return sorted(int(name[1]) for name in names if name)


def newest(folder: Path, *, owner: Mapping[str, Any] | None = None) -> tuple[Checkpoint | None, list[UnreadableError]]:
    """Return the newest whole checkpoint, if any, and the error of each newer one that is damaged or another's.

    `owner` is what the state of a run's own checkpoints says; older ones do not say all of it.
    """
    faults: list[UnreadableError] = []
    for step in reversed(steps(folder)):
        try:
            checkpoint = verify(path_of(folder, step), owner=owner)
        except UnreadableError as fault:
            faults.append(fault)
        else:
            return checkpoint, faults
    return None, faults


def verify(path: Path, *, owner: Mapping[str, Any] | None = None) -> Checkpoint:
    """Return the checkpoint at `path` after reading all of it; raise `UnreadableError` naming the damaged file.

    `owner` is as in `newest`.
    """
    checkpoint = verify_weights(path)
    named = _NAME.fullmatch(path.name)
    if named is None or int(named[1]) != checkpoint.step:
        raise UnreadableError(f"{path / MANIFEST} does not describe the checkpoint {path.name}", RESTORE)
    for name in ("networks.safetensors", "optimizers.safetensors", "state.json"):
        if name not in checkpoint.names:
            raise UnreadableError(f"{path / MANIFEST} lists no {name}", RESTORE)
    if owner is not None:
        _check_owner(checkpoint, {**owner, "step": checkpoint.step})
    return checkpoint


def verify_weights(path: Path) -> Checkpoint:
    """Return what the manifest in the folder `path` lists, after reading all of it, such as weights alone."""
    manifest = read_json(path / MANIFEST, "a checkpoint's manifest")
    if "sha256" in manifest:  # older ones have none
        check_seal(path / MANIFEST, manifest)
    step, files = manifest.get("step"), manifest.get("files")
    if type(step) is not int or not isinstance(files, dict):
        raise UnreadableError(f"{path / MANIFEST} does not describe the checkpoint {path.name}", RESTORE)
    for name, entry in files.items():
        _verify_file(path, name, entry)
    return Checkpoint(path=path, step=step, sha256=sha256_of(path / MANIFEST), names=frozenset(files))


def write_weights(path: Path, *, step: int, files: Mapping[str, Content]) -> None:
    """Write files and, last, the manifest that lists them into the folder `path`, which then is an exported model."""
    for name, content in files.items():
        write(path / name, content)
    write(path / MANIFEST, json_bytes(_manifest(step, files)))


def _check_owner(checkpoint: Checkpoint, owner: Mapping[str, Any]) -> None:
    state = read_json(checkpoint.file("state.json"), "a checkpoint's state")
    for key, value in owner.items():
        if state.get(key, value) != value:
            raise UnreadableError(
                f"{checkpoint.path} is another run's: its {key} is {state[key]!r:.40}, not {value!r}",
                "move it back to where it is from",
            )


def _verify_file(path: Path, name: str, entry: Any) -> None:
    if not _FILE.fullmatch(name) or not isinstance(entry, dict):
        raise UnreadableError(f"{path / MANIFEST} lists a file that no checkpoint has: {name[:80]!r}", RESTORE)
    size = regular_size(path / name, "a checkpoint's file")
    if size != entry.get("bytes"):
        raise UnreadableError(
            f"{path / name} has {size:,} bytes, its manifest says {entry.get('bytes')!r:.40}", RESTORE
        )
    with readable(path / name):
        digest = sha256_of(path / name)
    if digest != entry.get("sha256"):
        raise UnreadableError(f"{path / name} is damaged: its SHA-256 is not the one in its manifest", RESTORE)


def _manifest(step: int, files: Mapping[str, Content]) -> dict[str, Any]:
    entries = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    return sealed({"schema_version": SCHEMA_VERSION, "genzoo": __version__, "step": step, "files": entries})
