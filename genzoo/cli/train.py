"""`genzoo train` and `genzoo resume`."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from genzoo.cli import options
from genzoo.cli.data import provide_data
from genzoo.cli.output import result, result_json, show_main_scores, status
from genzoo.cli.progress import Bar, choose_callback
from genzoo.errors import Interrupted, InterruptedRun, SettingsError
from genzoo.host.discovery import registry
from genzoo.host.isolation import stdout_to_stderr
from genzoo.host.unregistered import code_of
from genzoo.runs import session
from genzoo.runs.callbacks import Callback
from genzoo.runs.collapse import failures_of
from genzoo.runs.configuration import Configuration, is_file, read_configuration
from genzoo.runs.request import ExecutionName, TrainingRequest
from genzoo.runs.signals import stop_on_signals
from genzoo.runs.threads import use_threads
from genzoo.storage.run_folder import Run
from genzoo.text import duration
from genzoo.training import torchrun

_steps = click.option("--steps", type=int, metavar="N", help="Steps in all, in place of the recipe's.")
_execution = click.option(
    "--execution",
    type=click.Choice(["auto", "eager", "captured", "compiled"]),
    default="auto",
    show_default=True,
    help="How steps are run: as written, as one CUDA graph, or compiled.",
)
_threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="CPU threads; by default OMP_NUM_THREADS, or those of the run, or as many as the machine has idle.",
)
_quiet = click.option("--quiet", is_flag=True, help="Print no progress while training.")


@click.command("train")
@click.argument("model", type=options.Name("models"), required=False)
@options.recipe
@options.seed
@_steps
@options.labels
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Override a setting; repeatable.")
@options.device
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "tf32", "bf16"]),
    default="auto",
    show_default=True,
    help="Arithmetic; tf32 needs a GPU.",
)
@options.deterministic
@_execution
@_threads
@click.option("--run", type=click.Path(), metavar="DIR", help="Run folder; one that exists is continued.")
@click.option("--from", "from_run", type=options.RunFolder(), metavar="RUN", help="Run to inherit networks from.")
@options.data
@options.track
@click.option("--fetch", is_flag=True, help="Get, check and prepare the data set first, if it is missing.")
@click.option("--config", metavar="FILE", help="YAML file of what to train, or a run.json; - reads stdin.")
@click.option("--print-config", is_flag=True, help="Write what would be trained as such a file, and train nothing.")
@options.as_json
@_quiet
@click.pass_context
def train_command(
    context: click.Context,
    /,
    assignments: tuple[str, ...],
    labels: int | None,
    threads: int | None,
    fetch: bool,
    config: str | None,
    print_config: bool,
    as_json: bool,
    quiet: bool,
    **options_of_request: Any,
) -> None:
    """Train MODEL on a recipe, in a new folder below runs/.

    In a terminal, you are asked whether to get a data set that is missing and that a program may get.

    \b
    genzoo train MODEL
    genzoo train MODEL --recipe R --seed 1 --set training.learning_rate=2e-4
    genzoo train --config FILE
    """
    request = _request_for(context, config, options.parse_settings(assignments), options_of_request)
    use_threads(threads, None if request.run is None else Run.at(request.run))
    request = options.labelled_request(request, labels)
    if print_config:
        result(_configuration_of(request))
        return
    if fetch or (options.can_ask() and not quiet and not as_json):
        provide_data(request, without_asking=fetch)
    _train_and_show(lambda callback: session.train_request(request, callback), as_json=as_json, quiet=quiet)


def _request_for(
    context: click.Context, config: str | None, overrides: Mapping[str, str], values: Mapping[str, Any]
) -> TrainingRequest:
    """Return what a configuration and the command line ask for; where both do, the command line decides."""
    read = Configuration() if config is None else read_configuration(config)
    chosen = options.with_values_of(read, context, values)
    if chosen["model"] is None:
        raise SettingsError("no model is named", "models are listed by: genzoo list models")
    if read.is_record and not options.is_typed("recipe", context) and not registry().has("recipes", chosen["recipe"]):
        from genzoo.runs.job import find_recipe
        from genzoo.runs.recipe_files import recipe_of

        chosen["recipe"] = recipe_of(registry(), read, chosen["recipe"], find_recipe)  # its file may be elsewhere
    read = options.overridden(read, overrides)
    return TrainingRequest(overrides=read.overrides, places=read.places, **chosen)


def _configuration_of(request: TrainingRequest) -> str:
    from genzoo.runs.job import configuration_text, resolve_job

    source = None if request.from_run is None else Run.at(request.from_run).as_source()
    file = request.recipe if isinstance(request.recipe, str) and is_file(request.recipe) else None
    return configuration_text(resolve_job(registry(), request, source), registry(), recipe=file).rstrip("\n")


@click.command("resume")
@options.run
@_steps
@options.device
@_execution
@_threads
@options.data
@options.track
@options.as_json
@_quiet
def resume_command(
    run: str,
    steps: int | None,
    device: str,
    execution: ExecutionName,
    threads: int | None,
    data: str | None,
    track: tuple[str, ...] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Continue RUN from its newest whole checkpoint, exactly as if it had never stopped."""
    use_threads(threads, Run.at(run))
    _train_and_show(
        lambda callback: session.resume_run(
            run, steps=steps, device=device, execution=execution, data=data, track=track, callback=callback
        ),
        as_json=as_json,
        quiet=quiet,
    )


def _train_and_show(start: Callable[[Callback], Run], *, as_json: bool, quiet: bool) -> None:
    is_first = torchrun.rank() == 0
    with stop_on_signals() as stop:
        callback = choose_callback(stop, quiet=quiet or not is_first)
        try:
            with stdout_to_stderr():
                run = start(callback)
        except Interrupted as end:
            if callback.run is None:
                raise
            raise InterruptedRun(
                f"stopped while it was measured; all {callback.run.step:,} steps are saved",
                f"go on with: {torchrun.command()} resume {callback.run.path}",
                signal_number=end.number,
            ) from end
        finally:
            if isinstance(callback, Bar):
                callback.close()
    if is_first:
        _show_result(run, as_json=as_json)


def _show_result(run: Run, *, as_json: bool) -> None:
    step = run.step
    times = (entry.get("seconds") for entry in reversed(run.read_log()))
    seconds = next((time for time in times if isinstance(time, int | float)), 0.0)
    scores, failures = run.final_scores, failures_of(run)
    if as_json:
        result_json(
            {
                "run": str(run.path),
                "step": step,
                "seconds": seconds,
                "steps_per_second": step / seconds if seconds else None,
                "scores": scores,
                "failures": failures,
            }
        )
        return
    show_main_scores(scores)
    result(f"\n{run.path}: {step:,} steps in {duration(seconds)} of training", fold=True)
    for failure in failures:
        status(f"failed: {failure}")
    status("next, look into it:" if failures else "next, try:")
    for command in ["show"] if failures else _next_commands(run):
        status(f"  genzoo {_code_options(run)}{command} {run.path}", fold=False)


def _next_commands(run: Run) -> list[str]:
    folders = {"sample": "samples", "reconstruct": "reconstructions"}
    return ["show", *(command for command, folder in folders.items() if (Path(run.path) / folder).is_dir())]


def _code_options(run: Run) -> str:
    """Return the options that name the code of a run's unregistered components, with a space after each."""
    places = sorted(set(code_of([run.record.model, run.record.settings])))
    files = (os.path.relpath(place) if place.endswith(".py") else place for place in places)
    return "".join(f"--code {shlex.quote(file)} " for file in files)
