"""Sweeps: contestants made of every combination of some settings' values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from genzoo.components import to_text
from genzoo.errors import SettingsError
from genzoo.runs.request import TrainingRequest
from genzoo.storage.run_folder import Run
from genzoo.text import counted, nearest

MOST_CONTESTANTS = 100
"""The largest number of contestants that sweeps may make."""


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """What a contestant that a sweep made is: a contestant with some settings set."""

    contestant: str
    """The label of the contestant that was swept."""
    values: Mapping[str, str] = field(default_factory=dict)
    """The swept settings by path, as they are typed, in the order of the sweeps."""

    def text(self, paths: Sequence[str]) -> str:
        """Return some of its values as `learning_rate=1e-4 weight=0.1`; `paths` that end alike are written out."""
        names = short_names(self.values)
        return " ".join(f"{names[path]}={value}" for path, value in self.values.items() if path in paths)


def short_names(paths: Mapping[str, Any]) -> dict[str, str]:
    """Return the last part of every path, or the path itself where two end alike."""
    last = [path.rpartition(".")[2] for path in paths]
    return {path: name if last.count(name) == 1 else path for path, name in zip(paths, last, strict=True)}


def swept(
    contestants: Mapping[str, TrainingRequest | Run],
    sweeps: Mapping[str, Sequence[object]],
    *,
    overrides: Mapping[str, object],
    seeds: int,
) -> tuple[dict[str, TrainingRequest | Run], dict[str, SweepPoint]]:
    """Return the contestants of sweeps by label, and what those are that the sweeps made.

    `sweeps` gives values by PATH, for every model, or by NAME:PATH, for the one of that label; runs stay as they are.
    `overrides` are the settings of all contestants, and `seeds` is the number of trainings of each. Raises
    `SettingsError` for sweeps that cannot be, or ask for more than `MOST_CONTESTANTS`.
    """
    texts = {key: _value_texts(key, values) for key, values in sweeps.items()}
    requests = {label: each for label, each in contestants.items() if isinstance(each, TrainingRequest)}
    _refuse_unnamed(texts, list(requests))
    by_label = {label: _values_of(label, texts) for label in requests}
    _refuse_too_many([math.prod(map(len, values.values())) for values in by_label.values()], seeds)
    made: dict[str, TrainingRequest | Run] = {}
    points: dict[str, SweepPoint] = {}
    for label, contestant in contestants.items():
        if not isinstance(contestant, TrainingRequest):
            made[label] = contestant
            continue
        _refuse_set(label, {**overrides, **contestant.overrides}, by_label[label])
        for values in product(*by_label[label].values()):
            point = SweepPoint(contestant=label, values=dict(zip(by_label[label], values, strict=True)))
            name = f"{label} {point.text(list(point.values))}".strip()
            made[name] = replace(contestant, overrides={**contestant.overrides, **point.values})
            points |= {name: point} if point.values else {}
    return made, points


def first_of_sweeps(labels: Iterable[str], points: Mapping[str, SweepPoint]) -> list[str]:
    """Return the labels without those that a sweep made, but for the first of every sweep."""
    first: dict[str, str] = {}
    for label in labels:
        first.setdefault(points[label].contestant if label in points else label, label)
    return list(first.values())


def _value_texts(key: str, values: Sequence[object]) -> tuple[str, ...]:
    texts = tuple(map(to_text, values))
    if not texts or not all(texts):
        raise SettingsError(f"--sweep {key}: a value is missing", "write them so: --sweep training.batch_size=32,64")
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise SettingsError(f"--sweep {key}: the value {twice} is named twice", "leave one")
    return texts


def _refuse_unnamed(keys: Iterable[str], labels: Sequence[str]) -> None:
    if not labels and any(keys):
        raise SettingsError("there is nothing to sweep: runs have their settings", "name a model beside them")
    for key in keys:
        label, colon, _ = key.rpartition(":")
        if colon and label not in labels:
            raise SettingsError(
                f"--sweep {key}: no model '{label}' is compared{nearest(label, labels)}",
                f"there are: {', '.join(labels)}",
            )


def _values_of(label: str, sweeps: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the values by path that one contestant takes."""
    parts = [(*key.rpartition(":"), values) for key, values in sweeps.items()]
    of_all = {path: values for _, colon, path, values in parts if not colon}
    return of_all | {path: values for name, colon, path, values in parts if colon and name == label}


def _refuse_too_many(counts: Sequence[int], seeds: int) -> None:
    total = sum(counts)
    if total > MOST_CONTESTANTS:
        trainings = f"{total * seeds:,} trainings: {total:,} contestants with {counted(seeds, 'seed')} each"
        raise SettingsError(
            f"the sweeps ask for {trainings}, expected at most {MOST_CONTESTANTS} contestants",
            "sweep fewer values, or one setting after the other",
        )


def _refuse_set(label: str, overrides: Mapping[str, object], swept_paths: Iterable[str]) -> None:
    for path in swept_paths:
        if path in overrides:
            raise SettingsError(f"{path} of {label} is both set and swept", f"leave out --set {path}, or its --sweep")
