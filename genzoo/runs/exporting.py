"""Exporting: a run's weights alone, with its record, scores, pictures and a card, as a folder to give away."""

import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genzoo.errors import SettingsError, warn
from genzoo.evaluation import pictures, programs
from genzoo.evaluation.model import Model
from genzoo.evaluation.programs import Program, ProgramFormat
from genzoo.host.discovery import registry
from genzoo.runs.environment import distributions_of
from genzoo.runs.job import settings_of
from genzoo.runs.model_card import facts_table, score_table
from genzoo.runs.session import load_run
from genzoo.runs.stores import run_called
from genzoo.storage import checkpoints, files
from genzoo.storage.record import RunRecord
from genzoo.storage.run_folder import Run
from genzoo.storage.run_lock import SCORES_LOCK
from genzoo.storage.tensors import pack
from genzoo.text import in_markdown, markdown_table

_SAMPLES, RECONSTRUCTIONS, _CARD = "samples.png", "reconstructions.png", "README.md"


def export_run(
    run: str | Path | Run,
    out: str | Path,
    *,
    formats: Sequence[ProgramFormat] = (),
    raw: bool = False,
    reconstructions: bool = True,
    address: str = "this folder",
    extra: str | None = None,
) -> list[Program]:
    """Write a run's model into the new folder `out`, and return the programs written there, as `formats` asks for.

    The folder has weights (averaged ones if the run keeps these, unless `raw`), run.json, evaluation.json, pictures and
    a card, README.md; `genzoo.load` and whatever looks at a run take it, or any file in it. It has no optimizer, and
    names no folder of this machine but where a warning says so. `reconstructions` asks for the picture of those, which
    shows rows of the data; `address` is what the card gives to `genzoo.load`, which needs genzoo's extra `extra`.
    """
    source, target = run_called(run), Run.at(out)
    for format in formats:
        programs.require_packages(format)
    model = load_run(source, device="cpu", raw=raw)
    if target.path.exists() and (not target.path.is_dir() or any(target.path.iterdir())):
        raise SettingsError(f"{target.path} exists and is not empty", "choose another --out")
    with files.storage(target.path):
        files.make_folder(target.path)
    scores, record = source.final_scores, source.record
    record = replace(record, requires=distributions_of(settings_of(registry(), record)))
    warn(f"run.json names a folder of this machine: {place}" for place in _absolute_paths(record.to_json()))
    target.write_record(record)
    if scores:
        target.write_scores(scores)
        (target.path / SCORES_LOCK).unlink()  # nobody else writes to a new folder
    written = [program for format in formats for program in programs.write_programs(target.path, model, format)]
    _draw_pictures(source, target, model, reconstructions=reconstructions)
    files.write(target.path / _CARD, _model_card(target, record, model, scores, written, address, extra).encode())
    name = "averaged.safetensors" if model.weights == "averaged" else "networks.safetensors"
    weights = pack({key: value.contiguous() for key, value in model.networks.state_dict().items()})
    checkpoints.write_weights(target.path, step=model.step, files={name: weights})
    return written


def _draw_pictures(source: Run, target: Run, model: Model, *, reconstructions: bool) -> None:
    """Draw samples, and take the run's newest picture of reconstructions if asked to."""
    if model.sampling_obstacle is None:
        count = 64 if model.data.is_image else 2500
        pictures.save_samples(target.path / _SAMPLES, model, count=count, seed=0)
    if reconstructions and (drawn := source.newest_picture("reconstructions")) is not None:
        with files.readable(drawn), files.storage(target.path):
            shutil.copyfile(drawn, target.path / RECONSTRUCTIONS)


def _model_card(
    target: Run,
    record: RunRecord,
    model: Model,
    scores: Sequence[dict[str, Any]],
    written: Sequence[Program],
    address: str,
    extra: str | None,
) -> str:
    """Return the model's card as Markdown."""
    titles = {_SAMPLES: "Samples", RECONSTRUCTIONS: "Data and their reconstructions"}
    lines = [f"# {in_markdown(record.model)} on {in_markdown(record.recipe)}", ""]
    lines += [f"![{title}]({name})\n" for name, title in titles.items() if (target.path / name).exists()]
    lines += [*facts_table(record, model), ""]
    use = ["x = model.sample(16)"] if model.sampling_obstacle is None else []
    extras = {"genzoo": f"[{extra}]"} if extra is not None else {}
    needed = [f"{name}{extras.get(name, '')}=={version}" for name, version in record.requires.items()]
    lines += ["```", shlex.join(["pip", "install", *needed]), "```", ""] if needed else []
    lines += ["```python", "import genzoo", "", f'model = genzoo.load("{address}")', *use, "```", ""]
    if scores:
        lines += ["## Scores", "", *score_table(scores), ""]
    if written:
        rows = [(program.name, f"{program.error:.2g}") for program in written]
        lines += ["## Programs", "", *markdown_table(("file", "largest difference from the model"), *rows), ""]
        lines += ["An encoder takes x, noise (zeros: z is its mean) and, if conditional, y; a decoder takes z and y."]
    return "\n".join(lines).rstrip() + "\n"


def _absolute_paths(document: Any, key: str = "") -> Iterator[str]:
    """Yield `key: value` for every text in JSON data that is an absolute path."""
    if isinstance(document, str) and Path(document).is_absolute():
        yield f"{key}: {document}"
    if isinstance(document, list):
        document = dict(enumerate(document))
    for name, part in document.items() if isinstance(document, dict) else ():
        yield from _absolute_paths(part, f"{key}.{name}".lstrip("."))
