"""The functions of the library: train, resume, load and evaluate. Torch is imported when it is first needed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo.errors import SettingsError, warn
from genzoo.host.discovery import registry
from genzoo.runs import session
from genzoo.runs.callbacks import Callback, Callbacks
from genzoo.runs.request import ExecutionName, PrecisionName, TrainingRequest
from genzoo.runs.signals import saved_on_interrupt, tell
from genzoo.runs.stores import data_called, run_called
from genzoo.runs.tracker import Tracker
from genzoo.storage.run_folder import Run
from genzoo.training import torchrun
from genzoo.types import SplitName, Splits

if TYPE_CHECKING:
    from genzoo.evaluation.model import Model
    from genzoo.games.game import Game
    from genzoo.training.settings import Recipe


def train(
    model: "str | Game",
    *,
    recipe: "str | Recipe | None" = None,
    seed: int = 0,
    steps: int | None = None,
    overrides: Mapping[str, object] | None = None,
    device: str = "auto",
    precision: PrecisionName = "auto",
    deterministic: bool = False,
    execution: ExecutionName = "auto",
    run: str | Path | None = None,
    from_run: str | Path | Run | None = None,
    data: str | Path | None = None,
    runs: str | Path = "runs",
    track: Sequence[str | Tracker] | None = None,
    callback: Callback | None = None,
    progress: bool = True,
) -> Run:
    """Train a model on a recipe, evaluate it, and return its run.

    `overrides` maps dotted paths to values, as `--set` does; `run` names the run folder (by default the next
    number below `runs`), and an existing run is continued if its settings are the same; `from_run` gives the
    networks that the game inherits and, unless `recipe` is given, the recipe; `data` is the folder of data sets.
    `execution` says how steps are run: as written, captured as a CUDA graph, or compiled. A `deterministic` training on
    CUDA takes only algorithms that repeat themselves to the bit, which are slower.
    `track` are trackers to tell of the training, by name or as values; None: those of the run that is continued.
    Processes that torchrun has started train one run together; the first of them writes it.
    With `progress`, a bar is drawn in a terminal or notebook. An interrupt (Ctrl-C, a notebook's stop button) ends the
    training after its step and raises `InterruptedRun` once all is saved; a second one raises `KeyboardInterrupt`.
    Raises `GenzooError`s; their `exit_code` is the command line's.
    """
    request = TrainingRequest(
        model=model,
        recipe=recipe,
        seed=seed,
        steps=steps,
        overrides=overrides or {},
        device=device,
        precision=precision,
        execution=execution,
        deterministic=deterministic,
        run=run,
        from_run=None if from_run is None else run_called(from_run),
        data=data_called(data),
        runs=runs,
        track=track,
    )
    with _attended(callback, progress) as attended:
        return session.train_request(request, attended)


def resume(
    run: str | Path | Run,
    *,
    steps: int | None = None,
    device: str = "auto",
    execution: ExecutionName = "auto",
    data: str | Path | None = None,
    track: Sequence[str | Tracker] | None = None,
    callback: Callback | None = None,
    progress: bool = True,
) -> Run:
    """Continue a run from its newest whole checkpoint, to `steps` steps in all, and return it.

    Precision and number of ranks stay those that the run was started with; `progress` and interrupts are as in `train`.
    It goes on in the trackers that it had, unless `track` names others.
    """
    with _attended(callback, progress) as attended:
        return session.resume_run(
            run_called(run),
            steps=steps,
            device=device,
            execution=execution,
            data=data_called(data),
            track=track,
            callback=attended,
        )


@contextmanager
def _attended(callback: Callback | None, progress: bool) -> Iterator[Callback]:
    """Yield a callback that draws a bar where there is something to draw on, and saves on an interrupt."""
    from genzoo.runs.bars import bar_here

    bar = bar_here() if progress and torchrun.rank() == 0 else None
    callbacks = Callbacks(*(each for each in (callback, bar) if each is not None))
    with saved_on_interrupt(callbacks, tell=tell if bar is None else bar.tell) as attended:
        try:
            yield attended
        finally:
            if bar is not None:
                bar.close()


def load(run: str | Path | Run, *, device: str = "auto", raw: bool = False) -> "Model":
    """Return a run's model in inference mode, without its data.

    `run` may be an exported folder, or any file in it, and as everywhere a number, for a run below `runs`, or the
    address of a model in a store, NAME://…. Its weights are the averaged ones, if the run keeps these, unless `raw`.
    """
    return session.load_run(run_called(run), device=device, raw=raw)


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

    Each score is `{metric, value, step, protocol, data}`, its value None where it is not finite. Scores on other data,
    of which a warning tells, are kept beside the run's own. Without `metrics`, every installed metric that can
    measure this model and is measured by default is used; a named one that cannot raises `SettingsError`.
    """
    target = run_called(run)
    for name in metrics:
        registry().find("metrics", name)
    model = load(target, device=device, raw=raw)
    from genzoo.evaluation.scoring import applicable_metrics, measure, metric_called

    selected = [metric_called(name) for name in metrics] or applicable_metrics(model)
    for metric in selected:
        if obstacle := metric.obstacle_here(model):
            raise SettingsError(
                f"metric '{metric.name}' cannot measure {target.record.model}: {obstacle}",
                "leave out its name, and all metrics that can are measured",
            )
    from genzoo.runs.opening import data_of

    splits, fingerprint = data_of(target, data_called(data))
    if fingerprint != target.record.data:
        warn(["the scores are kept apart from those on the run's data"])
    return measure(target, model, splits, selected, data=fingerprint, split=split, seed=seed, strict=bool(metrics))


def load_data(run: str | Path | Run, *, data: str | Path | None = None) -> Splits:
    """Return the data that a run was trained on: the three splits as they are stored.

    They are read from the folder `data`, GENZOO_DATA, or where its training read them; a warning tells of other data
    there. Where `training.labels` is set, the labels that it may not use are −1.
    """
    from genzoo.runs.opening import data_of

    return data_of(run_called(run), data_called(data)).splits
