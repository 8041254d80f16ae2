"""`genzoo evaluate`."""

import click

from genzoo import api
from genzoo.cli import options
from genzoo.cli.output import result_json, show_scores
from genzoo.storage.run_folder import Run
from genzoo.types import SplitName


@click.command("evaluate")
@options.run
@click.option(
    "--metric",
    "metrics",
    type=options.Name("metrics"),
    multiple=True,
    metavar="M",
    help="A metric; repeatable.",
)
@options.split("test")
@options.seed
@options.raw
@options.device
@options.data
@options.as_json
def evaluate_command(
    run: str,
    metrics: tuple[str, ...],
    split: SplitName,
    seed: int,
    raw: bool,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Measure RUN's model and add the scores to its evaluation.json.

    Without --metric, every installed metric that can measure the model in short time is used.
    """
    scores = api.evaluate(run, metrics=metrics, split=split, seed=seed, raw=raw, device=device, data=data)
    if as_json:
        step = scores[0]["step"] if scores else Run.at(run).step
        result_json({"run": run, "step": step, "scores": scores})
        return
    show_scores(scores)
