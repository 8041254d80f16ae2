"""Linear SVMs on features: what an encoder and a critic that saw no label know of the classes."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypedDict

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from genzoo import Joint, Run, SettingsError
from genzoo.comparison import Lab, Study
from genzoo.data import as_input
from genzoo.evaluation import Model
from genzoo.runs import TrainingRequest, new_trainer
from genzoo.types import Split, Splits
from genzoo_studies.coverage import Spread, spread
from genzoo_studies.published import PUBLISHED, published_line

Array = NDArray[Any]
ALI_STRENGTHS = tuple(float(strength) for strength in numpy.exp(numpy.linspace(-20, 20, 50)))
"""The 50 values of C that ALI's program tries, each with one draw."""
DCGAN_STRENGTHS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
"""The values of C that DCGAN's program tries, each with ten draws."""
_AT_ONCE = 250


class Protocol(NamedTuple):
    """How C is chosen, and what the bar of the report is."""

    strengths: tuple[float, ...]
    choosing_draws: int
    bar: float
    """The bar over the standard deviation of the errors over draws."""


ALI = Protocol(ALI_STRENGTHS, 1, 1.0)
DCGAN = Protocol(DCGAN_STRENGTHS, 10, 1.96)


class Row(TypedDict):
    """The errors, in %, of SVMs on one kind of features."""

    features: str
    protocol: str
    numbers: int
    """Per row."""
    strength: float
    """C, chosen on the validation rows."""
    validation: Spread | None
    test: Spread | None
    bar: float | None
    """As the protocol's paper prints it: see `bar_is`."""
    bar_is: str
    unconverged: int
    """Fits of the test draws that stopped before they converged."""


class Parts(NamedTuple):
    """The rows that labelled draws come from, those by which C is chosen, and those of the report."""

    pool: Split
    validation: Split
    test: Split


@dataclass(frozen=True, kw_only=True)
class FeatureSVM(Study):
    """Fit linear SVMs (squared hinge, one against the rest, nothing scaled) on balanced draws of labelled rows.

    ALI's protocol: the encoder's last three layers and its mean, C from 50 values by one draw, then the standard
    deviation over draws. DCGAN's: all of the critic's convolutions pooled to 4 × 4, C by ten draws each, 1.96 times the
    standard deviation. Pixels and untrained networks go through the same.
    """

    recipe: ClassVar[str]
    of_gan: ClassVar[Mapping[str, object]] = {}
    """The settings of the GAN whose critic is read, beside the recipe's."""
    rows_of_class: ClassVar[int]
    steps_of: ClassVar[Mapping[str, int]]
    draws_of: ClassVar[Mapping[str, int]] = {"quick": 10, "paper": 100}
    steps: int | None = None
    """None: as many as the budget says."""
    draws: int | None = None
    """Of the test errors; None: as many as the budget says."""

    @abstractmethod
    def parts(self, splits: Splits) -> Parts:
        """Return the labelled pool, the validation rows and the test rows of the data that the ALI was trained on."""

    def carry_out(self, lab: Lab) -> str:
        """Train an ALI and a GAN without labels, fit SVMs on their features, and return a table."""
        requests = [self._request("ali", {}), self._request("gan", self.of_gan)]
        ali, gan = lab.train(requests)
        if ali is None or gan is None:
            raise SettingsError("the ALI or the GAN whose features are read diverged", "see the study's folder")
        parts = self.parts(lab.data(ali))
        rows = [
            self._row(name, protocol, [read(part.x) for part in parts], [_classes(part) for part in parts])
            for name, protocol, read in self._kinds(lab, (ali, gan), requests, parts.pool)
        ]
        beside = [entry for entry in PUBLISHED if entry["data"] == self.recipe and "SVM" in entry["model"]]
        names = {"ali": ali.name, "gan": gan.name}
        document = {"study": self.name, "budget": self.budget, "runs": names, "rows": rows, "published": beside}
        lab.write(document | {"draws": self._draws, "rows_of_class": self.rows_of_class})
        lines = ["| features | protocol | numbers | C | validation | test |", "|---" * 6 + "|"]
        lines += [_line(row) for row in rows]
        lines += [
            "",
            f"Errors in %, {self.rows_of_class} labels of every class, {self._draws} draws on the test rows.",
        ]
        stopped = {row["features"]: row["unconverged"] for row in rows if row["unconverged"]}
        if stopped:
            counts = ", ".join(f"{count} on {name}" for name, count in stopped.items())
            lines.append(f"Of the {self._draws} fits of a row these stopped before they converged: {counts}.")
        if beside:
            lines += ["", "| published | labels | error | bar | what the bar is |", "|---" * 5 + "|"]
            lines += [published_line(entry) for entry in beside]
        return "\n".join(lines)

    @property
    def _draws(self) -> int:
        return self.draws or self.draws_of[self.budget]

    def _request(self, model: str, overrides: Mapping[str, object]) -> TrainingRequest:
        steps = self.steps or self.steps_of[self.budget]
        ends = dict.fromkeys((f"training.{what}_every" for what in ("evaluate", "picture")), steps)
        return TrainingRequest(
            model=model, recipe=self.recipe, steps=steps, overrides={**overrides, **ends}, split="validation"
        )

    def _kinds(
        self, lab: Lab, runs: tuple[Run, Run], requests: Sequence[TrainingRequest], pool: Split
    ) -> Iterator[tuple[str, Protocol, Callable[[Tensor], Array]]]:
        """Yield name, protocol and reader of every kind of features."""
        ali, gan = (lab.load(run) for run in runs)
        new_ali, new_gan = (_untrained(request, pool) for request in requests)
        yield "ALI's encoder", ALI, lambda x: _of_encoder(ali, x)
        yield "an untrained encoder", ALI, lambda x: _of_encoder(new_ali, x)
        yield "pixels", ALI, lambda x: _flat(as_input(x))
        yield "GAN's critic", DCGAN, lambda x: _of_critic(gan, x)
        yield "an untrained critic", DCGAN, lambda x: _of_critic(new_gan, x)

    def _row(self, name: str, protocol: Protocol, features: Sequence[Array], classes: Sequence[Array]) -> Row:
        drawn = (self._draw(classes[0], number) for number in range(protocol.choosing_draws + 10 + self._draws))
        draws = list(drawn)
        choosing, validating = draws[: protocol.choosing_draws], draws[protocol.choosing_draws :][:10]

        def fits(strength: float, chosen: Sequence[Array], part: int) -> list[_Fit]:
            fitted = ((features[0][rows], classes[0][rows]) for rows in chosen)
            return [_fit(strength, *rows, features[part], classes[part]) for rows in fitted]

        def errors(strength: float, chosen: Sequence[Array], part: int) -> list[float]:
            return [fit.error for fit in fits(strength, chosen, part)]

        strength = min(protocol.strengths, key=lambda value: numpy.mean(errors(value, choosing, 1)))
        reported = fits(strength, draws[-self._draws :], 2)
        test = spread([fit.error for fit in reported])
        times = "standard deviation" if protocol.bar == 1 else f"{protocol.bar} × standard deviation"
        return {
            "features": name,
            "protocol": "ALI" if protocol is ALI else "DCGAN",
            "numbers": features[0].shape[1],
            "strength": strength,
            "validation": spread(errors(strength, validating, 1)),
            "test": test,
            "bar": None if test is None else protocol.bar * test["std"],
            "bar_is": f"{times} over {self._draws} draws",
            "unconverged": sum(not fit.converged for fit in reported),
        }

    def _draw(self, classes: Array, number: int) -> Array:
        """Return the numbers of equally many rows of every class, by a permutation of the pool."""
        order = numpy.random.default_rng([2016, number]).permutation(len(classes))
        of_classes = [order[classes[order] == value][: self.rows_of_class] for value in numpy.unique(classes)]
        return numpy.concatenate(of_classes)


class _Fit(NamedTuple):
    error: float
    """In %."""
    converged: bool


def _fit(strength: float, x: Array, classes: Array, measured: Array, truth: Array) -> _Fit:
    """Return how an SVM fitted on x (N, D) does on other rows."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    probe = LinearSVC(C=strength, loss="squared_hinge", dual="auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the report says how many fits did not converge
        probe.fit(x, classes)
    return _Fit(float(100 * (probe.predict(measured) != truth).mean()), bool(probe.n_iter_ < probe.max_iter))


def _untrained(request: TrainingRequest, pool: Split) -> Model:
    """Return the networks of a training before its first step."""
    trainer = new_trainer(request, split=pool)
    return Model.of(trainer.settings, trainer.networks, device=trainer.device, label_frequencies=None)


def _of_encoder(model: Model, x: Tensor) -> Array:
    """Return the encoder's last three layers and its mean (N, D), which for the paper's SVHN are 5,376 numbers."""
    parts = [list(model.features(rows).values())[-4:] for rows in torch.split(x, _AT_ONCE)]
    return numpy.concatenate([numpy.concatenate([_flat(layer) for layer in part], axis=1) for part in parts])


def _of_critic(model: Model, x: Tensor) -> Array:
    """Return the outputs of the critic's convolutions, pooled by their maximum to at most 4 × 4, as (N, D)."""
    critic = model.networks.critic
    assert critic is not None
    critic.eval()
    parts = []
    for rows in torch.split(x, _AT_ONCE):
        with torch.no_grad():
            layers = critic.layers(Joint(x=as_input(rows).to(model.device)))
        maps = [layer for name, layer in layers.items() if name.startswith("x.") and layer.ndim == 4]
        pooled = [adaptive_max_pool2d(layer, [min(4, side) for side in layer.shape[2:]]) for layer in maps]
        parts.append(numpy.concatenate([_flat(layer) for layer in pooled], axis=1))
    return numpy.concatenate(parts)


def _flat(values: Tensor) -> Array:
    table: Array = values.flatten(1).float().cpu().numpy()
    return table


def _classes(split: Split) -> Array:
    assert split.labels is not None
    classes: Array = split.labels.numpy()
    return classes


def _line(row: Row) -> str:
    held, test = row["validation"], row["test"]
    validation = "–" if held is None else f"{held['mean']:.2f} ± {held['std']:.2f}"
    measured = "–" if test is None else f"{test['mean']:.2f} ± {row['bar']:.2f} ({row['bar_is']})"
    start = f"| {row['features']} | {row['protocol']} | {row['numbers']:,} | {row['strength']:.2g}"
    return f"{start} | {validation} | {measured} |"
