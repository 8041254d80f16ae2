"""Object stores: a model or a prepared data set in a folder of a bucket, fetched by fsspec into a cache."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

from genzoo import SettingsError, UnreadableError
from genzoo.runs import Store

_SEALS = ("card.json", "MANIFEST.json")
"""The files that hold the hashes of all others: a folder is fetched again where this is another one."""
_FILES = ("run.json", "evaluation.json", "README.md", "names.jsonl")
_ENDINGS = (".safetensors", ".png")


@dataclass(frozen=True, kw_only=True)
class Bucket(Store):
    """Folders of a store that fsspec reads: files of models and prepared data are fetched, and no others."""

    extra: ClassVar[str]
    """What to install where the store's client is missing."""

    def fetch(self, address: str) -> Path:
        """Return the folder of the cache that holds what the folder at `address` does."""
        parts = address.strip("/").split("/")
        if len(parts) < 2 or not all(part.strip(".") for part in parts):
            raise SettingsError(
                f"'{self.name}://{address}' is no folder of a bucket", f"expected: {self.name}://BUCKET/FOLDER"
            )
        folder = Path.home().joinpath(".cache", "genzoo", "remote", self.name, *parts)
        try:
            files = self._client()
            remote = {name.rpartition("/")[2]: name for name in files.ls("/".join(parts), detail=False)}
            seal = next((name for name in _SEALS if name in remote), None)
            if seal is None:
                raise UnreadableError(
                    f"{self.name}://{address} holds no model and no prepared data: it has no {' and no '.join(_SEALS)}",
                    "upload what genzoo export or genzoo data prepare wrote, as it is",
                )
            if not (folder / seal).is_file() or files.cat_file(remote[seal]) != (folder / seal).read_bytes():
                _fetch_all(files, remote, folder, seal)
        except ImportError as error:
            raise SettingsError(
                f"{self.name}://… needs a package that is not installed: {error.name or error}",
                f"type: pip install {self.extra}",
            ) from error
        except OSError as error:
            raise UnreadableError(
                f"{self.name}://{address} cannot be read: {str(error).partition(chr(10))[0] or type(error).__name__}",
                "check the address and your credentials for it",
            ) from error
        return folder

    def discard_damaged(self, address: str, folder: Path) -> bool:
        """Remove the folder; whether the store's own files are damaged is seen when they are fetched again."""
        shutil.rmtree(folder)
        return True

    def _client(self) -> Any:
        import fsspec

        return fsspec.filesystem(self.name, use_listings_cache=False)


@dataclass(frozen=True, kw_only=True)
class S3(Bucket):
    """Models and prepared data in buckets of S3, or of what speaks its protocol: s3://BUCKET/FOLDER."""

    name: ClassVar[str] = "s3"
    extra: ClassVar[str] = "'genzoo[remote]'"


@dataclass(frozen=True, kw_only=True)
class GoogleStorage(Bucket):
    """Models and prepared data in buckets of Google Cloud Storage: gs://BUCKET/FOLDER."""

    name: ClassVar[str] = "gs"
    extra: ClassVar[str] = "gcsfs"


def _fetch_all(files: Any, remote: dict[str, str], folder: Path, seal: str) -> None:
    """Fetch a folder's files beside their place, and put them there together."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, path in remote.items():
            if name in (seal, *_FILES) or name.endswith(_ENDINGS):
                files.get_file(path, str(beside / name))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
