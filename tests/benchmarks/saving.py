"""What checkpoints cost a training whose steps are as quick as on a GPU, block by block in one process, as a table.

Run it with `python tests/benchmarks/saving.py [--model ali] [--recipe mixture25-paper] [--milliseconds 200]`.

A step is a fixed number of small products, so many that 1,000 steps of the engine's loop without any saving take those
milliseconds, and a checkpoint of the recipe's networks, moments and all, falls due every 1,000 steps. Loops with saving
and without take turns; a ratio is the median over turns. What is timed ends before the last step, which always saves.
The time on the training's own processor is given beside that on the wall, which needs two idle cores.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch

from genzoo.host.discovery import registry
from genzoo.runs import TrainingRequest, engine
from genzoo.runs.callbacks import Callback
from genzoo.runs.engine import Engine, run_to_end
from genzoo.runs.job import resolve_job
from genzoo.storage.run_folder import Run
from genzoo.training.trainer import Trainer
from genzoo.types import Losses

EVERY = 1000


class Waiting(Executor):
    """A worker that does its work at once, while the training waits."""

    def __init__(self, count):
        pass

    def submit(self, call, /, *arguments, **named):
        done = Future()
        done.set_result(call())
        return done


class Timer(Callback):
    """Times the steps after the first ones and before the last, and counts the checkpoints among them."""

    def __init__(self, steps):
        self.first, self.last = EVERY // 2, steps - 1
        self.saved = 0

    def on_step(self, step):
        if step == self.first:
            self.began, self.saved = (time.perf_counter(), time.thread_time()), 0
        if step == self.last:
            self.wall, self.processor = time.perf_counter() - self.began[0], time.thread_time() - self.began[1]

    def on_save(self, step):
        self.saved += step < self.last

    @property
    def milliseconds(self):
        return self.wall / (self.last - self.first) * EVERY * 1000


def loop(job, folder, *, products, steps, saves, waits=False):
    """Time one loop, and return its callback."""
    training = replace(
        job.settings.training,
        steps=steps,
        log_every=EVERY,
        picture_every=steps + 1,
        checkpoint_minutes=None,
        checkpoint_every=EVERY if saves else None,
    )
    settings = replace(job.settings, training=training)
    splits = settings.load(None)
    trainer = Trainer(settings, splits.train, seed=0, device=torch.device("cpu"))
    matrix, loss, timer = torch.randn(64, 64), torch.zeros(()), Timer(steps)

    def take_step():
        for _ in range(products):
            matrix @ matrix
        trainer.step += 1
        return [Losses(dict.fromkeys(trainer.players, loss), {})]

    with (
        patch.object(Engine, "_draw"),
        patch.object(Engine, "_measure"),
        patch.object(engine, "ThreadPoolExecutor", Waiting if waits else engine.ThreadPoolExecutor),
    ):
        run_to_end([Engine(trainer, Run(folder), splits, timer)], take_step)
    return timer


def products_for(milliseconds, time_of):
    """Return how many products make 1,000 steps take so long."""
    none, some = (min(time_of(products=products, steps=3 * EVERY) for _ in range(3)) for products in (0, 20))
    return max(0, round(20 * (milliseconds - none) / (some - none)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="ali")
    parser.add_argument("--recipe", default="mixture25-paper")
    parser.add_argument("--milliseconds", type=float, default=200)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    job = resolve_job(registry(), TrainingRequest(model=chosen.model, recipe=chosen.recipe))
    with tempfile.TemporaryDirectory() as root:

        def timed(*, products, steps, saves=False, waits=False):
            folder = Path(tempfile.mkdtemp(dir=root))
            return loop(job, folder, products=products, steps=steps, saves=saves, waits=waits)

        products = products_for(chosen.milliseconds, lambda **named: timed(**named).milliseconds)
        kinds = {
            "without saving": {},
            "in a thread": {"saves": True},
            "waited for": {"saves": True, "waits": True},
        }
        turns = [
            {name: timed(products=products, steps=chosen.steps, **kind) for name, kind in kinds.items()}
            for _ in range(chosen.turns)
        ]
        size = sum(file.stat().st_size for file in next(Path(root).rglob("step-*")).iterdir())
    print(f"{chosen.model} on {chosen.recipe}: a checkpoint of {size / 1e6:.1f} MB due every {EVERY:,} steps\n")
    print("| saving | ms per 1,000 steps | ratio | ratio on its processor | due | saved |\n|---|---|---|---|---|---|")
    for name in kinds:
        milliseconds = statistics.median(turn[name].milliseconds for turn in turns)
        wall = statistics.median(turn["without saving"].wall / turn[name].wall for turn in turns)
        processor = statistics.median(turn["without saving"].processor / turn[name].processor for turn in turns)
        due = chosen.steps // EVERY - 1 if kinds[name] else 0
        saved = statistics.median(turn[name].saved for turn in turns)
        print(f"| {name} | {milliseconds:.0f} | {wall:.3f} | {processor:.3f} | {due} | {saved:g} |")


if __name__ == "__main__":
    main()
