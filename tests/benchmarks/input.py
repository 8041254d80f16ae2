"""The input side against the step it feeds, and against a plain copy: `python tests/benchmarks/input.py`.

Batches of the tinyimagenet64 recipe from a memory map, by both ways of reading; then the recipe's own step rate.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from genzoo.host.discovery import registry
from genzoo.runs.job import find_game, find_recipe
from genzoo.training.batches import Stream
from genzoo.training.settings import resolve_settings
from genzoo.training.trainer import Trainer
from genzoo.types import Split


def rate(step, seconds):
    """Return calls of `step` per second, over at least `seconds`."""
    step(0)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        count += 1
        step(count)
    return count / (time.perf_counter() - began)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args(arguments)
    device = torch.device(chosen.device)
    recipe = find_recipe(registry(), "tinyimagenet64")
    settings = resolve_settings(find_game(registry(), "ali"), recipe, (), resolve=registry().resolve)
    batch, spec = settings.training.batch_size, settings.dataset.spec
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "images.safetensors"
        save_file({"images": torch.randint(0, 256, (chosen.rows, *spec.shape), dtype=torch.uint8)}, path)
        with safe_open(path, framework="pt") as file:
            split = Split(file.get_tensor("images"))
        common = {"batch_size": batch, "prior": settings.prior, "latent": 256, "seed": 0, "device": device}
        bytes_per_batch = batch * split.x[0].numel()
        source, target = (
            torch.randint(0, 256, (bytes_per_batch,), dtype=torch.uint8),
            torch.empty(bytes_per_batch).byte(),
        )
        copies = statistics.median(rate(lambda _: target.copy_(source), chosen.seconds / 5) for _ in range(5))
        print(f"{device}, {torch.get_num_threads()} threads, batches of {batch} × {'×'.join(map(str, spec.shape))}")
        print(f"plain copy of a batch: {copies * bytes_per_batch / 1e9:.2f} GB/s")
        rates = {}
        for name, ahead in (("on the device", False), ("read ahead", True)):
            stream = Stream(split, spec, ahead=ahead, **common)
            rates[name] = rate(stream.batch, chosen.seconds)
            print(
                f"{name}: {rates[name]:.0f} batches/s, {rates[name] * bytes_per_batch / 1e9:.2f} GB/s of stored pixels"
            )
        trainer = Trainer(settings, split, seed=0, device=device)
        steps = rate(lambda _: trainer.take_step(), chosen.seconds)
        print(
            f"the recipe's own step: {steps:.2f} steps/s; input sustains {min(rates.values()) / steps:,.0f} times that"
        )


if __name__ == "__main__":
    sys.exit(main())
