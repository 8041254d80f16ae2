"""What a process trains with, beside a run's settings: versions, code, processor and threads."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from genzoo.errors import distribution_of
from genzoo.storage.record import RunRecord, Session
from genzoo.text import now
from genzoo.training.settings import Settings


def session_of(record: RunRecord, settings: Settings, *, step: int) -> Session:
    """Return the session of this process, which goes on with a run from `step`."""
    return Session(
        step=step,
        began=now(),
        device=record.device,
        execution=record.execution,
        threads=record.threads if record.device == "cpu" else None,
        processor=_processor(record.device),
        versions=record.versions,
        plugins=record.plugins,
        code=source_hashes(settings),
    )


def source_hashes(settings: Settings) -> dict[str, str]:
    """Return the SHA-256 of the source files of every package that a class of the settings' components is from."""
    paths = {name: getattr(sys.modules.get(name), "__file__", None) for name in _packages_of(settings)}
    return {name: _hash_of(Path(path)) for name, path in paths.items() if path is not None}


def distributions_of(settings: Settings) -> dict[str, str]:
    """Return the version by name of every distribution that a class of the settings' components is from."""
    installed = (distribution_of(name) for name in _packages_of(settings))
    pairs = (text.partition(" ") for text in installed if text is not None)
    return {name: version for name, _, version in pairs}


def _packages_of(settings: Settings) -> list[str]:
    classes = {base for component in _components_within(settings) for base in type(component).__mro__}
    return sorted({base.__module__.partition(".")[0] for base in classes} - sys.stdlib_module_names)


def _components_within(value: Any) -> Iterator[Any]:
    if is_dataclass(value):
        yield value
        for field in fields(value):
            yield from _components_within(getattr(value, field.name))


def _hash_of(module: Path) -> str:
    """Return a hash of the Python files of a package, or of a module that is a single file."""
    folder = module.parent
    sources = sorted(folder.rglob("*.py")) if module.name == "__init__.py" else [module]
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode(errors="surrogateescape"))
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _processor(device: str) -> str:
    """Return the name of a GPU, or the instructions that torch uses on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    vectors = torch.backends.cpu.get_cpu_capability()
    return vectors if torch.backends.mkldnn.enabled else f"{vectors} without oneDNN"
