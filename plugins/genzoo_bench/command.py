"""`genzoo bench`."""

import json
import os
from typing import TYPE_CHECKING, get_args

import click

from genzoo import SettingsError
from genzoo.runs import ExecutionName, PrecisionName

if TYPE_CHECKING:
    from genzoo_bench.benchmark import Benchmark

BASELINES = ("eager-alternating", "eager-same-maths")


@click.command("bench", short_help="Time a model's steps beside loops written by hand.")
@click.argument("model")
@click.option("--recipe", metavar="R", help="Recipe; the default one if left out.")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Steps timed of each loop in all, in ten blocks; ten seconds of each if left out.",
)
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Override a setting; repeatable.")
@click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:INDEX.")
@click.option("--precision", type=click.Choice(get_args(PrecisionName)), default="auto", show_default=True)
@click.option("--execution", type=click.Choice(get_args(ExecutionName)), default="auto", show_default=True)
@click.option("--against", multiple=True, type=click.Choice(BASELINES), help="Loop by hand; both if left out.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def bench(
    model: str,
    recipe: str | None,
    steps: int | None,
    assignments: tuple[str, ...],
    device: str,
    precision: PrecisionName,
    execution: ExecutionName,
    against: tuple[str, ...],
    as_json: bool,
) -> None:
    """Time the engine's steps of MODEL on a recipe, beside loops written by hand, on random rows on the device.

    eager-alternating is the loop of a tutorial, eager-same-maths the engine's mathematics without its shortcuts.
    """
    from genzoo_bench.benchmark import benchmark

    overrides = dict(_assignment(text) for text in assignments)
    result = benchmark(
        model,
        recipe=recipe,
        steps=steps,
        overrides=overrides,
        device=device,
        precision=precision,
        execution=execution,
        against=against or BASELINES,
        say=lambda line: click.echo(line, err=True),
    )
    click.echo(json.dumps({"schema_version": 1, **result}, indent=2) if as_json else _table(result))


def _assignment(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: expected PATH=VALUE", "such as: --set training.batch_size=64")
    return path.strip(), value


def _table(result: "Benchmark") -> str:
    where = result["device"] if result["device"] != "cpu" else f"cpu, {result['threads']} of {os.cpu_count()} threads"
    lines = [
        f"{result['model']} on {result['recipe']}: batch {result['batch_size']}, {where}, {result['precision']}, "
        f"{result['execution']}, torch {result['torch']}",
        f"{'':18}{'steps/s':>10}{'images/s':>11}   engine is … times as fast (median over blocks)",
        f"{'engine':18}{_rate(result['steps_per_second']):>10}{_rate(result['images_per_second']):>11}",
    ]
    for name, baseline in result["baselines"].items():
        if "obstacle" in baseline:
            lines.append(f"{name:18}{'–':>10}{'–':>11}   {baseline['obstacle']}")
            continue
        low, _, high = baseline["ratio_quartiles"]
        lines.append(
            f"{name:18}{_rate(baseline['steps_per_second']):>10}{_rate(baseline['images_per_second']):>11}   "
            f"{baseline['ratio']:.3f} (quartiles {low:.3f}–{high:.3f} of {result['blocks']} blocks)"
        )
    lines.append(_arithmetic(result))
    whose = "this process" if result["device"] == "cpu" else "the device"
    lines.append(
        f"memory of {whose}: {result['memory_bytes'] / 2**20:,.0f} MiB; "
        f"host synchronisations per step: {result['syncs_per_step']:g} (outside the log)"
    )
    return "\n".join(lines)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _arithmetic(result: "Benchmark") -> str:
    return (
        f"FLOPs per step: {result['flops_per_step']:.3g}; {result['flops_per_second'] / 1e9:,.4g} GFLOP/s, "
        f"{result['utilisation']:.1%} of the {result['peak_flops_per_second'] / 1e9:,.4g} that matrix products "
        "reach here"
    )
