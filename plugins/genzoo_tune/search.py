"""A search: trials of settings, kept in a folder that several processes may work on, and gone on with at any time.

The journal is optuna's, so its own tools read it. Every change to it is made under one lock, and whoever trains a trial
holds a lock of the trial's: of a trial that runs while nobody holds its lock, the process was killed, and its settings
are tried again, in the same run folders, whose trainings go on.
"""

import hashlib
import math
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from genzoo import DivergedError, GenzooError, InterruptedRun, ResourceError, Run, SettingsError
from genzoo.comparison import train_requests
from genzoo.runs import TrainingRequest
from genzoo_tune.ranges import Range

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

FIRST_SEED = 100
"""Trials are trained with seeds from here on, and comparisons with those from 0 on."""
_AT_THE_END = 10**9
"""Steps between evaluations, more than any training takes: it is evaluated once."""
_ENDS_SEARCH = {1, 2, 15}
"""The signals by which a person or a scheduler ends a training; by others, such as that of a full memory, it fails."""
_FAILURE, _PLACE, _SCORE, _SCORES = "failure", "place", "score", "scores"


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched: ranges of a model's settings, by a score on the validation split."""

    model: str
    recipe: str
    ranges: tuple[Range, ...]
    score: str
    steps: int | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Settings of every trial."""
    seeds: int = 1
    """How many trainings a trial has; its score is their mean."""
    device: str = "auto"
    data: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that two searches must agree in to be one, as JSON."""
        document = {name: getattr(self, name) for name in ("model", "recipe", "score", "steps", "seeds")}
        ranges = {each.path: each.identity for each in self.ranges}
        content = Path(self.recipe).read_bytes() if Path(self.recipe).is_file() else b""
        return {**document, "set": dict(self.overrides), "ranges": ranges, "file": hashlib.sha256(content).hexdigest()}

    def requests(self, values: Mapping[str, str]) -> list[TrainingRequest]:
        """Return the trainings of a trial with these values by path."""
        return [
            TrainingRequest(
                model=self.model,
                recipe=self.recipe,
                seed=FIRST_SEED + number,
                steps=self.steps,
                overrides={"training.evaluate_every": _AT_THE_END, **self.overrides, **values},
                device=self.device,
                data=self.data,
                metrics=[self.score.partition("/")[0]],
                split="validation",
            )
            for number in range(self.seeds)
        ]

    def comparison(self, values: Mapping[str, str], *, seeds: int) -> list[str]:
        """Return the words after `genzoo` of a comparison of the model with these values and without."""
        words = ["compare", self.model, f"tuned={self.model}", "--recipe", self.recipe, "--seeds", str(seeds)]
        words += [] if self.steps is None else ["--steps", str(self.steps)]
        words += [] if self.device == "auto" else ["--device", self.device]
        words += [] if self.data is None else ["--data", self.data]
        settings = [f"{path}={value}" for path, value in self.overrides.items()]
        settings += [f"tuned:{path}={value}" for path, value in values.items()]
        return [*words, *(word for setting in settings for word in ("--set", setting))]


class TrialFailedError(Exception):
    """A trial has no score, which is a result of the search: it diverged, say."""


class Journal:
    """The trials of a search in a folder, shared with every process that searches there."""

    def __init__(self, folder: Path, search: Search, *, seed: int) -> None:
        optuna = imported_optuna()
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder, self.search = folder, search
        self._seed = seed
        self._locks: dict[int, FileLock] = {}
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        with self._alone():
            storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
            # A score of which higher values are better is told with another sign: which it is, the first trial says.
            self._study: Study = optuna.create_study(
                study_name="tune", storage=storage, direction="minimize", load_if_exists=True
            )
            if "search" not in self._study.user_attrs:
                self._study.set_user_attr("search", search.identity)

    @property
    def is_of_search(self) -> bool:
        """Whether the folder's trials are of this search."""
        return bool(self._study.user_attrs["search"] == self.search.identity)

    def trials(self) -> "list[FrozenTrial]":
        """Return the trials that have ended with a score or without, by number; not those under way."""
        return list(filter(_has_ended, self._study.get_trials(deepcopy=False)))

    @property
    def unended(self) -> int:
        """How many trials are under way."""
        return sum(map(_is_running, self._study.get_trials(deepcopy=False)))

    def begin(self, most: int) -> "Trial | None":
        """Return the next trial, whose lock is then held; None where `most` have ended or are under way."""
        from optuna.samplers import TPESampler

        with self._alone():
            self._repeat_abandoned()
            trials = self._study.get_trials(deepcopy=False)
            if sum(_is_running(each) or _has_ended(each) for each in trials) >= most:
                return None
            self._study.sampler = TPESampler(seed=self._seed + len(trials))
            trial = self._study.ask({each.path: each.distribution() for each in self.search.ranges})
            self._locks[trial.number] = lock = self._lock_of(trial.number)
            lock.acquire(timeout=0)
            return trial

    def place(self, trial: "Trial") -> Path:
        """Return the folder of a trial's runs: that of an earlier one with its values, if it ended or was killed."""
        with self._alone():
            ended = self.trials()
        twin = next((each for each in ended if each.params == trial.params), trial)
        return self.folder / "trials" / f"{place_of(twin):04}"

    def end(self, trial: "Trial", *, scores: Sequence[float] = (), sign: int = 1, failure: str | None = None) -> None:
        """Note how a trial ended: with the scores of its seeds, with a failure, or with neither, to be left out."""
        from optuna.trial import TrialState

        with self._alone():
            if scores:
                trial.set_user_attr(_SCORES, list(scores))
                trial.set_user_attr(_SCORE, fmean(scores))
                self._study.tell(trial, sign * fmean(scores))
                return
            if failure is not None:
                trial.set_user_attr(_FAILURE, failure)
            self._study.tell(trial, state=TrialState.FAIL)

    def release(self, trial: "Trial") -> None:
        """Give back the trial's lock; a trial that has not ended then is repeated."""
        self._locks.pop(trial.number).release()

    def _repeat_abandoned(self) -> None:
        """Have the trials repeated that run while nobody holds their locks, as after a process was killed."""
        from optuna.trial import TrialState

        for trial in filter(_is_running, self._study.get_trials(deepcopy=False)):
            with suppress(Timeout), self._lock_of(trial.number).acquire(timeout=0):
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._study.enqueue_trial(trial.params, user_attrs={_PLACE: place_of(trial)})

    def _alone(self) -> FileLock:
        return FileLock(self.folder / "lock")

    def _lock_of(self, number: int) -> FileLock:
        return FileLock(self.folder / "trials" / f"{number:04}.lock")


def imported_optuna() -> Any:
    """Return the module optuna; raise `SettingsError` with what to type where it is not installed."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise SettingsError("genzoo tune needs optuna", "type: pip install 'genzoo[tune]'") from error
    return optuna


def place_of(trial: "FrozenTrial | Trial") -> int:
    """Return the number of the trial in whose folder the runs of this one are."""
    return int(trial.user_attrs.get(_PLACE, trial.number))


def score_of(trial: "FrozenTrial") -> float | None:
    """Return the mean score over a trial's seeds; None for a trial that failed."""
    return trial.user_attrs.get(_SCORE) if _is_scored(trial) else None


def scores_of(trial: "FrozenTrial") -> list[float]:
    """Return the scores by seed."""
    return list(trial.user_attrs.get(_SCORES, ()))


def failure_of(trial: "FrozenTrial") -> str | None:
    """Return why a trial has no score; None for others."""
    failure: str | None = trial.user_attrs.get(_FAILURE)
    return failure


def _is_scored(trial: "FrozenTrial") -> bool:
    return bool(trial.state.name == "COMPLETE")


def _has_ended(trial: "FrozenTrial") -> bool:
    """Return whether a trial has a score or has failed; one that was left out has neither."""
    return _is_scored(trial) or failure_of(trial) is not None


def _is_running(trial: "FrozenTrial") -> bool:
    return bool(trial.state.name == "RUNNING")


class Searcher:
    """Runs the trials of a journal, several at a time, until there are enough."""

    def __init__(self, journal: Journal, *, trials: int, executor: Executor, say: Callable[[str], None]) -> None:
        self._journal = journal
        self._trials = trials
        self._executor = executor
        self._say = say
        self._is_stopping = threading.Event()

    def run(self, jobs: int) -> None:
        """Run trials, `jobs` at a time; what ends the search, such as a wrong setting, is raised."""
        with ThreadPoolExecutor(jobs, thread_name_prefix="genzoo-tune") as threads:
            working = [threads.submit(self._work) for _ in range(jobs)]
            try:
                wait(working, return_when="FIRST_EXCEPTION")
            finally:
                self._is_stopping.set()
                # What has not ended goes on when the search is typed again.
                self._executor.shutdown(cancel_futures=True)
        errors = [error for each in working if (error := each.exception()) is not None]
        if errors:  # that of a thread which was stopped because of another's is not the cause
            raise next((error for error in errors if not isinstance(error, InterruptedRun)), errors[0])

    def _work(self) -> None:
        while not self._is_stopping.is_set() and (trial := self._journal.begin(self._trials)) is not None:
            try:
                self._try(trial)
            finally:
                self._journal.release(trial)

    def _try(self, trial: "Trial") -> None:
        search = self._journal.search
        values = {each.path: each.text(trial.params[each.path]) for each in search.ranges}
        what = f"trial {trial.number}: {' '.join(f'{path}={value}' for path, value in values.items())}"
        try:
            ends = train_requests(search.requests(values), self._journal.place(trial), executor=self._executor)
            for _, error in ends:
                _refuse(error)
            scores, sign = self._scores([run for run, _ in ends])
        except TrialFailedError as failure:
            self._journal.end(trial, failure=str(failure))
            self._say(f"{what}: failed, {failure}")
        except InterruptedRun:
            raise
        except GenzooError:
            self._journal.end(trial)
            raise
        else:
            self._journal.end(trial, scores=scores, sign=sign)
            self._say(f"{what}: {search.score} {fmean(scores):.4g}")

    def _scores(self, runs: Sequence[Run]) -> tuple[list[float], int]:
        """Return the scores of a trial's runs, and the sign by which lower values are better."""
        measured = [{score["metric"]: score for score in run.final_scores} for run in runs]
        name = self._journal.search.score
        if name not in measured[0]:
            listed = ", ".join(name for name, score in measured[0].items() if score.get("better")) or "none"
            raise SettingsError(f"no score '{name}' was measured", f"there are: {listed}")
        better = measured[0][name].get("better")
        if better is None:
            raise SettingsError(f"neither side of the score '{name}' is better", "name another one: --score")
        values = [scores[name]["value"] for scores in measured]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        if len(finite) < len(values):
            raise TrialFailedError(f"{name} is not finite")
        return finite, -1 if better == "higher" else 1


def _refuse(error: GenzooError | None) -> None:
    """Raise `TrialFailedError` for a training whose failure is due to its settings, and any other error as it is."""
    if error is None:
        return
    crashed = isinstance(error, InterruptedRun) and error.signal_number not in _ENDS_SEARCH
    if isinstance(error, DivergedError | ResourceError) or crashed:
        raise TrialFailedError(error.found) from error
    raise error


def free_journal(root: Path, search: Search, *, seed: int) -> Journal:
    """Return the journal of a search in `root`, or in `root` with a number where that is taken by another search."""
    number = 1
    while True:
        folder = root if number == 1 else root.with_name(f"{root.name}-{number}")
        journal = Journal(folder, search, seed=seed)
        if journal.is_of_search:
            return journal
        number += 1


def command_text(words: Sequence[str]) -> str:
    """Return the words of a command of genzoo's as it is typed."""
    return shlex.join(["genzoo", *words])
