"""The pictures of a report: samples, codes, reconstructions, interpolations, and confusions of classes."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from genzoo.data.labels import labelled_part
from genzoo.evaluation import drawing, pictures
from genzoo.evaluation.drawing import Panel
from genzoo.evaluation.model import Model
from genzoo.types import Split, Splits

_POINTS = 2500
_INTERPOLATED = 4
_SMALL_SIDE = 32
"""The largest side of images that are magnified, and of which 64 are drawn; of larger ones, 36."""


class ReportPicture(NamedTuple):
    """A PNG with its title."""

    title: str
    content: bytes


class Section(NamedTuple):
    """Pictures to place side by side: one per model, and before them one of the data."""

    title: str
    note: str
    pictures: tuple[ReportPicture, ...]
    is_plot: bool = False
    """Whether its pictures are drawings, whatever the data are."""
    is_magnified: bool = True
    """Whether the page may draw it at half its size, because a pixel of an image is several of the picture."""
    is_wide: bool = False
    """Whether each picture takes a row of the page, because its images are many across and not magnified."""


def sections_of(models: Mapping[str, Model], splits: Splits) -> list[Section]:
    """Return the sections for models given by label, each with the models that have what it shows."""
    if not models:
        return []
    autoencoders = {
        label: model
        for label, model in models.items()
        if model.networks.encoder is not None and model.networks.decoder is not None
    }
    decoders = {label: model for label, model in models.items() if model.networks.decoder is not None}
    draw = _of_images if next(iter(models.values())).data.is_image else _of_vectors
    sections = [] if not decoders else draw(decoders, autoencoders, splits.validation)
    sections += [*_of_games(models, splits.validation), _confusions(models, splits.validation)]
    return [section for section in sections if section.pictures]


def _of_games(models: Mapping[str, Model], split: Split) -> list[Section]:
    """Return a section for every name by which a game shows pictures of its own."""
    drawn: dict[str, list[ReportPicture]] = {}
    for label, model in models.items():
        with tempfile.TemporaryDirectory() as folder:
            pictures.save_pictures_of_game(lambda name: Path(folder, f"{name}.png"), model, split, seed=0)
            for path in sorted(Path(folder).glob("*.png")):
                drawn.setdefault(path.stem, []).append(ReportPicture(label, path.read_bytes()))
    data = next(iter(models.values())).data
    is_small = not data.is_image or data.shape[-1] <= _SMALL_SIDE
    note = "What the models that have it show of themselves, by draws of seed 0 and validation rows."
    return [
        Section(name.capitalize(), note, tuple(of_name), is_magnified=is_small, is_wide=not is_small)
        for name, of_name in drawn.items()
    ]


def _confusions(models: Mapping[str, Model], split: Split) -> Section:
    """Return what the models that predict classes take every class for."""
    labelled = labelled_part(split)

    def confusion(model: Model, path: Path) -> None:
        assert labelled.labels is not None
        predicted = model.classify(model.rows(labelled)[0]).argmax(1).cpu()
        pictures.save_confusion(path, labelled.labels, predicted, names=model.data.class_names)

    has_labels = labelled.labels is not None and labelled.labels.ndim == 1
    classifiers = {label: model for label, model in models.items() if has_labels and model.predicts_classes}
    note = "Rows of the validation split, by their class and by the one that is predicted; blank where there are none."
    return Section("Confusions of classes", note, _drawn(confusion, classifiers), is_plot=True)


def _of_images(models: Mapping[str, Model], autoencoders: Mapping[str, Model], split: Split) -> list[Section]:
    first = next(iter(models.values()))
    is_small = first.data.shape[-1] <= _SMALL_SIDE
    columns = 8 if is_small else 6
    samplers = _samplers(models)
    count = columns**2

    def data(path: Path) -> None:
        pictures.save_grid(path, first.rows(split, count)[0], columns=columns)

    def samples(model: Model, path: Path) -> None:
        pictures.save_samples(path, model, count=count, seed=0)

    def reconstructions(model: Model, path: Path) -> None:
        pictures.save_reconstructions(path, model, split, count=min(count // 2, len(split.x)), seed=0)

    def interpolations(model: Model, path: Path) -> None:
        x, y = model.rows(split, 2 * _INTERPOLATED)
        ends = None if y is None else (y[:_INTERPOLATED], y[_INTERPOLATED:])
        pictures.save_interpolations(path, model, x[:_INTERPOLATED], x[_INTERPOLATED:], steps=7, seed=0, y=ends)

    sections = [
        Section(
            "Samples",
            "Validation rows, and for every model the same draws from the prior, seed 0.",
            (ReportPicture("data", _written(data)), *_drawn(samples, samplers)) if samplers else (),
        ),
        Section(
            "Reconstructions",
            "Pairs of a validation image and, to its right, its reconstruction; the same rows for every model.",
            _drawn(reconstructions, autoencoders),
            is_wide=not is_small,
        ),
    ]
    if len(split.x) >= 2 * _INTERPOLATED:
        note = "Between two validation images, set apart at the ends of each row: decodings of codes on the line."
        sections.append(Section("Interpolations", note, _drawn(interpolations, autoencoders), is_wide=not is_small))
    return [section._replace(is_magnified=is_small) for section in sections]


def _of_vectors(models: Mapping[str, Model], autoencoders: Mapping[str, Model], split: Split) -> list[Section]:
    first = next(iter(models.values()))
    labels = None if split.labels is None else split.labels[:_POINTS]
    limit = drawing.data_limit(first.rows(split, _POINTS)[0], first.data)
    samplers = _samplers(models)
    latent_limit = max(drawing.latent_limit(model.draw_z(_POINTS)) for model in models.values())

    def plot(path: Path, title: str, points: Tensor, limit: float, labels: Tensor | None = None) -> None:
        pictures.save_panels(path, [Panel(title, points, labels, limit)])

    def samples(model: Model, path: Path) -> None:
        plot(path, "samples", model.sample(_POINTS, seed=0), limit)

    def codes(model: Model, path: Path) -> None:
        x, y = model.rows(split, _POINTS)
        plot(path, "codes z of x", model.encode(x, y=y, seed=0).z, latent_limit, labels)

    def reconstructions(model: Model, path: Path) -> None:
        x, y = model.rows(split, _POINTS)
        plot(path, "x → z → x", model.reconstruct(x, y=y, seed=0), limit, labels)

    data = ReportPicture("data", _written(lambda path: plot(path, "x", first.rows(split, _POINTS)[0], limit, labels)))
    prior = ReportPicture("prior", _written(lambda path: plot(path, "z", first.draw_z(_POINTS, seed=0), latent_limit)))
    return [
        Section(
            "Samples",
            "Validation rows, coloured by class, and samples from the same prior draws for every model, seed 0.",
            (data, *_drawn(samples, samplers)) if samplers else (),
        ),
        Section(
            "Codes",
            "Draws from the prior, and the codes of the validation rows.",
            (prior, *_drawn(codes, autoencoders)) if autoencoders else (),
        ),
        Section("Reconstructions", "Of the same rows by every model.", _drawn(reconstructions, autoencoders)),
    ]


def _samplers(models: Mapping[str, Model]) -> dict[str, Model]:
    return {label: model for label, model in models.items() if model.sampling_obstacle is None}


def _drawn(draw: Callable[[Model, Path], None], models: Mapping[str, Model]) -> tuple[ReportPicture, ...]:
    return tuple(ReportPicture(label, _written(partial(draw, model))) for label, model in models.items())


def _written(draw: Callable[[Path], None]) -> bytes:
    """Return the file that `draw` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        return path.read_bytes()
