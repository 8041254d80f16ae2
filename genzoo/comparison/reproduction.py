"""`reproduce`: carries out a paper's study in its own folder, and compares the results with the published ones."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genzoo.comparison.cells import Cell
from genzoo.comparison.executors import ExecutorFactory
from genzoo.comparison.progress import ComparisonCallback
from genzoo.comparison.studies import Budget, Lab, Study, StudyRoot, read_document
from genzoo.comparison.train_cells import train_cells
from genzoo.comparison.worker import Outcome
from genzoo.components import from_json, override, to_text
from genzoo.host.discovery import registry
from genzoo.host.isolation import stdout_to_stderr
from genzoo.storage import files


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The results of a study; a notebook displays it as its table."""

    study: Study
    folder: Path
    table: str
    """Our results beside the published ones, as Markdown."""
    document: Mapping[str, Any]
    """The content of results.json, whose layout is the study's."""

    def _repr_markdown_(self) -> str:
        return f"{self.study.published}\n\n{self.table}"


def reproduce(
    study: str | Study,
    *,
    budget: Budget = "quick",
    overrides: Mapping[str, object] | None = None,
    jobs: int | None = None,
    together: bool | None = None,
    report: str | Path = "studies",
    device: str = "auto",
    data: str | Path | None = None,
    callback: ComparisonCallback | None = None,
    executor: Executor | ExecutorFactory | None = None,
) -> Reproduction:
    """Carry out a paper's study below `report` and return its table beside the published numbers.

    `overrides` maps paths such as `study.runs` to values. Finished trainings are not repeated. `jobs`, `together` and
    `executor` are those of `compare`. A training that diverges is a result; any other failure ends the study with its
    error.
    """
    configured = _configured(study, budget, overrides or {})

    def train(cells: Sequence[Cell], folder: Path) -> list[Outcome]:
        return train_cells(
            cells,
            folder,
            tasks=folder / "tasks",
            callback=callback,
            jobs=jobs,
            together=together,
            device=device,
            executor=executor,
        )

    lab = Lab(Path(report), configured.name, train=train, device=device, data=data)
    with stdout_to_stderr():
        table = configured.carry_out(lab)
    files.write(lab.folder / "table.md", (table + "\n").encode())
    return Reproduction(study=configured, folder=lab.folder, table=table, document=read_document(lab.folder) or {})


def _configured(study: str | Study, budget: Budget, overrides: Mapping[str, object]) -> Study:
    resolve = registry().resolve
    if isinstance(study, str):
        registry().find("studies", study)
        root = StudyRoot(study=from_json(Study, {"name": study, "budget": budget}, resolve=resolve, path="study"))
    else:
        root = StudyRoot(study=study)
    for path, value in overrides.items():
        root = override(root, path, to_text(value), resolve=resolve)
    return root.study
