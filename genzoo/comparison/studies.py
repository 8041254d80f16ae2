"""Studies: experiments of a paper, re-run by one command and set beside what was published."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from genzoo.comparison.cells import Cell, cell_of, name_of
from genzoo.comparison.results import environment, write_results
from genzoo.comparison.worker import Outcome
from genzoo.components import Component
from genzoo.errors import DivergedError
from genzoo.evaluation.model import Model
from genzoo.runs import session
from genzoo.runs.opening import data_of
from genzoo.runs.request import TrainingRequest
from genzoo.storage import files
from genzoo.storage.run_folder import Run
from genzoo.types import Splits

Budget = Literal["quick", "paper"]


class Lab:
    """Where studies work: a folder for each, below which are its trainings and what it found."""

    def __init__(
        self,
        root: Path,
        study: str,
        *,
        train: Callable[[Sequence[Cell], Path], Sequence[Outcome]],
        device: str = "auto",
        data: str | Path | None = None,
    ) -> None:
        self.folder = root / study
        self._root = root
        self._train = train
        self._device = device
        self._data = data

    def train(self, requests: Sequence[TrainingRequest]) -> list[Run | None]:
        """Train what is not trained yet, several at a time; None stands for a training that diverged.

        Any other failure is no result of a study: it is raised once all have ended.
        """
        requests = [replace(request, device=self._device, data=self._data) for request in requests]
        cells = [cell_of(name_of(request), request, self.folder) for request in requests]
        outcomes = self._train(cells, self.folder)
        for outcome in outcomes:
            if outcome.code not in (0, DivergedError.exit_code) and outcome.error is not None:
                raise outcome.error
        return [None if outcome.code else cell.run for cell, outcome in zip(cells, outcomes, strict=True)]

    def load(self, run: Run) -> Model:
        """Return a run's model."""
        return session.load_run(run)

    def data(self, run: Run) -> Splits:
        """Return the data that a run was trained on."""
        return data_of(run.record, self._data)

    def write(self, document: Mapping[str, Any]) -> None:
        """Put results.json in place, with the versions and the machine."""
        write_results(self.folder, {**document, "environment": environment()})

    def found_by(self, study: str) -> dict[str, Any] | None:
        """Return what another study found here, or None where it was not carried out."""
        return read_document(self._root / study)

    def run(self, study: str, name: str) -> Run:
        """Return the run of that name that a study trained."""
        return Run(self._root / study / "cells" / name)


@dataclass(frozen=True, kw_only=True)
class Study(Component):
    """An experiment with what was published of it."""

    kind: ClassVar[str] = "studies"

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
class StudyRoot:
    """A study to be carried out: the root that `--set study.…` reaches."""

    study: Study


def read_document(folder: Path) -> dict[str, Any] | None:
    """Return the results.json that a study wrote, or None where there is none."""
    path = folder / "results.json"
    return files.read_json(path, "a study's results") if path.exists() else None
