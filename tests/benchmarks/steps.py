"""Steps per second of the engine on every recipe beside the loops by hand, as a Markdown table.

Run it with `python tests/benchmarks/steps.py`, on a machine with a GPU as well with `--device cuda`; every row is a
process of its own. `--replicas` times populations of the toy task instead.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

RECIPES = ("mixture25-paper", "digits", "cifar10", "svhn", "celeba64", "tinyimagenet64", "imagenet64")


def bench(model, recipe, options):
    """Return what `genzoo bench` measured, or what it said when it failed."""
    command = [sys.executable, "-m", "genzoo", "bench", model, "--recipe", recipe, "--json", *options]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(found.stdout) if found.returncode == 0 else found.stderr.strip()


def row(label, found):
    if isinstance(found, str):
        return f"| {label} | {found.splitlines()[-1]} |"
    ratios = [
        f"{one['ratio']:.3f} ({one['ratio_quartiles'][0]:.3f}–{one['ratio_quartiles'][2]:.3f})"
        for one in found["baselines"].values()
    ]
    cells = [
        label,
        found["precision"],
        found["execution"],
        f"{found['steps_per_second']:.4g}",
        f"{found['images_per_second']:,.0f}",
        *ratios,
        f"{found['flops_per_second'] / 1e12:.3g} ({found['utilisation']:.0%})",
        f"{found['memory_bytes'] / 2**20:,.0f}",
        f"{found['syncs_per_step']:g}",
    ]
    return f"| {' | '.join(cells)} |"


def time_replicas(count, device, steps):
    """Print the seconds of a step of `count` replicas of the toy task, as one program and one after the other."""
    import torch

    from genzoo.runs import TrainingRequest, new_trainer
    from genzoo.training.populations import Population

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for model in ("ali", "gan"):
        settings = [{"training.learning_rate": 1e-4 * (1 + number)} for number in range(count)]
        trainers = [
            new_trainer(TrainingRequest(model=model, seed=number, overrides=own, device=device))
            for number, own in enumerate(settings)
        ]
        together = Population(
            [
                new_trainer(TrainingRequest(model=model, seed=number, overrides=own, device=device))
                for number, own in enumerate(settings)
            ]
        )
        seconds = {"together": [], "apart": []}
        for block in range(6):
            for name, contestants in (("together", [together]), ("apart", trainers)):
                wait()
                began = time.perf_counter()
                for _ in range(steps):
                    for one in contestants:
                        one.take_step()
                wait()
                if block:
                    seconds[name].append((time.perf_counter() - began) / steps)
        ours, theirs = (statistics.median(seconds[name]) for name in ("together", "apart"))
        print(
            f"| {model} | {count} | {ours * 1e3:.3g} ms | {theirs * 1e3:.3g} ms | {theirs / ours:.2f} | "
            f"{ours * 200_000 / 60:.3g} min |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--model", default="ali")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--execution", nargs="+", default=["auto"])
    parser.add_argument("--steps", help="steps timed of each loop; by time if left out")
    parser.add_argument("--replicas", type=int, help="time that many replicas of the toy task")
    chosen = parser.parse_args()
    if chosen.replicas:
        print("| model | replicas | a step together | apart | ratio | 200,000 steps |\n|---|---|---|---|---|---|")
        time_replicas(chosen.replicas, chosen.device, int(chosen.steps or 10))
        return
    print(
        "| recipe | precision | execution | steps/s | images/s | × eager-alternating | × eager-same-maths "
        "| TFLOP/s (of the peak) | MiB | syncs |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for recipe in chosen.recipes:
        for precision in chosen.precision:
            for execution in chosen.execution:
                options = ["--device", chosen.device, "--precision", precision, "--execution", execution]
                options += ["--steps", chosen.steps] if chosen.steps else []
                print(row(recipe, bench(chosen.model, recipe, options)), flush=True)


if __name__ == "__main__":
    main()
