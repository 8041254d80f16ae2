"""`genzoo data`: fetch, prepare and status."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo.cli import options
from genzoo.cli.output import result, result_json, show_table, status
from genzoo.cli.progress import counting
from genzoo.data.root import data_root
from genzoo.errors import GenzooError, SettingsError, UnreadableError
from genzoo.host.discovery import registry
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run
from genzoo.text import counted, in_mib

if TYPE_CHECKING:
    from genzoo.data.dataset import Dataset
    from genzoo.data.downloads import Download, Downloaded
    from genzoo.data.prepared import PreparedDataset
    from genzoo.evaluation.metrics import Metric

_name = click.argument("name", type=options.Name("datasets", "recipes"))
_name_to_fetch = click.argument("name", type=options.Name("datasets", "recipes", "metrics"))


@click.group("data")
def data_command() -> None:
    """Fetch and prepare the data sets that do not come with the package.

    \b
    genzoo data fetch NAME && genzoo data prepare NAME
    genzoo data prepare NAME --source PATH
    """


@data_command.command("fetch")
@_name_to_fetch
@click.option("--from", "source", metavar="URL|DIR", help="Where all its files are, in place of the published mirrors.")
@click.option("--offline", is_flag=True, help="Use no network; say which file belongs where.")
@options.data
@options.as_json
def fetch_command(name: str, source: str | None, offline: bool, data: str | None, as_json: bool) -> None:
    """Get and check the files of data set NAME (or of a recipe's, or of a metric); continue where it was stopped."""
    root = data_root(data)
    if (metric := _metric(name)) is not None:
        _fetch(metric, root, source=source, offline=offline, as_json=as_json)
        if not as_json:
            status(f"next, type: genzoo evaluate RUN --metric {name}")
        return
    dataset = _dataset(name)
    if not dataset.downloads and not dataset.by_hand:
        raise SettingsError(f"'{name}' has nothing to fetch: it is made of {dataset.origin}", _remedy(name, dataset))
    if dataset.by_hand and source is None:
        _say_by_hand(dataset, as_json)
        raise _not_by_program(dataset)
    _fetch(dataset, root, source=source, offline=offline, as_json=as_json)
    if not as_json:
        status(f"next, type: genzoo data prepare {name}{_data_option(data)}")


@data_command.command("prepare")
@_name
@click.option(
    "--source", type=click.Path(path_type=Path), metavar="PATH", help="Its files; by default what was fetched."
)
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="A field, such as dataset.size=32.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes that decode; all cores if left out.")
@click.option("--skip-corrupt", is_flag=True, help="Leave out images that cannot be read.")
@click.option("--replace", is_flag=True, help="Replace what was prepared from something else.")
@options.data
@options.as_json
def prepare_command(
    name: str,
    source: Path | None,
    assignments: tuple[str, ...],
    jobs: int | None,
    skip_corrupt: bool,
    replace: bool,
    data: str | None,
    as_json: bool,
) -> None:
    """Decode data set NAME (or a recipe's) into one file for training; continue where it was stopped."""
    from genzoo.data import prepared

    dataset, root = _dataset(name, assignments), data_root(data)
    if source is None and not dataset.downloads:
        raise UnreadableError(f"'{name}' is made of {dataset.origin}, and no --source is given", _remedy(name, dataset))
    began = time.monotonic()
    with counting(f"preparing {dataset.name}", "images") as report:
        card = prepared.prepare_dataset(
            dataset,
            root,
            source=source,
            jobs=jobs,
            skip_corrupt=skip_corrupt,
            replace=replace,
            remedy=_remedy(name, dataset),
            report=report,
        )
    rows = {split: stop - start for split, (start, stop) in card["splits"].items()}
    facts = {
        "dataset": dataset.name,
        "path": str(root / dataset.place),
        "rows": rows,
        "class_names": card["class_names"],
        "left_out": card["left_out"]["count"],
        "notes": card.get("notes", []),
        "bytes": sum(entry["bytes"] for entry in card["files"].values()),
        "seconds": round(time.monotonic() - began, 3),
    }
    if as_json:
        result_json(facts)
        return
    result(facts["path"])
    counts = ", ".join(f"{split} {count:,}" for split, count in rows.items())
    left_out = f"; {counted(facts['left_out'], 'unreadable image')} left out" if facts["left_out"] else ""
    status(f"{counts} images{left_out}")
    for note in facts["notes"]:
        status(note)
    recipe = name if registry().has("recipes", name) else _recipe_on(dataset, assignments)
    if recipe is None:
        status(f"ready for a recipe that uses {' '.join([name, *assignments])}")
        return
    settings = "".join(f" --set {shlex.quote(assignment)}" for assignment in assignments)
    status(f"next, type: {options.train_command_for(recipe)}{_data_option(data)}{settings}")


@data_command.command("status")
@click.option("--check", is_flag=True, help="Read every prepared file and compare its hash.")
@options.data
@options.as_json
def status_command(check: bool, data: str | None, as_json: bool) -> None:
    """List the data sets that are fetched or prepared, and their folders."""
    from genzoo.data.dataset import Dataset
    from genzoo.data.prepared_card import CARD

    root = data_root(data)
    places = sorted(path.parent for path in root.glob(f"[!.]*/{CARD}"))
    datasets = [_prepared_row(place, check=check) for place in places]
    prepared = {row["dataset"] for row in datasets}
    for entry in registry().of("datasets"):
        try:
            kind = entry.load_as(Dataset)  # type: ignore[type-abstract]
        except GenzooError as error:
            status(f"warning: {error.found}")
            continue
        if entry.name not in prepared:
            datasets.append(_unprepared_row(entry.name, kind, root))
    if as_json:
        result_json({"root": str(root), "datasets": datasets})
        return
    status(f"data sets below {root}")
    rows = [
        (
            str(row["dataset"]),
            str(Path(row["path"]).relative_to(root)) if row["path"] else "",
            str(row["state"]),
            "" if row["rows"] is None else f"{row['rows']:,}",
            "" if row["bytes"] is None else in_mib(row["bytes"]),
        )
        for row in datasets
    ]
    header = ("data set", "place", "state", "images", "size")
    show_table(rows, header=header, right=(3, 4), fold=(2,), drop=(4, 3))


def provide_data(request: TrainingRequest, *, without_asking: bool) -> None:
    """Fetch and prepare the data set of a new training, if that is missing and a program may fetch it.

    Raises `UnreadableError` after the steps by hand, where `without_asking` asks for what no program may fetch.
    """
    from genzoo.data.downloads import fetch_all
    from genzoo.data.prepared import PreparedDataset, prepare_dataset
    from genzoo.data.prepared_card import CARD
    from genzoo.runs.job import resolve_job

    if request.run is not None and Run.at(request.run).exists:
        return
    source = None if request.from_run is None else Run.at(request.from_run).as_source()
    dataset, root = resolve_job(registry(), request, source).settings.dataset, data_root(request.data)
    if not isinstance(dataset, PreparedDataset) or not dataset.downloads or (root / dataset.place / CARD).exists():
        return
    if dataset.by_hand:
        if without_asking:
            status(_steps_text(dataset.by_hand))
            raise _not_by_program(dataset)
        return
    files = ", ".join(_file_text(download) for download in dataset.downloads)
    question = f"data set '{dataset.name}' is missing: get {files} and prepare it in {root}?"
    if not without_asking and not click.confirm(question, err=True):
        return
    with counting(f"fetching {dataset.name}", "bytes") as report:
        fetch_all(dataset, root, report=report)
    with counting(f"preparing {dataset.name}", "images") as report:
        prepare_dataset(dataset, root, report=report)


def _prepared_row(place: Path, *, check: bool) -> dict[str, Any]:
    from genzoo.data.prepared_card import read_card, verify_prepared

    try:
        card = read_card(place)
        if check:
            verify_prepared(place)
    except GenzooError as error:
        return {
            "dataset": place.name,
            "state": f"damaged: {error.found}",
            "rows": None,
            "bytes": None,
            "path": str(place),
        }
    return {
        "dataset": card["dataset"],
        "state": "prepared",
        "rows": max(stop for _, stop in card["splits"].values()),
        "bytes": sum(entry["bytes"] for entry in card["files"].values()),
        "path": str(place),
    }


def _unprepared_row(name: str, kind: "type[Dataset]", root: Path) -> dict[str, Any]:
    from genzoo.data.downloads import folder_of
    from genzoo.data.prepared import PreparedDataset

    state, folder = "needs none", ""
    if issubclass(kind, PreparedDataset):
        dataset = kind()
        place = folder_of(dataset, root)
        fetched = [download.file for download in dataset.downloads if (place / download.file).is_file()]
        state = f"fetched {len(fetched)} of {len(dataset.downloads)} files" if fetched else "not here"
        folder = str(place) if fetched else ""
    return {"dataset": name, "state": state, "rows": None, "bytes": None, "path": folder}


def _fetch(what: "Downloaded", root: Path, *, source: str | None, offline: bool, as_json: bool) -> None:
    """Get and check the files of a data set or metric, and say where they are."""
    from genzoo.data import downloads

    with counting(f"fetching {what.name}", "bytes") as report:
        paths = downloads.fetch_all(what, root, source=source, offline=offline, report=report)
    fetched = [
        {"file": download.file, "path": str(path), **downloads.hashes(download, path)}
        for download, path in zip(what.downloads, paths, strict=True)
    ]
    if as_json:
        result_json({"dataset": what.name, "files": fetched, "by_hand": []})
    else:
        result("\n".join(str(path) for path in paths))


def _metric(name: str) -> "Metric | None":
    """Return the metric of that name if it has files to fetch, unless a data set or recipe is called so as well."""
    is_other = registry().has("datasets", name) or registry().has("recipes", name)
    if is_other or not registry().has("metrics", name):
        return None
    from genzoo.evaluation.scoring import metric_called

    metric = metric_called(name)
    if not metric.downloads:
        raise SettingsError(
            f"the metric '{name}' needs no files to fetch", f"type: genzoo evaluate RUN --metric {name}"
        )
    return metric


def _dataset(name: str, assignments: tuple[str, ...] = ()) -> "PreparedDataset":
    from genzoo.components import from_json, override
    from genzoo.data.dataset import Dataset
    from genzoo.data.prepared import DatasetChoice, PreparedDataset
    from genzoo.runs.job import find_recipe

    resolve = registry().resolve
    if registry().has("recipes", name):
        dataset = find_recipe(registry(), name).dataset
    else:
        registry().find("datasets", name)
        dataset = from_json(Dataset, {"name": name}, resolve=resolve, path="dataset")
    choice = DatasetChoice(dataset=dataset)
    for path, value in options.parse_settings(assignments).items():
        choice = override(choice, path, value, resolve=resolve)
    if not isinstance(choice.dataset, PreparedDataset):
        remedy = "recipes are listed by: genzoo list recipes"
        if registry().has("recipes", name):
            remedy = f"type: {options.train_command_for(name)}"
        raise SettingsError(f"'{name}' needs no files to fetch or prepare", remedy)
    return choice.dataset


def _remedy(name: str, dataset: "PreparedDataset") -> str:
    """Return what to type for a data set that was asked for by `name`."""
    return dataset.remedy(name=name, base=_dataset(name))


def _say_by_hand(dataset: "PreparedDataset", as_json: bool) -> None:
    if as_json:
        result_json({"dataset": dataset.name, "files": [], "by_hand": list(dataset.by_hand)})
        return
    result(_steps_text(dataset.by_hand), fold=True)


def _steps_text(steps: Sequence[str]) -> str:
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))


def _not_by_program(dataset: "PreparedDataset") -> UnreadableError:
    return UnreadableError(f"{dataset.name} cannot be fetched by a program", "follow the steps above by hand")


def _file_text(download: "Download") -> str:
    """Return a file's name, with its size if that is known."""
    return download.file if download.size is None else f"{download.file} ({in_mib(download.size)})"


def _data_option(data: str | None) -> str:
    return "" if data is None else f" --data {shlex.quote(str(data))}"


def _recipe_on(dataset: "PreparedDataset", assignments: Sequence[str]) -> str | None:
    """Return the first recipe for x of this shape whose data set is this one under the same settings, or None."""
    names = (entry.name for entry in registry().of("recipes"))
    return next((name for name in names if _is_on(name, dataset, assignments)), None)


def _is_on(recipe: str, dataset: "PreparedDataset", assignments: Sequence[str]) -> bool:
    try:
        is_same = _dataset(recipe, tuple(assignments)) == dataset
        return is_same and _dataset(recipe).spec.shape == dataset.spec.shape
    except GenzooError:  # a recipe on other data, which have no such settings or need no files
        return False
