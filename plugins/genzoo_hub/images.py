"""Images in data sets that the library `datasets` reads: of the Hugging Face hub, or on this machine."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy
from numpy.typing import NDArray

from genzoo import SettingsError, UnreadableError
from genzoo.data import Block, Contents, ImageFault, ImageTransform, Pixels, decode_into
from genzoo_data.squares import SquareImages
from genzoo_hub.client import hub_errors

_AUTO = "auto"
_VALIDATION = ("validation", "valid", "val", "dev")
_READERS = ("parquet", "imagefolder")
"""What `datasets` may read. Others are refused before they read: its reader `pandas` unpickles, for one."""
_EARLIER = "cache"
"""What `datasets` reads where a fetch failed: whichever revision of the data set it has read before."""
_MOST_CLASSES = 10_000
_ROWS_IN_A_BLOCK = 256
_LEAST = 10


@dataclass(frozen=True, kw_only=True)
class HubImages(SquareImages):
    """Images of a data set of the Hugging Face hub, or of parquet files or an image folder: the largest centred square.

    Its own splits are taken; a tenth of the training rows validates, and a tenth tests, where there is none for that.
    """

    name: ClassVar[str] = "hf"
    origin: ClassVar[str] = "what --source names: OWNER/NAME on the hub, or a folder of parquet files or images"
    takes_addresses: ClassVar[bool] = True
    image: str = _AUTO
    """The column of images; `auto`: the one that there is."""
    label: str | None = _AUTO
    """The column of classes; `auto`: the one of classes that there is, or the one called `label`; none: no classes."""
    config: str = ""
    """The configuration of the data set, where it has several."""
    revision: str = ""
    """A branch, tag or commit of the data set on the hub."""
    train: str = _AUTO
    """The split to train on; `auto`: `train`, or the one that there is."""
    validation: str | None = _AUTO
    """The split that validates; `auto`: one of that name, if there is one; none: a tenth of the training split."""
    test: str | None = _AUTO
    """The split that tests; `auto`: one of that name, if there is one; none: a tenth of the training split."""

    def contents(self, source: Path) -> Contents:
        """Return the rows of what `source` names, read from the cache of `datasets`, which has them on disk."""
        with _datasets_errors(source):
            builder = _builder(source, self.config, self.revision)
            builder.download_and_prepare()
            table = {name: builder.as_dataset(split=name) for name in builder.info.splits}
        splits = self._chosen_splits(list(table))
        features = table[splits["train"]].features
        image = _image_column(features, self.image)
        label = _label_column(features, self.label)
        parts = _parts(splits, {name: len(table[name]) for name in table})
        rows = sum(len(numbers) for _, numbers in parts.values())
        if rows < _LEAST:
            raise UnreadableError(f"{source} has {rows} images, expected at least {_LEAST}", "name a larger data set")
        labels, class_names = _labels(table, parts, label)
        return Contents(
            blocks=tuple(_blocks(table, parts, image, self.transform, has_files=builder.name == "imagefolder")),
            splits={part: len(numbers) for part, (_, numbers) in parts.items()},
            labels=labels,
            class_names=class_names,
            notes=(_note_of_splits(splits), _note_of_columns(image, label, class_names)),
            identity=_identity(builder, splits, image, label),
        )

    def _chosen_splits(self, names: Sequence[str]) -> dict[str, str | None]:
        """Return the split for each part of the prepared data; None: a tenth of the training split."""
        train = self.train
        if train == _AUTO:
            train = "train" if "train" in names else names[0] if len(names) == 1 else ""
        validation = next((name for name in _VALIDATION if name in names), None)
        test = "test" if "test" in names else None
        chosen = {
            "train": train,
            "validation": validation if self.validation == _AUTO else self.validation,
            "test": test if self.test == _AUTO else self.test,
        }
        for part, name in chosen.items():
            if name is not None and name not in names:
                found = f"there is no split '{name}'" if name else "none of the splits is called 'train'"
                raise SettingsError(f"{found}; there are: {', '.join(names)}", f"say which: --set dataset.{part}=NAME")
        if len({name for name in chosen.values() if name}) < sum(name is not None for name in chosen.values()):
            raise SettingsError("one split is chosen twice", f"the splits are: {', '.join(names)}")
        return chosen


@dataclass(frozen=True, kw_only=True)
class _TableImages(Block):
    """Rows of a table that lies on disk, whose column `image` holds the content of image files, or their paths."""

    table: Any
    split: str
    numbers: tuple[int, ...]
    image: str
    transform: ImageTransform
    has_files: bool
    """Whether a path leads to a file of the data set; in a table of strangers, it may lead anywhere."""

    @property
    def rows(self) -> int:  # type: ignore[override]
        """One per number."""
        return len(self.numbers)

    def read(self, out: Pixels) -> list[ImageFault]:
        """Decode every row."""
        images = self.table[list(self.numbers)][self.image]
        names = [f"{self.split}, row {number}" for number in self.numbers]

        def content(row: int) -> bytes:
            image = images[row] or {}
            if image.get("bytes") is not None:
                return bytes(image["bytes"])
            if self.has_files and image.get("path") is not None:
                return Path(image["path"]).read_bytes()
            raise ValueError("it has no image")

        return decode_into(out, names, self.transform, content)


@contextmanager
def _datasets_errors(source: Path) -> Iterator[None]:
    """Turn the errors of `datasets` into genzoo's; show its bars in a terminal alone, and not what it logs."""
    try:
        import datasets
    except ImportError as error:
        raise SettingsError(
            "data sets of the hub are read by datasets, which is not installed", "type: pip install 'genzoo[datasets]'"
        ) from error
    from datasets.utils import logging
    from huggingface_hub.errors import HTTPError

    hides, verbosity = not sys.stderr.isatty() and datasets.is_progress_bar_enabled(), logging.get_verbosity()
    logging.set_verbosity_error()
    if hides:
        datasets.disable_progress_bars()
    try:
        yield
    except (OSError, ValueError, RuntimeError, HTTPError, datasets.exceptions.DatasetsError) as error:
        cause = str(error).strip().partition("\n")[0]
        if "onfig" in cause and isinstance(error, ValueError):
            raise SettingsError(cause, "choose one: --set dataset.config=NAME") from error
        raise UnreadableError(
            f"{source} cannot be read by datasets: {cause}",
            "name a folder of parquet files or images, or OWNER/NAME of the hub: --source",
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if hides:
            datasets.enable_progress_bars()


def _builder(source: Path, config: str, revision: str) -> Any:
    """Return what reads the data set, which is for parquet or image folders."""
    import datasets

    if source.is_file():
        if source.suffix != ".parquet":
            raise SettingsError(f"{source} is no parquet file", "name a folder of images or parquet files")
        return datasets.load_dataset_builder("parquet", data_files=str(source))
    name, commit = (str(source), None) if source.exists() else _at_commit(source, revision)
    builder = datasets.load_dataset_builder(name, config or None, revision=commit)
    if builder.name == _EARLIER:
        raise UnreadableError(
            f"{name} at {revision or commit} holds nothing that datasets reads, or could not be fetched",
            "name a data set of parquet files or images, or another revision: --set dataset.revision=REVISION",
        )
    if builder.name not in _READERS:
        raise UnreadableError(
            f"{source} would be read as {builder.name}", f"genzoo has datasets read {' and '.join(_READERS)} alone"
        )
    return builder


def _at_commit(source: Path, revision: str) -> tuple[str, str]:
    """Return the name of a data set of the hub, and the commit that it is at."""
    from huggingface_hub import HfApi

    name = re.sub(r"^hf:/+(datasets/)?", "", str(source))  # a path has one of the two slashes
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise UnreadableError(f"{source} does not exist", "name a folder, or OWNER/NAME of the hub: --source")
    where = f"{name} cannot be fetched from the hub" if name != str(source) else f"{name} is no folder, and on the hub"
    with hub_errors(where):
        info = HfApi(library_name="genzoo").dataset_info(name, revision=revision or None)
    program = f"{name.rpartition('/')[2]}.py"
    if program in {file.rfilename for file in info.siblings or ()}:
        raise UnreadableError(
            f"{name} is read by a program of its own, {program}, which is not run",
            "try what the hub made of it: --set dataset.revision=refs/convert/parquet",
        )
    return name, str(info.sha)


def _image_column(features: Mapping[str, Any], chosen: str) -> str:
    from datasets import Image

    images = [name for name, feature in features.items() if isinstance(feature, Image)]
    columns = _columns_text(features)
    if chosen == _AUTO:
        if len(images) == 1:
            return images[0]
        found = f"{len(images)} columns hold images" if images else "no column holds images"
        raise SettingsError(f"{found}; the columns are: {columns}", "say which: --set dataset.image=COLUMN")
    if chosen not in images:
        found = f"column '{chosen}' holds no images" if chosen in features else f"there is no column '{chosen}'"
        raise SettingsError(f"{found}; the columns are: {columns}", "say which: --set dataset.image=COLUMN")
    return chosen


def _label_column(features: Mapping[str, Any], chosen: str | None) -> str | None:
    from datasets import ClassLabel

    if chosen is None:
        return None
    remedy = "say which: --set dataset.label=COLUMN, or none"
    if chosen == _AUTO:
        classes = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
        if len(classes) > 1:
            raise SettingsError(f"{len(classes)} columns hold classes: {_columns_text(features)}", remedy)
        return classes[0] if classes else "label" if _may_be_class(features.get("label")) else None
    if not _may_be_class(features.get(chosen)):
        found = f"column '{chosen}' holds no classes" if chosen in features else f"there is no column '{chosen}'"
        raise SettingsError(f"{found}; the columns are: {_columns_text(features)}", remedy)
    return chosen


def _may_be_class(feature: Any) -> bool:
    from datasets import ClassLabel, Value

    return isinstance(feature, ClassLabel) or (
        isinstance(feature, Value) and re.fullmatch(r"bool|u?int\d+|(large_)?string", feature.dtype) is not None
    )


def _columns_text(features: Mapping[str, Any]) -> str:
    from datasets import Value

    kinds = {
        name: feature.dtype if isinstance(feature, Value) else type(feature).__name__
        for name, feature in features.items()
    }
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())


def _parts(splits: Mapping[str, str | None], rows: Mapping[str, int]) -> dict[str, tuple[str, NDArray[numpy.int64]]]:
    """Return split and row numbers of each part; tenths of the training split are chosen by a hash of the number."""
    train = splits["train"]
    assert train is not None
    numbers = numpy.arange(rows[train])
    order = sorted(range(len(numbers)), key=lambda row: hashlib.sha256(str(row).encode()).digest())
    tenth, taken, parts = max(1, len(numbers) // 10), 0, {}
    for part in ("validation", "test"):
        if (split := splits[part]) is not None:
            parts[part] = (split, numpy.arange(rows[split]))
        else:
            parts[part] = (train, numpy.sort(numpy.array(order[taken : taken + tenth], dtype=numpy.int64)))
            taken += tenth
    return {"train": (train, numpy.sort(numpy.array(order[taken:], dtype=numpy.int64))), **parts}


def _blocks(
    table: Mapping[str, Any],
    parts: Mapping[str, tuple[str, NDArray[numpy.int64]]],
    image: str,
    transform: ImageTransform,
    *,
    has_files: bool,
) -> Iterator[_TableImages]:
    from datasets import Image

    for split, numbers in parts.values():
        encoded = table[split].select_columns([image]).cast_column(image, Image(decode=False))
        for start in range(0, len(numbers), _ROWS_IN_A_BLOCK):
            some = tuple(numbers[start : start + _ROWS_IN_A_BLOCK].tolist())
            yield _TableImages(
                table=encoded, split=split, numbers=some, image=image, transform=transform, has_files=has_files
            )


def _labels(
    table: Mapping[str, Any], parts: Mapping[str, tuple[str, NDArray[numpy.int64]]], label: str | None
) -> tuple[NDArray[numpy.int64] | None, tuple[str, ...]]:
    """Return the class of every row, −1 where it is unknown, and the names of the classes."""
    if label is None:
        return None, ()
    columns = {split: _column(table[split], label) for split, _ in parts.values()}
    names = getattr(table[parts["train"][0]].features[label], "names", None)
    if names is None:
        values = sorted({value for column in columns.values() for value in column if value is not None})
        if len(values) > _MOST_CLASSES:
            raise SettingsError(
                f"column '{label}' has {len(values):,} different values, expected classes",
                "without: --set dataset.label=none",
            )
        number, names = {value: index for index, value in enumerate(values)}, list(map(str, values))
    else:
        number = {index: index for index in range(len(names))}
    return (
        numpy.array([number.get(columns[split][row], -1) for split, rows in parts.values() for row in rows]),
        tuple(names),
    )


def _column(split: Any, label: str) -> Sequence[Any]:
    """Return the values of a column; None for every row of a split that does not have it."""
    return list(split[label]) if label in split.column_names else [None] * len(split)


def _note_of_splits(splits: Mapping[str, str | None]) -> str:
    return "; ".join(f"{part}: {name or 'a tenth of ' + str(splits['train'])}" for part, name in splits.items())


def _note_of_columns(image: str, label: str | None, class_names: Sequence[str]) -> str:
    classes = "no classes" if label is None else f"{len(class_names):,} classes from column {label}"
    return f"images from column {image}; {classes}"


def _identity(builder: Any, splits: Mapping[str, str | None], image: str, label: str | None) -> str:
    """Return a hash of what is read; `datasets` has one of the files, with their times or the hub's commit."""
    what = [builder.name, builder.config.name, builder.hash, dict(splits), image, label]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
