"""Everything to measure on a machine with a GPU, in one command that ends within its minutes.

Run it with `python tests/benchmarks/gpu.py` in a checkout: nothing is installed and no network is used. Every part is
a process of its own; after each, `gpu-results.json` holds all results so far. At the end, a table shows what was
measured beside what was predicted without a GPU. `--device cpu` rehearses it with tiny budgets.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = "ali"


def goal(recipe, steps, precision="bf16", *options, expected=None, seconds=60, tf32=True):
    """Return the part that times the engine on a recipe beside loops by hand."""
    command = ["-m", "genzoo", "bench", MODEL, "--recipe", recipe, "--precision", precision, "--json", *options]
    return {
        "command": [*command, "--steps", str(steps)],
        "cpu": {"--recipe": "mixture25-paper", "--precision": "fp32", "--execution": "eager", "--steps": "2"},
        "show": lambda found: (
            f"{found['images_per_second']:,.0f} images/s; "
            + ", ".join(f"{loop['ratio']:.2f} × {name}" for name, loop in found["baselines"].items() if "ratio" in loop)
        ),
        "expected": expected or "–",
        "seconds": seconds,
        # the loops by hand take torch's default, TF32 convolutions, unless this variable forbids it to every library
        "environment": {} if tf32 else {"NVIDIA_TF32_OVERRIDE": "0"},
    }


def inside(function, *arguments, expected="–", seconds=40, show=None):
    """Return the part that a function of this file measures."""
    return {
        "command": [__file__, "--inside", function, *arguments],
        "expected": expected,
        "seconds": seconds,
        "show": show or (lambda found: ", ".join(f"{name} {value}" for name, value in found.items())),
    }


ALTERNATING, SAME = ("--against", "eager-alternating"), ("--against", "eager-same-maths")
PARTS = {
    "ceilings": inside("ceilings", expected="4.3 TB/s, 790 TFLOP/s, 1.7 to 2.7 µs a small kernel, 4 to 6 µs a launch"),
    "tests": inside("gpu_tests", expected="all pass", seconds=130),
    "cifar10 captured": goal("cifar10", 2000, expected="62–78 thousand images/s, 2.5–5 × eager-alternating; goal 81"),
    "cifar10 eager": goal("cifar10", 1000, "bf16", "--execution", "eager", *SAME, expected="30–45 thousand images/s"),
    "cifar10, loop in IEEE fp32": goal("cifar10", 500, "bf16", *ALTERNATING, tf32=False),
    "imagenet64 captured": goal(
        "imagenet64", 600, expected="31–34 thousand images/s, 2.2–3 × eager-alternating; goal 45"
    ),
    "imagenet64 eager": goal(
        "imagenet64", 300, "bf16", "--execution", "eager", *SAME, expected="30–33 thousand images/s"
    ),
    "imagenet64, loop in IEEE fp32": goal("imagenet64", 200, "bf16", *ALTERNATING, tf32=False),
    "kernels of cifar10": inside(
        "kernels", "cifar10", "bf16", expected="430–460 kernels, 1.44 ms", show=lambda found: _kernels_line(found)
    ),
    "kernels of imagenet64": inside(
        "kernels", "imagenet64", "bf16", expected="540–580 kernels, 3.9 ms", show=lambda found: _kernels_line(found)
    ),
    "population of ali": inside("population", "ali", "10", expected="1.35 ms a step, 0.8–1.0 ms of the host"),
    "population of gan": inside("population", "gan", "10", expected="1.1 ms a step"),
    "failed capture": inside("failed_capture", expected="goes on, with dropout as well"),
    "resumed": inside("resumed", expected="may differ from the uninterrupted run", seconds=80),
    "resumed, deterministic": inside("resumed", "deterministic", expected="no difference, twice", seconds=80),
    "a save": inside("a_save", expected="imagenet64: 528 MB in at least 1.5 s"),
    "imagenet64 compiled": goal(
        "imagenet64", 200, "bf16", "--execution", "compiled", *SAME, expected="43 thousand images/s", seconds=150
    ),
    "cifar10 compiled": goal(
        "cifar10", 500, "bf16", "--execution", "compiled", *SAME, expected="15–25 % above captured", seconds=120
    ),
    "cifar10 in tf32": goal(
        "cifar10", 300, "tf32", *SAME, expected="between 15 thousand images/s, IEEE fp32, and bf16"
    ),
    "study": inside("study", "4000", expected="15–20 minutes at 200,000 steps", seconds=150),
    "mixture25-paper": goal("mixture25-paper", 4000, "fp32", *SAME, expected="192–251 thousand rows/s"),
    "digits": goal(
        "digits", 4000, "fp32", *SAME, expected="160–207 thousand images/s by the recipe of before its penalty"
    ),
    "svhn": goal("svhn", 1000, "bf16", *SAME, expected="54–65 thousand images/s"),
    "celeba64": goal("celeba64", 200, "bf16", *SAME, expected="12 thousand images/s"),
}
"""In order of what matters most; `expected` is what a model of the kernels predicted in November 2026."""


def _kernels_line(found):
    return f"{found['kernels']:g} kernels, {found['milliseconds']:.2f} ms busy of {found['span_milliseconds']:.2f}"


def metadata(folder):
    """Write what an installed distribution would say into `folder`, by which plugins are found without installing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version, points = project["name"], project["version"], project["entry-points"]["genzoo"]
    place = Path(folder) / f"{name}-{version}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "".join(f"{point} = {module}\n" for point, module in points.items())
    (place / "entry_points.txt").write_text(f"[genzoo]\n{lines}")


# One part


def take(part, *, device, seconds, environment):
    """Run a part within `seconds`, and return what it measured or what it said when it failed."""
    command = [sys.executable, *part["command"], "--device", device]
    if device == "cpu":
        tiny = part.get("cpu", {})
        command = [tiny.get(before, word) for before, word in zip(["", *command], command, strict=False)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment | part.get("environment", {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its workers as well
        process.communicate()
        return {"failed": f"not done within {seconds:.0f} seconds"}
    if process.returncode:
        return {"failed": err.strip()[-2000:] or f"exit {process.returncode}"}
    return json.loads(out[out.index("{") :])


def shown(name, found):
    """Return the table's line of a part."""
    said = found.get("failed") or found.get("left out")
    text = PARTS[name]["show"](found) if said is None else said.strip().splitlines()[-1][:100]
    return f"{name:30} {text}\n{'':30}   predicted: {PARTS[name]['expected']}"


# What functions of this file measure, each in a process of its own


def _seconds(work, count, device):
    """Return the seconds of one of `count` calls, and of the host for one, after a warm-up."""
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for _ in range(8 if device == "cuda" else 1):
        work()
    wait()
    began = time.perf_counter()
    for _ in range(count):
        work()
    host = time.perf_counter() - began
    wait()
    return (time.perf_counter() - began) / count, host / count


def _trainer(model, recipe, device, precision="auto", **more):
    from genzoo.runs import TrainingRequest, new_trainer

    return new_trainer(TrainingRequest(model=model, recipe=recipe, device=device, precision=precision, **more))


def ceilings(device):
    """Measure copies, matrix products, the smallest kernel of a graph and the host's part of a launch."""
    import torch

    size = 2**31 if device == "cuda" else 2**20
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    side = 8192 if device == "cuda" else 256
    square = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    small = torch.zeros(1000, device=device)
    found = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "copy_TB_per_s": round(2 * size / _seconds(lambda: target.copy_(source), 10, device)[0] / 1e12, 3),
        "bf16_TFLOP_per_s": round(2 * side**3 / _seconds(lambda: square @ square, 10, device)[0] / 1e12, 3),
        "launch_us_of_host": round(_seconds(lambda: small.add_(1), 2000, device)[1] * 1e6, 2),
    }
    if device == "cuda":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(500):
                small.add_(1)
        found["small_kernel_us"] = round(_seconds(graph.replay, 20, device)[0] / 500 * 1e6, 3)
    return found


def gpu_tests(device):
    """Run the tests that need a GPU."""
    chosen = ["-m", "gpu"] if device == "cuda" else ["-k", "executions_by_name"]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run([*command, "tests/unit/training"], capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    failed = [line[:300] for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"said": lines[-1] if lines else done.stderr[-500:], "failures": failed}


def kernels(device, recipe, precision):
    """Count the kernels of a step, sum their times, and list the longest by name."""
    from collections import Counter

    import torch
    from torch.profiler import ProfilerActivity, profile

    on_gpu, steps = device == "cuda", 5 if device == "cuda" else 1
    trainer = _trainer(MODEL, recipe if on_gpu else "digits", device, precision if on_gpu else "fp32")
    _seconds(trainer.take_step, 1, device)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as seen:
        for _ in range(steps):
            trainer.take_step()
        trainer.wait()
    events = [event for event in seen.events() if not on_gpu or event.device_type == torch.autograd.DeviceType.CUDA]
    busy, count = Counter(), Counter()
    for event in events:
        busy[event.name[:100]] += event.time_range.elapsed_us() / steps
        count[event.name[:100]] += 1 / steps
    span = max(event.time_range.end for event in events) - min(event.time_range.start for event in events)
    return {
        "kernels": len(events) / steps,
        "milliseconds": busy.total() / 1e3,
        "span_milliseconds": span / steps / 1e3,
        "below_3_us": sum(event.time_range.elapsed_us() < 3 for event in events) / steps,
        "longest": [[name, round(us, 1), round(count[name], 1)] for name, us in busy.most_common(40)],
    }


def population(device, model, count):
    """Time a step of replicas of the toy task at the paper's batch, and the host's part of it."""
    from genzoo.training.populations import Population

    count = int(count) if device == "cuda" else 2
    rates = [{"training.learning_rate": 1e-4 * (1 + number)} for number in range(count)]
    trainers = [
        _trainer(model, "mixture25-paper", device, seed=number, overrides=rate) for number, rate in enumerate(rates)
    ]
    together = Population(trainers)
    if obstacle := together.obstacle():
        return {"obstacle": obstacle}
    blocks = [_seconds(together.take_step, 200 if device == "cuda" else 2, device) for _ in range(5)]
    step, host = (statistics.median(values) for values in zip(*blocks, strict=True))
    return {
        "replicas": count,
        "step_ms": round(step * 1e3, 3),
        "host_ms": round(host * 1e3, 3),
        "minutes_for_200000": round(step * 200_000 / 60, 1),
    }


def failed_capture(device):
    """Take steps of a game that asks the device for a number, which no graph can record."""
    import warnings
    from dataclasses import dataclass, replace

    import torch

    from genzoo import GenzooWarning
    from genzoo.training import Trainer
    from genzoo_ali.ali import ALI

    @dataclass(frozen=True, kw_only=True)
    class Asking(ALI):
        """ALI that fetches a loss in every step."""

        def losses(self, networks, batch, movers):
            losses = super().losses(networks, batch, movers)
            losses.players["critic"].item()
            return losses

    found = {}
    for recipe in ("mixture25-paper", "digits"):
        plain = _trainer(MODEL, recipe, device)
        settings, execution = replace(plain.settings, game=Asking()), plain.execution
        trainer = Trainer(settings, plain.stream.split, seed=0, device=plain.device, execution=execution)
        stream = torch.cuda.current_stream() if device == "cuda" else None
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", GenzooWarning)
            for _ in range(7):
                trainer.take_step()
        found[recipe] = {
            "steps": trainer.step,
            "warnings": [str(warning.message)[:200] for warning in said],
            "stream_kept": device == "cpu" or torch.cuda.current_stream() == stream,
        }
    return found


def resumed(device, *how):
    """Compare 20 steps with the same 20 of another trainer, and with 10 and 10 more."""
    chosen = dict.fromkeys(how, True)

    def state_after(steps, state=None):
        trainer = _trainer(MODEL, "digits", device, **chosen)
        if state is not None:
            trainer.restore(state, step=10)
        for _ in range(steps):
            trainer.take_step()
        return trainer.state()

    whole, again, parts = (
        state["networks"] for state in (state_after(20), state_after(20), state_after(10, state_after(10)))
    )
    return {
        name: max((whole[tensor] - other[tensor]).abs().max().item() for tensor in whole)
        for name, other in (("repeated", again), ("resumed", parts))
    }


def a_save(device):
    """Time a checkpoint of the largest networks."""
    from genzoo.storage import checkpoints
    from genzoo.storage.tensors import pack

    trainer = _trainer(MODEL, "imagenet64" if device == "cuda" else "digits", device)
    trainer.wait()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        files = {f"{name}.safetensors": pack(part) for name, part in trainer.state().items()}
        checkpoints.save(Path(folder), step=1, files=files, keep=2)
        return {
            "megabytes": round(sum(map(len, files.values())) / 1e6),
            "seconds": round(time.perf_counter() - began, 2),
        }


def study(device, steps):
    """Run a slice of the toy study as its command does, and say what 200,000 steps would take."""
    steps = int(steps) if device == "cuda" else 20
    with tempfile.TemporaryDirectory() as folder:
        command = ["reproduce", "ali/mode-coverage", "--budget", "paper", "--set", f"study.steps={steps}"]
        command += ["--report", folder, "--device", device, *([] if device == "cuda" else ["--set", "study.runs=1"])]
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "genzoo", *command], capture_output=True, text=True, check=False)
        wall = time.perf_counter() - began
    return {
        "exit": done.returncode,
        "said": done.stderr[-500:] if done.returncode else "",
        "seconds": round(wall, 1),
        "minutes_for_200000": round(wall / steps * 200_000 / 60, 1),
    }


# The whole


@contextmanager
def findable():
    """Yield the environment of processes that import this checkout and find its plugins."""
    with tempfile.TemporaryDirectory() as site:
        metadata(site)
        paths = [str(ROOT), str(ROOT / "plugins"), site, os.environ.get("PYTHONPATH", "")]
        yield {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def commit():
    """Return the commit of the checkout, if git can say."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu-results.json"))
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--inside", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        function, *arguments = chosen.inside
        print(json.dumps(globals()[function](chosen.device, *arguments)))
        return
    end = time.monotonic() + 60 * chosen.minutes - 5
    about = {"commit": commit(), "python": sys.version.split()[0], "device": chosen.device}
    results = {"about": about | {"date": time.strftime("%Y-%m-%d %H:%M:%S")}}
    with findable() as environment:
        for name in chosen.only or PARTS:
            left, part = end - time.monotonic(), PARTS[name]
            if left < 15:
                results[name] = {"left out": f"{max(left, 0):.0f} seconds were left"}
            else:
                limit = min(left, part["seconds"])
                results[name] = take(part, device=chosen.device, seconds=limit, environment=environment)
            chosen.out.write_text(json.dumps(results, indent=1))
            print(shown(name, results[name]), flush=True)


if __name__ == "__main__":
    main()
