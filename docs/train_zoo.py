"""Trains every model on the digits and on the 25 Gaussians, and makes the numbers and pictures of docs/zoo.md.

`python docs/train_zoo.py` prints how long it will take, trains what is missing below runs/zoo, and writes docs/zoo,
docs/zoo.md and docs/gallery.md. What was trained and measured before is not repeated, so it may be stopped at any time.
"""

import argparse
import io
import json
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import make_zoo
import torch
from PIL import Image

from genzoo import Run
from genzoo.comparison.baselines import samplers_of
from genzoo.comparison.results import HELD_OUT
from genzoo.data.root import data_root
from genzoo.errors import DivergedError, GenzooError, explain
from genzoo.evaluation import drawing
from genzoo.evaluation.metrics import evaluate_model
from genzoo.evaluation.scoring import metric_called
from genzoo.runs import TrainingRequest, new_trainer
from genzoo.runs.callbacks import Callback
from genzoo.runs.session import load_run, train_request

LABELS = 100
METRICS = {
    "digits": ("classifier-distance", "coverage", "reconstruction", "classification"),
    "mixture25": ("modes", "reconstruction"),
}
COLUMNS = 20
"""Of a grid of images."""
POINTS = 2000
"""Of a scatter plot."""
COLOURS = 128
"""Of a picture, so that it stays small."""
TIMED_STEPS = 12
SECONDS_BESIDE = 4.0
"""What a training takes beside its steps: networks, pictures, checkpoints and scores."""


class Job(NamedTuple):
    """One training of the zoo."""

    task: str
    model: str
    seed: int
    request: TrainingRequest


class Clock(Callback):
    """Takes the CPU time of steps, which does not depend on what else the machine does."""

    def __init__(self):
        self._times = []

    def on_step(self, step):
        """Note the time."""
        self._times.append(time.process_time())

    @property
    def milliseconds(self):
        """Those of a step, a mean; None for a training that took fewer than two in this process."""
        steps = len(self._times) - 1
        return (self._times[-1] - self._times[0]) / steps * 1e3 if steps > 0 else None


class Plan(NamedTuple):
    """How long and how often to train for a task."""

    steps: int
    seeds: range


def main():
    """Train what is missing, and write numbers, pictures and the page."""
    options = _options()
    torch.set_num_threads(1)
    models = {name: model for name, model in make_zoo.zoo().items() if name in (options.models or [name])}
    plans = {"digits": Plan(options.digits_steps, range(3)), "mixture25": Plan(options.mixture_steps, range(1))}
    jobs = [job for task, plan in plans.items() for job in _jobs(task, plan, models, options.folder)]
    obstacles, seconds = _timed(jobs)
    jobs = [job for job in jobs if (job.task, job.model) not in obstacles]
    minutes = _minutes(jobs, seconds) / options.jobs
    print(f"{len(jobs)} trainings, about {minutes:.0f} minutes in {options.jobs} processes on idle cores", flush=True)
    _train(jobs, options.jobs)
    options.out.mkdir(parents=True, exist_ok=True)
    for task, plan in plans.items():
        _write(task, plan, [job for job in jobs if job.task == task], models, obstacles, options.out)
    if options.out == make_zoo.MEASURED:
        make_zoo.write()


def _options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/zoo"), help="where the runs lie")
    parser.add_argument("--out", type=Path, default=make_zoo.MEASURED, help="where numbers and pictures go")
    parser.add_argument("--models", type=lambda text: text.split(","), help="these alone, such as ali,gan")
    parser.add_argument("--digits-steps", type=int, default=700)
    parser.add_argument("--mixture-steps", type=int, default=1500)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser.parse_args()


# What is trained


def _jobs(task, plan, models, folder):
    """Return the trainings of a task; those that take networks from another run come last."""
    place = folder / f"{task}-{plan.steps}"
    return [
        Job(task, model.name, seed, _request(task, plan.steps, model, seed, models, place))
        for model in sorted(models.values(), key=lambda model: len(model.game.inherits))
        for seed in plan.seeds
    ]


def _request(task, steps, model, seed, models, place):
    overrides = {"training.picture_every": steps, "training.checkpoint_every": steps}
    if model.takes_few_labels:
        rows = make_zoo.find_recipe(make_zoo.registry(), task).training.batch_size
        overrides |= {"training.labels": LABELS, "training.labelled_rows": rows // 3}
    source = place / f"{make_zoo.source_of(model, models)}-s0" if model.game.inherits else None
    return TrainingRequest(
        model=model.name,
        recipe=task,
        seed=seed,
        steps=steps,
        overrides=overrides,
        run=place / f"{model.name}-s{seed}",
        from_run=source,
        device="cpu",
        metrics=(),
    )


def _timed(jobs):
    """Return why models cannot be trained, and the seconds of a training's steps, both by task and model."""
    obstacles, seconds = {}, {}
    for job in jobs:
        if job.seed == 0 and job.request.from_run is None:
            try:
                seconds[job.task, job.model] = _seconds(job.request)
            except GenzooError as error:
                obstacles[job.task, job.model] = error.found
    return obstacles, seconds


def _seconds(request):
    trainer = new_trainer(request)
    trainer.take_step()
    began = time.process_time()
    for _ in range(TIMED_STEPS):
        trainer.take_step()
    return (time.process_time() - began) / TIMED_STEPS * request.steps


def _minutes(jobs, seconds):
    """Return the minutes that the jobs take in one process; those that inherit networks as long as the others."""
    mean = statistics.fmean(seconds.values()) if seconds else 0.0
    waiting = [job for job in jobs if not _is_done(job)]
    return sum(seconds.get((job.task, job.model), mean) + SECONDS_BESIDE for job in waiting) / 60


def _train(jobs, count):
    """Train and measure what has no result yet, first those that others take networks from."""
    context, one_thread = get_context("spawn"), {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(count, mp_context=context, **one_thread) as pool:
        for inherits in (False, True):
            group = [job for job in jobs if (job.request.from_run is not None) == inherits and not _is_done(job)]
            waiting = [pool.submit(carry_out, job) for job in group]
            for number, ended in enumerate(as_completed(waiting), start=1):
                print(f"{number}/{len(group)} {ended.result()}", flush=True)


def carry_out(job):
    """Train and measure a job in this process, write its result beside its run, and return a line on it."""
    began, clock = time.monotonic(), Clock()
    try:
        run = train_request(job.request, clock)
        document = {"scores": _scores(job, run), "milliseconds": clock.milliseconds}
    except Exception as error:
        reason = explain(error)
        document = {"failure": reason.found, "diverged": isinstance(reason, DivergedError)}
    _path(job).parent.mkdir(parents=True, exist_ok=True)
    _path(job).write_text(json.dumps(document))
    name = f"{job.model} on {job.task}, seed {job.seed}: {time.monotonic() - began:.0f} s"
    return f"{name}, {document['failure']}" if "failure" in document else name


def _path(job):
    return Path(f"{job.request.run}.json")


def _result(job):
    """Return the result that was written beside a job's run, or an empty one."""
    return json.loads(_path(job).read_text()) if _path(job).exists() else {}


def _is_done(job):
    """Return whether there is nothing left to do for a job; a failure that is no divergence is tried again."""
    result = _result(job)
    return "scores" in result or result.get("diverged", False)


def _scores(job, run):
    """Return the scores of a run on the test split by name; the metrics may read all labels of the data."""
    model = load_run(run)
    splits = model.dataset.load(data_root())
    metrics = [metric_called(name) for name in METRICS[job.task]]
    able = [metric for metric in metrics if metric.obstacle(model) is None]
    return _shown(job.task, evaluate_model(model, splits, able, split_name="test", seed=job.seed))


# What is written


def _write(task, plan, jobs, models, obstacles, out):
    """Write the numbers of a task, and a picture of every model's first run."""
    recipe = make_zoo.find_recipe(make_zoo.registry(), task)
    done = {name: [job for job in jobs if job.model == name and "scores" in _result(job)] for name in models}
    first = {name: load_run(Run.at(jobs[0].request.run)) for name, jobs in done.items() if jobs}
    results = {name: _of_model(first[name], done[name], plan) for name in first}
    for name in models.keys() - first.keys():
        failures = [_result(job)["failure"] for job in jobs if job.model == name and "failure" in _result(job)]
        results[name] = {"obstacle": obstacles.get((task, name)) or ", ".join(dict.fromkeys(failures))}
    document = {
        "date": str(date.today()),
        "machine": _machine(),
        "steps": plan.steps,
        "recipe_steps": recipe.training.steps,
        "batch_size": recipe.training.batch_size,
        "labels": LABELS,
        "seeds": list(plan.seeds),
        "models": dict(sorted(results.items())),
        "held_out": _held_out(task, first.values()),
    }
    (out / f"{task}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, model in first.items():
        _draw(model, out / f"{name}-{task}.png")


def _of_model(model, done, plan):
    """Return what the trainings of a model came to; `model` is the first of those that ended well."""
    results = [_result(job) for job in done]
    times = [result["milliseconds"] for result in results if result["milliseconds"] is not None]
    return {
        "n": len(done),
        "failed": len(plan.seeds) - len(done),
        "scores": {name: _spread([result["scores"][name] for result in results]) for name in results[0]["scores"]},
        "milliseconds": statistics.fmean(times) if times else None,
        "parameters": sum(parameter.numel() for parameter in model.networks.parameters()),
        "evaluations": model.networks.evaluations,
    }


def _spread(values):
    std = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "std": std, "n": len(values), "values": values}


def _held_out(task, models):
    """Return the scores of validation rows in place of the samples of the first model that has samples."""
    model = next((model for model in models if model.sampling_obstacle is None), None)
    if model is None:
        return {}
    splits = model.dataset.load(data_root())
    held_out = samplers_of(model, splits)[HELD_OUT]
    metrics = [metric_called(name) for name in METRICS[task]]
    able = [metric for metric in metrics if metric.measures_held_out and metric.obstacle(held_out) is None]
    return _shown(task, evaluate_model(held_out, splits, able, split_name="test", seed=0))


def _shown(task, scores):
    """Return the values of the scores that the page shows, by name."""
    return {score.metric: float(f"{score.value:.6g}") for score in scores if score.metric in make_zoo.SCORES[task]}


def _machine():
    versions = f"Python {platform.python_version()}, torch {torch.__version__.partition('+')[0]}"
    return f"{os.cpu_count()} cores ({platform.machine()}), one thread per training, {versions}"


def _draw(model, path):
    """Draw samples, and pairs of rows and reconstructions; nothing for a model that has no decoder."""
    if model.networks.decoder is None:
        return
    picture = _grid(model) if model.data.is_image else _panels(model)
    large = Image.open(io.BytesIO(picture)).convert("RGB")
    small = large.resize([size // 2 for size in large.size], Image.Resampling.LANCZOS)
    small.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(path, optimize=True)


def _rows(model, count):
    split = model.dataset.load(data_root()).test
    return model.rows(split, count)


def _grid(model):
    """Return a grid: a row of samples and, for a model with an encoder, one of data and one of reconstructions."""
    rows = [model.sample(COLUMNS)] if model.sampling_obstacle is None else []
    if model.networks.encoder is not None:
        x, y = _rows(model, COLUMNS)
        rows += [x, model.reconstruct(x, y=y)]
    return drawing.grid_png(torch.cat(rows), columns=COLUMNS)


def _panels(model):
    """Return plots of samples and, for a model with an encoder, of codes and reconstructions."""
    x, y = _rows(model, POINTS)
    labels = model.dataset.load(data_root()).test.labels[:POINTS]
    limit = drawing.data_limit(x, model.data)
    can_sample = model.sampling_obstacle is None
    panels = [drawing.Panel("samples", model.sample(POINTS), None, limit)] if can_sample else []
    if model.networks.encoder is not None:
        z = model.encode(x, y=y).z
        panels.append(drawing.Panel("codes of data", z, labels, drawing.latent_limit(z)))
        panels.append(drawing.Panel("reconstructions", model.decode(z, y), labels, limit))
    return drawing.panels_png(panels)


if __name__ == "__main__":
    main()
