"""Stabilisers: what each part that became usual after the paper brings to ALI, ALICE and GAN."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypedDict

import torch

from genzoo import Run
from genzoo.comparison import Lab, Study
from genzoo.runs import TrainingRequest, new_trainer
from genzoo.training import Trainer
from genzoo_studies.coverage import Spread, spread

Task = Literal["toy", "digits"]
ModelName = Literal["ali", "gan", "alice"]
Overrides = dict[str, object]
Key = tuple[Task, ModelName, str]
"""A row's task, model and part."""

RECIPES: dict[Task, str] = {"toy": "mixture25", "digits": "digits"}
STEPS: dict[str, dict[Task, int]] = {"quick": {"toy": 3000, "digits": 2000}, "paper": {"toy": 16_000, "digits": 4500}}
BATCHES: dict[Task, int] = {"toy": 200, "digits": 64}
SCORES: dict[Task, tuple[str, ...]] = {
    "toy": ("modes/high-quality", "modes/counted", "modes/divergence", "reconstruction/ratio"),
    "digits": ("classifier-distance", "coverage", "reconstruction/same-class", "reconstruction/ratio"),
}
BASE: Overrides = {
    "game.objective": "non-saturating",
    "game.penalty": "none",
    "game.augment": "none",
    "training.learning_rate": 1e-3,
    "training.learning_rate_schedule": "constant",
    "training.beta1": 0.5,
    "training.beta2": 0.999,
    "training.averaging": "none",
}
"""The paper's objective, and nothing else."""
_AVERAGING: Overrides = {"training.averaging": 0.999}
_BETAS: Overrides = {"training.beta1": 0.0, "training.beta2": 0.99}
_RELATIVISTIC: Overrides = {"game.objective": "relativistic"}
_PENALTY: Overrides = {"game.penalty": "zero-centred", "game.penalty.weight": 0.1}
_FALLING: Overrides = {
    "game.penalty.schedule": "cosine",
    "game.penalty.schedule.last": 0.02,
    "game.penalty.schedule.end": 0.7,
}
_RATE: Overrides = {
    "training.learning_rate_schedule": "cosine",
    "training.learning_rate_schedule.last": 0.1,
    "training.learning_rate_schedule.start": 0.6,
}
PARTS: dict[str, Overrides] = {
    "base": {},
    "averaging": _AVERAGING,
    "betas": _BETAS,
    "falling learning rate": _RATE,
    "relativistic": _RELATIVISTIC,
    "penalty": _PENALTY | _BETAS,
    "falling penalty": _PENALTY | _FALLING | _BETAS,
    "relativistic + penalty": _RELATIVISTIC | _PENALTY | _BETAS,
    "translation": {"game.augment": "diffaugment", "game.augment.operations": "translation"},
    "relativistic + penalty + diffaugment": {**_RELATIVISTIC, **_PENALTY, "game.augment": "diffaugment"},
    "relativistic + falling penalty + averaging": _RELATIVISTIC | _PENALTY | _FALLING | _BETAS | _AVERAGING,
    "all": _RELATIVISTIC | _PENALTY | _FALLING | _BETAS | _RATE | _AVERAGING,
}
"""What every row of the table changes in the base, by path."""
_SINGLE = ("base", "averaging", "relativistic", "penalty")
_ON_TOY = (*_SINGLE, "relativistic + penalty", "falling penalty", "falling learning rate", "betas", "all")
_STEADY = "relativistic + falling penalty + averaging"
_ON_DIGITS = (*_SINGLE, "translation", "relativistic + penalty + diffaugment", _STEADY)
ROWS: dict[Task, dict[ModelName, tuple[str, ...]]] = {
    "toy": {"ali": _ON_TOY, "gan": _ON_TOY},
    "digits": {"ali": _ON_DIGITS, "gan": _ON_DIGITS, "alice": ("base", _STEADY)},
}
NOTES = (
    "base: the paper's objective with simultaneous updates, Adam with learning rate 1e-3, β1 0.5, β2 0.999, on the "
    "networks of the recipe; every other row adds its part to the base alone",
    "averaging: the weights' moving average, 0.999 a step, is what is measured, with batch statistics taken anew",
    "penalty: R1 + R2 with weight 0.1, with β1 0 and β2 0.99; betas: these two without a penalty",
    "falling penalty: the same with its weight falling to a fiftieth along a cosine over the first 70 % of the steps",
    "falling learning rate: constant for 60 % of the steps, then falling to a tenth along a cosine",
    "translation: of x on both sides, by one pixel at most; relativistic + penalty + diffaugment: colour, translation "
    "and cutout, with β1 0.5 and β2 0.999",
    "relativistic + falling penalty + averaging: the parts of the recipe digits; all: with the falling learning rate, "
    "the parts of the recipe mixture25",
    "left out: spectral normalisation, which belongs to layer tables and so makes another architecture",
    "time: CPU time per step over the base's, medians over blocks of steps that the rows took in turns in one process "
    "with one thread",
)
_BLOCKS, _BLOCK_STEPS = 7, 20


class Row(TypedDict):
    """The results of one model on one task with one part, over the seeds that did not diverge."""

    task: Task
    model: ModelName
    part: str
    overrides: Overrides
    runs: list[str | None]
    """By seed; None where the training diverged."""
    diverged: int
    values: dict[str, list[float]]
    """By score, in the order of the seeds."""
    scores: dict[str, Spread | None]
    milliseconds: float
    """CPU time of a step."""
    time_ratio: float
    """The median over blocks of a step's time over the base's."""


@dataclass(frozen=True, kw_only=True)
class Stabilisers(Study):
    """Train the paper's objective on small networks, with one part added at a time, and with all of them.

    The parts are averaged weights, relativistic pairing, a zero-centred penalty, falling numbers, and augmentation.
    """

    name: ClassVar[str] = "stabilisers"
    published: ClassVar[str] = "nothing to compare with: the paper takes none of these parts away or adds one"
    cost: ClassVar[str] = "quick: about an hour of one CPU core; paper: several hours"
    needs: ClassVar[tuple[str, ...]] = tuple(RECIPES.values())
    tasks: tuple[Task, ...] = ("toy", "digits")
    models: tuple[ModelName, ...] = ("ali", "gan", "alice")
    parts: tuple[str, ...] = ()
    """The rows to train beside the base; empty: all."""
    seeds: tuple[int, ...] = (20, 21, 22)
    steps: int | None = None
    """None: as many as the budget says."""

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ValueError("seeds is empty, expected at least one")
        if not any(ROWS[task].get(model) for task in self.tasks for model in self.models):
            raise ValueError("tasks and models leave nothing to train: alice is trained on digits alone")
        if unknown := [part for part in self.parts if part not in PARTS]:
            raise ValueError(f"parts has '{unknown[0]}', expected some of: {', '.join(PARTS)}")

    def carry_out(self, lab: Lab) -> str:
        """Train every row with every seed, take the time of their steps, and return a table per task and model."""
        requests = {key: [self._request(*key, seed) for seed in self.seeds] for key in self._keys()}
        runs = iter(lab.train([request for of_row in requests.values() for request in of_row]))
        trained = {key: [next(runs) for _ in of_row] for key, of_row in requests.items()}
        rows = []
        for task, model in dict.fromkeys(key[:2] for key in requests):
            timed = _milliseconds({key[2]: of_row[0] for key, of_row in requests.items() if key[:2] == (task, model)})
            for part, milliseconds in timed.items():
                rows.append(_row((task, model, part), trained[task, model, part], milliseconds, timed["base"]))
        steps = {task: self._steps(task) for task in self.tasks}
        sizes = {task: BATCHES[task] for task in self.tasks}
        document = {"study": self.name, "budget": self.budget, "steps": steps, "batch_size": sizes}
        lab.write(document | {"seeds": list(self.seeds), "base": BASE, "rows": rows, "notes": NOTES})
        return _page(rows, steps, self.seeds)

    def _keys(self) -> Iterator[Key]:
        for task in self.tasks:
            for model in self.models:
                chosen = ("base", *self.parts) if self.parts else ROWS[task].get(model, ())
                yield from ((task, model, part) for part in ROWS[task].get(model, ()) if part in chosen)

    def _steps(self, task: Task) -> int:
        return self.steps or STEPS[self.budget][task]

    def _request(self, task: Task, model: ModelName, part: str, seed: int) -> TrainingRequest:
        steps = self._steps(task)
        fixed = {"training.batch_size": BATCHES[task], "training.evaluate_every": steps}
        overrides = BASE | PARTS[part] | fixed
        return TrainingRequest(model=model, recipe=RECIPES[task], seed=seed, steps=steps, overrides=overrides)


def _milliseconds(requests: Mapping[str, TrainingRequest]) -> dict[str, list[float]]:
    """Return the CPU milliseconds of a step in every block, by part; the parts take turns, with one thread.

    On a machine that others use, CPU time says what a step costs, and wall time how long others let it wait.
    """
    with _one_thread():
        trainers = {part: new_trainer(replace(request, device="cpu")) for part, request in requests.items()}
        blocks = [{part: _block(trainer) for part, trainer in trainers.items()} for _ in range(_BLOCKS + 1)]
    return {part: [block[part] for block in blocks[1:]] for part in trainers}  # the first one warms up


def _block(trainer: Trainer) -> float:
    """Return the CPU milliseconds per step of some steps."""
    began = time.process_time()
    for _ in range(_BLOCK_STEPS):
        trainer.take_step()
    return (time.process_time() - began) / _BLOCK_STEPS * 1e3


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _row(key: Key, runs: Sequence[Run | None], milliseconds: Sequence[float], of_base: Sequence[float]) -> Row:
    task, model, part = key
    scores = [{score["metric"]: score["value"] for score in run.final_scores} for run in runs if run is not None]
    values = {name: [of_run[name] for of_run in scores if of_run.get(name) is not None] for name in SCORES[task]}
    return {
        "task": task,
        "model": model,
        "part": part,
        "overrides": PARTS[part],
        "runs": [None if run is None else run.name for run in runs],
        "diverged": runs.count(None),
        "values": values,
        "scores": {name: spread(of_score) for name, of_score in values.items()},
        "milliseconds": statistics.median(milliseconds),
        "time_ratio": statistics.median(mine / base for mine, base in zip(milliseconds, of_base, strict=True)),
    }


def _page(rows: Sequence[Row], steps: Mapping[Task, int], seeds: Sequence[int]) -> str:
    lines = []
    for task, model in dict.fromkeys((row["task"], row["model"]) for row in rows):
        of_table = [row for row in rows if (row["task"], row["model"]) == (task, model)]
        lines += [f"{model} on {RECIPES[task]}, {steps[task]:,} steps of {BATCHES[task]}:", "", *_table(of_table), ""]
    of_seeds = f"over n = {len(seeds)} seeds ({', '.join(map(str, seeds))})"
    means = f"Mean ± standard deviation {of_seeds}, without trainings that diverged. Time: a step's, over the base's."
    return "\n".join([*lines, means, "", *(f"* {note}" for note in NOTES)])


def _table(rows: Sequence[Row]) -> list[str]:
    names = [name for name in SCORES[rows[0]["task"]] if any(row["scores"][name] for row in rows)]
    lines = [f"| part | {' | '.join(names)} | diverged | time |", "|---" * (len(names) + 3) + "|"]
    for row in rows:
        shown = " | ".join(_shown(row["scores"][name]) for name in names)
        lines.append(f"| {row['part']} | {shown} | {row['diverged']} | {row['time_ratio']:.2f} |")
    return lines


def _shown(of_score: Spread | None) -> str:
    return "–" if of_score is None else f"{of_score['mean']:.3g} ± {of_score['std']:.2g}"
