"""Sessions: one process that starts or continues a run.

A run's lock, manifest and hashes are checked before torch is imported, so the modules that need torch (`opening` and
others) are imported inside the functions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genzoo.data.root import data_root
from genzoo.errors import BusyError, GenzooError, SettingsError, warn
from genzoo.host.discovery import registry
from genzoo.runs.callbacks import Callback
from genzoo.runs.request import ExecutionName, TrainingRequest
from genzoo.runs.tracker import Tracker, trackers_for
from genzoo.storage import checkpoints
from genzoo.storage.checkpoints import Checkpoint
from genzoo.storage.run_folder import Run
from genzoo.storage.runs_root import claim, claim_exactly
from genzoo.training import torchrun

if TYPE_CHECKING:
    from genzoo.evaluation.model import Model
    from genzoo.runs.engine import Engine


def train_request(request: TrainingRequest, callback: Callback | None = None) -> Run:
    """Train a request, evaluate the model and return the run; under torchrun, as one rank of several."""
    request = _with_data_place(request)
    if torchrun.rank():
        from genzoo.runs.job import find_game
        from genzoo.runs.opening import assist

        find_game(registry(), request.model)  # imports the code that the first rank's record names
        return assist(request.device, request.execution, request.data, callback)
    with _opened(request, callback) as engine:
        engine.train()
        return engine.run


def resume_run(
    run: str | Path | Run,
    *,
    steps: int | None = None,
    device: str = "auto",
    execution: ExecutionName = "auto",
    data: str | Path | None = None,
    track: Sequence[str | Tracker] | None = None,
    callback: Callback | None = None,
) -> Run:
    """Continue a run from its newest intact checkpoint, up to `steps` steps in total, and return it."""
    target = Run.of(run)
    data = data_root(data, target.data_place)
    if torchrun.rank():
        from genzoo.runs.opening import assist

        return assist(device, execution, data, callback)
    record = target.record
    _refuse_exported(target)
    if record.ranks != torchrun.size():
        raise SettingsError(
            f"{target.path} was started with ranks: {record.ranks}, and now there are: {torchrun.size()}",
            "another number of ranks would divide the batches differently; launch as many, or start a new run",
        )
    trackers = trackers_for(track, target)
    with target.hold():
        checkpoint = target.newest_checkpoint()
        from genzoo.runs.job import job_of
        from genzoo.runs.opening import engine_of, prepared
        from genzoo.runs.tracking import tracked
        from genzoo.training.settings import with_horizon_of, with_steps

        job = job_of(registry(), record)
        if steps is not None:
            job = job.with_settings(with_horizon_of(with_steps(job.settings, steps), job.settings))
        with (
            prepared(job, device, execution, data, former=(record, checkpoint[0])) as ready,
            tracked(trackers, callback, is_told=track is not None) as attended,
        ):
            engine = engine_of(job, target, ready, checkpoint, attended)
            engine.train()
            return engine.run


def load_run(run: str | Path | Run, *, device: str = "auto", raw: bool = False) -> "Model":
    """Return a run's model in inference mode, without its data; averaged weights are preferred unless `raw`."""
    target = Run.of(run)
    record = target.record
    checkpoint, faults = target.newest_checkpoint()
    warn(faults)
    from genzoo.runs.opening import model_of

    return model_of(record, checkpoint, device=device, raw=raw)


def train_together(
    requests: Sequence[TrainingRequest], *, callback: Callable[[], Callback] = Callback
) -> dict[Path, GenzooError | None]:
    """Train several runs of one game as one batched program; return why each run failed, or None.

    Every request names its `run`. The requests may differ in seed, optimizer settings and the standard deviation of the
    initial weights. If they cannot be batched, a warning says why, and they are trained one after the other. Every run
    is as if trained alone, to rounding and apart from random numbers drawn inside networks, such as dropout's.
    """
    from genzoo.runs.engine import run_to_end, train_in_turn
    from genzoo.training.populations import Population, difference

    with ExitStack() as stack:
        engines = [stack.enter_context(_opened(_with_data_place(request), callback())) for request in requests]
        trainers = [engine.trainer for engine in engines]
        population = None if (obstacle := difference(trainers)) else Population(trainers)
        if population is not None and (obstacle := population.obstacle()) is None:
            failed = run_to_end(engines, population.take_step)
        else:
            warn([f"{len(engines)} runs are trained one after the other and not together: {obstacle}"])
            failed = train_in_turn(engines)
        return {engine.run.path: failed.get(engine) for engine in engines}


def _with_data_place(request: TrainingRequest) -> TrainingRequest:
    """Return the request with the folder of data sets that its run remembers, if it names none."""
    place = None if request.run is None else Run.at(request.run).data_place
    return replace(request, data=data_root(request.data, place))


@contextmanager
def _opened(request: TrainingRequest, callback: Callback | None) -> "Iterator[Engine]":
    """Yield the engine of a new or continued run, while this process holds the lock on its folder."""
    source = None if request.from_run is None else Run.of(request.from_run).as_source()
    target = None if request.run is None else Run.at(request.run)
    trackers, is_told = trackers_for(request.track, target), request.track is not None
    if target is not None and target.exists:
        _refuse_exported(target)
        with target.hold():
            record, checkpoint = target.record, _newest_or_none(target)
            from genzoo.runs.job import continued, resolve_job
            from genzoo.runs.opening import engine_of, prepared
            from genzoo.runs.tracking import tracked
            from genzoo.training.devices import precision_called

            request = replace(request, deterministic=request.deterministic or record.deterministic)
            if request.precision == "auto":
                request = replace(request, precision=precision_called(record.precision))
            job = resolve_job(registry(), request, source).with_found_classes(data_root(request.data))
            job = continued(target, record, job, registry())
            former = None if checkpoint is None else (record, checkpoint[0])
            with (
                prepared(job, request.device, request.execution, request.data, former=former) as ready,
                tracked(trackers, callback, is_told=is_told) as attended,
            ):
                yield engine_of(job, target, ready, checkpoint, attended, request)
        return
    from genzoo.runs.job import resolve_job
    from genzoo.runs.opening import engine_of, prepared
    from genzoo.runs.tracking import tracked

    job = resolve_job(registry(), request, source).with_found_classes(data_root(request.data))
    with prepared(job, request.device, request.execution, request.data) as ready:
        target = claim(Path(request.runs), job.label) if target is None else claim_exactly(target.path)
        with target.hold(), tracked(trackers, callback, is_told=is_told) as attended:
            if target.exists:
                raise BusyError(
                    f"another process has started {target.path} in the meantime", "type the same command again"
                )
            yield engine_of(job, target, ready, None, attended, request)


def _refuse_exported(run: Run) -> None:
    if run.is_exported:
        raise SettingsError(
            f"{run.path} is an exported model: it has weights alone, and no optimizers to go on with",
            "go on with the run that it was exported from, or choose another --run",
        )


def _newest_or_none(run: Run) -> tuple[Checkpoint, list[str]] | None:
    """Return what `Run.newest_checkpoint` does, or None if there has never been a checkpoint."""
    return run.newest_checkpoint() if checkpoints.steps(run.checkpoints) else None
