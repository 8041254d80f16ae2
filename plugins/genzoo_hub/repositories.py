"""Models in repositories of the hub: what an export writes and nothing else is fetched, as plain files."""

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from genzoo import UnreadableError
from genzoo.runs import Store
from genzoo_hub.client import hub_errors, require_client, split_address

NEEDED = ("run.json", "MANIFEST.json")
FILES = (
    *NEEDED,
    "evaluation.json",
    "README.md",
    "averaged.safetensors",
    "networks.safetensors",
    "samples.png",
    "reconstructions.png",
)
"""The files of an exported model. Programs (ONNX, torch.export) are left out: genzoo does not read them."""
_LARGEST = {".json": 2**22, ".md": 2**20, ".png": 2**26}
"""The largest size in bytes of a file that is fetched; weights are as large as the model."""

_SHA256_DIGITS = 64


@dataclass(frozen=True, kw_only=True)
class Repositories(Store):
    """Models in repositories of the Hugging Face hub: hf://OWNER/NAME, or hf://OWNER/NAME@REVISION.

    Of a repository, the files of an exported model are fetched and no others, into the cache of huggingface_hub, from
    which they are taken where the hub cannot be reached.
    """

    name: ClassVar[str] = "hf"

    def fetch(self, address: str) -> Path:
        """Return a folder with the files of the model in a repository, each as a regular file."""
        require_client()
        from huggingface_hub import cached_assets_path, constants, snapshot_download
        from huggingface_hub.errors import DryRunError

        wanted = _wanted(address)
        repository = wanted["repo_id"]
        with hub_errors(f"hf://{address} cannot be fetched"):
            with suppress(DryRunError):  # the hub cannot be reached, and so nothing is downloaded
                for file in snapshot_download(dry_run=True, **wanted):
                    _check_size(address, file.filename, file.file_size)
            snapshot = Path(snapshot_download(**wanted))
            folder: Path = cached_assets_path(
                "genzoo",
                namespace=repository,
                subfolder=f"{repository.partition('/')[2]}@{snapshot.name[:12]}",
                assets_dir=constants.HF_ASSETS_CACHE,
            )
            for name in FILES:
                if (snapshot / name).is_file() and not (folder / name).exists():
                    _place(snapshot / name, folder / name)
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            raise UnreadableError(
                f"hf://{address} is no model that genzoo exported: it has no {missing[0]}",
                "name a repository that was written by: genzoo push RUN REPO",
            )
        return folder

    def discard_damaged(self, address: str, folder: Path) -> bool:
        """Remove files from the cache, which have their hashes as names there, and from the folder beside it."""
        from huggingface_hub import snapshot_download

        with hub_errors(f"hf://{address} cannot be fetched"):
            snapshot = Path(snapshot_download(local_files_only=True, **_wanted(address)))
        damaged = [
            path
            for name in FILES
            for path in ((snapshot / name).resolve(), folder / name)
            if path.is_file() and not _has_hash(path, (snapshot / name).resolve().name)
        ]
        for path in damaged:
            path.unlink()
        return bool(damaged)


def _wanted(address: str) -> dict[str, Any]:
    """Return what huggingface_hub is asked for."""
    repository, revision = split_address(address)
    return {
        "repo_id": repository,
        "revision": revision,
        "allow_patterns": [*FILES],
        "library_name": "genzoo",
    }


def _has_hash(path: Path, expected: str) -> bool:
    """Return whether a file has the hash by which the hub names it: SHA-256, or for small files git's."""
    if len(expected) == _SHA256_DIGITS:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == expected


def _check_size(address: str, name: str, size: int) -> None:
    largest = _LARGEST.get(Path(name).suffix)
    if largest is not None and size > largest:
        raise UnreadableError(
            f"hf://{address} holds {name} of {size:,} bytes, expected at most {largest:,}", "nothing was fetched"
        )


def _place(cached: Path, target: Path) -> None:
    """Make a file of the cache, in which names are links, a regular file: by a second name where that can be."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.link(cached.resolve(), beside)
    except OSError:  # another disk, or a file system without such names
        shutil.copyfile(cached, beside)
    os.replace(beside, target)
