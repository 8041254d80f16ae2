"""Pushing: an exported model with the hub's metadata on its card, in one commit, after a look for what is private."""

import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genzoo import Run, SettingsError
from genzoo.runs import export_run, unregistered_names
from genzoo_hub.client import hub_errors, split_address
from genzoo_hub.repositories import FILES

_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY", re.IGNORECASE)
_SHORTEST = 5
"""Texts shorter than this stand in files by chance."""


class Pushed(NamedTuple):
    """What a push did."""

    url: str
    commit: str
    private: bool
    removed: Sequence[str]
    """The files of an earlier push that this model does not have."""


def write_model(
    run: str | Path | Run,
    folder: Path,
    repository: str,
    *,
    raw: bool,
    license: str | None,
    reconstructions: bool,
) -> dict[str, int]:
    """Export a run's model into the new `folder`, with metadata on its card; return the size in bytes of every file.

    Raises `SettingsError` if a file holds something private, or the model needs code that no plugin registers.
    """
    source = Run.of(run)
    for name in unregistered_names(source):
        raise SettingsError(
            f"the model needs code that no plugin registers, '{name}', and a repository holds no code",
            "nothing was uploaded; write a plugin for it: genzoo plugin new NAME",
        )
    export_run(source, folder, raw=raw, address=f"hf://{repository}", extra="hub", reconstructions=reconstructions)
    card = folder / "README.md"
    card.write_text(f"---\n{_metadata(Run(folder), repository, license)}\n---\n\n{card.read_text()}")
    for path in sorted(folder.iterdir()):
        for text in private_texts(path):
            raise SettingsError(
                f"{path.name} holds what is private to this machine: {text}",
                "nothing was uploaded; train without that setting, or export the model and edit the copy",
            )
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def push_model(folder: Path, repository: str, *, private: bool, message: str) -> Pushed:
    """Upload the files of an exported model to a repository, which is made if it does not exist, in one commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(library_name="genzoo")
    names = sorted(path.name for path in folder.iterdir())
    with hub_errors(f"{repository} cannot be pushed to"):
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        info = api.model_info(repository)
        if private and not info.private:
            raise SettingsError(
                f"{repository} exists and is public", "nothing was uploaded; leave out --private, or name another one"
            )
        removed = sorted({file.rfilename for file in info.siblings or ()} & set(FILES) - set(names))
        operations = [CommitOperationAdd(name, folder / name) for name in names]
        operations += [CommitOperationDelete(name) for name in removed]
        commit = api.create_commit(repository, operations, commit_message=message)
    return Pushed(str(url), commit.oid, bool(info.private), removed)


def private_texts(path: Path) -> Iterator[str]:
    """Yield what a file holds of this machine and user, in words for a message: folders, host name, secrets."""
    content = path.read_bytes()
    texts = {"the home folder": str(Path.home()), "the name of the machine": platform.node()}
    texts |= {f"the value of {name}": value for name, value in os.environ.items() if _SECRET.search(name)}
    for what, text in texts.items():
        if len(text) >= _SHORTEST and text.encode(errors="surrogateescape") in content:
            yield what
    if path.suffix == ".json":
        yield from (f"the path {text}" for text in _texts(json.loads(content)) if os.path.isabs(text))


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for part in document.values() if isinstance(document, dict) else document:
            yield from _texts(part)


def _metadata(run: Run, repository: str, license: str | None) -> str:
    """Return the metadata that the hub reads from a card, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    record = run.record
    dataset = str(record.settings["dataset"].get("name"))
    task = "unconditional-image-generation"
    results = [
        EvalResult(
            task_type=task,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=score["protocol"].get("split"),
            metric_type=score["metric"],
            metric_name=score["metric"],
            metric_value=score["value"],
            metric_args=score["protocol"],
        )
        for score in run.final_scores
        if score["value"] is not None
    ]
    metadata: str = ModelCardData(
        library_name="genzoo",
        license=license,
        tags=["genzoo", record.model, record.recipe],
        pipeline_tag=task if (run.path / "samples.png").exists() else None,
        model_name=split_address(repository)[0].partition("/")[2],
        eval_results=results or None,
    ).to_yaml()
    return metadata
