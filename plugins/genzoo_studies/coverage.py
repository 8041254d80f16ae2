"""Mode coverage: how many of 25 Gaussians ALI and GAN reach under random hyper-parameters."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypedDict

import numpy

from genzoo import Run
from genzoo.comparison import Lab, Study
from genzoo.runs import TrainingRequest

PUBLISHED = {"ali": "13.4 ± 5.8 (8–25)", "gan": "10.4 ± 9.2 (1–22)"}
RECIPE = "mixture25-paper"
STEPS = {"quick": 3000, "paper": 200_000}
_RATES = {"quick": (1e-4, 1e-2), "paper": (1e-5, 1e-3)}
SEEDS = "training and held-out data come from different seeds; the released script used one for both"
DEVIATIONS = (
    "the paper publishes no ranges for its random hyper-parameters; ours: learning rate log-uniform in "
    "{low:g}…{high:g}, β1 uniform in 0…0.9 (today's convention), standard deviation of the initial weights "
    "log-uniform in 0.005…0.1",
    "ALI and GAN of one number share their draws; the paper does not say",
    SEEDS,
)


def intervals(budget: str, steps: int) -> dict[str, int]:
    """Return how often a training of the toy task logs, draws, saves and is evaluated.

    On a GPU the 200,000 steps of twenty replicas take less time than pictures of them every 2,000 steps would. So at
    the paper's budget a training is drawn and evaluated once, after its last step, and saved by time alone.
    """
    if budget == "quick":
        return {"training.log_every": 200, "training.picture_every": 2000, "training.checkpoint_every": 1000}
    return {"training.log_every": 2000, "training.picture_every": steps, "training.evaluate_every": steps}


Drawn = TypedDict("Drawn", {"training.learning_rate": float, "training.beta1": float, "architecture.init_std": float})
"""The hyper-parameters that a pair of runs is trained with, by path."""


class Row(Drawn):
    """One run of the study; its counts are None where it diverged."""

    model: str
    seed: int
    run: str | None
    modes: float | None
    """The number of modes, of 25, that are nearest to some sample."""
    strict: float | None
    """The number of modes, of 25, with some sample within three standard deviations."""


class Spread(TypedDict):
    """Statistics of a count over the runs that did not diverge."""

    mean: float
    std: float
    min: float
    max: float


class Summary(TypedDict):
    """The results of all runs of one model."""

    runs: int
    diverged: int
    modes: Spread | None
    strict: Spread | None
    best: str | None
    """The name of the run that covers most modes."""


SHORT = "{steps:,} steps of 100 in place of 200,000, with learning rates ten times as high"


@dataclass(frozen=True, kw_only=True)
class ModeCoverage(Study):
    """Train ALI and GAN ten times each with random learning rate, β1 and initial weights; count covered modes.

    A mode counts if any of 10,000 samples is nearest to it (paper, section 4.5); `strict` requires one within
    three standard deviations.
    """

    name: ClassVar[str] = "ali/mode-coverage"
    published: ClassVar[str] = "ALI 13.4 ± 5.8 (8–25), GAN 10.4 ± 9.2 (1–22) of 25 modes, 10 runs each"
    cost: ClassVar[str] = (
        "quick: 10–25 minutes on two CPU cores; paper: 200 epochs of 20 runs, by their steps 11 hours on two CPU "
        "cores, and a predicted 5 to 9 minutes on an H200"
    )
    runs: int = 10
    needs: ClassVar[tuple[str, ...]] = ("mixture25",)
    steps: int | None = None
    """None: as many as the budget says."""

    def carry_out(self, lab: Lab) -> str:
        """Train all models, count modes, and return the table beside the paper's."""
        low, high = _RATES[self.budget]
        steps = self.steps or STEPS[self.budget]
        settings = [_draw(number, low, high) for number in range(self.runs)]
        requests = [
            TrainingRequest(
                recipe=RECIPE,
                model=model,
                seed=number,
                steps=steps,
                overrides={**intervals(self.budget, steps), **drawn},
            )
            for number, drawn in enumerate(settings)
            for model in ("ali", "gan")
        ]
        runs = lab.train(requests)
        rows = [_row(request, settings[request.seed], run) for request, run in zip(requests, runs, strict=True)]
        models = {model: _summary([row for row in rows if row["model"] == model]) for model in ("ali", "gan")}
        deviations = [DEVIATIONS[0].format(low=low, high=high), *DEVIATIONS[1:]]
        if self.budget == "quick":
            deviations.append(SHORT.format(steps=steps))
        document = {"study": self.name, "budget": self.budget, "steps": steps, "published": PUBLISHED}
        lab.write(document | {"models": models, "runs": rows, "deviations": deviations})
        _draw_counts(rows, lab.folder / "mode-coverage.png")
        return _table(models, rows, deviations)


def _draw(number: int, low: float, high: float) -> Drawn:
    source = numpy.random.default_rng([2017, number])
    return {
        "training.learning_rate": float(f"{numpy.exp(source.uniform(numpy.log(low), numpy.log(high))):.3g}"),
        "training.beta1": float(f"{source.uniform(0, 0.9):.3g}"),
        "architecture.init_std": float(f"{numpy.exp(source.uniform(numpy.log(0.005), numpy.log(0.1))):.3g}"),
    }


def _row(request: TrainingRequest, drawn: Drawn, run: Run | None) -> Row:
    scores = {} if run is None else {score["metric"]: score["value"] for score in run.final_scores}
    return {
        "model": str(request.model),
        "seed": request.seed,
        **drawn,
        "run": None if run is None else run.name,
        "modes": scores.get("modes"),
        "strict": scores.get("modes/strict"),
    }


def _summary(rows: Sequence[Row]) -> Summary:
    """Return the spread of both counts over the runs that did not diverge, and the best of these runs."""
    whole = [row for row in rows if row["modes"] is not None]
    best = max(whole, key=lambda row: (row["modes"] or 0.0, row["strict"] or 0.0), default=None)
    return {
        "runs": len(rows),
        "diverged": len(rows) - len(whole),
        "modes": spread([row["modes"] for row in whole if row["modes"] is not None]),
        "strict": spread([row["strict"] for row in whole if row["strict"] is not None]),
        "best": None if best is None else best["run"],
    }


def spread(values: Sequence[float]) -> Spread | None:
    """Return the statistics of these values; None if there are none."""
    if not values:
        return None
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
    }


def _draw_counts(rows: Sequence[Row], path: Path) -> None:
    """Draw the modes of every run, the paper's count filled and the strict one open."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for across, model in enumerate(("ali", "gan")):
        counts = [
            (row["seed"], row["modes"], row["strict"])
            for row in rows
            if row["model"] == model and row["modes"] is not None and row["strict"] is not None
        ]
        places = [across + 0.03 * (seed - len(counts) / 2) for seed, _, _ in counts]
        colour = f"C{across}"
        axes.scatter(places, [modes for _, modes, _ in counts], color=colour, label=f"{model}, the paper's count")
        axes.scatter(places, [strict for _, _, strict in counts], edgecolors=colour, facecolors="none", label="strict")
    axes.set(xticks=[0, 1], xticklabels=["ALI", "GAN"], ylabel="modes of 25", ylim=(0, 26), xlim=(-0.5, 1.5))
    axes.legend(fontsize="small", frameon=False, loc="lower center", ncols=2)
    figure.savefig(path, dpi=110)


def _table(models: Mapping[str, Summary], rows: Sequence[Row], deviations: Sequence[str]) -> str:
    lines = ["| model | modes, here | the paper | strict, here | diverged |", "|---|---|---|---|---|"]
    for model, summary in models.items():
        lines.append(
            f"| {model} | {_shown(summary['modes'])} | {PUBLISHED[model]} | {_shown(summary['strict'])} "
            f"| {summary['diverged']} of {summary['runs']} |"
        )
    lines += ["", "| number | learning rate | β1 | std of weights | ali | strict | gan | strict |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for ali, gan in zip(rows[::2], rows[1::2], strict=True):
        drawn = f"{ali['training.learning_rate']:g} | {ali['training.beta1']:g} | {ali['architecture.init_std']:g}"
        counts = " | ".join(_count(value) for row in (ali, gan) for value in (row["modes"], row["strict"]))
        lines.append(f"| {ali['seed']} | {drawn} | {counts} |")
    return "\n".join([*lines, "", "Where this differs from the paper:", "", *(f"* {line}" for line in deviations)])


def _shown(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return f"{spread['mean']:.1f} ± {spread['std']:.1f} ({spread['min']:.0f}–{spread['max']:.0f})"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
