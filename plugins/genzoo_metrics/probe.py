"""Probes: how well simple classifiers tell the classes from an encoder's features."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genzoo import Networks, SettingsError
from genzoo.data import as_input
from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split
from genzoo_metrics.latent import missing

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""The values of C, the inverse of the penalty on the weights, of which one is chosen."""
_LARGEST = 10_000
"""The largest number of values per row in a layer that is probed."""
_Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Probe(Metric):
    """Share of the split's rows that a simple classifier of the encoder's features puts into a wrong class.

    `probe/svm` is a linear SVM with squared hinge loss, `probe/linear` a logistic regression, and `probe/neighbours`
    goes by the nearest rows. All layers that the encoder names are flattened, joined and standardised; those with more
    than 10,000 numbers are left out. C is chosen on a fifth of the training rows. `…/untrained` is the same for an
    encoder with weights as torch draws them, and `…/pixels` for the numbers of x.
    """

    name: ClassVar[str] = "probe"
    about: ClassVar[Mapping[str, str]] = {
        f"probe/{probe}{suffix}": f"Share of rows that {classifier} puts into a wrong class, on {features}."
        for probe, classifier in (
            ("svm", "a linear SVM"),
            ("linear", "a logistic regression"),
            ("neighbours", "a vote of the nearest rows"),
        )
        for suffix, features in (
            ("", "the encoder's features"),
            ("/untrained", "those of the encoder before training"),
            ("/pixels", "the numbers of x"),
        )
    }
    by_default: ClassVar[bool] = False
    training_rows: int = 1000
    rows: int = 2000
    neighbours: int = 5

    def __post_init__(self) -> None:
        if min(self.training_rows, self.rows) < 10 or self.neighbours < 1:
            raise ValueError("training_rows and rows are expected to be at least 10, and neighbours at least 1")

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models whose encoder names no layers, and for data without classes."""
        if lacking := missing(model, "encoder"):
            return lacking
        if not model.data.class_names:
            return "its data have no classes"
        y = torch.zeros(1, model.data.condition_size) if model.networks.is_conditional else None
        return None if model.features(torch.zeros(1, *model.data.shape), y=y) else "its encoder names no layers"

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Fit every classifier on the first labelled training rows, on each of the three kinds of features."""
        if split.labels is None or train.labels is None:
            raise SettingsError("this split has no labels", "choose another: --split …")
        labelled = (train.labels >= 0).nonzero().flatten()[: self.training_rows]  # −1 where a label is hidden
        fitted = Split(train.x[labelled], train.labels[labelled])
        measured = Split(split.x[: self.rows], split.labels[: self.rows])
        return [
            score
            for suffix, features in _kinds(model, seed).items()
            for score in self._scores(suffix, features(fitted), features(measured), fitted, measured)
        ]

    def _scores(self, suffix: str, known: _Array, unknown: _Array, fitted: Split, measured: Split) -> list[Score]:
        """Return the errors of all classifiers on features (N, D) of the fitted and the measured rows."""
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.preprocessing import StandardScaler

        assert fitted.labels is not None
        assert measured.labels is not None
        scaler = StandardScaler().fit(known)
        known, unknown = scaler.transform(known), scaler.transform(unknown)
        classes, truth = fitted.labels.numpy(), measured.labels.numpy()
        neighbours = min(self.neighbours, len(known))
        nearest = KNeighborsClassifier(neighbours).fit(known, classes), {"neighbours": neighbours}
        probes = {name: _chosen(make, known, classes) for name, make in _LINEAR.items()} | {"neighbours": nearest}
        protocol = {"rows": len(unknown), "training rows": len(known), "features": f"{known.shape[1]:,}, standardised"}
        return [
            Score(
                metric=f"probe/{name}{suffix}",
                value=float((probe.predict(unknown) != truth).mean()),
                protocol=protocol | choice,
                better=None if suffix else "lower",
            )
            for name, (probe, choice) in probes.items()
        ]


def untrained(model: Model, *, seed: int) -> Model:
    """Return a model with the same encoder and embedder, their weights drawn anew as torch draws them."""
    networks = Networks(encoder=deepcopy(model.networks.encoder), embedder=deepcopy(model.networks.embedder))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in networks.modules():
            if any(True for _ in module.parameters(recurse=False)):
                _draw_again(module)
    return replace(model, networks=networks)


def _draw_again(module: nn.Module) -> None:
    draw = getattr(module, "reset_parameters", None)
    if not callable(draw):
        raise SettingsError(
            f"{type(module).__name__} has no reset_parameters, so there is no untrained encoder",
            "give it one, or leave out the metric 'probe'",
        )
    draw()


def _kinds(model: Model, seed: int) -> dict[str, Callable[[Split], _Array]]:
    """Return by the suffix of a score how to make features (N, D) of the rows of a split."""
    fresh = untrained(model, seed=seed)
    return {
        "": lambda split: _layers(model, split),
        "/untrained": lambda split: _layers(fresh, split),
        "/pixels": lambda split: _table(as_input(split.x)),
    }


def _layers(model: Model, split: Split) -> _Array:
    x, y = model.rows(split)
    layers = [_table(layer) for layer in model.features(x, y=y).values() if layer[0].numel() <= _LARGEST]
    return numpy.concatenate(layers, axis=1)


def _table(values: Tensor) -> _Array:
    table: _Array = values.flatten(1).double().cpu().numpy()
    return table


def _svm(strength: float) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(C=strength, loss="squared_hinge", dual=False)


def _logistic_regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=2000)


_LINEAR: dict[str, Callable[[float], Any]] = {"svm": _svm, "linear": _logistic_regression}


def _chosen(make: Callable[[float], Any], rows: _Array, classes: _Array) -> tuple[Any, dict[str, Any]]:
    """Return a classifier of rows (N, D), fitted on all with the C that errs least on a fifth; the first of equals."""
    held_out = numpy.arange(len(rows)) % 5 == 0

    def error(strength: float) -> float:
        probe = make(strength).fit(rows[~held_out], classes[~held_out])
        return float((probe.predict(rows[held_out]) != classes[held_out]).mean())

    strength = min(_STRENGTHS, key=error)
    return make(strength).fit(rows, classes), {"C": strength}
