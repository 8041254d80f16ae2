"""The engine: runs a trainer in a run folder, with logs, pictures, checkpoints and evaluations."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from genzoo.data.labels import label_frequencies
from genzoo.errors import DivergedError, GenzooError, InterruptedRun, ResourceError, UnreadableError, is_out_of_memory
from genzoo.evaluation import pictures
from genzoo.evaluation.costs import memory_estimate
from genzoo.evaluation.model import Model
from genzoo.nn.interfaces import Networks
from genzoo.randomness import preserved
from genzoo.runs.background_saver import BackgroundSaver
from genzoo.runs.callbacks import Callback
from genzoo.runs.collapse import CollapseMonitor
from genzoo.runs.intervals import PictureBudget, SaveTimer, due
from genzoo.runs.meter import Meter, json_number
from genzoo.runs.notes import FirstSteps, note_of_few_rows
from genzoo.storage import checkpoints, files
from genzoo.storage.checkpoints import Checkpoint
from genzoo.storage.run_folder import Run
from genzoo.storage.tensors import pack, unpack
from genzoo.training import torchrun
from genzoo.training.nonfinite import Fault
from genzoo.training.trainer import Trainer
from genzoo.types import Losses, Splits

_PICTURED = 64
"""Images in a picture."""
_SCATTERED = 2500
"""Points in a scatter plot."""


class Engine:
    """A trainer, its data and its run folder, which this process has locked; `evaluate` measures and stores scores."""

    def __init__(
        self,
        trainer: Trainer,
        run: Run,
        splits: Splits,
        callback: Callback,
        evaluate: Callable[[Model], None] = lambda model: None,
    ) -> None:
        self.trainer = trainer
        self.run = run
        self._splits = splits
        self._callback = callback
        self._evaluate = evaluate
        self._training = trainer.settings.training
        self._writes = trainer.ranks.is_first
        self._identity = run.record.identity if run.exists else None
        self._frequencies = label_frequencies(splits.train.labels, trainer.settings.dataset.spec)
        self._meter = Meter()
        self._collapse = CollapseMonitor()
        self._data_spread = float(trainer.stream.first_images(500).std(0).mean()) or 1.0
        self._seconds_before, self._wall_seconds_before = 0.0, 0.0
        self._clock = Clock()
        self._save_timer = SaveTimer(self._training.checkpoint_minutes)
        self._pictures = PictureBudget()
        self._saver: BackgroundSaver
        self._first_steps = FirstSteps(step=0, steps=self._training.steps)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a verified checkpoint."""
        names = ["networks", "optimizers"] + (["averaged"] if self._training.decay is not None else [])
        tensors = {name: unpack(checkpoint.file(f"{name}.safetensors")) for name in names}
        state = files.read_json(checkpoint.file("state.json"), "a checkpoint's state")
        self.trainer.restore(tensors, step=checkpoint.step)
        self._meter.restore(state.get("meter") or {}, device=self.trainer.device)
        # Older checkpoints do not say how long the run took by the clock on the wall.
        seconds, wall_seconds = state.get("seconds"), state.get("wall_seconds", state.get("seconds"))
        if not isinstance(seconds, int | float) or not isinstance(wall_seconds, int | float):
            raise UnreadableError(
                f"{checkpoint.file('state.json')} does not say how long the run took: seconds", "restore it from a copy"
            )
        self._seconds_before, self._wall_seconds_before = float(seconds), float(wall_seconds)

    def train(self) -> None:
        """Take the remaining steps and evaluate; the caller's random state does not change."""
        failed = run_to_end([self], lambda: [self.trainer.take_step()])
        if failed:
            raise failed[self]

    @property
    def is_done(self) -> bool:
        """Whether all steps are taken."""
        return self.trainer.step >= self._training.steps

    def begin(self, worker: Executor, pictures: PictureBudget) -> BackgroundSaver:
        """Start the clock, drop the log entries of steps to be taken again, and return what saves in `worker`.

        `pictures` is shared by engines that train together.
        """
        trainer = self.trainer
        if self._writes:
            self._go_on_with_log(trainer.step)
        self._callback.on_start(self.run, trainer.step, self._training.steps)
        settings, shown = trainer.settings, self._training.steps * self._training.batch_size
        few = note_of_few_rows(len(self._splits.train.x), settings.dataset.spec, settings.game, shown=shown)
        if few is not None and not self.is_done:
            self._callback.on_note(few)
        on_cpu = trainer.device.type == "cpu"
        self._first_steps = FirstSteps(step=trainer.step, steps=self._training.steps, on_cpu=on_cpu)
        self._clock = Clock(step=trainer.step, seconds=self._seconds_before, wall_seconds=self._wall_seconds_before)
        self._save_timer.restart()
        self._pictures = pictures
        self._saver = BackgroundSaver(worker, self._callback.on_save)
        if self._writes:
            checkpoints.prune(self.run.checkpoints, keep=self._training.keep_checkpoints)
            # A process that was killed while it evaluated had saved this step and has no scores of it.
            if trainer.step and due(self._training, trainer.step, last=self.is_done).evaluate:
                with self._clock.paused():
                    self._measure()
        return self._saver

    def requests(self) -> "Requests":
        """Return what was asked for since the last step, by the callback and by time, the same on all ranks."""
        asked = Requests(
            self._callback.stop_signal(),
            self._callback.wants_save() or self._is_save_due_by_time(),
            self._is_picture_due_by_time(),
        )
        return Requests.of(self.trainer.ranks.agree_on_signal(asked.number))

    def after_step(self, losses: Losses, requests: "Requests") -> None:
        """Log, draw, save and evaluate if due; raise `DivergedError` or `InterruptedRun` if the run ends here."""
        trainer, steps, signal = self.trainer, self._training.steps, requests.signal
        self._saver.report()
        self._meter.add(losses)
        estimate = self._first_steps.look(trainer.step, self._clock.seconds, trainer.wait)
        if estimate is not None:
            self._callback.on_note(estimate)
        self._do_what_is_due(trainer.step, requests, last=self.is_done)
        if signal and not self.is_done:
            trainer.ranks.barrier()  # if another rank ended first, the launcher would end the first rank while it saves
            raise InterruptedRun(
                f"stopped after step {trainer.step:,} of {steps:,}; all of it is saved",
                f"go on with: {torchrun.command()} resume {self.run.path}",
                signal_number=signal,
            )

    def finish(self) -> None:
        """Evaluate, after the last step."""
        self._callback.on_end()
        if self._writes:
            self._measure()

    def model(self, networks: Networks) -> Model:
        """Return the trainer's `networks` as a model in inference mode."""
        settings = self.trainer.settings
        return Model.of(
            settings,
            networks,
            device=self.trainer.device,
            label_frequencies=self._frequencies,
            step=self.trainer.step,
            weights="raw" if self._training.decay is None else "averaged",
        )

    def _do_what_is_due(self, step: int, requests: "Requests", *, last: bool) -> None:
        self._callback.on_step(step)
        stop = requests.signal is not None
        now = due(self._training, step, last=last, stop=stop, save=requests.save, draw=requests.draw)
        is_shown = now.draw or now.save or now.evaluate
        fault = self.trainer.fault(to_show=is_shown) if now.log or is_shown else None
        # Logging a fault ends the run, so that nothing is drawn, saved or measured after it.
        if now.log or fault is not None:
            self._log(fault)
        if not self._writes:
            return
        with self._clock.paused():
            if now.draw:
                self._draw()
            is_last = last or stop
            if now.save and (is_last or requests.save or not self._saver.is_writing):
                self._save()
            if is_last:
                self._saver.wait()
            if now.evaluate:
                self._measure()

    def _go_on_with_log(self, step: int) -> None:
        """Drop the entries of steps to be taken again, and remember those before."""
        for entry in self.run.rewind_log(step, keep_partial=self.is_done):
            self._collapse.look(entry.get("watch", {}))

    def _log(self, fault: Fault | None) -> None:
        # A partial entry is dropped when the run goes on, and what it averages counts in the one that is due.
        is_partial = fault is None and self.trainer.step % self._training.log_every != 0
        losses, watch = self._meter.read(clear=not is_partial)
        if self._writes and fault is None:
            watch |= self._spread()
        entry: dict[str, Any] = {
            "step": self.trainer.step,
            **self._clock.lap(self.trainer.step),
            "losses": losses,
            "watch": watch,
        }
        if is_partial:
            entry["partial"] = True
        if alarms := self._collapse.look(watch):
            entry["warnings"] = alarms
        if fault is not None:
            entry["diverged"] = {"step": fault.step, "players": list(fault.players)}
            if fault.tensor is not None:
                entry["diverged"]["tensor"] = fault.tensor
        if self._writes:
            self.run.log(entry)
        with self._clock.paused():
            self._callback.on_log(entry)
        if fault is not None:
            self._saver.wait()
            saved = f"last checkpoint: step {self.run.step:,}" if self.run.step else "no checkpoint yet"
            raise DivergedError(
                f"{fault} ({saved})",
                "train again with another --run and a lower learning rate: --set training.learning_rate=…",
            )

    def _is_save_due_by_time(self) -> bool:
        """Return whether to save by time, once; only the first rank's clock counts."""
        if not self._writes or self._saver.is_writing or not self._save_timer.is_over():
            return False
        self._save_timer.restart()
        return True

    def _is_picture_due_by_time(self) -> bool:
        """Return whether to draw although steps do not say when; only the first rank's clock counts."""
        return self._writes and self._training.picture_every is None and self._pictures.allows_more()

    def _save(self) -> None:
        """Copy what a checkpoint needs, and have it written while training goes on."""
        self._saver.wait()
        self._save_timer.restart()
        state = {
            "schema_version": files.SCHEMA_VERSION,
            "step": self.trainer.step,
            "seed": self.trainer.seed,
            "seconds": self._clock.seconds(),
            "wall_seconds": self._clock.wall_seconds(),
            "run": self._identity,
            "meter": self._meter.state(),
        }
        tensors = {f"{name}.safetensors": content for name, content in self.trainer.copied_state(pack).items()}
        save = partial(
            self.run.save_checkpoint,
            step=self.trainer.step,
            content={**tensors, "state.json": files.json_bytes(state)},
            keep=self._training.keep_checkpoints,
        )
        self._saver.start(self.trainer.step, save)

    def _measure(self) -> None:
        with self.trainer.weights_to_show() as networks:
            self._evaluate(self.model(networks))

    def _draw(self) -> None:
        step, seed = self.trainer.step, self.trainer.seed
        with self._pictures.spending(), self.trainer.weights_to_show() as networks:
            model = self.model(networks)
            count = _PICTURED if model.data.is_image else _SCATTERED
            if model.sampling_obstacle is None:
                pictures.save_samples(self._picture("samples", step), model, count=count, seed=seed)
            if networks.encoder is not None and networks.decoder is not None:
                originals = count // 2 if model.data.is_image else count
                path = self._picture("reconstructions", step)
                pictures.save_reconstructions(path, model, self._splits.validation, count=originals, seed=seed)
            pictures.save_pictures_of_game(
                lambda name: self._picture(f"pictures/{name}", step), model, self._splits.validation, seed=seed
            )
            for kind in self.run.picture_kinds:
                if (path := self.run.path / kind / _picture_file(step)).exists():
                    self._callback.on_picture(kind, step, path)

    def _spread(self) -> dict[str, float | str]:
        """Return the standard deviation of samples over rows, divided by the data's."""
        model = self.model(self.trainer.networks)
        if model.sampling_obstacle is not None:
            return {}
        with self._clock.paused():
            samples = model.sample(_PICTURED, seed=self.trainer.seed)
        return {"sample_spread": json_number(float(samples.std(0).mean()) / self._data_spread)}

    def _picture(self, folder: str, step: int) -> Path:
        path = self.run.path / folder
        self.run.check_lock()
        with files.storage(path):
            path.mkdir(parents=True, exist_ok=True)
        return path / _picture_file(step)


def _picture_file(step: int) -> str:
    return f"{step:07d}.png"


class Requests(NamedTuple):
    """What was asked for since the last step."""

    signal: int | None
    """The number of a signal to save and stop, or None."""
    save: bool
    """Whether to save and continue."""
    draw: bool = False
    """Whether to draw and continue."""

    @property
    def number(self) -> int | None:
        """The requests as a number; None for no request.

        The largest of several ranks stops if any does, and else saves if any does; what is drawn by time can wait.
        """
        return 4 * (self.signal or 0) + 2 * self.save + self.draw or None

    @classmethod
    def of(cls, number: int | None) -> "Requests":
        """Return the requests that have this number."""
        return cls((number or 0) // 4 or None, bool((number or 0) & 2), bool((number or 0) & 1))


def run_to_end(engines: Sequence[Engine], take_step: Callable[[], Sequence[Losses]]) -> dict[Engine, GenzooError]:
    """Take the remaining steps of all engines, one `take_step` at a time, and evaluate; return the errors by engine.

    `take_step` returns the losses () of each engine. An engine that diverges does not stop the others; a signal stops
    and saves all of them.
    """
    failed: dict[Engine, GenzooError] = {}
    pictures = PictureBudget()
    with ThreadPoolExecutor(1) as worker, preserved(), _memory_explained(engines), ExitStack() as savers:
        for engine in engines:
            savers.enter_context(engine.begin(worker, pictures))
        while not engines[0].is_done and len(failed) < len(engines):
            losses_of_each = take_step()
            requests = _merged([engine.requests() for engine in engines])
            for engine, losses in zip(engines, losses_of_each, strict=True):
                if engine not in failed:
                    try:
                        engine.after_step(losses, requests)
                    except (DivergedError, InterruptedRun) as end:
                        failed[engine] = end
    for engine in engines:
        if engine not in failed:
            engine.finish()
    return failed


def train_in_turn(engines: Sequence[Engine]) -> dict[Engine, GenzooError]:
    """Train engines one after the other, and return the errors by engine as `run_to_end` does."""
    failed: dict[Engine, GenzooError] = {}
    for engine in engines:
        try:
            engine.train()
        except DivergedError as end:
            failed[engine] = end
        except InterruptedRun as end:
            return failed | {engine: end}
    return failed


def _merged(requests: Sequence[Requests]) -> Requests:
    """Return one request that asks for whatever any of several asks for."""
    signals = [request.signal for request in requests if request.signal]
    return Requests(
        signals[0] if signals else None,
        any(request.save for request in requests),
        any(request.draw for request in requests),
    )


@contextmanager
def _memory_explained(engines: Sequence[Engine]) -> Iterator[None]:
    """Raise `ResourceError` with the memory that a step needs if memory runs out inside the `with` block."""
    trainer, replicas = engines[0].trainer, len(engines)
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        asked = trainer.settings.training.batch_size
        rows = min(asked, trainer.stream.order.rows)  # a batch has no row twice
        stored, per_step = memory_estimate(trainer.networks, rows)
        step_text = "" if per_step is None else f", and a step about {per_step * replicas:,} bytes"
        raise ResourceError(
            f"out of memory with training.batch_size={asked}: weights, gradients and moments take "
            f"{stored * replicas:,} bytes{step_text}",
            f"train with another --run and a smaller batch: --set training.batch_size={max(1, rows // 2)} "
            "(it is never changed silently)",
        ) from error


class Clock:
    """Counts the seconds of a run over all its sessions: those of training, and those on the wall, pauses included."""

    def __init__(self, *, step: int = 0, seconds: float = 0.0, wall_seconds: float = 0.0) -> None:
        self._offset = seconds - time.monotonic()
        self._wall_offset = wall_seconds - time.monotonic()
        self._lap = (step, seconds, wall_seconds)

    def seconds(self) -> float:
        """Return the seconds trained so far."""
        return time.monotonic() + self._offset

    def wall_seconds(self) -> float:
        """Return the seconds that the run has taken so far."""
        return time.monotonic() + self._wall_offset

    def lap(self, step: int) -> dict[str, float]:
        """Return both kinds of seconds, and the steps per second of both since the last call, or since the start."""
        (step_before, since, wall_since), self._lap = self._lap, (step, self.seconds(), self.wall_seconds())
        steps, (_, seconds, wall_seconds) = step - step_before, self._lap
        return {
            "seconds": round(seconds, 3),
            "steps_per_second": round(steps / max(seconds - since, 1e-9), 3),
            "wall_seconds": round(wall_seconds, 3),
            "wall_steps_per_second": round(steps / max(wall_seconds - wall_since, 1e-9), 3),
        }

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time spent inside the `with` block from that of training."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._offset -= time.monotonic() - began
