"""A benchmark: the engine and its rivals made ready on the same random rows, and what was measured of them."""

import copy

import torch

from genzoo import new_trainer
from genzoo.data import condition
from genzoo.evaluation import forward_macs
from genzoo.runs import default_recipe
from genzoo_bench.eager_alternating import EagerAlternating
from genzoo_bench.eager_same_maths import EagerSameMaths
from genzoo_bench.loop import Start
from genzoo_bench.measuring import Rates, peak_flops, peak_memory, synchronisations

LOOPS = {loop.name: loop for loop in (EagerAlternating, EagerSameMaths)}
_SECONDS = 10.0
"""How long each loop is timed for, about, unless a number of steps is asked for."""


def benchmark(model, *, recipe, steps, overrides, device, precision, execution, against, say):
    """Return what `genzoo bench --json` prints; tell `say` what it is about to do."""
    engine = new_trainer(
        model, recipe=recipe, overrides=overrides, device=device, precision=precision, execution=execution
    )
    settings, spec = engine.settings, engine.settings.dataset.spec
    batch = settings.training.batch_size
    contestants = {"engine": engine}
    obstacles = {name: LOOPS[name].obstacle(settings.game) for name in against}
    for name in against:
        if obstacles[name] is None:
            contestants[name] = LOOPS[name](_start(engine))
    how_long = f"for about {_SECONDS:g} seconds each" if steps is None else f"over {steps:,} steps each"
    say(f"timing {', '.join(contestants)} {how_long}, after a warm-up")
    macs = forward_macs(engine)
    waits = synchronisations(engine, engine.device, steps=2)
    memory = peak_memory(engine.device)
    rates = Rates(contestants, engine.device)
    one = rates.warm_up(1.0)
    blocks = 10 if steps is None else min(10, steps)
    rates.measure(blocks=blocks, steps=max(1, int(_SECONDS / 10 / one)) if steps is None else -(-steps // blocks))
    # Forward, and as much again for the gradients by inputs and for those by weights.
    flops = None if macs is None else 2 * 3 * macs
    peak = peak_flops(engine.device, torch.bfloat16 if engine.precision == "bf16" else torch.float32)
    found = {
        "model": model,
        "recipe": recipe or default_recipe(),
        "batch_size": batch,
        "steps_per_second": rates.median("engine"),
        "images_per_second": rates.median("engine") * batch,
        "flops_per_step": flops,
        "flops_per_second": None if flops is None else flops * rates.median("engine"),
        "peak_flops_per_second": peak,
        "utilisation": None if flops is None else flops * rates.median("engine") / peak,
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
        if obstacles[name] is not None:
            found["baselines"][name] = {"obstacle": obstacles[name]}
            continue
        ratio = rates.ratio("engine", name)
        found["baselines"][name] = {
            "steps_per_second": rates.median(name),
            "images_per_second": rates.median(name) * batch,
            "ratio": ratio[1],
            "ratio_quartiles": ratio,
        }
    return found


def _start(engine):
    """Return what a loop by hand begins with: copies of the engine's networks, in torch's default layout."""
    settings, split = engine.settings, engine.stream.split
    labels = None if split.labels is None else split.labels.to(engine.device)
    networks = copy.deepcopy(engine.networks).to(memory_format=torch.contiguous_format)
    return Start(
        game=settings.game,
        networks=networks,
        players=settings.game.players(networks),
        rows=split.x.to(engine.device),
        y=condition(labels, settings.dataset.spec),
        latent=settings.architecture.latent,
        training=settings.training,
        bf16=engine.precision == "bf16",
    )
