"""Models in repositories of the hub: what an export writes and nothing else is fetched, as plain files."""

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

        repository, revision = split_address(address)
        wanted: dict[str, Any] = {
            "repo_id": repository,
            "revision": revision,
            "allow_patterns": [*FILES],
            "library_name": "genzoo",
        }
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
