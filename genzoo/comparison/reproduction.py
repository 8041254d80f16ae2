"""`reproduce`: a paper's study, carried out in a folder of its own and set beside what was published."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genzoo.comparison.cells import Cell, train_cells
from genzoo.comparison.comparison import local_executor, plays_together
from genzoo.comparison.progress import ComparisonCallback
from genzoo.comparison.studies import Budget, Lab, Study, StudyRoot, read_document
from genzoo.comparison.worker import Outcome
from genzoo.components import from_json, override, to_text
from genzoo.errors import warn
from genzoo.host.discovery import registry
from genzoo.host.isolation import stdout_to_stderr
from genzoo.storage import files


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What a study showed; a notebook shows it as its table."""

    study: Study
    folder: Path
    table: str
    """Ours beside what was published, as Markdown."""
    document: Mapping[str, Any]
    """The content of results.json, which every study lays out for itself."""

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
    executor: Executor | None = None,
) -> Reproduction:
    """Carry out a paper's study below `report` and return its table beside the published numbers.

    `overrides` maps paths such as `study.runs` to values. What is trained already is not trained again; `jobs`,
    `together` and `executor` are those of `compare`. A training that fails otherwise than by diverging ends the study
    with its error.
    """
    chosen = _chosen(study, budget, overrides or {})
    callback = callback or ComparisonCallback()

    def train(cells: Sequence[Cell], folder: Path) -> list[Outcome]:
        callback.on_start(folder, [cell.label for cell in cells], sum(cell.is_done for cell in cells), ())
        with local_executor(executor, jobs or min(len(cells), os.cpu_count() or 1)) as where:
            outcomes = train_cells(
                cells,
                where,
                tasks=folder / "tasks",
                together=plays_together(together, device),
                progress=callback.on_progress,
            )
        warn(dict.fromkeys(line for outcome in outcomes for line in outcome.warnings))
        return outcomes

    lab = Lab(Path(report), chosen.name, train=train, device=device, data=data)
    with stdout_to_stderr():
        table = chosen.carry_out(lab)
    files.write(lab.folder / "table.md", (table + "\n").encode())
    return Reproduction(study=chosen, folder=lab.folder, table=table, document=read_document(lab.folder) or {})


def _chosen(study: str | Study, budget: Budget, overrides: Mapping[str, object]) -> Study:
    resolve = registry().resolve
    if isinstance(study, str):
        registry().find("studies", study)
        root = StudyRoot(study=from_json(Study, {"name": study, "budget": budget}, resolve=resolve, path="study"))
    else:
        root = StudyRoot(study=study)
    for path, value in overrides.items():
        root = override(root, path, to_text(value), resolve=resolve)
    return root.study
