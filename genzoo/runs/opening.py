"""Opening a run: builds its trainer and engine, and restores its newest checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genzoo.data.dataset import random_split
from genzoo.data.root import data_root, default_root
from genzoo.errors import SettingsError, UnreadableError, warn
from genzoo.evaluation.model import Model
from genzoo.evaluation.scoring import applicable_metrics, measure, measure_for_selection, metric_called
from genzoo.host.discovery import registry
from genzoo.randomness import preserved
from genzoo.runs.callbacks import Callback
from genzoo.runs.engine import Engine
from genzoo.runs.environment import session_of
from genzoo.runs.job import Job, job_of, made_with_others, refuse_unprepared, resolve_job, settings_of
from genzoo.runs.model_card import tracked_card
from genzoo.runs.request import TrainingRequest
from genzoo.storage import checkpoints
from genzoo.storage.checkpoints import Checkpoint
from genzoo.storage.record import RunRecord
from genzoo.storage.run_folder import Run
from genzoo.storage.tensors import check_fit, fill, weights_of
from genzoo.text import now
from genzoo.training.devices import choose_device, choose_execution
from genzoo.training.distributed import joined
from genzoo.training.execution import Execution
from genzoo.training.initialization import assemble
from genzoo.training.settings import Settings
from genzoo.training.trainer import Trainer
from genzoo.types import Split, SplitName, Splits


class Prepared(NamedTuple):
    """A job's trainer at step 0, and its data with their fingerprint."""

    trainer: Trainer
    splits: Splits
    fingerprint: str | None
    execution: Execution
    data_root: Path


class DataOfRun(NamedTuple):
    """The data that a run's model is looked at on, with their fingerprint, which may be another than the run's."""

    splits: Splits
    fingerprint: str | None


@contextmanager
def prepared(
    job: Job,
    device: str,
    execution: str,
    data: str | Path | None,
    *,
    former: tuple[RunRecord, Checkpoint] | None = None,
) -> Iterator[Prepared]:
    """Yield a job's trainer and data on this rank; whatever can fail before a run folder is made fails here.

    `former` is what to go on from: the shapes of the checkpoint are compared before networks are built.
    """
    if former is not None:
        record, checkpoint = former
        _check_shapes(job.settings, weights_of(checkpoint, raw=True)[0], record)
    torch_device, root = choose_device(device), data_root(data)
    execution_mode = choose_execution(execution, torch_device)
    splits, fingerprint = job.settings.load(root), job.settings.dataset.fingerprint(root)
    source = None if job.source is None else job.source.checkpoint
    inherited = None if source is None else weights_of(source)[0]
    with joined(torch_device) as ranks:
        trainer = Trainer(
            job.settings,
            splits.train,
            seed=job.seed,
            device=torch_device,
            precision=job.precision,
            deterministic=job.deterministic,
            execution=execution_mode,
            inherited=inherited,
            ranks=ranks,
        )
        yield Prepared(trainer, splits, fingerprint, execution_mode, root)


def engine_of(
    job: Job,
    run: Run,
    ready: Prepared,
    checkpoint: tuple[Checkpoint, list[str]] | None,
    callback: Callback | None,
    request: TrainingRequest | None = None,
) -> Engine:
    """Return the engine of a run that this process has locked, at `checkpoint` if there is one.

    `request` says what is measured and on which split; without one, all metrics are measured on the test split.
    """
    trainer, splits, fingerprint, execution, root = ready
    if run.exists and run.record.data != fingerprint:
        raise SettingsError(
            f"{run.path} was trained on other images of '{job.settings.dataset.name}' than are prepared now",
            "name the folder of the former images with --data, or choose another --run",
        )
    steps = job.settings.training.steps
    if checkpoint is not None and checkpoint[0].step > steps:
        raise SettingsError(
            f"{run.path} has taken {checkpoint[0].step:,} steps already, more than {steps:,}",
            "ask for more with --steps, or choose another --run",
        )
    _ = run.scores  # raises for unreadable scores before the first step instead of after the last
    record = job.record(
        registry(),
        splits=splits,
        data=fingerprint,
        device=trainer.device,
        execution=execution,
        per_player_reason=trainer.per_player_reason,
        players=trainer.players,
        created=run.record.created if run.exists else now(),
    )
    run.begin_session(record, session_of(record, job.settings, step=checkpoint[0].step if checkpoint else 0))
    is_default = fingerprint is None or root == default_root()
    run.write_data_place(None if is_default else root)

    attended = callback or Callback()

    def evaluate_now(model: Model) -> None:
        # These need labels, and some test splits come without.
        needs_labels = model.networks.is_conditional or model.predicts_classes
        unlabelled = needs_labels and splits.test.labels is None
        split: SplitName = "validation" if unlabelled else "test" if request is None else request.split
        named = None if request is None else request.metrics
        metrics = applicable_metrics(model) if named is None else [metric_called(name) for name in named]
        scores = measure(run, model, splits, metrics, data=fingerprint, split=split, seed=job.seed)
        if job.settings.training.evaluate_every is not None and split == "test":
            measure_for_selection(run, model, splits, metrics, scores, data=fingerprint, seed=job.seed)
        attended.on_evaluation(model.step, scores, tracked_card(run.record, model, scores))

    engine = Engine(trainer, run, splits, attended, evaluate_now)
    if checkpoint is not None:
        newest, faults = checkpoint
        warn(faults)
        _set_aside_newer(run, newest)
        engine.restore(newest)
    trainer.ranks.broadcast_json({"run": str(run.path), "record": run.record.to_json(), "step": trainer.step})
    trainer.broadcast(trainer.step)
    return engine


def assist(device: str, execution: str, data: str | Path | None, callback: Callback | None) -> Run:
    """Train the first rank's run, from its weights, as one of the other ranks; write no file of the run."""
    torch_device, root = choose_device(device), data_root(data)
    with joined(torch_device) as ranks:
        message = ranks.broadcast_json({})
        run, record = Run(Path(message["run"])), RunRecord.from_json(message["record"])
        job = job_of(registry(), record)
        splits = job.settings.load(root)
        if record.data != job.settings.dataset.fingerprint(root):
            raise SettingsError(
                f"rank {ranks.rank} has other images of '{job.settings.dataset.name}' than the first",
                "have all ranks read the same files: --data DIR",
            )
        trainer = Trainer(
            job.settings,
            splits.train,
            seed=job.seed,
            device=torch_device,
            precision=job.precision,
            deterministic=job.deterministic,
            execution=choose_execution(execution, torch_device),
            ranks=ranks,
        )
        trainer.broadcast(message["step"])
        Engine(trainer, run, splits, callback or Callback()).train()
        return run


def new_trainer(request: TrainingRequest, *, split: Split | None = None) -> Trainer:
    """Return a training in memory at step 0, without a run folder; `take_step()` takes a step.

    It reads the caller's `split`, or 16 batches of random rows in the shape of the recipe's data.
    """
    job = resolve_job(registry(), request)
    if job.settings.game.inherits:
        parts = " and ".join(job.settings.game.inherits)
        raise SettingsError(f"{job.model} takes its {parts} from another run", "it can be trained with: genzoo train")
    torch_device, spec = choose_device(request.device), job.settings.dataset.spec
    return Trainer(
        job.settings,
        split or random_split(spec, 16 * job.settings.training.batch_size, seed=request.seed),
        seed=request.seed,
        device=torch_device,
        precision=job.precision,
        deterministic=job.deterministic,
        execution=choose_execution(request.execution, torch_device),
    )


def model_of(record: RunRecord, checkpoint: Checkpoint, *, device: str, raw: bool) -> Model:
    """Return the model of a run's checkpoint in inference mode; averaged weights are preferred unless `raw`."""
    settings = settings_of(registry(), record)
    tensors, kind = weights_of(checkpoint, raw=raw)
    _check_shapes(settings, tensors, record)
    with preserved():
        networks = assemble(settings)
    fill(networks.state_dict(), tensors)
    torch_device = choose_device(device)
    return Model.of(
        settings,
        networks.to(torch_device).eval(),
        device=torch_device,
        label_frequencies=record.label_frequencies,
        step=checkpoint.step,
        weights=kind,
    )


def _check_shapes(settings: Settings, tensors: dict[str, Tensor], record: RunRecord) -> None:
    """Raise `UnreadableError` unless the networks that settings ask for have these tensors' shapes; takes no memory."""
    try:
        # A plugin's networks may need real numbers to be built.
        with suppress(NotImplementedError), preserved(), torch.device("meta"):
            check_fit(assemble(settings).state_dict(), tensors)
    except UnreadableError as error:
        raise made_with_others(error, record, registry()) from error


def data_of(run: Run, data: str | Path | None) -> DataOfRun:
    """Return the data that a run was trained on, without the labels that it may not use.

    Other data, of which a warning tells, may have no other classes than the run's.
    """
    record = run.record
    settings, root = settings_of(registry(), record), data_root(data, run.data_place)
    dataset = settings.dataset
    refuse_unprepared(dataset, root, recipe=record.recipe)
    fingerprint = dataset.fingerprint(root)
    if fingerprint != record.data:
        warn(
            [
                f"{root} holds other data of '{dataset.name}' (SHA-256 {_in_short(fingerprint)}) than "
                f"{run.path} was trained on ({_in_short(record.data)})"
            ]
        )
        classes = dataset.with_found_classes(root).spec.class_names
        if dataset.spec.class_names and classes != dataset.spec.class_names:
            raise SettingsError(
                f"the classes of '{dataset.name}' in {root} are {', '.join(classes) or 'none'}, "
                f"those of {run.path} are {', '.join(dataset.spec.class_names)}",
                "name the folder of the run's data with --data",
            )
    return DataOfRun(settings.load(root), fingerprint)


def _set_aside_newer(run: Run, checkpoint: Checkpoint) -> None:
    """Rename the damaged checkpoints that are newer than the one to continue from."""
    for step in checkpoints.steps(run.checkpoints):
        if step > checkpoint.step:
            checkpoints.set_aside(run.checkpoints, step)


def _in_short(fingerprint: str | None) -> str:
    """Return the beginning of a fingerprint, which tells it from others."""
    return "none" if fingerprint is None else f"{fingerprint[:12]}…"
