"""`genzoo compare`."""

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo import api
from genzoo.cli import options
from genzoo.cli.output import result, result_json, status
from genzoo.cli.progress import watching
from genzoo.errors import DivergedError, SettingsError, UnreadableError
from genzoo.host.registry import registry
from genzoo.storage.run_folder import Run

if TYPE_CHECKING:
    from genzoo.comparison.cells import Cell, Command, Contestant, Outcome
    from genzoo.comparison.report import Section
    from genzoo.evaluation.model import Model
    from genzoo.types import Splits

_EVALUATIONS = 5


@click.command("compare", short_help="Train models on the same data and budget, and report.")
@click.argument("models", nargs=-1, required=True, type=options.Name("models"), metavar="MODEL|RUN...")
@click.option("--recipe", type=options.Name("recipes"), metavar="R", help="Recipe; mixture25 if left out.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, metavar="K", help="How many.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Updates of every model.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="J", help="Trainings at a time; all cores if left out.")
@options.together
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="[NAME:]PATH=VALUE",
    help="Override a setting of all models, or of one; repeatable.",
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="DIR", help="Where to; by default comparisons/RECIPE."
)
@options.device
@options.data
@options.as_json
def compare_command(
    models: tuple[str, ...],
    recipe: str | None,
    seeds: int,
    steps: int | None,
    jobs: int | None,
    together: bool | None,
    assignments: tuple[str, ...],
    report: Path | None,
    device: str,
    data: str | None,
    as_json: bool,
) -> None:
    """Train models on the same networks, data, batches and budget, and report on them side by side.

    A name may be given to a model, to compare it with itself: hinge=ali. Runs that exist are compared by their paths.
    What is trained already is not trained again.

    \b
    genzoo compare ali gan vae
    genzoo compare ali hinge=ali --set hinge:game.objective=hinge --seeds 3
    """
    from genzoo.comparison import cells as comparing
    from genzoo.comparison import report as reports

    contestants = _contestants(models, recipe, seeds, steps, assignments, device, data)
    comparing.refuse_unlike(contestants)
    folder = report or Path("comparisons") / contestants[0].jobs[0].recipe
    cells = comparing.cells_of(contestants, folder)
    for cell in cells:
        if cell.contestant.run is not None and not cell.is_done:
            raise UnreadableError(f"{cell.run.path} is not finished", f"type: genzoo resume {cell.run.path}")
    cores = os.cpu_count() or 1
    command = shlex.join(["genzoo", *sys.argv[1:]])
    status(f"{len(cells)} trainings, {sum(cell.is_done for cell in cells)} of them done; report: {folder}")
    former, labels = comparing.compared_before(folder), [one.label for one in contestants]
    if former and former != labels:
        status(f"it takes the place of the report on {', '.join(former)}; to keep both, add: --report DIR")
    with watching([f"{cell.contestant.label} seed {cell.job.seed}" for cell in cells]) as progress:
        outcomes = comparing.train_cells(
            cells,
            lambda some: command_of(some, device, data),
            jobs=jobs or min(len(cells), cores),
            together=plays_together(together, device),
            progress=progress,
        )
    pass_on_warnings(outcomes)
    splits = contestants[0].settings.dataset.load(api.data_folder(data))
    models_of = {
        cell.contestant.label: api.load(cell.run)
        for cell, outcome in zip(cells, outcomes, strict=True)
        if outcome.code == 0 and cell.job is cell.contestant.jobs[0]
    }
    baselines = _baselines(contestants, models_of, splits)
    results = comparing.results(contestants, cells, outcomes, baselines, command=command)
    for row in results["rows"]:
        row["obstacles"] = _obstacles(models_of.get(row["label"]))
    results["vectors"] = not contestants[0].settings.dataset.spec.is_image
    comparing.write_results(folder, results)
    reports.write_report(folder, results, _sections(models_of, splits))
    if as_json:
        result_json(results)
    else:
        result(reports.Table(results).markdown())
        result(f"\n{folder / 'report.html'}")
    failures = [f"{row['label']}: {failure}" for row in results["rows"] for failure in row["failed"]]
    if failures:
        raise DivergedError(f"{len(failures)} of {len(cells)} trainings failed: {'; '.join(failures)}")


def _contestants(
    models: Sequence[str],
    recipe: str | None,
    seeds: int,
    steps: int | None,
    assignments: Sequence[str],
    device: str,
    data: str | None,
) -> "list[Contestant]":
    from genzoo.comparison.cells import Contestant
    from genzoo.runs.job import job_of, resolve_job

    names = {name.partition("=")[0] for name in models}
    common, own = _split_assignments(assignments, names)
    runs = {name: Run(Path(name)) for name in models if os.sep in name or Path(name, "run.json").is_file()}
    if runs and recipe is None and len(runs) == len(models):
        recipe = next(iter(runs.values())).record["recipe"]
    found = []
    for name in models:
        if name in runs:
            run = runs[name]
            found.append(Contestant(label=run.name, jobs=(job_of(registry(), run.record),), run=run))
            continue
        label, _, model = name.rpartition("=")
        overrides: Mapping[str, object] = {**common, **own.get(label or model, {})}
        jobs = tuple(
            resolve_job(
                registry(), model, recipe, seed, steps, "auto", overrides, None, device=device
            ).with_found_classes(api.data_folder(data))
            for seed in range(seeds)
        )
        found.append(Contestant(label=label or model, jobs=jobs))
    return found


def _split_assignments(assignments: Sequence[str], names: set[str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return the settings for all models, and those for one, by its name."""
    common: dict[str, str] = {}
    own: dict[str, dict[str, str]] = {}
    for path, value in options.parse_settings(assignments).items():
        name, colon, rest = path.rpartition(":")
        if not colon:
            common[path] = value
        elif name in names:
            own.setdefault(name, {})[rest] = value
        else:
            raise SettingsError(f"--set {path}: no '{name}' is compared", f"there are: {', '.join(sorted(names))}")
    return common, own


def command_of(cells: "Sequence[Cell]", device: str, data: str | None) -> "Command":
    """Return the command that trains some cells, alone or together, with a handful of evaluations on the way."""
    from genzoo.comparison.cells import Command

    where = ["--device", device] if data is None else ["--device", device, "--data", data]
    if len(cells) > 1:
        return Command(["train-together", *where], reads=json.dumps([_training(cell) for cell in cells]))
    training = _training(cells[0])
    overrides, model = training.pop("overrides"), training.pop("model")
    arguments = [f"--{name.removesuffix('_run').replace('_', '-')}={value}" for name, value in training.items()]
    arguments += [f"--set={path}={value}" for path, value in overrides.items()]
    return Command(["train", model, *arguments, *where, "--json", "--quiet"])


def _training(cell: "Cell") -> dict[str, Any]:
    """Return a cell as arguments of `genzoo.train`."""
    job, training = cell.job, cell.job.settings.training
    every = training.evaluate_every or max(1, training.steps // _EVALUATIONS)
    found = {"model": job.model, "recipe": job.recipe, "seed": job.seed, "steps": training.steps}
    found |= {"overrides": {"training.evaluate_every": str(every)} | job.overrides, "run": str(cell.run.path)}
    return found if cell.source is None else found | {"from_run": str(cell.source.path)}


def pass_on_warnings(outcomes: "Sequence[Outcome]") -> None:
    """Write what the trainings warned of, each line once."""
    for line in dict.fromkeys(line for outcome in outcomes for line in outcome.said.splitlines()):
        if line.startswith("warning: "):
            status(line)


def plays_together(chosen: bool | None, device: str) -> bool:
    """Return whether replicas are played as one program: as was chosen, else on GPUs, where that was made for."""
    from genzoo.training.devices import choose_device

    return choose_device(device).type == "cuda" if chosen is None else chosen


def _baselines(
    contestants: "Sequence[Contestant]", models: "Mapping[str, Model]", splits: "Splits"
) -> list[dict[str, Any]]:
    """Return the scores of held-out samples, and of every contestant's networks before their first step."""
    from genzoo.comparison import cells as comparing
    from genzoo.evaluation.model import Model
    from genzoo.training.devices import choose_device
    from genzoo.training.trainer import Trainer

    found = []
    if models:
        some = comparing.held_out(next(iter(models.values())), splits)
        measured = [metric.name for metric in api.applicable_metrics(some) if metric.measures_held_out]
        if measured:
            found.append(_baseline("held-out samples", some, splits, only=measured))
    for one in contestants:
        if one.run is not None or one.jobs[0].plan.source is not None:
            continue
        job = one.jobs[0]
        trainer = Trainer(job.plan, splits.train, seed=job.seed, device=choose_device("cpu"))
        model = Model(
            networks=trainer.networks,
            data=job.settings.dataset.spec,
            prior=job.settings.prior,
            latent=job.settings.architecture.latent,
            label_frequencies=None,
            device=trainer.device,
        )
        found.append(_baseline(f"{one.label}, untrained", model, splits))
    return found


def _baseline(label: str, model: "Model", splits: "Splits", only: Sequence[str] = ()) -> dict[str, Any]:
    from genzoo.comparison.cells import summary
    from genzoo.components import to_json
    from genzoo.evaluation.metrics import evaluate_model
    from genzoo.randomness import preserved

    metrics = [one for one in api.applicable_metrics(model) if not only or one.name in only]
    with preserved():
        scores = evaluate_model(model, splits, metrics, split_name="test", seed=0)
    rows = [to_json(one) | {"final": summary([one.value]), "best": None} for one in scores]
    return {"label": label, "scores": rows}


def _obstacles(model: "Model | None") -> list[tuple[str, str]]:
    if model is None:
        return []
    return [(metric.name, obstacle) for metric, obstacle in api.metrics_with_obstacles(model) if obstacle is not None]


def _sections(models: "Mapping[str, Model]", splits: "Splits") -> "list[Section]":
    """Return pictures of every model, with the same z and the same x."""
    from genzoo.comparison.report import Picture, Section
    from genzoo.evaluation import pictures

    if not models:
        return []
    count = 64 if next(iter(models.values())).data.is_image else 2500
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "picture.png"
        samples, again, between = [], [], []
        for label, model in models.items():
            pictures.save_samples(path, model, count=count, seed=0)
            samples.append(Picture(label, path.read_bytes()))
            if model.networks.encoder is None or model.networks.decoder is None:
                continue
            shown = min(count // 2 if model.data.is_image else count, len(splits.validation.x))
            pictures.save_reconstructions(path, model, splits.validation, count=shown, seed=0)
            again.append(Picture(label, path.read_bytes()))
            if model.data.is_image:
                x, y = model.rows(splits.validation, 8)
                ends = None if y is None else (y[:4], y[4:])
                pictures.save_interpolations(path, model, x[:4], x[4:], steps=7, seed=0, y=ends)
                between.append(Picture(label, path.read_bytes()))
    found = [Section("Samples", "The same draws from the prior for every model, seed 0.", tuple(samples))]
    if again:
        note = "The same validation rows for every model; of images, odd columns are originals and even ones their"
        found.append(Section("Reconstructions", f"{note} reconstructions.", tuple(again)))
    if between:
        note = "Between the codes of two validation images, which stand at the ends of each row."
        found.append(Section("Interpolations", note, tuple(between)))
    return found
