"""`genzoo bench`."""

import json
import os

import click

from genzoo import SettingsError

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
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option(
    "--execution", type=click.Choice(["auto", "eager", "captured", "compiled"]), default="auto", show_default=True
)
@click.option("--against", multiple=True, type=click.Choice(BASELINES), help="Loop by hand; both if left out.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def bench(model, recipe, steps, assignments, device, precision, execution, against, as_json):
    """Time the engine's steps of MODEL on a recipe, beside loops written by hand, on random rows on the device.

    eager-alternating is the loop of a tutorial, eager-same-maths the engine's mathematics without its shortcuts.
    """
    from genzoo_bench.benchmark import benchmark

    overrides = dict(_assignment(text) for text in assignments)
    found = benchmark(
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
    click.echo(json.dumps({"schema_version": 1, **found}, indent=2) if as_json else _table(found))


def _assignment(text):
    path, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: expected PATH=VALUE, such as training.batch_size=64")
    return path.strip(), value


def _table(found):
    where = found["device"] if found["device"] != "cpu" else f"cpu, {found['threads']} of {os.cpu_count()} threads"
    lines = [
        f"{found['model']} on {found['recipe']}: batch {found['batch_size']}, {where}, {found['precision']}, "
        f"{found['execution']}, torch {found['torch']}",
        f"{'':18}{'steps/s':>10}{'images/s':>11}   engine is … times as fast (median over blocks)",
        f"{'engine':18}{_rate(found['steps_per_second']):>10}{_rate(found['images_per_second']):>11}",
    ]
    for name, one in found["baselines"].items():
        if "obstacle" in one:
            lines.append(f"{name:18}{'–':>10}{'–':>11}   {one['obstacle']}")
            continue
        low, _, high = one["ratio_quartiles"]
        lines.append(
            f"{name:18}{_rate(one['steps_per_second']):>10}{_rate(one['images_per_second']):>11}   "
            f"{one['ratio']:.3f} (quartiles {low:.3f}–{high:.3f} of {found['blocks']} blocks)"
        )
    lines.append(_arithmetic(found))
    whose = "this process" if found["device"] == "cpu" else "the device"
    lines.append(
        f"memory of {whose}: {found['memory_bytes'] / 2**20:,.0f} MiB; "
        f"host synchronisations per step: {found['syncs_per_step']:g} (outside the log)"
    )
    return "\n".join(lines)


def _rate(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _arithmetic(found):
    if found["flops_per_step"] is None:
        return "FLOPs per step: unknown, as some layers are in no layer table"
    return (
        f"FLOPs per step: {found['flops_per_step']:.3g}; {found['flops_per_second'] / 1e9:,.4g} GFLOP/s, "
        f"{found['utilisation']:.1%} of the {found['peak_flops_per_second'] / 1e9:,.4g} that matrix products reach here"
    )
