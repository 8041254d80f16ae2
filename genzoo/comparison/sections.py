"""The pictures of a report: every model's samples, reconstructions and interpolations, from the same z and x."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from genzoo.evaluation import pictures
from genzoo.evaluation.model import Model
from genzoo.types import Splits

_INTERPOLATED = 4


class Picture(NamedTuple):
    """A PNG with its title."""

    title: str
    content: bytes


class Section(NamedTuple):
    """Pictures to place side by side, one per model."""

    title: str
    note: str
    pictures: tuple[Picture, ...]


def sections_of(models: Mapping[str, Model], splits: Splits) -> list[Section]:
    """Return the sections for models given by label; models without an encoder appear only among the samples."""
    if not models:
        return []
    first = next(iter(models.values())).data
    count = 64 if first.is_image else 2500
    originals = min(count // 2 if first.is_image else count, len(splits.validation.x))
    autoencoders = {
        label: model
        for label, model in models.items()
        if model.networks.encoder is not None and model.networks.decoder is not None
    }

    def samples(path: Path, model: Model) -> None:
        pictures.save_samples(path, model, count=count, seed=0)

    def reconstructions(path: Path, model: Model) -> None:
        pictures.save_reconstructions(path, model, splits.validation, count=originals, seed=0)

    def interpolations(path: Path, model: Model) -> None:
        x, y = model.rows(splits.validation, 2 * _INTERPOLATED)
        ends = None if y is None else (y[:_INTERPOLATED], y[_INTERPOLATED:])
        pictures.save_interpolations(path, model, x[:_INTERPOLATED], x[_INTERPOLATED:], steps=7, seed=0, y=ends)

    note = "The same draws from the prior for every model, seed 0."
    sections = [Section("Samples", note, _drawn(samples, models))]
    if autoencoders:
        rows = "The same validation rows for every model"
        note = f"{rows}; of images, each pair is an original and, to its right, the reconstruction."
        sections.append(Section("Reconstructions", note, _drawn(reconstructions, autoencoders)))
    if autoencoders and first.is_image and len(splits.validation.x) >= 2 * _INTERPOLATED:
        note = "Between the codes of two validation images, which are at the ends of each row."
        sections.append(Section("Interpolations", note, _drawn(interpolations, autoencoders)))
    return sections


def _drawn(draw: Callable[[Path, Model], None], models: Mapping[str, Model]) -> tuple[Picture, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        drawn = []
        for label, model in models.items():
            draw(path, model)
            drawn.append(Picture(label, path.read_bytes()))
        return tuple(drawn)
