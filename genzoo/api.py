"""The library in a few functions: train, resume, load and evaluate.

Here registry, run folder and engine meet. A run's lock, manifest and hashes are checked before torch is imported,
which is why torch's half of genzoo is imported inside the functions.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from genzoo.errors import BusyError, GenzooError, GenzooWarning, SettingsError
from genzoo.host.registry import registry
from genzoo.runs.callbacks import Callback
from genzoo.storage import checkpoints
from genzoo.storage.checkpoints import Checkpoint
from genzoo.storage.run_folder import Run, claim, claim_exactly, now
from genzoo.training import torchrun

if TYPE_CHECKING:
    from genzoo.evaluation.metrics import Metric
    from genzoo.evaluation.model import Model
    from genzoo.games.game import Game
    from genzoo.runs.engine import Engine
    from genzoo.runs.job import Job
    from genzoo.training.execution import Execution
    from genzoo.training.settings import Recipe
    from genzoo.training.trainer import Trainer
    from genzoo.types import Split, Splits

SplitName = Literal["train", "validation", "test"]
PrecisionName = Literal["auto", "fp32", "bf16"]
ExecutionName = Literal["auto", "eager", "captured", "compiled"]


def train(
    model: "str | Game",
    *,
    recipe: "str | Recipe | None" = None,
    seed: int = 0,
    steps: int | None = None,
    overrides: Mapping[str, object] | None = None,
    device: str = "auto",
    precision: PrecisionName = "auto",
    execution: ExecutionName = "auto",
    run: str | Path | None = None,
    from_run: str | Path | Run | None = None,
    data: str | Path | None = None,
    runs: str | Path = "runs",
    callback: Callback | None = None,
) -> Run:
    """Train a model on a recipe, evaluate it, and return its run.

    `overrides` maps dotted paths to values, as `--set` does; `run` names the run folder (by default the next
    number below `runs`), and an existing run is continued if its settings are the same; `from_run` gives the
    networks that the game inherits and, unless `recipe` is given, the recipe; `data` is the folder of data sets.
    `execution` says how steps are run: as written, captured as a CUDA graph, or compiled.
    In a process that torchrun has started, all of them train this one run, and the first writes it.
    Raises `GenzooError`s; their `exit_code` is the command line's.
    """
    if torchrun.rank():
        return _assist(device, execution, data, callback)
    with _opened(
        model,
        recipe=recipe,
        seed=seed,
        steps=steps,
        overrides=overrides,
        device=device,
        precision=precision,
        execution=execution,
        run=run,
        from_run=from_run,
        data=data,
        runs=runs,
        callback=callback,
    ) as engine:
        engine.train()
        return engine.run


def train_together(
    trainings: Sequence[Mapping[str, Any]],
    *,
    device: str = "auto",
    execution: ExecutionName = "auto",
    data: str | Path | None = None,
    callback: Callable[[], Callback] = Callback,
) -> dict[Path, GenzooError | None]:
    """Train several runs of one game as one batched program; return why each run failed, or None.

    Each of `trainings` has arguments of `train`, `run` among them; they may differ in seed, in what the optimizers are
    told, and in the standard deviation of the initial weights. Where they cannot be played together, one warning says
    why, and they are trained one after the other. Every run is as if it had been trained alone, to rounding and to
    what networks draw inside.
    """
    from genzoo.runs.engine import train_in_turn
    from genzoo.runs.engine import train_together as advance_together
    from genzoo.training.populations import Population, difference

    with ExitStack() as stack:
        engines = [
            stack.enter_context(_opened(**training, device=device, execution=execution, data=data, callback=callback()))
            for training in trainings
        ]
        trainers = [engine.trainer for engine in engines]
        population = None if (obstacle := difference(trainers)) else Population(trainers)
        if population is not None and (obstacle := population.obstacle()) is None:
            failed = advance_together(engines, population)
        else:
            _warn([f"{len(engines)} runs are trained one after the other and not together: {obstacle}"])
            failed = train_in_turn(engines)
        return {engine.run.path: failed.get(engine) for engine in engines}


def resume(
    run: str | Path | Run,
    *,
    steps: int | None = None,
    device: str = "auto",
    execution: ExecutionName = "auto",
    data: str | Path | None = None,
    callback: Callback | None = None,
) -> Run:
    """Continue a run from its newest whole checkpoint, to `steps` steps in all, and return it.

    It goes on with the precision and the number of ranks it was started with.
    """
    if torchrun.rank():
        return _assist(device, execution, data, callback)
    target = _as_run(run)
    record = target.record
    if record["ranks"] != torchrun.size():
        raise SettingsError(
            f"{target.path} was started with ranks: {record['ranks']}, and now there are: {torchrun.size()}",
            "another number of ranks deals out other batches; launch as many, or train anew",
        )
    with target.hold():
        found = target.newest_checkpoint()
        from genzoo.runs.job import job_of
        from genzoo.training.settings import with_steps

        job = job_of(registry(), record)
        if steps is not None:
            job = replace(job, plan=replace(job.plan, settings=with_steps(job.settings, steps)))
        with _prepared(job, device, execution, data) as ready:
            engine = _engine(job, target, ready, found, callback)
            engine.train()
            return engine.run


def load(run: str | Path | Run, *, device: str = "auto", raw: bool = False) -> "Model":
    """Return a run's model in inference mode, without its data.

    Averaged weights, where the run keeps them, are preferred unless `raw`.
    """
    target = _as_run(run)
    record = target.record
    checkpoint, faults = target.newest_checkpoint()
    _warn(faults)
    from genzoo.evaluation.model import Model
    from genzoo.randomness import preserved
    from genzoo.runs.job import plan_of
    from genzoo.storage.tensors import fill, weights_of
    from genzoo.training.devices import choose_device
    from genzoo.training.initialization import assemble

    chosen = choose_device(device)
    plan = plan_of(registry(), record)
    tensors, kind = weights_of(checkpoint, raw=raw)
    with preserved():
        networks = assemble(plan)
    fill(networks.state_dict(), tensors)
    return Model(
        networks=networks.to(chosen).eval(),
        data=plan.settings.dataset.spec,
        prior=plan.settings.prior,
        latent=plan.settings.architecture.latent,
        label_frequencies=record["label_frequencies"],
        device=chosen,
        step=checkpoint.step,
        weights=kind,
    )


def evaluate(
    run: str | Path | Run,
    *,
    metrics: Sequence[str] = (),
    split: SplitName = "test",
    seed: int = 0,
    raw: bool = False,
    device: str = "auto",
    data: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Measure a run's model, add the scores to its evaluation.json and return them.

    Each score is `{metric, value, step, protocol}`, its value None where it is not finite. Without `metrics`, every
    installed metric that can measure this model is used; a named one that cannot raises `SettingsError`.
    """
    target = _as_run(run)
    for name in metrics:
        registry().find("metrics", name)
    model = load(target, device=device, raw=raw)
    chosen = [metric_called(name) for name in metrics] or applicable_metrics(model)
    for metric in chosen:
        if obstacle := metric.obstacle(model):
            raise SettingsError(f"metric '{metric.name}' cannot measure {target.record['model']}: {obstacle}")
    return _measure(target, model, load_data(target, data=data), chosen, split, seed, strict=bool(metrics))


def load_data(run: str | Path | Run, *, data: str | Path | None = None) -> "Splits":
    """Return the data that a run was trained on."""
    record = _as_run(run).record
    from genzoo.runs.job import plan_of

    return plan_of(registry(), record).settings.dataset.load(data_folder(data))


def new_trainer(
    model: "str | Game",
    *,
    recipe: "str | Recipe | None" = None,
    split: "Split | None" = None,
    seed: int = 0,
    overrides: Mapping[str, object] | None = None,
    device: str = "auto",
    precision: PrecisionName = "auto",
    execution: ExecutionName = "auto",
) -> "Trainer":
    """Return a training in memory at step 0, without a run folder; `take_step()` takes a step.

    It reads the caller's `split`, or 16 batches of random rows that are shaped as the recipe's.
    """
    from genzoo.data.dataset import random_split
    from genzoo.runs.job import resolve_job
    from genzoo.training.devices import choose_device, choose_execution
    from genzoo.training.trainer import Trainer

    job = resolve_job(registry(), model, recipe, seed, None, precision, overrides or {}, None, device=device)
    if job.settings.game.inherits:
        parts = " and ".join(job.settings.game.inherits)
        raise SettingsError(f"{job.model} takes its {parts} from another run", "it can be trained with: genzoo train")
    chosen, spec = choose_device(device), job.settings.dataset.spec
    return Trainer(
        job.plan,
        split or random_split(spec, 16 * job.settings.training.batch_size, seed=seed),
        seed=seed,
        device=chosen,
        precision=job.precision,
        execution=choose_execution(execution, chosen),
    )


class _Ready(NamedTuple):
    """A job's trainer at step 0 and its data."""

    trainer: "Trainer"
    splits: "Splits"
    fingerprint: str | None
    execution: "Execution"


@contextmanager
def _opened(
    model: "str | Game",
    *,
    recipe: "str | Recipe | None" = None,
    seed: int = 0,
    steps: int | None = None,
    overrides: Mapping[str, object] | None = None,
    device: str = "auto",
    precision: PrecisionName = "auto",
    execution: str = "auto",
    run: str | Path | None = None,
    from_run: str | Path | Run | None = None,
    data: str | Path | None = None,
    runs: str | Path = "runs",
    callback: Callback | None = None,
) -> "Iterator[Engine]":
    """Yield the engine of a run that begins or goes on, as `train` describes, while this process holds its folder."""
    source = None if from_run is None else _as_run(from_run).as_source()
    target = None if run is None else Run(Path(run))
    if target is not None and target.exists:
        with target.hold():
            record, found = target.record, _newest_or_none(target)
            from genzoo.runs.job import refuse_differences, resolve_job

            stored = record["precision"] if precision == "auto" else precision
            job = resolve_job(registry(), model, recipe, seed, steps, stored, overrides or {}, source, device=device)
            job = job.with_found_classes(data_folder(data))
            refuse_differences(target, record, job, registry())
            with _prepared(job, device, execution, data) as ready:
                yield _engine(job, target, ready, found, callback)
        return
    from genzoo.runs.job import resolve_job

    job = resolve_job(registry(), model, recipe, seed, steps, precision, overrides or {}, source, device=device)
    job = job.with_found_classes(data_folder(data))
    with _prepared(job, device, execution, data) as ready:
        target = claim(Path(runs), job.label) if target is None else claim_exactly(target.path)
        with target.hold():
            if target.exists:
                raise BusyError(f"another process has begun {target.path} meanwhile", "type the same command again")
            yield _engine(job, target, ready, None, callback)


@contextmanager
def _prepared(job: "Job", device: str, execution: str, data: str | Path | None) -> Iterator[_Ready]:
    """Yield the job made ready, beside all other ranks: everything that can fail before a folder is made."""
    from genzoo.storage.tensors import weights_of
    from genzoo.training.devices import choose_device, choose_execution
    from genzoo.training.distributed import joined
    from genzoo.training.trainer import Trainer

    chosen, root = choose_device(device), data_folder(data)
    how = choose_execution(execution, chosen)
    splits, fingerprint = job.settings.dataset.load(root), job.settings.dataset.fingerprint(root)
    found = None if job.source is None else job.source.found
    inherited = None if found is None else weights_of(found)[0]
    with joined(chosen) as ranks:
        trainer = Trainer(
            job.plan,
            splits.train,
            seed=job.seed,
            device=chosen,
            precision=job.precision,
            execution=how,
            inherited=inherited,
            ranks=ranks,
        )
        yield _Ready(trainer, splits, fingerprint, how)


def _engine(
    job: "Job",
    run: Run,
    ready: _Ready,
    found: tuple[Checkpoint, list[str]] | None,
    callback: Callback | None,
) -> "Engine":
    """Return the engine of a run that this process holds, at the newest whole checkpoint if there is one."""
    from genzoo.runs.engine import Engine

    trainer, splits, fingerprint, execution = ready
    if run.exists and run.record["data"] != fingerprint:
        raise SettingsError(
            f"{run.path} was trained on other images of '{job.settings.dataset.name}' than are prepared now",
            "name the folder of the former ones with --data, or choose another --run",
        )
    steps = job.settings.training.steps
    if found is not None and found[0].step > steps:
        raise SettingsError(f"{run.path} has taken {found[0].step:,} steps already, more than {steps:,}")
    _ = run.scores  # that cannot be read are told before the first step, not after the last
    created = run.record["created"] if run.exists else now()
    run.write_record(
        job.record(
            registry(), splits=splits, data=fingerprint, device=trainer.device, execution=execution, created=created
        )
    )

    def evaluate_now(model: "Model") -> None:
        # A conditional model needs labels, and those of some test splits are secret.
        unlabelled = model.networks.is_conditional and splits.test.labels is None
        split: SplitName = "validation" if unlabelled else "test"
        _measure(run, model, splits, applicable_metrics(model), split, job.seed)

    engine = Engine(trainer, run, splits, callback or Callback(), evaluate_now)
    if found is not None:
        checkpoint, faults = found
        _warn(faults)
        _set_aside_newer(run, checkpoint)
        engine.restore(checkpoint)
    trainer.ranks.broadcast_json({"run": str(run.path), "record": run.record, "step": trainer.step})
    trainer.broadcast(trainer.step)
    return engine


def _assist(device: str, execution: str, data: str | Path | None, callback: Callback | None) -> Run:
    """Train what the first rank says, from its weights, as one of the others; touch no file of the run."""
    from genzoo.runs.engine import Engine
    from genzoo.runs.job import job_of
    from genzoo.training.devices import choose_device, choose_execution
    from genzoo.training.distributed import joined
    from genzoo.training.trainer import Trainer

    chosen, root = choose_device(device), data_folder(data)
    with joined(chosen) as ranks:
        told = ranks.broadcast_json({})
        run, record = Run(Path(told["run"])), told["record"]
        job = job_of(registry(), record)
        splits = job.settings.dataset.load(root)
        if record["data"] != job.settings.dataset.fingerprint(root):
            raise SettingsError(f"rank {ranks.rank} has other images of '{job.settings.dataset.name}' than the first")
        trainer = Trainer(
            job.plan,
            splits.train,
            seed=job.seed,
            device=chosen,
            precision=job.precision,
            execution=choose_execution(execution, chosen),
            ranks=ranks,
        )
        trainer.broadcast(told["step"])
        Engine(trainer, run, splits, callback or Callback()).train()
        return run


def _measure(
    run: Run,
    model: "Model",
    splits: "Splits",
    metrics: "Sequence[Metric]",
    split: SplitName,
    seed: int,
    *,
    strict: bool = False,
) -> list[dict[str, Any]]:
    """Return the scores and add them to the run's evaluation.json."""
    from genzoo.components import to_json
    from genzoo.evaluation.metrics import evaluate_model
    from genzoo.randomness import preserved

    with preserved():
        scores = evaluate_model(model, splits, metrics, split_name=split, seed=seed, strict=strict)
    found = [
        {"step": model.step, **to_json(score), "value": score.value if math.isfinite(score.value) else None}
        for score in scores
    ]
    run.write_scores(found)
    return found


def _newest_or_none(run: Run) -> tuple[Checkpoint, list[str]] | None:
    """Return what `Run.newest_checkpoint` does, or None where there has never been a checkpoint."""
    return run.newest_checkpoint() if checkpoints.steps(run.checkpoints) else None


def _set_aside_newer(run: Run, checkpoint: Checkpoint) -> None:
    """Put the damaged checkpoints that are newer than the one to go on from out of the way."""
    for step in checkpoints.steps(run.checkpoints):
        if step > checkpoint.step:
            checkpoints.set_aside(run.checkpoints, step)


def applicable_metrics(model: "Model") -> "list[Metric]":
    """Return every installed metric that can measure the model."""
    return [metric for metric, obstacle in metrics_with_obstacles(model) if obstacle is None]


def metrics_with_obstacles(model: "Model") -> "list[tuple[Metric, str | None]]":
    """Return every installed metric with why it cannot measure the model, if so; warn of those that are broken."""
    from genzoo.host.isolation import plugin_errors, removal

    found = []
    for entry in registry().of("metrics"):
        try:
            metric = metric_called(entry.qualified)
            with plugin_errors(f"{entry} failed", removal(entry.plugin.distribution)):
                found.append((metric, metric.obstacle(model)))
        except GenzooError as error:
            _warn([error.found])
    return found


def metric_called(name: str) -> "Metric":
    """Return the metric of that name with its defaults."""
    from genzoo.components import from_json
    from genzoo.evaluation.metrics import Metric

    metric = from_json(Metric, {"name": name}, resolve=registry().resolve, path="metric")
    assert isinstance(metric, Metric)
    return metric


def _as_run(run: str | Path | Run) -> Run:
    return run if isinstance(run, Run) else Run(Path(run))


def data_folder(data: str | Path | None) -> Path:
    """Return the folder of data sets: `data`, or GENZOO_DATA, or the user's cache."""
    return Path(data or os.environ.get("GENZOO_DATA") or Path.home() / ".cache" / "genzoo" / "data")


def _warn(lines: Sequence[str]) -> None:
    for line in lines:
        warnings.warn(line, GenzooWarning, stacklevel=3)
