"""`genzoo classify`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo import api
from genzoo.cli import options
from genzoo.cli.output import columns, result, result_json, status
from genzoo.cli.rows import choose_rows, files_argument
from genzoo.storage.run_folder import Run
from genzoo.types import SplitName

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo.evaluation.model import Model

_PRINTED = 20
"""Rows that are printed unless -n says otherwise."""
_NAME_WIDTH = 40
"""Characters of a file's name that are printed, its last."""


@click.command("classify")
@options.run
@files_argument
@click.option("-n", "count", type=click.IntRange(min=1), metavar="N", help=f"Rows to show.  [default: {_PRINTED}]")
@options.seed
@options.split("test")
@options.raw
@options.device
@options.data
@options.as_json
def classify_command(
    run: str,
    files: tuple[Path, ...],
    count: int | None,
    seed: int,
    split: SplitName,
    raw: bool,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Predict the class of every image file, or without any of every row of a part of RUN's data.

    An image goes through the transform of the data set. The share of wrong predictions is that of all rows that
    have a label. With --json, all rows are shown unless -n is given.
    """
    model = api.load(run, device=device, raw=raw)
    (x, labels), names = choose_rows(run, model, files, split=split, data=data)
    logits = model.classify(x, seed=seed).cpu()
    labelled, error = (0, None) if labels is None else _error(logits, labels)
    shown = count or (len(x) if as_json else _PRINTED)
    predictions = _predictions(logits[:shown], labels, names, model)
    if as_json:
        facts = {"step": model.step, "weights": model.weights, "seed": seed, "split": None if names else split}
        facts |= {"rows": len(x), "labelled": labelled, "error": error, "predictions": predictions}
        result_json({"run": options.address_of(run) or str(Run.at(run).path), **facts})
        return
    result(_table(predictions))
    if len(predictions) < len(x):
        status(f"{len(predictions):,} of {len(x):,} rows; show more with -n")
    if error is not None:
        result(f"error: {error:.2%} of {labelled:,} rows")


def _error(logits: "Tensor", labels: "Tensor") -> tuple[int, float | None]:
    """Return how many rows have a label, and the share of wrong predictions among them, None if there are none."""
    wrong = (logits.argmax(1) != labels)[labels >= 0]
    return len(wrong), float(wrong.double().mean()) if len(wrong) else None


def _predictions(
    logits: "Tensor", labels: "Tensor | None", files: Sequence[str], model: "Model"
) -> list[dict[str, Any]]:
    names = model.data.class_names or tuple(map(str, range(logits.shape[1])))
    rows = []
    for number, probabilities in enumerate(logits.double().softmax(1)):
        probability, predicted = probabilities.max(0)
        row: dict[str, Any] = {"file": files[number]} if files else {"row": number}
        row |= {"class": names[int(predicted)], "probability": float(probability)}
        if labels is not None:
            row["label"] = names[int(labels[number])] if labels[number] >= 0 else None
        rows.append(row)
    return rows


def _table(rows: Sequence[dict[str, Any]]) -> str:
    cells = [tuple(_cell(value) for value in row.values()) for row in rows]
    return columns(cells, header=tuple(rows[0]), right=(2,))


def _cell(value: object) -> str:
    if value is None:
        return "hidden"
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text if len(text) <= _NAME_WIDTH else "…" + text[1 - _NAME_WIDTH :]
