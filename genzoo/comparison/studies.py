"""Studies: experiments of a paper, repeated by one command and compared with the published results."""

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
"""How long a study trains: for a first look (`quick`), or as long as the paper did (`paper`)."""


class Lab:
    """What a study works with: a folder for its trainings and results, and a way to train."""

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
        """Train the requests that are not finished, and return all runs; None for one that diverged.

        Any other failure is raised as an error once all trainings have ended.
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
        return data_of(run, self._data).splits

    def write(self, document: Mapping[str, Any]) -> None:
        """Write results.json, with versions and machine added."""
        write_results(self.folder, {**document, "environment": environment()})

    def found_by(self, study: str) -> dict[str, Any] | None:
        """Return the results.json of another study in the same place, or None if it was not carried out."""
        return read_document(self._root / study)

    def run(self, study: str, name: str) -> Run:
        """Return the run of that name that another study trained."""
        return Run(self._root / study / "cells" / name)


@dataclass(frozen=True, kw_only=True)
class Study(Component):
    """An experiment of a paper, with its published results."""

    kind: ClassVar[str] = "studies"

    published: ClassVar[str]
    """What the paper reports, in one line."""
    cost: ClassVar[str]
    """How long it takes, by budget and device, as text."""
    needs: ClassVar[tuple[str, ...]] = ()
    """The data sets that must be prepared for it."""
    budget: Budget = "quick"

    @abstractmethod
    def carry_out(self, lab: Lab) -> str:
        """Carry out the study in `lab`, continuing an interrupted one, and return its table as Markdown."""


@dataclass(frozen=True, kw_only=True)
class StudyRoot:
    """The root of a study's settings, whose paths are `study.…`."""

    study: Study


def read_document(folder: Path) -> dict[str, Any] | None:
    """Return the results.json that a study wrote, or None if there is none."""
    path = folder / "results.json"
    return files.read_json(path, "a study's results") if path.exists() else None
