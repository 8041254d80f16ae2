"""A benchmark: times the engine and loops written by hand on the same random rows."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict, final

import torch

from genzoo.data import condition
from genzoo.evaluation import step_flops
from genzoo.runs import ExecutionName, PrecisionName, TrainingRequest, default_recipe, new_trainer
from genzoo.training import Trainer
from genzoo_bench.eager_alternating import EagerAlternating
from genzoo_bench.eager_same_maths import EagerSameMaths
from genzoo_bench.loop import Contestant, Start
from genzoo_bench.measuring import Rates, peak_flops, peak_memory, synchronisations

LOOPS: dict[str, type[EagerAlternating] | type[EagerSameMaths]] = {
    loop.name: loop for loop in (EagerAlternating, EagerSameMaths)
}
_SECONDS = 10.0
"""About how long each loop is timed, unless a number of steps is given."""


@final
class Obstacle(TypedDict):
    """Why a loop by hand was not timed."""

    obstacle: str


@final
class Baseline(TypedDict):
    """The measurements of a loop by hand."""

    steps_per_second: float
    images_per_second: float
    ratio: float
    """The engine's rate over the loop's: the median over blocks."""
    ratio_quartiles: list[float]
    """Lower quartile, median, upper quartile."""


class Benchmark(TypedDict):
    """The document that `genzoo bench --json` prints."""

    model: str
    recipe: str
    batch_size: int
    steps_per_second: float
    images_per_second: float
    flops_per_step: int
    """Two per multiply-accumulate of the products and convolutions that a step takes, its backward passes included."""
    flops_per_second: float
    peak_flops_per_second: float
    utilisation: float
    """The share of the peak, in 0…1."""
    memory_bytes: int
    """The peak of the device up to the engine's replays, the loops' copies of networks included; or of the process."""
    syncs_per_step: float
    baselines: dict[str, Baseline | Obstacle]
    blocks: int
    device: str
    threads: int
    precision: str
    execution: str
    torch: str
    x: list[int]
    """The shape of one x."""


def benchmark(
    model: str,
    *,
    recipe: str | None,
    steps: int | None,
    overrides: Mapping[str, object],
    device: str,
    precision: PrecisionName,
    execution: ExecutionName,
    against: Sequence[str],
    say: Callable[[str], None],
) -> Benchmark:
    """Time a model's steps and return the results; `say` is called with a line of progress."""
    engine = new_trainer(
        TrainingRequest(
            model=model, recipe=recipe, overrides=overrides, device=device, precision=precision, execution=execution
        )
    )
    settings, spec = engine.settings, engine.settings.dataset.spec
    batch = settings.training.batch_size
    contestants: dict[str, Contestant] = {"engine": engine}
    obstacles = {name: LOOPS[name].obstacle(settings.game) for name in against}
    for name in against:
        if obstacles[name] is None:
            contestants[name] = LOOPS[name](_start(engine))
    how_long = f"for about {_SECONDS:g} seconds each" if steps is None else f"over {steps:,} steps each"
    say(f"timing {', '.join(contestants)} {how_long}, after a warm-up")
    flops = step_flops(engine)
    rates = Rates(contestants, engine.device)
    engine_alone = Rates({"engine": engine}, engine.device)
    engine_alone.warm_up(0.0)  # takes more steps than are warmed up before a capture
    waits = synchronisations(engine, engine.device, steps=2)
    memory = peak_memory(engine.device)
    step_seconds = rates.warm_up(1.0)
    blocks = 10 if steps is None else min(10, steps)
    block_steps = max(1, int(_SECONDS / 10 / step_seconds)) if steps is None else -(-steps // blocks)
    rates.measure(blocks=blocks, steps=block_steps)
    peak = peak_flops(engine.device, engine.precision)
    measured: Benchmark = {
        "model": model,
        "recipe": recipe or default_recipe(),
        "batch_size": batch,
        "steps_per_second": rates.median("engine"),
        "images_per_second": rates.median("engine") * batch,
        "flops_per_step": flops,
        "flops_per_second": flops * rates.median("engine"),
        "peak_flops_per_second": peak,
        "utilisation": flops * rates.median("engine") / peak,
        "memory_bytes": memory,
        "syncs_per_step": waits,
        "baselines": {},
        "blocks": blocks,
        "device": torch.cuda.get_device_name(engine.device) if engine.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": engine.precision,
        "execution": engine.execution,
        "torch": torch.__version__,
        "x": list(spec.shape),
    }
    for name in against:
        measured["baselines"][name] = _baseline(rates, name, batch, obstacles[name])
    return measured


def _baseline(rates: Rates, name: str, batch: int, obstacle: str | None) -> Baseline | Obstacle:
    if obstacle is not None:
        return {"obstacle": obstacle}
    quartiles = rates.ratio("engine", name)
    return {
        "steps_per_second": rates.median(name),
        "images_per_second": rates.median(name) * batch,
        "ratio": quartiles[1],
        "ratio_quartiles": quartiles,
    }


def _start(engine: Trainer) -> Start:
    """Return the start of a loop by hand, with copies of the engine's networks in torch's default memory layout."""
    settings, split = engine.settings, engine.stream.split
    labels = None if split.labels is None else split.labels.to(engine.device)
    networks = copy.deepcopy(engine.networks).to(memory_format=torch.contiguous_format)
    return Start(
        game=settings.game,
        networks=networks,
        players=settings.game.players(networks),
        rows=split.x.to(engine.device),
        y=condition(labels, settings.dataset.spec),
        latent=settings.latent,
        training=settings.training,
        bf16=engine.precision == "bf16",
    )
