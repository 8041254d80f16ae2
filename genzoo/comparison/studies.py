"""Studies: experiments of a paper, re-run by one command and set beside what was published."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from genzoo.comparison.cells import Cell, Contestant, Outcome, environment, run_of, write_results
from genzoo.components import Component
from genzoo.evaluation.model import Model
from genzoo.runs.job import Job
from genzoo.storage import files
from genzoo.storage.run_folder import Run
from genzoo.types import Splits

Budget = Literal["quick", "paper"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training that a study asks for."""

    model: str
    seed: int = 0
    steps: int | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    source: Run | None = None
    """The run whose networks it inherits."""


class Lab:
    """Where studies work: a folder for each, below which are its trainings and what it found."""

    def __init__(
        self,
        root: Path,
        study: str,
        *,
        order: Callable[[str, Trial], Job],
        train: Callable[[Sequence[Cell]], Sequence[Outcome]],
        load: Callable[[Run], Model],
        data: Callable[[Run], Splits],
    ) -> None:
        self.folder = root / study
        self._root = root
        self._order = order
        self._train = train
        self.load = load
        self.data = data

    def train(self, recipe: str, trials: Sequence[Trial]) -> list[Run | None]:
        """Train what is not trained yet, several at a time; None stands for a training that failed."""
        jobs = [self._order(recipe, trial) for trial in trials]
        cells = [
            Cell(
                contestant=Contestant(label=job.model, jobs=(job,)),
                job=job,
                run=run_of(job, self.folder),
                source=trial.source,
            )
            for job, trial in zip(jobs, trials, strict=True)
        ]
        outcomes = self._train(cells)
        return [cell.run if outcome.code == 0 else None for cell, outcome in zip(cells, outcomes, strict=True)]

    def write(self, document: Mapping[str, Any]) -> None:
        """Put results.json in place, with the versions and the machine."""
        write_results(self.folder, {**document, "environment": environment()})

    def found_by(self, study: str) -> dict[str, Any] | None:
        """Return what another study found here, or None where it was not carried out."""
        return _read(self._root / study)

    def run(self, study: str, name: str) -> Run:
        """Return the run of that name that a study trained."""
        return Run(self._root / study / "cells" / name)


@dataclass(frozen=True, kw_only=True)
class Study(Component):
    """An experiment with what was published of it."""

    published: ClassVar[str]
    """What the paper reports, in one line."""
    cost: ClassVar[str]
    """How long it takes, by budget and device."""
    needs: ClassVar[tuple[str, ...]] = ()
    """The data sets that have to be prepared for it."""
    budget: Budget = "quick"

    @abstractmethod
    def carry_out(self, lab: Lab) -> str:
        """Do it in `lab`, going on where it was stopped, and return its table as Markdown."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A study to be carried out: the root that `--set study.…` reaches."""

    study: Study


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / "results.json"
    return files.read_json(path, "a study's results") if path.exists() else None
